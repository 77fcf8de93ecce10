//! How many connections each address has, so that none takes the places of all others.
//!
//! Loopback is not counted: whoever is on this machine has other means, and a proxy on it brings
//! everybody, unless it is trusted to say whom. Of an IPv6 address the first 64 bits count, for one
//! machine may have all behind them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a request has come from, as an extension of it: an address by which it counts; none if it
/// comes from this machine, which tells nobody from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) Option<IpAddr>);

impl ClientAddress {
    /// What counts of `address`.
    pub(crate) fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let counted = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(it) => {
                let [first, second, third, fourth, ..] = it.segments();
                Ipv6Addr::new(first, second, third, fourth, 0, 0, 0, 0).into()
            }
        };
        Self((!address.is_loopback()).then_some(counted))
    }
}

/// The connections of every address that has some.
#[derive(Clone, Debug)]
pub(in crate::doors) struct Addresses {
    most: usize,
    open: Arc<Mutex<HashMap<IpAddr, Open>>>,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    /// Whether it was said that it may not have more.
    told: bool,
}

/// A place among those of an address, until it is dropped.
#[derive(Debug)]
pub(in crate::doors) struct Place {
    /// Nobody's, where it is not counted.
    of: Option<(IpAddr, Addresses)>,
}

impl Addresses {
    /// Each may have `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// A place for one more connection from `address`; none if it has as many as it may.
    pub(in crate::doors) fn enter(&self, address: ClientAddress) -> Option<Place> {
        let Some(address) = address.0 else { return Some(Place { of: None }) };
        let mut all = self.lock();
        let open = all.entry(address).or_default();
        if open.count < self.most {
            open.count += 1;
            return Some(Place { of: Some((address, self.clone())) });
        }
        if !open.told {
            open.told = true;
            tracing::warn!(
                peer.address = %address,
                connections.most = self.most,
                "an address has as many connections as one may; more from there are closed"
            );
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((address, addresses)) = &self.of else { return };
        let mut all = addresses.lock();
        let Some(open) = all.get_mut(address) else { return };
        open.count -= 1;
        if open.count == 0 {
            all.remove(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(first: &str, second: &str, both_fit_in_one: bool) {
        let addresses = Addresses::new(1);
        let enter = |it: &str| addresses.enter(ClientAddress::of(it.parse().unwrap()));
        let (_first, second) = (enter(first).unwrap(), enter(second));
        assert_eq!(second.is_some(), both_fit_in_one);
    }

    #[test]
    fn an_address_is_counted_by_itself_and_loopback_never() {
        check("192.0.2.1", "192.0.2.1", false);
        check("192.0.2.1", "192.0.2.2", true);
        check("192.0.2.1", "::ffff:192.0.2.1", false);
        check("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", false);
        check("2001:db8:0:1::1", "2001:db8:0:2::1", true);
        check("127.0.0.1", "127.0.0.1", true);
        check("::1", "::1", true);
        check("::ffff:127.0.0.1", "127.0.0.1", true);
    }

    #[test]
    fn who_leaves_makes_room_and_nothing_is_kept_of_it() {
        let addresses = Addresses::new(2);
        let address = ClientAddress::of("192.0.2.1".parse().unwrap());
        let first = addresses.enter(address);
        let second = addresses.enter(address);
        assert!(addresses.enter(address).is_none());
        drop(first);
        assert!(addresses.enter(address).is_some());
        drop(second);
        assert!(addresses.lock().is_empty());
    }
}
