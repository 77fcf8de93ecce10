//! Whether the machine has what a server needs: files, room, memory and the time.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use rustix::process::{Resource, getrlimit};

use super::{Finding, bad, good, note};

/// How many files a server may need open: connections, segments and tables.
const FILES_MIN: u64 = 4_096;

/// Below how much room a server soon refuses commands. In bytes: 1 GiB.
const ROOM_MIN: u64 = 1 << 30;

/// Below how much memory a server is slow or ended by the system. In bytes: 512 MiB.
const MEMORY_MIN: u64 = 512 << 20;

/// How far ahead of the clock a file may have been written, since file systems keep a time of their
/// own. In seconds: 5.
const AHEAD_MAX: TimeDelta = TimeDelta::seconds(5);

/// Looks at the machine that has the data folder.
pub(super) fn look(folder: &Path) -> Vec<Finding> {
    // A server takes as many as it may have.
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let memory = std::fs::read_to_string("/proc/meminfo").ok();
    let memory = memory.as_deref().and_then(available);
    let written = newest(&folder.join("log"));
    [Some(files(limit)), room(folder), memory.map(self::memory), Some(clock(Utc::now(), written))]
        .into_iter()
        .flatten()
        .collect()
}

fn files(limit: u64) -> Finding {
    let what = "open files";
    if limit < FILES_MIN {
        let advice = format!("raise it to {FILES_MIN} or more (`ulimit -Hn`, `LimitNOFILE=`)");
        return note(what, format!("a process may have {limit}; {advice}"));
    }
    good(what, "enough may be open".to_owned())
}

/// The room on the disk of `folder`, or of the nearest folder above that is there.
fn room(folder: &Path) -> Option<Finding> {
    let folder = std::path::absolute(folder).ok()?;
    let there = folder.ancestors().find(|it| it.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(free(disk.f_bavail.saturating_mul(disk.f_frsize)))
}

fn free(bytes: u64) -> Finding {
    let detail = format!("{} MiB are free where the data folder is", bytes >> 20);
    if bytes < ROOM_MIN { bad("disk", detail + "; make room") } else { good("disk", detail) }
}

fn memory(bytes: u64) -> Finding {
    let detail = format!("{} MiB are available", bytes >> 20);
    if bytes < MEMORY_MIN { note("memory", detail) } else { good("memory", detail) }
}

/// What `/proc/meminfo` says is available, in bytes.
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|it| it.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// When something below `folder` was last written.
fn newest(folder: &Path) -> Option<DateTime<Utc>> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let of = |it: std::fs::DirEntry| match it.file_type() {
        Ok(kind) if kind.is_dir() => newest(&it.path()),
        _ => Some(it.metadata().ok()?.modified().ok()?.into()),
    };
    entries.filter_map(of).max()
}

/// What is recorded never runs backwards, so a server refuses to write by a clock that does.
fn clock(now: DateTime<Utc>, written: Option<DateTime<Utc>>) -> Finding {
    match written {
        Some(written) if written > now + AHEAD_MAX => {
            let (now, written) = (now.to_rfc3339(), written.to_rfc3339());
            bad("clock", format!("it is {now}, and the log was written at {written}; set it"))
        }
        Some(_) | None => good("clock", format!("{}", now.format("%Y-%m-%dT%H:%M:%SZ"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn too_little_of_something_is_said() {
        let verdicts = |it: [Finding; 2]| it.map(|it| it.verdict);
        assert_eq!(verdicts([files(1_024), files(65_536)]), [Verdict::Note, Verdict::Good]);
        assert_eq!(verdicts([free(100 << 20), free(9 << 30)]), [Verdict::Bad, Verdict::Good]);
        assert_eq!(verdicts([memory(1 << 20), memory(2 << 30)]), [Verdict::Note, Verdict::Good]);
    }

    #[test]
    fn a_clock_behind_what_was_written_is_bad() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let verdict = |ahead: i64| clock(now, Some(now + TimeDelta::seconds(ahead))).verdict;
        assert_eq!(
            [verdict(-60), verdict(2), verdict(60)].map(|it| it == Verdict::Bad),
            [false, false, true]
        );
        assert_eq!(clock(now, None).verdict, Verdict::Good);
    }

    #[test]
    fn what_is_available_is_read_from_what_the_system_says() {
        let text = "MemTotal:       16384000 kB\nMemAvailable:    2048 kB\nBuffers: 1 kB\n";
        assert_eq!(available(text), Some(2 << 20));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        let found = look(Path::new("no/such/folder"));
        let names: Vec<_> = found.iter().map(|it| it.what).collect();
        assert_eq!(names, ["open files", "disk", "memory", "clock"]);
    }
}
