use std::sync::Arc;

use vault::{MemoryVault, Root};

use super::*;

const ACME: TenantId = TenantId::from_digest([1; 16]);

async fn keyring() -> Keyring {
    let root = Root::from_hex(&"07".repeat(32), "the test").unwrap();
    Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap()
}

#[tokio::test]
async fn a_key_is_read_from_its_text_and_from_no_other() {
    let keyring = keyring().await;
    let (key, text) = ApiKey::draw(&keyring, ACME);
    assert_eq!(ApiKey::read(&keyring, &text), Some(key));
    assert_ne!(ApiKey::draw(&keyring, ACME).1, text);

    for place in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[place] = if other[place] == b'0' { b'1' } else { b'0' };
        let other = String::from_utf8(other).unwrap();
        assert_eq!(ApiKey::read(&keyring, &other), None, "{other}");
    }
    let elsewhere = TenantId::from_digest([2; 16]);
    let moved = text.replace(&ACME.0.as_simple().to_string(), &elsewhere.0.as_simple().to_string());
    assert_eq!(ApiKey::read(&keyring, &moved), None);
    let hyphenated = text.replace(&ACME.0.as_simple().to_string(), &ACME.0.to_string());
    assert_eq!(ApiKey::read(&keyring, &hyphenated), None, "a key has one spelling");
    for nothing in ["", "cbk_", "cbk__", &text[..text.len() - 1], &format!("{text}A")] {
        assert_eq!(ApiKey::read(&keyring, nothing), None, "{nothing}");
    }
}
