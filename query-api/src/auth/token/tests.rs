use std::sync::Arc;

use vault::{Keyring, MemoryVault, Root};

use super::*;

async fn keyring() -> Keyring {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open_or_create(&folder.path().join("root.key")).unwrap();
    Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap()
}

const TENANT: TenantId = TenantId(Uuid::from_u128(7));
const ACTOR: ActorId = ActorId(Uuid::from_u128(9));

#[tokio::test]
async fn a_token_says_who_for_which_tenant_and_until_when() {
    let keyring = keyring().await;
    let token = mint(keyring.issuer(), TENANT, ACTOR, Duration::from_secs(60)).unwrap();
    let claims = verify(keyring.issuer(), &token).unwrap();
    assert_eq!((claims.actor, claims.tenant), (ACTOR, TENANT));
    assert_eq!(claims.audience, Audience::Doors);
    let left = claims.expires_at - Utc::now();
    assert!((50..=60).contains(&left.num_seconds()), "{left}");
}

#[tokio::test]
async fn a_proof_is_told_from_a_token_and_ends_within_a_minute() {
    let keyring = keyring().await;
    let proof = mint_proof(keyring.issuer(), TENANT, ACTOR).unwrap();
    let claims = verify(keyring.issuer(), &proof).unwrap();
    assert_eq!((claims.audience, claims.actor), (Audience::SignIn, ACTOR));
    let left = claims.expires_at - Utc::now();
    assert!((50..=60).contains(&left.num_seconds()), "{left}");
}

#[tokio::test]
async fn no_token_outlives_a_day() {
    let keyring = keyring().await;
    let token = mint(keyring.issuer(), TENANT, ACTOR, Duration::from_secs(u64::MAX)).unwrap();
    let left = verify(keyring.issuer(), &token).unwrap().expires_at - Utc::now();
    assert!(left.num_seconds() <= 86_400, "{left}");
}

#[tokio::test]
async fn a_token_of_another_installation_a_changed_or_an_expired_one_is_refused() {
    let (ours, theirs) = (keyring().await, keyring().await);
    let foreign = mint(theirs.issuer(), TENANT, ACTOR, Duration::from_secs(60)).unwrap();
    assert!(matches!(verify(ours.issuer(), &foreign), Err(TokenError::UnknownKey)));

    let token = mint(ours.issuer(), TENANT, ACTOR, Duration::from_secs(60)).unwrap();
    for index in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let Ok(changed) = String::from_utf8(changed) else { continue };
        let accepted = verify(ours.issuer(), &changed);
        // The last character of each part carries bits that base64 ignores, so it may stand for
        // the same bytes; then it is the same token.
        assert!(accepted.is_err() || changed.len() == token.len(), "{index}");
        if let Ok(claims) = accepted {
            assert_eq!((claims.actor, claims.tenant), (ACTOR, TENANT));
        }
    }

    let expired = Wire {
        iss: ISSUER.to_owned(),
        aud: Audience::Doors.name().to_owned(),
        sub: ACTOR.to_string(),
        ten: TENANT.to_string(),
        iat: 1,
        exp: jsonwebtoken::get_current_timestamp() - 60,
        jti: String::new(),
    };
    let issuer = ours.issuer();
    let header = Header { kid: Some(issuer.key_id().to_owned()), ..Header::new(Algorithm::EdDSA) };
    let key = EncodingKey::from_ed_der(issuer.private_key());
    let expired = jsonwebtoken::encode(&header, &expired, &key).unwrap();
    assert!(matches!(verify(issuer, &expired), Err(TokenError::Invalid(_))));
}
