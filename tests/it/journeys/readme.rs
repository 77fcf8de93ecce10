//! The README's commands do what it says: every one of them is run, in order, as a newcomer would,
//! and what it shows of their output is what they print.
//!
//! [`document`] finds the commands, this file runs them. Commands that would change the machine or
//! fetch this very repository are not run; [`NOT_RUN`] says which.

mod document;

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::harness::{Installation, callboard};

use document::{Step, says, steps};

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

/// How long all commands together may take. In seconds: five minutes, a bound and not a target.
const PATIENCE_SECONDS: &str = "300";

/// Where the README says the server is.
const DOCUMENTED_ADDRESS: [&str; 2] = ["127.0.0.1:7420", "localhost:7420"];

/// The command as the test runs it; none if it is not run.
fn adapted(step: &Step, address: &str) -> Option<String> {
    let command = step.command.replace("cargo run --release -- ", "callboard ");
    if NOT_RUN.iter().any(|(begin, _)| command.starts_with(begin)) {
        return None;
    }
    Some(DOCUMENTED_ADDRESS.iter().fold(command, |it, from| it.replace(from, address)))
}

/// One shell script of all steps, so that what one sets the next one has. What the step of line N
/// prints goes to `N.out`.
fn script(steps: &[Step], address: &str) -> String {
    let mut script = String::from("endless=\n");
    for step in steps {
        let Some(command) = adapted(step, address) else { continue };
        let line = step.line;
        if ENDLESS.iter().any(|it| command.starts_with(it)) {
            script += &format!(
                "{command} > {line}.out 2>&1 &\nendless=\"$endless $!\"\n\
                 until callboard token --tenant brightwater > ready.log 2>&1; do\n\
                 kill -0 $! || {{ cat {line}.out; exit 9; }}; sleep 0.1\ndone\n"
            );
        } else {
            // Where the README shows that something is rejected, the exit code says so too.
            let code = if step.shown.contains("rejected  ") { 3 } else { 0 };
            script += &format!(
                "{{\n{command}\n}} > {line}.out\ncode=$?\n\
                 [ $code -eq {code} ] || {{ echo \"line {line} ended with $code\"; exit 8; }}\n"
            );
        }
    }
    script
}

/// Runs `script` in `folder` with the binary at hand, and ends what it leaves running.
fn run(script: &str, folder: &Path, installation: &Installation) -> Output {
    let tools = installation.home().join("bin");
    std::fs::create_dir(&tools).expect("a folder can be made");
    symlink(callboard(), tools.join("callboard")).expect("a link can be made");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("timeout");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CALLBOARD_")) {
        shell.env_remove(name);
    }
    let script = format!("{script}kill $endless\nwait\n");
    let shell = shell
        .args([PATIENCE_SECONDS, "sh", "-c", &script])
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("CALLBOARD_HTTP_LISTEN", installation.address().to_string())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("a shell starts");
    let group = Group(shell.id());
    let output = shell.wait_with_output().expect("the shell ends");
    drop(group);
    output
}

/// A process group that ends when this is dropped, also when a step of the script failed.
struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0);
        let kill =
            Command::new("kill").args(["-TERM", "--", &group]).stderr(Stdio::null()).status();
        // There is no such group any more if all went well.
        drop(kill);
    }
}

/// A folder that looks like a fresh clone: links to what lies at the top of the repository.
fn clone_in(home: &Path) -> PathBuf {
    let clone = home.join("clone");
    std::fs::create_dir(&clone).expect("a folder can be made");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().expect("the repository is there");
    for entry in std::fs::read_dir(&root).expect("the repository can be listed") {
        let name = entry.expect("the repository can be listed").file_name();
        let data = name.to_string_lossy().starts_with("callboard-");
        if name != "target" && name != ".git" && !data {
            symlink(root.join(&name), clone.join(&name)).expect("a link can be made");
        }
    }
    clone
}

#[test]
fn every_command_of_the_readme_works_in_order_and_prints_what_it_shows() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let steps = steps(&std::fs::read_to_string(readme).expect("there is a README"));
    assert!(steps.iter().any(|it| it.command.ends_with("up --demo")), "{steps:#?}");
    let installation = Installation::new();
    let clone = clone_in(installation.home());
    let address = installation.address().to_string();
    let script = script(&steps, &address);
    let output = run(&script, &clone, &installation);
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(output.status.success(), "{}\n{}\nin\n{script}", said[0], said[1]);
    let mut differing = Vec::new();
    for step in steps.iter().filter(|it| adapted(it, &address).is_some()) {
        let printed = clone.join(format!("{}.out", step.line));
        let printed = std::fs::read_to_string(printed).expect("every step was run");
        assert!(!printed.contains("\"errors\":"), "README.md:{}: {printed}", step.line);
        if !says(&printed, &step.shown) {
            differing.push(format!("README.md:{} shows\n{}got\n{printed}", step.line, step.shown));
        }
    }
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}

#[test]
fn a_command_that_fails_is_noticed() {
    let installation = Installation::new();
    let failing = script(&steps("```sh\ntrue\nfalse\n```"), "");
    let outcome = run(&failing, installation.home(), &installation);
    assert_eq!(outcome.status.code(), Some(8));
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "line 3 ended with 1\n");
}
