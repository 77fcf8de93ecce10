//! The README's commands do what it says: every one of them is run, in order, as a newcomer would.
//!
//! A block marked `console` holds commands after `$ ` and what they print; one marked `sh` holds
//! commands only. Commands that would install things or fetch this very repository are not run,
//! and [`NOT_RUN`] says which.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Installation, callboard};

/// How commands that are not run begin, and why not.
const NOT_RUN: &[(&str, &str)] = &[
    ("git clone", "the repository is here already"),
    ("cd callboard", "the test begins in the repository"),
    ("sudo ", "changes the machine"),
    ("scripts/setup-dev.sh", "changes the machine"),
    ("cargo install", "the binary is built already"),
    ("cargo xtask", "runs this test"),
];

/// How commands that do not end by themselves begin.
const ENDLESS: &[&str] = &["callboard up", "callboard events tail"];

/// Where the README says the server is.
const DOCUMENTED_ADDRESS: [&str; 2] = ["127.0.0.1:7420", "localhost:7420"];

/// One command of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    line: usize,
    command: String,
    /// Whether the document shows that something is rejected, which has an exit code.
    rejects: bool,
}

/// Every command of a document, in order.
fn steps(markdown: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = (1..).zip(markdown.lines());
    while let Some((_, fence)) = lines.next() {
        let block = fence.trim_start().strip_prefix("```").map(str::trim);
        let Some(prompt @ ("console" | "sh" | "bash" | "shell")) = block else {
            if block.is_some() {
                // Another block: pass over it, so that its end begins nothing.
                lines.by_ref().find(|(_, it)| it.trim() == "```");
            }
            continue;
        };
        let prompt = if prompt == "console" { "$ " } else { "" };
        while let Some((line, text)) = lines.next().filter(|(_, it)| it.trim() != "```") {
            let text = text.trim_start();
            match text.strip_prefix(prompt).filter(|it| !it.is_empty() && !it.starts_with('#')) {
                Some(command) => {
                    let command = whole(command, &mut lines);
                    steps.push(Step { line, command, rejects: false });
                }
                None => {
                    if let Some(step) = steps.last_mut() {
                        step.rejects |= text.contains("rejected");
                    }
                }
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
    let delimiter = command.split_once("<<").map(|(_, it)| it.trim_start_matches('-').trim_start());
    let word = |it: &str| {
        it.split_whitespace().next().unwrap_or_default().trim_matches(['\'', '"']).to_owned()
    };
    if let Some(delimiter) = delimiter.map(word).filter(|it| !it.is_empty()) {
        for (_, next) in lines {
            command = format!("{command}\n{next}");
            if next == delimiter {
                break;
            }
        }
    }
    command
}

/// The command as the test runs it; none if it is not run.
fn adapted(step: &Step, address: &str) -> Option<String> {
    let command = step.command.replace("cargo run --release -- ", "callboard ");
    let command = command.replace("./target/release/callboard", "callboard");
    if NOT_RUN.iter().any(|(begin, _)| command.starts_with(begin)) {
        return None;
    }
    Some(DOCUMENTED_ADDRESS.iter().fold(command, |it, from| it.replace(from, address)))
}

/// One shell script of all steps, so that what one sets the next one has.
fn script(steps: &[Step], address: &str) -> String {
    let mut script = String::from("set -u\n");
    for step in steps {
        let Some(command) = adapted(step, address) else { continue };
        let line = step.line;
        script += &format!("echo \"README.md:{line}\"\n");
        if ENDLESS.iter().any(|it| command.starts_with(it)) {
            script += &format!("{command} > endless.{line}.log 2>&1 &\n");
            script += "until callboard token --tenant brightwater > ready.log 2>&1; do\n";
            script +=
                &format!("kill -0 $! || {{ cat endless.{line}.log; exit 9; }}; sleep 0.1\ndone\n");
        } else {
            let allowed = if step.rejects { "[ $? -eq 3 ] || " } else { "" };
            script += &format!("{command}\n{{ code=$?; [ $code -eq 0 ]; }} || ");
            script += &allowed.replace("$?", "$code");
            script += &format!("{{ echo \"README.md:{line} ended with $code\"; exit 8; }}\n");
        }
    }
    script
}

/// A folder that looks like a fresh clone: links to what git knows at the top.
fn clone_in(home: &Path) -> PathBuf {
    let clone = home.join("clone");
    std::fs::create_dir(&clone).expect("a folder can be made");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().expect("the repository is there");
    for entry in std::fs::read_dir(&root).expect("the repository can be listed") {
        let name = entry.expect("the repository can be listed").file_name();
        if name != "target" && name != ".git" {
            symlink(root.join(&name), clone.join(&name)).expect("a link can be made");
        }
    }
    clone
}

#[tokio::test]
async fn every_command_of_the_readme_works_in_order() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let steps = steps(&std::fs::read_to_string(readme).expect("there is a README"));
    assert!(steps.iter().any(|it| it.command.contains("up --demo")), "{steps:#?}");
    let installation = Installation::new();
    let clone = clone_in(installation.home());
    let tools = installation.home().join("bin");
    std::fs::create_dir(&tools).expect("a folder can be made");
    symlink(callboard(), tools.join("callboard")).expect("a link can be made");
    let path = std::env::var("PATH").unwrap_or_default();
    let script = script(&steps, &installation.address().to_string());
    let mut shell = Command::new("sh");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CALLBOARD_")) {
        shell.env_remove(name);
    }
    let shell = shell
        .args(["-c", &script])
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("CALLBOARD_HTTP_LISTEN", installation.address().to_string())
        .current_dir(&clone)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("a shell starts");
    // What the script left running ends with its process group.
    let group = Group(shell.id());
    let output = tokio::task::spawn_blocking(move || shell.wait_with_output());
    let output = output.await.expect("it is waited for").expect("the shell ends");
    drop(group);
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(output.status.success(), "{}\n{}\nin\n{script}", said[0], said[1]);
}

/// A process group that ends when this is dropped.
struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0);
        drop(Command::new("kill").args(["-TERM", "--", &group]).status());
    }
}

#[track_caller]
fn check(markdown: &str, expected: &[(usize, &str)]) {
    let found = steps(markdown);
    let found: Vec<(usize, &str)> = found.iter().map(|it| (it.line, it.command.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn commands_are_found_in_blocks_with_their_further_lines() {
    check("$ not in a block\n```rust\n$ not a command\n```\n", &[]);
    check(
        "```console\n$ one\nits output\n$ two \\\n> more\n```\n",
        &[(2, "one"), (4, "two \\\nmore")],
    );
    check("```sh\n# why\none\n\ntwo\n```\n```\n$ no\n```", &[(3, "one"), (5, "two")]);
    let document = "cat > a.json <<'END'\n[1]\nEND";
    check(&format!("```sh\n{document}\nnext\n```"), &[(2, document), (5, "next")]);
}

#[test]
fn a_command_that_fails_is_noticed() {
    let failing = steps("```sh\ntrue\nfalse\n```");
    let outcome = Command::new("sh").args(["-c", &script(&failing, "127.0.0.1:1")]).output();
    let outcome = outcome.expect("a shell starts");
    assert_eq!(outcome.status.code(), Some(8));
    assert!(String::from_utf8_lossy(&outcome.stdout).contains("README.md:3 ended with 1"));
}
