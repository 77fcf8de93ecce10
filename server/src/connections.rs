//! How many connections the public doors may have open. Each is an open file to the system, which
//! lets a process have only so many; the log, the tables and calls to others need some too.

use std::time::Duration;

use query_api::Connections;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Http;

/// How many open files are asked for at most: 65,536. Systems allow far more, and some of what is
/// done per file that could be open then takes seconds.
const FILES_MAX: u64 = 65_536;

/// How many connections may be open, and for how long without a request: as many as `http` says,
/// if that leaves as many files for everything else.
pub(crate) fn of(http: &Http) -> Connections {
    let asked = http.connections_max.get();
    let most = within(asked, files());
    if most < asked {
        tracing::warn!(
            connections.asked = asked,
            connections.most = most,
            "the limit of open files allows fewer connections than the settings"
        );
    }
    Connections {
        most,
        most_per_address: part(http.connections_per_address_max.get(), asked, most),
        proxies: http.trusted_proxies.clone(),
        head_time_max: Duration::from_millis(http.head_time_max_ms.get()),
        idle_time_max: Duration::from_millis(http.idle_time_max_ms.get()),
        sent_time_max: Connections::SENT_TIME_MAX,
    }
}

/// The part of `most` that `per_address` is of `asked`, so that it stays a part where fewer may be.
fn part(per_address: usize, asked: usize, most: usize) -> usize {
    (per_address.min(asked) * most).div_ceil(asked)
}

fn within(asked: usize, files: Option<u64>) -> usize {
    let half = files.map_or(usize::MAX, |it| usize::try_from(it / 2).unwrap_or(usize::MAX));
    asked.min(half.max(1))
}

/// How many files may be open, once as many are allowed as a process may allow itself; none for
/// any number.
fn files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(FILES_MAX, |it| it.min(FILES_MAX));
    let now = limit.current?;
    if now >= wanted {
        return Some(now);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }) {
        Ok(()) => Some(wanted),
        Err(_) => Some(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_open_files_are_left_for_everything_else() {
        assert_eq!(within(4_096, None), 4_096);
        assert_eq!(within(4_096, Some(65_536)), 4_096);
        assert_eq!(within(4_096, Some(256)), 128);
        assert_eq!(within(4_096, Some(1)), 1);
    }

    #[test]
    fn an_address_keeps_its_part_where_fewer_connections_may_be_open() {
        assert_eq!(part(2_048, 4_096, 4_096), 2_048);
        assert_eq!(part(2_048, 4_096, 128), 64);
        assert_eq!(part(2_048, 4_096, 1), 1);
        assert_eq!(part(1_000_000, 4_096, 4_096), 4_096);
    }
}
