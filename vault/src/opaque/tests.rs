use super::{NotOurs, Tokens};
use crate::conformance::{ACME, GLOBEX};

fn tokens(byte: u8) -> Tokens {
    Tokens::new(&[byte; 32].into())
}

#[test]
fn a_token_is_good_for_one_purpose_and_tenant() {
    let tokens = tokens(1);
    let token = tokens.bind("cursor", ACME, b"page 2");
    assert_eq!(tokens.unbind("cursor", ACME, &token).as_deref(), Ok(b"page 2".as_slice()));
    assert_eq!(tokens.unbind("position", ACME, &token), Err(NotOurs));
    assert_eq!(tokens.unbind("cursor", GLOBEX, &token), Err(NotOurs));
    assert_eq!(self::tokens(2).unbind("cursor", ACME, &token), Err(NotOurs));
}

#[test]
fn no_changed_token_is_accepted() {
    let tokens = tokens(1);
    let token = tokens.bind("cursor", ACME, b"page 2");
    for place in 0..token.len() {
        for other in ["A", "B", "", "AA", "=", "é"] {
            let mut changed = token.clone();
            changed.replace_range(place..=place, other);
            if changed != token {
                assert_eq!(tokens.unbind("cursor", ACME, &changed), Err(NotOurs), "{changed}");
            }
        }
    }
    assert_eq!(tokens.unbind("cursor", ACME, ""), Err(NotOurs));
}

#[test]
fn the_same_bytes_make_the_same_token() {
    let tokens = tokens(1);
    let token = tokens.bind("cursor", ACME, b"page 2");
    assert_eq!(token, tokens.bind("cursor", ACME, b"page 2"));
    assert_ne!(token, tokens.bind("cursor", ACME, b"page 3"));
    assert_ne!(token[..16], tokens.bind("cursor", GLOBEX, b"page 2")[..16], "the nonces differ");
}
