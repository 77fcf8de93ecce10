use std::sync::Arc;

use vault::{MemoryVault, Root};

use super::*;

const ACME: TenantId = TenantId::from_digest([1; 16]);
const ADA: ActorId = ActorId::from_digest([3; 16]);
const KINDS: [SecretOf; 3] = [SecretOf::ApiKey, SecretOf::Session, SecretOf::Invite];

async fn keyring() -> Keyring {
    let root = Root::from_hex(&"07".repeat(32), "the test").unwrap();
    Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap()
}

#[tokio::test]
async fn a_secret_is_read_from_its_text_and_from_no_other() {
    let keyring = keyring().await;
    for of in KINDS {
        let text = Secret::draw(&keyring, of, ACME, ADA);
        let read = |text: &str| Secret::read(&keyring, of, text);
        assert_eq!(read(&text), Some(Secret { tenant: ACME, actor: ADA }));
        assert_ne!(Secret::draw(&keyring, of, ACME, ADA), text);

        for place in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[place] = if other[place] == b'0' { b'1' } else { b'0' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(read(&other), None, "{other}");
        }
        let elsewhere = TenantId::from_digest([2; 16]).0.as_simple().to_string();
        assert_eq!(read(&text.replace(&ACME.0.as_simple().to_string(), &elsewhere)), None);
        let hyphenated = text.replace(&ACME.0.as_simple().to_string(), &ACME.0.to_string());
        assert_eq!(read(&hyphenated), None, "it has one spelling");
        let begun = prefix(of);
        for nothing in
            ["", begun, &format!("{begun}_"), &text[..text.len() - 1], &format!("{text}A")]
        {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}

#[tokio::test]
async fn what_stands_for_one_thing_never_passes_for_another() {
    let keyring = keyring().await;
    for (of, other) in KINDS.into_iter().flat_map(|of| KINDS.map(|other| (of, other))) {
        let text = Secret::draw(&keyring, of, ACME, ADA);
        let renamed = text.replace(prefix(of), prefix(other));
        assert_eq!(Secret::read(&keyring, other, &renamed).is_some(), of == other, "{renamed}");
    }
}
