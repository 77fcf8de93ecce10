use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority, with whose certificates processes know each other.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    fn identity(&self, host: &str) -> PeerIdentity {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap().pem();
        PeerIdentity {
            authorities: self.0.pem().into(),
            certificate: certificate.into(),
            key: key.serialize_pem().into(),
        }
    }
}

struct Mutual(TcpListener, TlsAcceptor);

impl Listener for Mutual {
    type Io = tokio_rustls::server::TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = self.0.accept().await.unwrap();
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A peer that repeats what it is told, with the credential; at `/never` it says nothing.
async fn peer(identity: &PeerIdentity) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&identity.authorities).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(&identity.certificate).unwrap()],
            PrivateKeyDer::from_pem_slice(&identity.key).unwrap(),
        );
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let echo = async |headers: HeaderMap, body: String| {
        let credential = headers.get(AUTHORIZATION).map(|it| it.to_str().unwrap());
        format!("{} {body}", credential.unwrap_or("nobody"))
    };
    let router =
        Router::new().route("/echo", post(echo)).route("/never", post(std::future::pending::<()>));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(Mutual(listener, acceptor), router).await });
    address
}

fn client(identity: &PeerIdentity) -> PeerClient {
    let limits = Limits { time: Duration::from_secs(2), body_bytes: 64, redirects: 0 };
    PeerClient::new(identity, limits).unwrap()
}

async fn said(client: &PeerClient, address: &str, path: &str) -> Result<Response, PeerError> {
    client.post(address, path, Some("Bearer key"), "hello".into()).await
}

#[tokio::test]
async fn processes_of_one_authority_talk_to_each_other() {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1");
    let (address, client) = (peer(&identity).await, client(&identity));
    let answer = said(&client, &address, "/echo").await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"Bearer key hello"[..]));
    let answer = client.post(&address, "/echo", None, "hi".into()).await.unwrap();
    assert_eq!(&answer.body[..], b"nobody hi");
    assert!(!format!("{identity:?} {client:?}").contains("KEY"));
}

#[tokio::test]
async fn nothing_is_sent_to_who_does_not_prove_to_be_the_peer_that_was_meant() {
    let ours = Authority::new();
    let us = client(&ours.identity("127.0.0.1"));
    let stranger = peer(&Authority::new().identity("127.0.0.1")).await;
    let elsewhere = peer(&ours.identity("127.0.0.2")).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    for address in [&stranger, &elsewhere, &nobody, "", "no host", "127.0.0.1:99999"] {
        let error = said(&us, address, "/echo").await.unwrap_err();
        assert!(matches!(error, PeerError::NotSent { .. }), "{address}: {error:?}");
    }
}

#[tokio::test]
async fn whoever_has_a_certificate_of_another_authority_gets_no_answer() {
    let ours = Authority::new();
    let address = peer(&ours.identity("127.0.0.1")).await;
    let mut stranger = Authority::new().identity("127.0.0.1");
    stranger.authorities = ours.0.pem().into();
    let error = said(&client(&stranger), &address, "/echo").await.unwrap_err();
    assert!(matches!(error, PeerError::NoAnswer { .. }), "{error:?}");
}

#[tokio::test]
async fn a_request_without_an_answer_may_have_been_received() {
    let identity = Authority::new().identity("127.0.0.1");
    let (address, client) = (peer(&identity).await, client(&identity));
    let error = said(&client, &address, "/never").await.unwrap_err();
    assert!(matches!(error, PeerError::NoAnswer { .. }), "{error:?}");
    let large = client.post(&address, "/echo", None, vec![b'a'; 65].into()).await.unwrap_err();
    assert!(large.to_string().contains("larger than 64 bytes"), "{large}");
}

#[test]
fn what_is_no_certificate_is_refused() {
    let good = Authority::new().identity("127.0.0.1");
    let none = PeerIdentity { authorities: b"nothing".into(), ..good.clone() };
    let error = PeerClient::new(&none, Limits::default()).unwrap_err();
    assert!(error.to_string().contains("no certificate of the authority"), "{error}");
    let keyless = PeerIdentity { key: b"nothing".into(), ..good };
    PeerClient::new(&keyless, Limits::default()).unwrap_err();
}
