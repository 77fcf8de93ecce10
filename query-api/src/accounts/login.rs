//! Login names: what people type to say who they are.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

/// The most characters a login name may have, as it was typed: 128.
const CHARACTERS_MAX: usize = 128;

/// A login name in its one spelling: Unicode's compatibility form (NFKC) of its lower case. So it
/// does not matter how a keyboard composes an accent, whether letters are wide, or large.
///
/// It is personal: it is stored sealed or as a keyed digest only, and has no text form for logs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LoginName(Box<str>);

impl fmt::Debug for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginName(…)")
    }
}

/// Why a text is no login name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected 1 to {CHARACTERS_MAX} characters, none of them a control character, and none a space \
     at either end"
)]
pub(crate) struct NoLoginName;

impl LoginName {
    /// The login name that somebody has typed.
    pub(crate) fn new(text: &str) -> Result<Self, NoLoginName> {
        if text.chars().nth(CHARACTERS_MAX).is_some() {
            return Err(NoLoginName);
        }
        // Lower case may compose anew, and what is composed may have a lower case.
        let composed = text.nfkc().flat_map(char::to_lowercase).nfkc().collect::<String>();
        let is_wrong = composed.is_empty()
            || composed.trim() != composed
            || composed.chars().any(char::is_control);
        if is_wrong {
            return Err(NoLoginName);
        }
        Ok(Self(composed.into()))
    }

    /// Its text, for whoever seals it or makes a digest of it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let name = LoginName::new(text).ok();
        assert_eq!(name.as_ref().map(LoginName::as_str), expected);
        if let Some(name) = name {
            assert_eq!(LoginName::new(name.as_str()), Ok(name), "it is its own spelling");
        }
    }

    #[test]
    fn one_name_has_one_spelling() {
        check("ada", Some("ada"));
        check("Ada.Lovelace@Example.ORG", Some("ada.lovelace@example.org"));
        check("Zoe\u{308}", Some("zo\u{eb}"));
        check("ZO\u{cb}", Some("zo\u{eb}"));
        check("\u{ff21}\u{ff24}\u{ff21}", Some("ada"));
        check("\u{212b}sa", Some("\u{e5}sa"));
        check("\u{130}pek", LoginName::new("i\u{307}pek").ok().as_ref().map(LoginName::as_str));
        check("ada lovelace", Some("ada lovelace"));
    }

    #[test]
    fn what_cannot_be_typed_again_is_no_name() {
        for text in ["", " ada", "ada\u{a0}", "ada\n", "a\u{0}da", "a\u{7f}"] {
            check(text, None);
        }
        check(&"x".repeat(CHARACTERS_MAX), Some(&"x".repeat(CHARACTERS_MAX)));
        check(&"x".repeat(CHARACTERS_MAX + 1), None);
    }

    #[test]
    fn it_is_not_shown() {
        assert!(!format!("{:?}", LoginName::new("ada").unwrap()).contains("ada"));
    }
}
