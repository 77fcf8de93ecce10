//! Guards: what must hold for every file of the repository and no compiler checks.
//!
//! Each rule is a pure function from one file to its complaints. It is applied to every file that
//! git knows or would add, and to a small file that breaks it, so that a rule which has gone blind
//! is noticed.

mod manifests;
mod named_tests;
mod tokens;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The most lines a Rust file may have; about 300 is the aim.
const LINES_MAX: usize = 500;

/// One file of the repository.
struct File {
    /// Its path inside the repository.
    path: String,
    text: String,
}

/// What a rule has to say about a file, each as a sentence.
type Complaints = Vec<String>;

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether this is the test module of the file beside it, which speaks for both.
    fn is_test_module(&self) -> bool {
        let ends = ["/tests.rs", "/shared_data.rs"].iter().any(|it| self.path.ends_with(it));
        ends || self.path.contains("/tests/")
    }

    fn complaint(&self, line: usize, what: &str) -> String {
        format!("{}:{line} {what}", self.path)
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file that git tracks or would add.
fn files() -> Vec<File> {
    let root = root();
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .expect("git lists the files");
    let paths = String::from_utf8(listed.stdout).expect("our paths are UTF-8");
    // A file may be binary, or deleted and not yet committed.
    let read = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        Some(File { path: path.to_owned(), text })
    };
    paths.split_terminator('\0').filter_map(read).collect()
}

/// Applies `rule` to the whole repository, then to `control`, a file that breaks it.
#[track_caller]
fn check(rule: fn(&File) -> Complaints, control: (&str, &str), complaint: &str) {
    let files = files();
    assert!(files.iter().any(|it| it.path == "tests/it/guards.rs"), "git lists this file");
    let complaints: Complaints = files.iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    let (path, text) = control;
    let control = File { path: path.to_owned(), text: text.to_owned() };
    assert_eq!(rule(&control), [complaint], "the rule no longer sees what it forbids");
}

fn opens_with_its_purpose(file: &File) -> Complaints {
    let speaks = file.text.starts_with("//!");
    let must = file.is_rust() && !file.is_test_module();
    (must && !speaks).then(|| file.complaint(1, "does not open with `//!`")).into_iter().collect()
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    check(
        opens_with_its_purpose,
        ("domain/src/plan.rs", "use std::fmt;\n//! Too late."),
        "domain/src/plan.rs:1 does not open with `//!`",
    );
}

fn is_short(file: &File) -> Complaints {
    let lines = file.text.lines().count();
    (file.is_rust() && lines > LINES_MAX)
        .then(|| file.complaint(lines, &format!("is beyond the {LINES_MAX} lines of a file")))
        .into_iter()
        .collect()
}

#[test]
fn no_file_is_long() {
    check(
        is_short,
        ("domain/src/plan.rs", &"//! Long.\n".repeat(LINES_MAX + 1)),
        "domain/src/plan.rs:501 is beyond the 500 lines of a file",
    );
}

/// Folders that exist on one machine only. Written without slashes so as not to find themselves.
const MACHINE_FOLDERS: &[&str] = &["home", "root", "Users", "work"];

fn names_no_machine(file: &File) -> Complaints {
    let starts_path =
        |before: &str| !before.ends_with(|it: char| it.is_alphanumeric() || "._-}*".contains(it));
    let mut complaints = Complaints::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for folder in MACHINE_FOLDERS {
            let path = format!("/{folder}/");
            if line.match_indices(&path).any(|(at, _)| starts_path(&line[..at])) {
                let what = format!("names a path below the folder `{folder}` of one machine");
                complaints.push(file.complaint(number, &what));
            }
        }
    }
    complaints
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    let path = ["see ", "root", "notes and https://example.com", "home", ""].join("/");
    check(
        names_no_machine,
        ("docs/notes.md", &path),
        "docs/notes.md:1 names a path below the folder `root` of one machine",
    );
}

/// Words that announce work left for later, assembled so as not to find themselves.
const LEFT_FOR_LATER: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

fn leaves_nothing_for_later(file: &File) -> Complaints {
    let mut complaints = Complaints::new();
    for (number, line) in (1..).zip(file.text.lines().filter(|_| file.is_rust())) {
        let comment = line.split_once("//").map_or("", |(_, comment)| comment);
        for word in LEFT_FOR_LATER.iter().filter(|it| comment.contains(*it)) {
            complaints.push(file.complaint(number, &format!("leaves a {word}; file an issue")));
        }
    }
    complaints
}

#[test]
fn no_comment_leaves_work_for_later() {
    let [word, ..] = LEFT_FOR_LATER else { unreachable!("the list has words") };
    check(
        leaves_nothing_for_later,
        ("domain/src/plan.rs", &format!("let a = 1;\nlet b = 2; // {word}: three")),
        &format!("domain/src/plan.rs:2 leaves a {word}; file an issue"),
    );
}

/// Complains about links to files that are not there. A link into the web is not followed.
fn links_lead_somewhere(file: &File) -> Complaints {
    let folder = root().join(Path::new(&file.path).parent().expect("a file lies in a folder"));
    let mut complaints = Complaints::new();
    for (number, line) in (1..).zip(file.text.lines().filter(|_| file.path.ends_with(".md"))) {
        let targets = line.split("](").skip(1).filter_map(|it| it.split([')', '#']).next());
        for target in targets.filter(|it| !it.is_empty() && !it.contains("://")) {
            if !folder.join(target).exists() {
                complaints.push(
                    file.complaint(number, &format!("links to `{target}`, which is not there")),
                );
            }
        }
    }
    complaints
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    check(
        links_lead_somewhere,
        (
            "docs/notes.md",
            "[this](decisions/README.md#top) is there,\n[that](../docs/nowhere.md) not",
        ),
        "docs/notes.md:2 links to `../docs/nowhere.md`, which is not there",
    );
}
