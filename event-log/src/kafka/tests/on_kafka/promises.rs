//! A cluster that would break a promise is refused, by the name of the setting.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};

use crate::kafka::logging::Logging;
use crate::kafka::tests::cluster::{self, Topics};
use crate::kafka::{KafkaConfig, KafkaLog, SetupError, check, init};

async fn make(config: &KafkaConfig, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<_> = config.client().create_with_context(Logging).unwrap();
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
    admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
}

/// Makes one topic with one setting as it must not be, and is refused with these words.
async fn check_refused(topic: fn(&KafkaConfig) -> String, setting: (&str, &str), needed: &str) {
    let topics = Topics { config: cluster::config() };
    let name = topic(&topics.config);
    let compacted = name != topics.config.events();
    let policy = if compacted { "compact" } else { "delete" };
    let forever =
        [("retention.ms", "-1"), ("cleanup.policy", policy), ("max.message.bytes", "1048576")];
    let settings: Vec<_> =
        forever.into_iter().filter(|it| it.0 != setting.0).chain([setting]).collect();
    make(&topics.config, &name, 1, &settings).await;
    let refused = init(&topics.config, 1).await.unwrap_err();
    let SetupError::Promises(broken) = &refused else { panic!("{refused}") };
    assert_eq!(broken.len(), 1, "{refused}");
    let (setting, value) = setting;
    let words = format!("`{setting}` of topic `{name}` is {value}, needed: {needed}");
    assert!(refused.to_string().contains(&words), "{refused}");
    // Nothing was mended behind the operator's back, and opening finds the same.
    let opened = KafkaLog::open(topics.config.clone()).await.unwrap_err();
    assert_eq!(opened.to_string(), refused.to_string());
}

#[tokio::test]
async fn each_broken_promise_is_named_with_what_was_found_and_what_is_needed() {
    if !cluster::is_there() {
        return;
    }
    for (setting, needed) in [
        (("retention.ms", "604800000"), "-1"),
        (("retention.bytes", "1000000"), "-1"),
        (("cleanup.policy", "compact"), "delete"),
        (("unclean.leader.election.enable", "true"), "false"),
        (("message.timestamp.type", "LogAppendTime"), "CreateTime"),
        (("max.message.bytes", "500000"), "at least 1048576"),
    ] {
        check_refused(KafkaConfig::events, setting, needed).await;
    }
    check_refused(KafkaConfig::snapshots, ("cleanup.policy", "delete"), "compact").await;
    check_refused(KafkaConfig::owners, ("cleanup.policy", "delete"), "compact").await;
    let stamped = ("message.timestamp.type", "CreateTime");
    check_refused(KafkaConfig::barriers, stamped, "LogAppendTime").await;
}

#[tokio::test]
async fn copies_and_partitions_are_counted() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(2).await;
    let refused = init(&topics.config, 3).await.unwrap_err().to_string();
    assert!(refused.contains("events` is 2, needed: 3"), "{refused}");
    assert!(refused.contains("snapshots` is 2, needed: 3"), "{refused}");
    assert!(!refused.contains("--add-config"), "no setting gives it more: {refused}");

    let careful = KafkaConfig { replication: 3, ..topics.config.clone() };
    let refused = init(&careful, 2).await.unwrap_err().to_string();
    let brokers = "`number of brokers` of the cluster is 1, needed: at least 3";
    assert!(refused.contains(brokers), "{refused}");
    let refused = KafkaLog::open(careful).await.unwrap_err().to_string();
    for of in ["events", "snapshots", "barriers", "owners"] {
        let topic = format!("topic `{}{of}`", topics.config.prefix);
        let copies = format!("`replication` of {topic} is 1, needed: at least 3");
        assert!(refused.contains(&copies), "{refused}");
        let in_sync = format!("`min.insync.replicas` of {topic} is 1, needed: at least 2");
        assert!(refused.contains(&in_sync), "{refused}");
    }
    assert!(refused.contains("--add-config <setting>=<value>"), "it says how: {refused}");
    assert!(refused.contains("`replication` of topic `__transaction_state` is 1"), "{refused}");

    let other = Topics { config: cluster::config() };
    make(&other.config, &other.config.snapshots(), 5, &[("cleanup.policy", "compact")]).await;
    let refused = init(&other.config, 2).await.unwrap_err().to_string();
    assert!(refused.contains("snapshots` is 5, needed: 2"), "{refused}");
}

#[tokio::test]
async fn a_log_is_made_once_and_keeps_its_identity() {
    if !cluster::is_there() {
        return;
    }
    let topics = Topics { config: cluster::config() };
    let missing = check(&topics.config).await.unwrap_err().to_string();
    let events = topics.config.events();
    assert_eq!(
        missing,
        format!("topic `{events}` is missing on the cluster; `callboard kafka init` makes it")
    );
    let made = init(&topics.config, 2).await.unwrap();
    assert_eq!(init(&topics.config, 2).await.unwrap(), made);
    assert_eq!(check(&topics.config).await.unwrap(), made);
    let other = cluster::topics(2).await;
    assert_ne!(check(&other.config).await.unwrap().incarnation, made.incarnation);

    let admin: AdminClient<_> = topics.config.client().create_with_context(Logging).unwrap();
    let owners = topics.config.owners();
    admin.delete_topics(&[&owners], &AdminOptions::new()).await.unwrap();
    let missing = loop {
        match check(&topics.config).await {
            Err(SetupError::Missing(what)) => break what,
            // It goes some moments after that was promised.
            _ => tokio::task::yield_now().await,
        }
    };
    assert!(missing.contains(&owners), "{missing}");
}

#[tokio::test]
async fn nobody_answers_is_said_with_what_was_being_done() {
    let config = cluster::somewhere("127.0.0.1:1".to_owned());
    let error = check(&config).await.unwrap_err().to_string();
    assert!(error.contains("asking for the topics of the cluster"), "{error}");
    let config = KafkaConfig { prefix: "not a name".to_owned(), ..config };
    let error = check(&config).await.unwrap_err().to_string();
    assert!(error.contains("got `not a name`"), "{error}");
}
