//! An authority, with whose certificates processes know each other.

use outbound::PeerIdentity;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::peers::Identity;

pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate.
    pub(super) fn pem(&self) -> Vec<u8> {
        self.0.pem().into()
    }

    /// What a process at `host` proves with that it is one of those.
    pub(super) fn identity(&self, host: &str) -> PeerIdentity {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap().pem().into();
        PeerIdentity { authorities: self.pem(), certificate, key: key.serialize_pem().into() }
    }
}

/// The same as the listener wants it.
pub(super) fn shown(identity: &PeerIdentity) -> Identity<'_> {
    let PeerIdentity { authorities, certificate, key } = identity;
    Identity { authorities, certificate, key }
}
