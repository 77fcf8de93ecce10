//! A way to a service that falls silent on request, as where a network loses what is sent: both ends
//! keep their connections, and hear nothing any more.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// How many bytes are passed on at a time. In bytes: 64 KiB.
const BYTES_MAX: usize = 64 * 1024;

/// Passes connections on to a service. It goes on until the process ends.
#[derive(Debug)]
pub struct Way {
    address: SocketAddr,
    open: Arc<Mutex<Vec<Connection>>>,
}

/// A connection that somebody has made, while something is passed on.
#[derive(Clone, Debug, Default)]
struct Connection(Arc<Mutex<Hearing>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hearing {
    #[default]
    Everything,
    Nothing,
}

impl Way {
    /// A way to the service at `service`, on a loopback address of its own.
    ///
    /// # Errors
    ///
    /// If there is no address to be had.
    pub fn to(service: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("there is no free port")?;
        let (address, open) = (listener.local_addr()?, Arc::default());
        let way = Self { address, open };
        let accepted = way.open.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let connection = Connection::default();
                lock(&accepted).push(connection.clone());
                // Where nobody listens the client sees that its connection ends.
                if let Ok(server) = TcpStream::connect(service) {
                    // So it is if one of the two is gone already.
                    drop(connection.pass(client, server));
                }
            }
        });
        Ok(way)
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing through any more on the connections that there are. Those that come later are
    /// served. Answers how many there have been.
    pub fn cut(&self) -> usize {
        let mut open = lock(&self.open);
        for it in open.iter() {
            *lock(&it.0) = Hearing::Nothing;
        }
        open.drain(..).count()
    }
}

impl Connection {
    /// Passes on what either end says, on threads of its own.
    fn pass(&self, client: TcpStream, server: TcpStream) -> std::io::Result<()> {
        let (back, forth) = (server.try_clone()?, client.try_clone()?);
        for (from, to) in [(client, server), (back, forth)] {
            let connection = self.clone();
            thread::spawn(move || connection.pass_on(from, to));
        }
        Ok(())
    }

    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; BYTES_MAX];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            // What is said on is read on, or whoever says it would notice.
            if *lock(&self.0) == Hearing::Everything && to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        if *lock(&self.0) == Hearing::Everything {
            // It may be closed already.
            drop(to.shutdown(Shutdown::Both));
            return;
        }
        // Its other end does not hear of that either, as long as both sockets are there.
        loop {
            thread::park();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use super::*;

    /// Says once more whatever it hears.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut byte = [0];
                    while client
                        .read_exact(&mut byte)
                        .and_then(|()| client.write_all(&byte))
                        .is_ok()
                    {}
                });
            }
        });
        address
    }

    fn hears(connection: &mut TcpStream) -> std::io::Result<u8> {
        connection.write_all(&[7])?;
        let mut byte = [0];
        connection.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    #[test]
    fn a_connection_that_was_cut_is_silent_and_the_next_one_is_not() {
        let way = Way::to(echo()).unwrap();
        let mut first = TcpStream::connect(way.address()).unwrap();
        assert_eq!(hears(&mut first).unwrap(), 7);
        assert_eq!(way.cut(), 1);
        first.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let silent = hears(&mut first).unwrap_err();
        assert!(matches!(silent.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silent}");
        let mut next = TcpStream::connect(way.address()).unwrap();
        assert_eq!(hears(&mut next).unwrap(), 7);
    }
}
