//! A way to a broker that can be cut: then nothing comes through, and nothing says so.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections. What was said before a cut and after it comes through once it is mended,
/// as TCP sees to.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    broker: watch::Sender<Option<SocketAddr>>,
    cut: watch::Sender<bool>,
}

impl Proxy {
    /// Listens, and holds connections until it knows the broker.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (broker, known) = watch::channel(None);
        let (cut, is_cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, known.clone(), is_cut.clone()));
            }
        });
        Self { address, broker, cut }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn forward_to(&self, broker: SocketAddr) {
        self.broker.send_replace(Some(broker));
    }

    /// Lets nothing through, in neither direction, also on new connections.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Lets everything through again.
    pub(crate) fn mend(&self) {
        self.cut.send_replace(false);
    }
}

/// Forwards both directions until one of them ends.
async fn serve(
    client: TcpStream,
    mut broker: watch::Receiver<Option<SocketAddr>>,
    cut: watch::Receiver<bool>,
) {
    let known = broker.wait_for(Option::is_some).await.map(|it| *it);
    let Ok(Some(address)) = known else { return };
    let Ok(broker) = TcpStream::connect(address).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    tokio::select! {
        () = forward(from_client, to_broker, cut.clone()) => (),
        () = forward(from_broker, to_client, cut) => (),
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // An error says that the proxy is gone.
        let mended = cut.wait_for(|it| !it).await.is_ok();
        if !mended || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn nothing_comes_through_while_it_is_cut() {
        let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start().await;
        proxy.forward_to(broker.local_addr().unwrap());
        let mut here = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut there, _) = broker.accept().await.unwrap();
        let mut heard = [0; 3];
        here.write_all(b"one").await.unwrap();
        there.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"one");

        proxy.cut();
        here.write_all(b"two").await.unwrap();
        there.write_all(b"too").await.unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(50), there.read_exact(&mut heard));
        waited.await.expect_err("nothing comes");

        proxy.mend();
        there.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"two");
        here.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"too");
    }
}
