//! What the command line prints: lines for people or JSON for machines, on standard output.

use std::io::{ErrorKind, Write};

use anyhow::Result;
use serde::Serialize;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Prints one line. A reader that has gone away ends the process quietly, as `head` expects.
///
/// # Errors
///
/// If standard output fails otherwise.
pub(crate) fn line(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

/// Prints one line to standard error; if that fails, nobody is there to hear of it.
pub(crate) fn problem(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints `value`: as JSON, or as `text` says.
///
/// # Errors
///
/// If standard output fails.
pub(crate) fn result<T: Serialize>(
    format: Format,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<()> {
    match format {
        Format::Json => line(&serde_json::to_string(value)?),
        Format::Text => line(text(value).trim_end()),
    }
}

/// `text` on one line, with what a terminal would obey written out.
#[must_use]
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            // They turn the order of what is shown around.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => plain.extend(it.escape_unicode()),
            it if it.is_control() => plain.extend(it.escape_debug()),
            it => plain.push(it),
        }
    }
    plain
}

/// Lays rows out in columns as wide as they need, under a header.
#[must_use]
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|it| plain(it))).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let layout = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let body = rows.iter().map(|row| layout(std::array::from_fn(|it| row[it].as_str())));
    std::iter::once(layout(header)).chain(body).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_widest_cells() {
        let rows = [["a".to_owned(), "long".to_owned()], ["bcd".to_owned(), "x".to_owned()]];
        assert_eq!(table(["n", "text"], &rows), "n    text\na    long\nbcd  x");
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(
            plain("a\u{1b}[31m\r\nb\u{9b}c\u{202e}"),
            "a\\u{1b}[31m\\r\\nb\\u{9b}c\\u{202e}"
        );
        assert_eq!(plain("Größe, naïve: `x`"), "Größe, naïve: `x`");
        let rows = [["\u{1b}]0;x\u{7}".to_owned()]];
        assert_eq!(table(["n"], &rows), "n\n\\u{1b}]0;x\\u{7}");
    }
}
