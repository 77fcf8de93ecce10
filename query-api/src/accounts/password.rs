//! Passwords: which ones are taken. Nothing is changed about one, neither case nor form nor length.
//!
//! There are no rules about which characters it has to have, and it never has to be changed. It must
//! be long, and not easy to guess: neither one of the commonest, nor made of what everybody knows
//! about whose it is.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

use super::login::LoginName;

/// The fewest characters. They are characters of Unicode and no bytes.
const CHARACTERS_MIN: usize = 12;

/// The most characters.
const CHARACTERS_MAX: usize = 128;

/// A password in plain. It is wiped when it is dropped and has no text form for logs.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Password(Zeroizing<String>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a password is not taken. Never says what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPassword {
    /// It is too short or too long.
    #[error("expected {CHARACTERS_MIN} to {CHARACTERS_MAX} characters")]
    Length,
    /// It is easy to guess.
    #[error(
        "it is easy to guess: it is a common password, or made of common words, patterns, dates or \
         names, those of this account, tenant and product among them; several words that have \
         nothing to do with each other are hard to guess"
    )]
    Guessable,
}

impl Password {
    /// Its bytes, as they were received.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether it is long enough and not too long.
    pub(crate) fn check_length(&self) -> Result<(), NoPassword> {
        let characters = self.0.chars().take(CHARACTERS_MAX + 1).count();
        match characters {
            CHARACTERS_MIN..=CHARACTERS_MAX => Ok(()),
            _ => Err(NoPassword::Length),
        }
    }

    /// The same, and whether it is hard to guess for who knows the login name and `names`: what is
    /// too common takes fewer than 10⁸ guesses. That is some milliseconds of work.
    pub(super) fn check(&self, login: &LoginName, names: &[String]) -> Result<(), NoPassword> {
        self.check_length()?;
        let known = std::iter::once(login.as_str()).chain(names.iter().map(String::as_str));
        // Parts of an address count by themselves.
        let is_between = |it: char| !it.is_alphanumeric();
        let known: Vec<&str> =
            known.flat_map(|it| std::iter::once(it).chain(it.split(is_between))).collect();
        match zxcvbn(&self.0, &known).score() {
            Score::Three | Score::Four => Ok(()),
            _ => Err(NoPassword::Guessable),
        }
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

#[cfg(test)]
impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(password: &str, expected: Result<(), NoPassword>) {
        let login = LoginName::new("ada.lovelace@example.org").unwrap();
        let names = ["callboard", "amber-tenant"].map(str::to_owned);
        assert_eq!(Password::from(password).check(&login, &names), expected, "{password}");
    }

    #[test]
    fn length_counts_in_characters() {
        check("dovw tulm q", Err(NoPassword::Length));
        check("dovw tulm qe", Ok(()));
        check("ß→語\u{1f600}字ü ж™ æ♞", Ok(()));
        check(&"dovw tulm qe".repeat(11)[..128], Ok(()));
        check(&"dovw tulm qe".repeat(11)[..129], Err(NoPassword::Length));
    }

    #[test]
    fn nothing_has_to_be_in_it() {
        check("correct zebra window asterisk", Ok(()));
        check("uvlhqktmrozc", Ok(()));
        check("830617495028", Ok(()));
    }

    #[test]
    fn what_is_easy_to_guess_is_refused() {
        for password in [
            "passwordpassword",
            "password1234",
            "qwertyuiop[]",
            "123456789012",
            "aaaaaaaaaaaaaaaa",
            "P@ssw0rd1234",
            "iloveyou1234",
            // Made of what is known about whose it is.
            "ada.lovelace@example.org",
            "lovelace2026",
            "callboard2026",
            "Amber-Tenant1",
        ] {
            check(password, Err(NoPassword::Guessable));
        }
        // The control: without what is known these would be taken.
        let stranger = LoginName::new("x").unwrap();
        assert_eq!(Password::from("Amber-Tenant1").check(&stranger, &[]), Ok(()));
    }

    #[test]
    fn it_is_not_shown() {
        assert!(!format!("{:?}", Password::from("uvlhqktmrozc")).contains("uvl"));
    }
}
