//! The settings of a broker, as the text of its properties file.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

/// The most copies of a record that are kept, however many brokers there are.
const COPIES_MAX: usize = 3;

/// Where one broker listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// For clients and other brokers.
    pub(super) client: SocketAddr,
    /// For agreeing with other brokers on who leads what.
    pub(super) controller: SocketAddr,
    /// For clients that do not reach the others directly.
    pub(super) detour: Option<Detour>,
}

/// A second way to a broker, for clients alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Detour {
    /// Where it listens.
    pub(super) broker: SocketAddr,
    /// Where it tells those who come there to find it.
    pub(super) advertised: SocketAddr,
}

/// The settings of the broker `id` (from 1) of a cluster at `all`, keeping its data in `folder`.
/// Of a name in `more` that is here already, the value in `more` holds.
pub(super) fn properties(
    id: usize,
    all: &[Addresses],
    folder: &Path,
    more: &[(String, String)],
) -> String {
    let Addresses { client, controller, detour } = all[id - 1];
    let voters = (1..).zip(all).map(|(id, it)| format!("{id}@{}", it.controller));
    let voters = voters.collect::<Vec<_>>().join(",");
    let copies = all.len().min(COPIES_MAX);
    // One copy may be missing where there are enough.
    let in_sync = copies.div_ceil(2);
    let mut text = format!(
        "\
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{client},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{client}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={folder}

# Promises: what is acknowledged is not lost, and nothing comes into being by a typing error.
auto.create.topics.enable=false
unclean.leader.election.enable=false
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}

# What is dead is found dead soon.
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=6000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000

# Small: it shares the machine with what is tested.
log.cleaner.dedupe.buffer.size=4194304
num.io.threads=4
num.network.threads=2
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1
",
        folder = folder.display(),
    );
    if let Some(Detour { broker, advertised }) = detour {
        // Of a name that is there twice, the last value holds.
        write!(
            text,
            "\
listeners=PLAINTEXT://{client},CONTROLLER://{controller},DETOUR://{broker}
advertised.listeners=PLAINTEXT://{client},DETOUR://{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,DETOUR:PLAINTEXT
"
        )
        .expect("a text takes what is written");
    }
    for (name, value) in more {
        writeln!(text, "{name}={value}").expect("a text takes what is written");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::path::Path;

    use super::{Addresses, Detour, properties};

    /// The settings of the second of `count` brokers, as Java reads them: the last of a name.
    fn second_of(count: u16) -> BTreeMap<String, String> {
        second_by(count, |_| None)
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// The same where each has this second way.
    fn second_by(count: u16, detour: fn(u16) -> Option<Detour>) -> BTreeMap<String, String> {
        let addresses = |it| Addresses {
            client: address(10 + it),
            controller: address(20 + it),
            detour: detour(it),
        };
        let all: Vec<Addresses> = (1..=count).map(addresses).collect();
        let more = [("num.io.threads".to_owned(), "9".to_owned())];
        let text = properties(2, &all, Path::new("/tmp/data"), &more);
        let lines = text.lines().filter_map(|it| it.split_once('='));
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[track_caller]
    fn check(brokers: u16, name: &str, then: &str) {
        assert_eq!(second_of(brokers)[name], then, "{name} of {brokers} brokers");
    }

    #[test]
    fn a_broker_knows_itself_and_all_others() {
        check(2, "node.id", "2");
        check(2, "controller.quorum.voters", "1@127.0.0.1:21,2@127.0.0.1:22");
        check(2, "listeners", "PLAINTEXT://127.0.0.1:12,CONTROLLER://127.0.0.1:22");
        check(2, "log.dirs", "/tmp/data");
    }

    #[test]
    fn there_are_as_many_copies_as_brokers_but_at_most_three() {
        for name in ["offsets.topic.replication.factor", "default.replication.factor"] {
            check(2, name, "2");
            check(3, name, "3");
            check(5, name, "3");
        }
        check(2, "min.insync.replicas", "1");
        check(3, "min.insync.replicas", "2");
        check(5, "transaction.state.log.min.isr", "2");
    }

    #[test]
    fn a_detour_is_advertised_to_those_who_take_it_and_to_no_broker() {
        let detour = |it| Some(Detour { broker: address(30 + it), advertised: address(40 + it) });
        let settings = second_by(2, detour);
        assert!(settings["listeners"].ends_with(",DETOUR://127.0.0.1:32"));
        let advertised = &settings["advertised.listeners"];
        assert_eq!(advertised, "PLAINTEXT://127.0.0.1:12,DETOUR://127.0.0.1:42");
        assert_eq!(settings["inter.broker.listener.name"], "PLAINTEXT");
    }

    #[test]
    fn a_plan_overrules_a_setting() {
        check(2, "num.io.threads", "9");
        check(2, "num.network.threads", "2");
    }
}
