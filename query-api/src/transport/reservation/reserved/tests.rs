//! A client that does not take what it has asked for.

use std::time::Duration;

use async_graphql::Response;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::super::super::answer::Answer;
use super::super::super::settings::EventStreamSettings;
use super::{Command, Reserved};

/// A stream whose client has come, with an operation that always has one more result; and there is room
/// for one.
async fn connected() -> (JoinHandle<()>, mpsc::Sender<Command>, mpsc::Receiver<Bytes>) {
    let (commands, asked) = mpsc::channel(1);
    let (events, received) = mpsc::channel(1);
    let reserved = Reserved::new(&EventStreamSettings::default());
    let running = tokio::spawn(reserved.run(asked, events));
    let results = stream::repeat_with(|| Answer::executed(Response::default())).boxed();
    let (ended, rejected) = (Box::pin(std::future::pending()), oneshot::channel().0);
    let start = Command::Start { id: "one".to_owned(), results, ended, rejected };
    for command in [Command::Connected, start] {
        assert!(commands.send(command).await.is_ok());
    }
    (running, commands, received)
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_whose_client_takes_no_result_for_too_long() {
    let max = EventStreamSettings::default().send_wait_max;
    let (running, _commands, _received) = connected().await;
    tokio::time::timeout(2 * max, running).await.expect("it ends").expect("it ends well");
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_while_its_client_takes_one_result_after_the_other() {
    let max = EventStreamSettings::default().send_wait_max;
    let (running, _commands, mut received) = connected().await;
    for _ in 0..10 {
        tokio::time::sleep(max - Duration::from_secs(1)).await;
        assert!(received.recv().await.is_some());
    }
    assert!(!running.is_finished());
}
