//! The forms that names, namespaces, keys and tags have, by Backstage's
//! [descriptor format](https://backstage.io/docs/features/software-catalog/descriptor-format).

/// The most characters of a name, namespace, tag, label value or key suffix: 63, as in DNS.
pub(super) const NAME_LENGTH_MAX: usize = 63;

/// The most characters of a key's prefix: 253, as in DNS.
pub(super) const KEY_PREFIX_LENGTH_MAX: usize = 253;

/// Letters and digits, with `-`, `_` and `.` between them.
pub(super) fn is_name(text: &str) -> bool {
    let edge = |it: Option<u8>| it.is_some_and(|it| it.is_ascii_alphanumeric());
    text.len() <= NAME_LENGTH_MAX
        && edge(text.bytes().next())
        && edge(text.bytes().next_back())
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.'))
}

/// A name, or nothing.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

/// A DNS label: lower-case letters and digits, with `-` between them.
pub(super) fn is_namespace(text: &str) -> bool {
    (1..=NAME_LENGTH_MAX).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// A name, with or without a DNS name and `/` before it.
pub(super) fn is_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_name(prefix) && is_name(name),
        None => is_name(text),
    }
}

/// Lower-case letters, digits, `:`, `+` and `#`, with single `-` between them.
pub(super) fn is_tag(text: &str) -> bool {
    let word = |it: &str| {
        let allowed = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b':' | b'+' | b'#');
        !it.is_empty() && it.bytes().all(allowed)
    };
    text.len() <= NAME_LENGTH_MAX && text.split('-').all(word)
}

/// An absolute URL: a scheme, `:` and something after it, without spaces.
pub(super) fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let in_scheme = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'-' | b'.');
    let scheme_fits =
        scheme.starts_with(|it: char| it.is_ascii_alphabetic()) && scheme.bytes().all(in_scheme);
    // The schemes that name a host cannot do without one.
    let needs_host = ["http", "https", "ftp", "ws", "wss"].iter();
    let host_fits = match needs_host.into_iter().any(|it| it.eq_ignore_ascii_case(scheme)) {
        true => !rest.trim_start_matches(['/', '\\']).is_empty(),
        false => !rest.is_empty(),
    };
    scheme_fits && host_fits && !rest.contains(|it: char| it.is_whitespace() || it.is_control())
}

fn is_dns_name(text: &str) -> bool {
    (1..=KEY_PREFIX_LENGTH_MAX).contains(&text.len()) && text.split('.').all(is_namespace)
}
