//! Loopback ports for services.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// Where services listen: below the ports that systems give to clients, so that no client takes
/// the place of a service that is down for a moment, and below those of the servers under test.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// How far apart processes whose numbers follow each other begin to look for ports. Prime, and
/// more than one process takes.
const STRIDE: u32 = 101;

/// A loopback address that nobody listens on, and that this process has not been told before
/// (until it has been told all of them).
pub(super) fn free_address() -> Result<SocketAddr> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    let begin = std::process::id().wrapping_mul(STRIDE) % u32::from(count);
    let begin = u16::try_from(begin).expect("it is below a u16");
    for _ in 0..count {
        let offset = (begin + TAKEN.fetch_add(1, Ordering::Relaxed) % count) % count;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + offset));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port of {PORTS:?} is free on the loopback interface")
}

#[cfg(test)]
mod tests {
    use super::{PORTS, free_address};

    #[test]
    fn no_address_is_told_twice() {
        let (first, second) = (free_address().unwrap(), free_address().unwrap());
        assert_ne!(first, second);
        assert!(PORTS.contains(&first.port()) && first.ip().is_loopback());
    }
}
