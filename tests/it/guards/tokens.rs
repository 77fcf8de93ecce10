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

/// What would make the domain depend on more than its arguments, as tokens.
const BANNED_IN_DOMAIN: &[&str] = &[
    "Utc : : now",
    "Local : : now",
    "SystemTime : : now",
    "Instant : : now",
    "Uuid : : now_v7",
    "Uuid : : new_v4",
    "std : : env",
    "std : : fs",
    "std : : net",
    "std : : process",
    "std : : thread",
    "thread_local !",
];

/// How code looks at the environment, as tokens.
const ENVIRONMENT: &[&str] = &["env : : var", "env : : vars", "env : : var_os", "env : : vars_os"];

/// Where code may look at the environment: one module of what is shipped, the chores, the tests.
const ENVIRONMENT_HOMES: &[&str] = &["server/src/config.rs", "xtask/", "tests/"];

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

/// The lines of `text` where the tokens of `phrase`, which are separated by spaces, stand in a row.
fn lines_with(text: &str, phrase: &str) -> Vec<usize> {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    tokens(text)
        .windows(phrase.len())
        .filter(|window| window.iter().map(|(token, _)| token).eq(&phrase))
        .map(|window| window[0].1)
        .collect()
}

fn says_nothing_banned(file: &File) -> Complaints {
    let mut complaints = Complaints::new();
    for (phrase, why) in BANNED.iter().filter(|_| file.is_rust()) {
        for line in lines_with(&file.text, phrase) {
            complaints.push(file.complaint(line, &format!("`{}` {why}", phrase.replace(' ', ""))));
        }
    }
    complaints
}

#[test]
fn no_code_silences_hides_or_postpones() {
    let control = |text| ("domain/src/plan.rs", text);
    let silences = "silences a lint for good: use `expect` with a reason";
    check(
        says_nothing_banned,
        control("fn rate() {\n    todo!(\"rates\")\n}"),
        "domain/src/plan.rs:2 `todo!` is unfinished",
    );
    check(
        says_nothing_banned,
        control("//! Plans.\n#![allow(dead_code)]"),
        &format!("domain/src/plan.rs:2 `#![allow` {silences}"),
    );
    check(
        says_nothing_banned,
        control("mod tests {\n    #[ignore]\n    fn slow() {}\n}"),
        "domain/src/plan.rs:2 `#[ignore` hides a test: assert the wrong behaviour and say why",
    );
    assert!(lines_with("// todo!()\nlet text = \"todo!()\";", "todo !").is_empty());
}

fn is_pure_domain(file: &File) -> Complaints {
    let concerned =
        file.is_rust() && file.path.starts_with("domain/src/") && !file.is_test_module();
    let mut complaints = Complaints::new();
    for phrase in BANNED_IN_DOMAIN.iter().filter(|_| concerned) {
        for line in lines_with(&file.text, phrase) {
            let phrase = phrase.replace(' ', "");
            complaints.push(file.complaint(line, &format!("uses `{phrase}`: the domain is pure")));
        }
    }
    complaints
}

#[test]
fn the_domain_asks_nobody_outside() {
    check(
        is_pure_domain,
        ("domain/src/plan.rs", "fn late(at: Time) -> bool {\n    at < chrono::Utc::now()\n}"),
        "domain/src/plan.rs:2 uses `Utc::now`: the domain is pure",
    );
}

fn leaves_the_environment_alone(file: &File) -> Complaints {
    let at_home = ENVIRONMENT_HOMES.iter().any(|it| file.path.starts_with(it));
    let concerned = file.is_rust() && !file.is_test_module() && !at_home;
    let mut complaints = Complaints::new();
    for phrase in ENVIRONMENT.iter().filter(|_| concerned) {
        for line in lines_with(&file.text, phrase) {
            complaints.push(file.complaint(line, "reads the environment; make it a setting"));
        }
    }
    complaints
}

#[test]
fn only_the_settings_read_the_environment() {
    check(
        leaves_the_environment_alone,
        (
            "commands/src/owner.rs",
            "use std::env;\nfn turbo() -> bool { env::var(\"TURBO\").is_ok() }",
        ),
        "commands/src/owner.rs:2 reads the environment; make it a setting",
    );
}
