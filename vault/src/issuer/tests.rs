use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use super::{Issuer, thumbprint};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
}

#[test]
fn its_tokens_verify_with_its_public_key_and_no_other() {
    let issuer = Issuer::new(Issuer::generate()).unwrap();
    let other = Issuer::new(Issuer::generate()).unwrap();
    let claims = Claims { sub: "usr_1".into(), exp: 4_000_000_000 };
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(issuer.key_id().to_owned());
    let key = EncodingKey::from_ed_der(issuer.private_key());
    let token = encode(&header, &claims, &key).unwrap();

    let validation = Validation::new(Algorithm::EdDSA);
    let verify = |by: &Issuer| {
        let key = DecodingKey::from_ed_der(by.public_key());
        decode::<Claims>(&token, &key, &validation)
    };
    assert_eq!(verify(&issuer).unwrap().claims, claims);
    assert!(verify(&other).is_err());
    assert_ne!(issuer.key_id(), other.key_id());
}

/// The key and thumbprint of RFC 8037, appendices A.1 and A.3.
#[test]
fn the_key_id_is_the_thumbprint_of_the_standard() {
    let public = [
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07,
        0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07,
        0x51, 0x1a,
    ];
    assert_eq!(thumbprint(&public), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn it_never_shows_its_private_key() {
    let issuer = Issuer::new(Issuer::generate()).unwrap();
    assert_eq!(format!("{issuer:?}"), format!("Issuer {{ key_id: {:?}, .. }}", issuer.key_id()));
}
