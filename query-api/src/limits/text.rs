//! The size of a source text, measured without parsing it.
//!
//! The parser descends recursively, so a text must be known to be small and shallow before it sees
//! it. This is not a validator: what is not GraphQL is measured too, and left to the parser.

use super::{Limits, Refused};

/// What a source text costs to parse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    tokens: usize,
    nesting: usize,
}

/// How many tokens a text has that is within the limits.
pub(super) fn check(text: &str, limits: &Limits) -> Result<usize, Refused> {
    Refused::unless_within("document_bytes", text.len(), limits.document_bytes_max)?;
    let size = measure(text.as_bytes());
    Refused::unless_within("tokens", size.tokens, limits.tokens_max)?;
    Refused::unless_within("nesting", size.nesting, limits.nesting_max)?;
    Ok(size.tokens)
}

fn measure(text: &[u8]) -> Size {
    let mut size = Size::default();
    let mut open = 0_usize;
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let length = match first {
            b'#' => run(rest, |byte| byte != b'\n' && byte != b'\r'),
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                rest = &rest[1..];
                continue;
            }
            b'"' => string(rest),
            b'.' => run(rest, |byte| byte == b'.'),
            byte if is_name(byte) => run(rest, is_name),
            byte => {
                match byte {
                    b'(' | b'[' | b'{' => open += 1,
                    b')' | b']' | b'}' => open = open.saturating_sub(1),
                    _ => {}
                }
                1
            }
        };
        if first != b'#' {
            size.tokens += 1;
        }
        size.nesting = size.nesting.max(open);
        rest = &rest[length..];
    }
    size
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn run(text: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|&byte| !belongs(byte)).unwrap_or(text.len())
}

/// The length of the string or block string at the start of `text`, closed or not.
fn string(text: &[u8]) -> usize {
    const BLOCK: &[u8] = br#"""""#;
    let block = text.starts_with(BLOCK);
    let mut at = if block { BLOCK.len() } else { 1 };
    while at < text.len() {
        let rest = &text[at..];
        match rest[0] {
            b'\\' if block => at += if rest[1..].starts_with(BLOCK) { 1 + BLOCK.len() } else { 1 },
            b'\\' => at += 2,
            b'"' if !block => return at + 1,
            b'"' if rest.starts_with(BLOCK) => return at + BLOCK.len(),
            b'\n' | b'\r' if !block => return at,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, tokens: usize, nesting: usize) {
        assert_eq!(measure(text.as_bytes()), Size { tokens, nesting }, "{text}");
    }

    #[test]
    fn counts_tokens_and_open_brackets() {
        check("", 0, 0);
        check("{ a, b }", 4, 1);
        check("query Q($id: ID!) { a(id: $id) { ...F } }", 22, 2);
        check("{a...b...c}", 7, 1);
        check("{ a(x: [[1]]) }", 12, 4);
    }

    #[test]
    fn what_is_quoted_or_commented_out_is_one_token_or_none() {
        check("# { { { \n{ a }", 3, 1);
        check(r#"{ a(x: "{{ \" {{") }"#, 8, 2);
        check(r#"{ a(x: """ {{ " \""" {{ """) }"#, 8, 2);
        check("{ a(x: \"{ \n }", 7, 2);
    }

    #[test]
    fn what_never_ends_is_measured_to_the_end() {
        check(r#"{ a(x: "\"#, 6, 2);
        check(r#"{ a(x: """ "\"#, 6, 2);
        check("}}}{", 4, 1);
    }
}
