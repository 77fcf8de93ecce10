//! Checkpoints: what a tenant's tree was at some size, in a form that can be signed (C2SP
//! `tlog-checkpoint`).
//!
//! The text of a note ([`crate::note`]): whose tree it is, how many events it has, and its root.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::tree::Node;

/// What a tree was at some size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose it is.
    pub origin: String,
    /// How many leaves it had.
    pub size: u64,
    /// Its root then.
    pub root: Node,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { origin, size, root } = self;
        format!("{origin}\n{size}\n{}\n", STANDARD.encode(root.0))
    }

    /// The checkpoint with this text; none if it is none, or says more.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let (origin, size) = (lines.next()?.to_owned(), lines.next()?.parse().ok()?);
        let root = STANDARD.decode(lines.next()?).ok()?;
        let root = Node(root.try_into().ok()?);
        Some(Self { origin, size, root }).filter(|it| !it.origin.is_empty() && it.text() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_is_written_and_in_no_other_way() {
        let (origin, root) = ("example.com/log".to_owned(), Node::of_nothing());
        let text = Checkpoint { origin, size: 20_852_163, root }.text();
        let expected = "example.com/log\n20852163\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
        assert_eq!(text, expected);
        assert_eq!(Checkpoint::parse(&text).unwrap().text(), text);
        for wrong in [
            String::new(),
            text.replacen("20", "020", 1),
            text.replacen("20", "+20", 1),
            text.replace("example.com/log", ""),
            text.trim_end().to_owned(),
            format!("{text}more\n"),
            text.replace("47DE", "47D"),
        ] {
            assert_eq!(Checkpoint::parse(&wrong), None, "{wrong}");
        }
    }
}
