//! Whoever reads on the page about security that a test shows something finds that test.

use std::collections::BTreeSet;

use super::{Complaints, File, files};

/// The page that names tests.
const PAGE: &str = "docs/security.md";

/// How many underscores a name has at least that is one of a test, and of nothing else that the page names.
const UNDERSCORES_MIN: usize = 3;

/// Every function of the repository, tests among them.
fn functions(files: &[File]) -> BTreeSet<&str> {
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let rust = files.iter().filter(|it| it.is_rust());
    let begun = rust.flat_map(|it| it.text.split("fn ").skip(1));
    begun.map(|it| it.split(|it| !is_name(it)).next().unwrap_or_default()).collect()
}

/// What a page has in backticks that looks like the name of a test.
fn named(page: &File) -> impl Iterator<Item = &str> {
    let quoted = page.text.split('`').skip(1).step_by(2);
    quoted.filter(|it| it.matches('_').count() >= UNDERSCORES_MIN && !it.contains([' ', '.', '/']))
}

fn names_what_is_there(page: &File, functions: &BTreeSet<&str>) -> Complaints {
    let missing = named(page).filter(|it| !functions.contains(it));
    missing.map(|it| format!("{} names a test that is not there: {it}", page.path)).collect()
}

#[test]
fn the_page_about_security_names_tests_that_are_there() {
    let files = files();
    let functions = functions(&files);
    let page = files.iter().find(|it| it.path == PAGE).expect("it is there");
    assert!(named(page).count() > 40, "it names few, or none of them is seen any more");
    let complaints = names_what_is_there(page, &functions);
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));

    let text = "| a threat | `a_test_that_nobody_has_written` |".to_owned();
    let control = File { path: PAGE.to_owned(), text };
    let expected =
        [format!("{PAGE} names a test that is not there: a_test_that_nobody_has_written")];
    assert_eq!(names_what_is_there(&control, &functions), expected);
}
