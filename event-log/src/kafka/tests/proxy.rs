//! A way to a broker on which answers get lost, and connections are cut, on request.
//!
//! The broker has to advertise the proxy's address, or clients go past it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};

/// The request that ends a transaction, by its number in Kafka's protocol.
pub(super) const END_TRANSACTION: i16 = 26;

/// The request that makes a producer the only one with its transactional id.
pub(super) const INIT_PRODUCER: i16 = 22;

/// The request of a member that joins a group, at first or anew.
pub(super) const JOIN_GROUP: i16 = 11;

/// Forwards connections to a broker.
#[derive(Clone)]
pub(super) struct Proxy {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    broker: Option<SocketAddr>,
    /// How often each request has come by.
    seen: HashMap<i16, usize>,
    /// How many answers to which request are still to be lost.
    losing: HashMap<i16, usize>,
    /// How many connections there have been.
    connections: usize,
    /// Which of them are not cut, if any is.
    spared: Option<Range<usize>>,
    /// All of them.
    clients: Vec<TcpStream>,
}

impl Proxy {
    /// Listens, and holds connections until it knows the broker.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let accepting = this.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let connection = accepting.clone();
                std::thread::spawn(move || drop(connection.serve(client)));
            }
        });
        this
    }

    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn forward_to(&self, broker: SocketAddr) {
        self.state.0.lock().unwrap().broker = Some(broker);
        self.state.1.notify_all();
    }

    /// How often `request` has come by.
    pub(super) fn seen(&self, request: i16) -> usize {
        self.state.0.lock().unwrap().seen.get(&request).copied().unwrap_or_default()
    }

    /// Lets the next `count` answers to `request` get lost: the broker does what is asked, and the
    /// connection is silent from then on.
    pub(super) fn lose(&self, request: i16, count: usize) {
        self.state.0.lock().unwrap().losing.insert(request, count);
    }

    /// How many connections there have been so far.
    pub(super) fn connections(&self) -> usize {
        self.state.0.lock().unwrap().connections
    }

    /// Lets nothing through on the first `count` connections, nor on those that are yet to come.
    pub(super) fn cut_first(&self, count: usize) {
        let mut state = self.state.0.lock().unwrap();
        state.spared = Some(count..state.connections);
    }

    /// Lets everything through again, also what was held back.
    pub(super) fn mend(&self) {
        self.state.0.lock().unwrap().spared = None;
        self.state.1.notify_all();
    }

    /// Ends every connection there is. Clients make others.
    pub(super) fn end_all(&self) {
        for client in self.state.0.lock().unwrap().clients.drain(..) {
            drop(client.shutdown(std::net::Shutdown::Both));
        }
    }

    /// Waits as long as the connection with this number is cut.
    fn pass(&self, number: usize) {
        let is_cut = |it: &mut State| it.spared.as_ref().is_some_and(|it| !it.contains(&number));
        drop(self.state.1.wait_while(self.state.0.lock().unwrap(), is_cut).unwrap());
    }

    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut waiting = self.state.0.lock().unwrap();
        let number = waiting.connections;
        waiting.connections += 1;
        waiting.clients.push(client.try_clone()?);
        let state = self.state.1.wait_while(waiting, |it| it.broker.is_none()).unwrap();
        let broker = TcpStream::connect(state.broker.expect("it was waited for"));
        drop(state);
        let mut broker = broker?;
        let silent = Arc::new(Mutex::new(false));
        let (mut from, mut to) = (broker.try_clone()?, client.try_clone()?);
        let (muted, passing) = (silent.clone(), self.clone());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                passing.pass(number);
                if !*muted.lock().unwrap() && to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            drop(to.shutdown(std::net::Shutdown::Both));
        });
        loop {
            let mut length = [0; 4];
            client.read_exact(&mut length)?;
            let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
            client.read_exact(&mut frame)?;
            self.pass(number);
            if self.is_lost(i16::from_be_bytes([frame[0], frame[1]])) {
                *silent.lock().unwrap() = true;
            }
            broker.write_all(&length)?;
            broker.write_all(&frame)?;
        }
    }

    /// Counts `request`, and says whether its answer is to be lost.
    fn is_lost(&self, request: i16) -> bool {
        let mut state = self.state.0.lock().unwrap();
        *state.seen.entry(request).or_default() += 1;
        match state.losing.get_mut(&request) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}
