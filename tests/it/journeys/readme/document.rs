//! Commands in a document, and what it shows of their output.
//!
//! A block marked `console` holds commands after `$ ` and what they print; one marked `sh` holds
//! commands only.

/// One command of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Where it begins, from 1.
    pub(super) line: usize,
    pub(super) command: String,
    /// What the document shows of its output; empty if nothing.
    pub(super) shown: String,
}

/// Every command of a document, in order.
pub(super) fn steps(markdown: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = (1..).zip(markdown.lines());
    while let Some((_, line)) = lines.next() {
        let prompt = match line.trim_start().strip_prefix("```").map(str::trim) {
            None => continue,
            Some("console") => "$ ",
            Some("sh" | "bash" | "shell") => "",
            Some(_) => {
                // Another block: pass over it, so that its end begins nothing.
                lines.by_ref().find(|(_, it)| it.trim() == "```");
                continue;
            }
        };
        while let Some((line, text)) = lines.next().filter(|(_, it)| it.trim() != "```") {
            if let Some(command) = text.strip_prefix(prompt) {
                if !command.is_empty() && !command.starts_with('#') {
                    let command = whole(command, &mut lines);
                    steps.push(Step { line, command, shown: String::new() });
                }
            } else if let Some(step) = steps.last_mut() {
                step.shown += text;
                step.shown.push('\n');
            }
        }
    }
    steps
}

/// A command with the lines it goes on over: after `\`, and up to the end of a here-document.
fn whole<'a>(first: &str, lines: &mut impl Iterator<Item = (usize, &'a str)>) -> String {
    let mut command = first.to_owned();
    while command.ends_with('\\') {
        let Some((_, next)) = lines.next() else { break };
        command = format!("{command}\n{}", next.strip_prefix("> ").unwrap_or(next));
    }
    let document = command.split_once("<<").and_then(|(_, it)| it.split_whitespace().next());
    if let Some(end) = document.map(|it| it.trim_matches(['-', '\'', '"']).to_owned()) {
        for (_, next) in lines {
            command = format!("{command}\n{next}");
            if next == end {
                break;
            }
        }
    }
    command
}

/// Whether a command printed what the document shows, up to what differs from run to run:
/// identities, dates and positions. A line that ends with `…` shows the beginning only, and so
/// does one without output.
pub(super) fn says(printed: &str, shown: &str) -> bool {
    let printed: Vec<String> = printed.lines().map(masked).collect();
    let shown: Vec<String> = shown.lines().map(masked).collect();
    let fits = |(printed, shown): (&String, &String)| match shown.strip_suffix('…') {
        Some(beginning) => printed.starts_with(beginning.trim_end()),
        None => printed == shown,
    };
    shown.is_empty() || printed.len() == shown.len() && printed.iter().zip(&shown).all(fits)
}

/// The line with `#` for each long number and identity and each part of a date, and single blanks.
fn masked(line: &str) -> String {
    let is_word = |it: char| it.is_ascii_alphanumeric();
    let mut masked = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|it: char| is_word(it) != is_word(first)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        let hexadecimal = piece.len() >= 4 && piece.chars().all(|it| it.is_ascii_hexdigit());
        let number = piece.chars().all(|it| it.is_ascii_digit());
        let dated = masked.ends_with("#-");
        if (number && (piece.len() >= 3 || dated))
            || (hexadecimal && piece.contains(|it: char| it.is_ascii_digit()))
        {
            masked.push('#');
        } else {
            masked.push_str(piece);
        }
        rest = after;
    }
    masked.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(markdown: &str, expected: &[(usize, &str, &str)]) {
    let found = steps(markdown);
    let found: Vec<(usize, &str, &str)> =
        found.iter().map(|it| (it.line, it.command.as_str(), it.shown.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn commands_are_found_in_blocks_with_their_further_lines_and_output() {
    check("$ not in a block\n```rust\n$ not a command\n```\n", &[]);
    check(
        "```console\n$ one\nits output\n$ two \\\n> more\n```\n",
        &[(2, "one", "its output\n"), (4, "two \\\nmore", "")],
    );
    check("```sh\n# why\none\n\ntwo\n```\n```\n$ no\n```", &[(3, "one", ""), (5, "two", "")]);
    let document = "cat > a.json <<'END'\n[1]\nEND";
    check(&format!("```sh\n{document}\nnext\n```"), &[(2, document, ""), (5, "next", "")]);
}

#[test]
fn output_is_compared_up_to_what_differs_from_run_to_run() {
    assert!(says("created a (ten_01a2038d)\nat   627\n", "created a (ten_77ab9900)\nat 1234\n"));
    assert!(says("{\"sequence\":12,\"type\":\"x\"}", "{\"sequence\":12,…\n"));
    assert!(says("2026-11-22  12\n", "2027-01-02  12\n"));
    assert!(says("anything\n", ""));
    assert!(!says("1 accepted\n", "2 accepted\n"));
    assert!(!says("1 accepted, 0 duplicate\n", "1 accepted\n"));
    assert!(!says("a\nb\n", "a\n"));
    assert!(!says("{\"sequence\":9,\"type\":\"x\"}", "{\"position\":12,…\n"));
}
