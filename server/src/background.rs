//! Threads that give way: what they do is wanted soon, but never before a request is answered.
//!
//! The read models are filled on them. A request waits for the system's scheduler like every other
//! thread, so fair turns among requests help a tenant only if the work that another one's flood
//! leaves behind does not take turns of its own. Threads that these start, those of the database
//! among them, are as patient.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// How much less than others a busy thread gets, in the system's steps of about a quarter each.
const NICENESS: i32 = 5;

/// A runtime whose threads give way. Its tasks end when it is dropped.
#[derive(Debug)]
pub(crate) struct Background(Option<Runtime>);

impl Background {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// If the system has none left.
    pub(crate) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.enable_all().thread_name("background").on_thread_start(give_way);
        Ok(Self(Some(builder.build()?)))
    }

    /// Where to start tasks that give way.
    pub(crate) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("only dropping takes it").handle()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waiting for its threads is not allowed in a task.
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of this thread. Elsewhere than on Linux that would be the whole process's.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(%error, "filling the read models has no lower priority than requests");
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// The niceness of the thread that asks, and of one that it starts.
    fn niceness() -> (i32, i32) {
        let own = || rustix::process::getpriority_process(None).expect("a thread has a priority");
        (own(), std::thread::spawn(own).join().expect("it asks only"))
    }

    #[tokio::test]
    async fn threads_started_in_the_background_give_way_and_others_do_not() {
        let background = Background::start().expect("there are threads");
        let before = niceness();
        let found = background.handle().spawn(async { niceness() }).await.expect("it asks only");
        assert_eq!(found, (before.0 + NICENESS, before.1 + NICENESS));
        assert_eq!(niceness(), before, "the thread that started it is as before");
    }
}
