use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Lines, Report, by_crate};

fn file(name: &str, count: u32, covered: u32) -> serde_json::Value {
    let lines = json!({ "count": count, "covered": covered, "percent": 0.0 });
    json!({ "filename": name, "summary": { "lines": lines, "regions": {} } })
}

#[test]
fn sums_the_lines_of_each_crate() {
    let files = [
        file("/callboard/vault/src/lib.rs", 10, 4),
        file("/callboard/vault/src/port.rs", 30, 26),
        file("/callboard/domain/src/lib.rs", 5, 5),
    ];
    let report: Report =
        serde_json::from_value(json!({ "data": [{ "files": files }], "type": "" })).unwrap();
    let crates = by_crate(&report, Path::new("/callboard"));
    let expected = [
        (PathBuf::from("domain"), Lines { count: 5, covered: 5 }),
        (PathBuf::from("vault"), Lines { count: 40, covered: 30 }),
    ];
    assert_eq!(crates, expected.into());
    assert!((crates[Path::new("vault")].percent() - 75.0).abs() < f64::EPSILON);
}
