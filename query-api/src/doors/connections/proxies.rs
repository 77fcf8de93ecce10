//! Where requests come from that a proxy passes on: what its `X-Forwarded-For` says, from proxies that
//! the settings name and from nobody else.
//!
//! Each proxy adds the address that it was asked from at the end. So what is read from the end is true
//! until the first address that is no trusted proxy's; that is the client, and whatever stands before
//! was said by the client. No other forwarded header is read: neither `Forwarded`, since of two headers
//! that say the same a proxy might keep one up and pass the other on as it came, nor what says how the
//! proxy was asked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The header.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The most addresses in it, of a client that adds some itself. No chain of proxies is as long.
const ADDRESSES_MAX: usize = 32;

/// The proxies whose word counts, by their networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Arc<[IpNet]>);

/// Why a text names no proxies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected addresses or networks of proxies like `10.0.0.7,2001:db8::/64`, none of them of every \
     address, got `{0}`"
)]
pub struct NoProxies(String);

/// What is forwarded is no list of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::doors) struct Malformed;

impl FromStr for Proxies {
    type Err = NoProxies;

    fn from_str(text: &str) -> Result<Self, NoProxies> {
        let networks = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        let networks = networks.map(|it| {
            let alone = it.parse::<IpAddr>().map(IpNet::from);
            // Where everybody is trusted everybody says who they are.
            let network = alone.or_else(|_| it.parse::<IpNet>()).ok();
            network.filter(|it| it.prefix_len() > 0).ok_or_else(|| NoProxies(it.to_owned()))
        });
        Ok(Self(networks.collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, network) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{network}")?;
        }
        Ok(())
    }
}

impl Proxies {
    /// Whether `address` is one of theirs.
    pub(in crate::doors) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|it| it.contains(&address))
    }

    /// Who asks with these headers over a connection from `peer`: that address, unless it is a
    /// proxy's that names another one.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if a proxy passes on what is no list of addresses.
    pub(in crate::doors) fn client(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
    ) -> Result<IpAddr, Malformed> {
        if !self.contain(peer) {
            return Ok(peer);
        }
        let mut forwarded = Vec::new();
        for value in headers.get_all(FORWARDED_FOR) {
            for element in value.to_str().map_err(|_| Malformed)?.split(',') {
                if forwarded.len() == ADDRESSES_MAX {
                    return Err(Malformed);
                }
                forwarded.push(address(element.trim()).ok_or(Malformed)?);
            }
        }
        let client = forwarded.iter().rev().find(|it| !self.contain(**it));
        // Where all are proxies the first of them asks for itself.
        Ok(*client.or(forwarded.first()).unwrap_or(&peer))
    }
}

/// An address, to which some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    let alone = bare.parse().ok();
    alone.or_else(|| text.parse::<SocketAddr>().ok().map(|it| it.ip())).map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXIES: &str = "192.0.2.0/28, 2001:db8:1::/48,198.51.100.9";

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], expected: Result<&str, Malformed>) {
        let proxies: Proxies = PROXIES.parse().unwrap();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        // What says the same otherwise means nothing.
        headers.append("forwarded", "for=203.0.113.66".parse().unwrap());
        headers.append("x-real-ip", "203.0.113.66".parse().unwrap());
        let expected = expected.map(|it| it.parse().unwrap());
        assert_eq!(proxies.client(peer.parse().unwrap(), &headers), expected, "{forwarded:?}");
    }

    #[test]
    fn only_a_trusted_proxy_says_who_asks() {
        check("203.0.113.1", &["203.0.113.2"], Ok("203.0.113.1"));
        check("203.0.113.1", &["nobody"], Ok("203.0.113.1"));
        check("192.0.2.16", &["203.0.113.2"], Ok("192.0.2.16"));
        for proxy in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8:1::7", "198.51.100.9"] {
            check(proxy, &["203.0.113.2"], Ok("203.0.113.2"));
        }
        check("127.0.0.1", &["203.0.113.2"], Ok("127.0.0.1"));
    }

    #[test]
    fn what_a_client_says_itself_stands_before_what_its_proxy_adds() {
        check("192.0.2.1", &["203.0.113.66, 203.0.113.2"], Ok("203.0.113.2"));
        check("192.0.2.1", &["203.0.113.66", "203.0.113.2"], Ok("203.0.113.2"));
        // Even if it says that it is a proxy.
        check("192.0.2.1", &["192.0.2.2,203.0.113.2"], Ok("203.0.113.2"));
        check("192.0.2.1", &["203.0.113.66,203.0.113.2 , 192.0.2.3"], Ok("203.0.113.2"));
        check("192.0.2.1", &["203.0.113.2", "::ffff:192.0.2.3"], Ok("203.0.113.2"));
        check("192.0.2.1", &[], Ok("192.0.2.1"));
        check("192.0.2.1", &["192.0.2.4, 192.0.2.3"], Ok("192.0.2.4"));
    }

    #[test]
    fn an_address_may_have_a_port_and_what_is_none_is_refused() {
        check("192.0.2.1", &["203.0.113.2:4711"], Ok("203.0.113.2"));
        check("192.0.2.1", &["[2001:db8::5]:4711"], Ok("2001:db8::5"));
        check("192.0.2.1", &["[2001:db8::5]"], Ok("2001:db8::5"));
        check("192.0.2.1", &["2001:db8::5"], Ok("2001:db8::5"));
        for wrong in ["", "unknown", "203.0.113.2,", "203.0.113", "203.0.113.2;x", "[203.0.113.2"] {
            check("192.0.2.1", &[wrong], Err(Malformed));
            check("192.0.2.1", &[wrong, "203.0.113.2"], Err(Malformed));
        }
        let many = ["203.0.113.2"; ADDRESSES_MAX];
        check("192.0.2.1", &many, Ok("203.0.113.2"));
        check("192.0.2.1", &[&many[..], &["203.0.113.2"]].concat(), Err(Malformed));
    }

    #[test]
    fn proxies_are_named_and_never_everybody() {
        for text in ["0.0.0.0/0", "::/0", "10.0.0.0/33", "proxy.internal", "10.0.0.1 10.0.0.2"] {
            assert_eq!(text.parse::<Proxies>(), Err(NoProxies(text.to_owned())));
        }
        assert_eq!("".parse(), Ok(Proxies::default()));
        let named = "192.0.2.0/28,2001:db8:1::/48,198.51.100.9/32";
        assert_eq!(PROXIES.parse::<Proxies>().unwrap().to_string(), named);
    }
}
