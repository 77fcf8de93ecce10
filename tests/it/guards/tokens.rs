//! Guards on what code says, read as tokens: comments and text literals cannot trip them.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{Complaints, File, check};

/// What no Rust file may say, as tokens, and why.
const BANNED: &[(&str, &str)] = &[
    ("# [ allow", "silences a lint for good: use `expect` with a reason"),
    ("# ! [ allow", "silences a lint for good: use `expect` with a reason"),
    ("# [ ignore", "hides a test: assert the wrong behaviour and say why"),
    ("todo !", "is unfinished"),
    ("unimplemented !", "is unfinished"),
];

/// What would make the domain depend on more than its arguments, as tokens, and why.
const IMPURE: &[(&str, &str)] = &[
    ("Utc : : now", "reads a clock: time arrives as `now`"),
    ("Local : : now", "reads a clock: time arrives as `now`"),
    ("SystemTime : : now", "reads a clock: time arrives as `now`"),
    ("Instant : : now", "reads a clock: time arrives as `now`"),
    ("Uuid : : now_v7", "draws an identity: identities arrive in commands"),
    ("Uuid : : new_v4", "draws an identity: identities arrive in commands"),
    ("std : : env", "is I/O: the domain is pure"),
    ("std : : fs", "is I/O: the domain is pure"),
    ("std : : net", "is I/O: the domain is pure"),
    ("std : : process", "is I/O: the domain is pure"),
    ("std : : thread", "is shared state: the domain is pure"),
    ("thread_local !", "is shared state: the domain is pure"),
];

/// How code looks at the environment, as tokens, and what to do instead.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("env : : var", "reads the environment: make it a setting"),
    ("env : : vars", "reads the environment: make it a setting"),
    ("env : : var_os", "reads the environment: make it a setting"),
    ("env : : vars_os", "reads the environment: make it a setting"),
];

/// Where code may look at the environment: one module of what is shipped, the chores, the tests.
const ENVIRONMENT_HOMES: &[&str] =
    &["server/src/config.rs", "server/src/config/", "xtask/", "tests/", "vault/src/temporary.rs"];

/// The tokens of `text` in order, each with its line. Closing brackets are left out.
fn tokens(text: &str) -> Vec<(String, usize)> {
    fn flatten(stream: TokenStream, into: &mut Vec<(String, usize)>) {
        for token in stream {
            let line = token.span().start().line;
            let TokenTree::Group(group) = token else {
                into.push((token.to_string(), line));
                continue;
            };
            match group.delimiter() {
                Delimiter::Parenthesis => into.push(("(".into(), line)),
                Delimiter::Brace => into.push(("{".into(), line)),
                Delimiter::Bracket => into.push(("[".into(), line)),
                Delimiter::None => {}
            }
            flatten(group.stream(), into);
        }
    }
    let mut tokens = Vec::new();
    flatten(text.parse().expect("our code has tokens"), &mut tokens);
    tokens
}

/// The lines where the tokens of `phrase`, which are separated by spaces, stand in a row.
fn lines_with(tokens: &[(String, usize)], phrase: &str) -> Vec<usize> {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    tokens
        .windows(phrase.len())
        .filter(|window| window.iter().map(|(token, _)| token).eq(&phrase))
        .map(|window| window[0].1)
        .collect()
}

/// What `file` says of the given phrases, each with what is to be said about it.
fn complaints(file: &File, phrases: &[(&str, &str)]) -> Complaints {
    let tokens = tokens(&file.text);
    let mut complaints = Complaints::new();
    for (phrase, why) in phrases {
        for line in lines_with(&tokens, phrase) {
            complaints.push(file.complaint(line, &format!("`{}` {why}", phrase.replace(' ', ""))));
        }
    }
    complaints
}

fn says_nothing_banned(file: &File) -> Complaints {
    if file.is_rust() { complaints(file, BANNED) } else { Complaints::new() }
}

#[test]
fn no_code_silences_hides_or_postpones() {
    let control = |text| ("domain/src/plan.rs", text);
    check(
        says_nothing_banned,
        control("fn rate() {\n    todo!(\"rates\")\n}"),
        "domain/src/plan.rs:2 `todo!` is unfinished",
    );
    check(
        says_nothing_banned,
        control("//! Plans.\n#![allow(dead_code)]"),
        "domain/src/plan.rs:2 `#![allow` silences a lint for good: use `expect` with a reason",
    );
    check(
        says_nothing_banned,
        control("mod tests {\n    #[ignore]\n    fn slow() {}\n}"),
        "domain/src/plan.rs:2 `#[ignore` hides a test: assert the wrong behaviour and say why",
    );
    assert!(lines_with(&tokens("// todo!()\nlet text = \"todo!()\";"), "todo !").is_empty());
}

fn is_pure_domain(file: &File) -> Complaints {
    if file.is_rust() && file.path.starts_with("domain/src/") && !file.is_test_module() {
        complaints(file, IMPURE)
    } else {
        Complaints::new()
    }
}

#[test]
fn the_domain_asks_nobody_outside() {
    check(
        is_pure_domain,
        ("domain/src/plan.rs", "fn late(at: Time) -> bool {\n    at < chrono::Utc::now()\n}"),
        "domain/src/plan.rs:2 `Utc::now` reads a clock: time arrives as `now`",
    );
}

fn leaves_the_environment_alone(file: &File) -> Complaints {
    let at_home = ENVIRONMENT_HOMES.iter().any(|it| file.path.starts_with(it));
    if file.is_rust() && !file.is_test_module() && !at_home {
        complaints(file, ENVIRONMENT)
    } else {
        Complaints::new()
    }
}

#[test]
fn only_the_settings_read_the_environment() {
    check(
        leaves_the_environment_alone,
        ("commands/src/owner.rs", "use std::env;\nfn turbo() -> bool { env::var(\"T\").is_ok() }"),
        "commands/src/owner.rs:2 `env::var` reads the environment: make it a setting",
    );
}
