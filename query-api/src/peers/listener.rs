//! Where other processes of the installation connect: TLS 1.3 with a certificate on both ends.
//!
//! Whoever shows no certificate of the cluster's authority is gone before anything is read. What
//! is asked over a connection is for [`door`](super::door).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, version};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The longest a handshake may take. In seconds: 5.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);

/// Handshakes under way at a time: 64. Who has no certificate gets no further.
const HANDSHAKES_MAX: usize = 64;

/// How long to wait when no connection can be taken, for want of file descriptors, say. In
/// seconds: 1.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What a process proves with that it is one of the installation, in PEM.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The certificates of the cluster's authority.
    pub authorities: &'a [u8],
    /// The process's own certificate, with those between it and the authority.
    pub certificate: &'a [u8],
    /// The key of its own certificate.
    pub key: &'a [u8],
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Why peers cannot connect.
#[derive(Debug, thiserror::Error)]
pub enum PeerListenerError {
    /// The address cannot be listened on.
    #[error("could not listen on {0}: {1}")]
    Address(SocketAddr, #[source] io::Error),
    /// A file is not PEM, or holds nothing of what it should.
    #[error("the {0} cannot be read: {1}")]
    Pem(&'static str, #[source] pem::Error),
    /// The certificates are of no use.
    #[error("the certificates of the cluster cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// No certificate can be checked against the authority.
    #[error("the certificates of the cluster's authority cannot be used: {0}")]
    Authorities(#[from] rustls::server::VerifierBuilderError),
}

/// Takes connections of peers, one after the other as their handshakes end.
pub struct PeerListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    /// Ends with this.
    _accepting: JoinSet<()>,
}

impl fmt::Debug for PeerListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerListener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl PeerListener {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// [`PeerListenerError`] if the address or the certificates cannot be used.
    pub async fn bind(
        address: SocketAddr,
        identity: Identity<'_>,
    ) -> Result<Self, PeerListenerError> {
        let acceptor = TlsAcceptor::from(Arc::new(config(identity)?));
        let failed = |it| PeerListenerError::Address(address, it);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (sender, ready) = mpsc::channel(1);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, acceptor, sender));
        Ok(Self { address, ready, _accepting: accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Listener for PeerListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

fn config(identity: Identity<'_>) -> Result<ServerConfig, PeerListenerError> {
    let certificates = |of: &[u8], what| {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(of).collect();
        all.map_err(|it| PeerListenerError::Pem(what, it))
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(identity.authorities, "certificates of the authority")? {
        roots.add(authority)?;
    }
    let chain = certificates(identity.certificate, "own certificate")?;
    let key = PrivateKeyDer::from_pem_slice(identity.key);
    let key = key.map_err(|it| PeerListenerError::Pem("key of the own certificate", it))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier.build()?);
    Ok(config.with_single_cert(chain, key)?)
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let room = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut handshakes = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while handshakes.try_join_next().is_some() {}
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "no peer can connect");
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        handshakes.spawn(async move {
            // What is sent is short and waited for.
            drop(stream.set_nodelay(true));
            match tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await {
                // Nobody takes it any more: the door is closed.
                Ok(Ok(stream)) => drop(ready.send((stream, from)).await),
                Ok(Err(error)) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::warn!(peer.address = %from, error = cause, "a peer was not let in");
                }
                Err(_elapsed) => {
                    tracing::warn!(peer.address = %from, "a peer did not say who it is in time");
                }
            }
            drop(permit);
        });
    }
}
