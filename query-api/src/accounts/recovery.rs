//! Recovery codes: each is good once, for whoever has lost what they sign in with beside a password.
//!
//! Of each only a keyed digest is stored. They are long enough that nobody guesses one.

use domain::personal::Digest;
use totp_rs::Secret;
use vault::TenantKeys;
use zeroize::Zeroizing;

/// How many there are: 10.
pub(crate) const RECOVERY_CODES: usize = 10;

/// How many random bytes are in one: 10, which is 80 bits.
const LENGTH: usize = 10;

/// A recovery code in plain, in four groups of four. It has no text form for logs.
pub(crate) type Plain = Zeroizing<String>;

/// New ones, and what is stored of them.
pub(super) fn draw(keys: &TenantKeys) -> (Vec<Plain>, Vec<Digest>) {
    (0..RECOVERY_CODES).map(|_| random()).map(|it| (it.clone(), digest(keys, &it))).unzip()
}

/// What is stored of a code, however it was typed.
pub(super) fn digest(keys: &TenantKeys, text: &str) -> Digest {
    let typed = text.chars().filter(|it| !it.is_whitespace() && *it != '-');
    let code: Zeroizing<String> = Zeroizing::new(typed.flat_map(char::to_lowercase).collect());
    keys.digest("recovery-code", &code)
}

fn random() -> Plain {
    let characters = base32(&*Zeroizing::new(vault::random_bytes::<LENGTH>()));
    let mut code = Zeroizing::new(String::new());
    for (index, it) in characters.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            code.push('-');
        }
        code.push(it);
    }
    code
}

/// Five bytes are eight characters of base 32 (RFC 4648), in lower case.
fn base32(bytes: &[u8]) -> Plain {
    let upper = Zeroizing::new(Secret::new(bytes.into()).to_base32());
    Zeroizing::new(upper.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_bytes_are_the_characters_of_the_rfc() {
        // `fooba` in section 10 of RFC 4648.
        assert_eq!(*base32(b"fooba"), "mzxw6ytb");
        assert_eq!(
            (base32(&[0; 5]).as_str(), base32(&[255; 5]).as_str()),
            ("aaaaaaaa", "77777777")
        );
    }

    #[test]
    fn a_code_is_four_groups_of_four_and_never_the_same() {
        let (one, other) = (random(), random());
        assert_ne!(one, other);
        let groups: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(groups, [4; 4], "{}", *one);
    }
}
