//! Asking the same question for many: at most one is under way, and whoever came before it was
//! put shares its answer.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, io};

use tokio::sync::Mutex;

use super::blocking;
use crate::port::LogError;

/// A question whose answer is only good for those who asked before it was put.
#[derive(Debug)]
pub(super) struct Asking<T> {
    /// How often it has been put.
    put: AtomicU64,
    last: Arc<Mutex<Last<T>>>,
}

/// The last answer.
#[derive(Debug)]
struct Last<T> {
    /// The how-manieth time it was that the question was put; 0 before the first.
    number: u64,
    answer: Result<T, Arc<LogError>>,
}

impl<T: Clone + Send + 'static> Asking<T> {
    pub(super) fn new() -> Self {
        let last = Last { number: 0, answer: Err(Arc::new(LogError::Closed)) };
        Self { put: AtomicU64::new(0), last: Arc::new(Mutex::new(last)) }
    }

    /// What `question` answers, here or for somebody else who put it after this call. It blocks.
    pub(super) async fn ask(
        &self,
        question: impl FnOnce() -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let before = self.put.load(Ordering::SeqCst);
        let mut last = self.last.clone().lock_owned().await;
        if last.number > before {
            return last.answer.clone().map_err(shared);
        }
        let number = self.put.fetch_add(1, Ordering::SeqCst) + 1;
        // A task, so that who goes away does not let the next one ask beside it.
        let asked = tokio::spawn(async move {
            let answer = blocking(question).await.map_err(Arc::new);
            *last = Last { number, answer: answer.clone() };
            answer
        });
        asked.await.map_err(|_| LogError::Closed)?.map_err(shared)
    }
}

/// The same error for one of many.
fn shared(error: Arc<LogError>) -> LogError {
    let (doing, kind) = match &*error {
        LogError::Closed => return LogError::Closed,
        LogError::Gone { of } => return LogError::Gone { of: of.clone() },
        LogError::TooFewReplicas { of, in_sync, needed, setting } => {
            let (of, in_sync, needed) = (of.clone(), *in_sync, *needed);
            return LogError::TooFewReplicas { of, in_sync, needed, setting };
        }
        LogError::Damaged { place, reason } => {
            return LogError::Damaged { place: place.clone(), reason: reason.clone() };
        }
        LogError::Storage { doing, source } => (doing.clone(), source.kind()),
        _ => ("asking the cluster".to_owned(), io::ErrorKind::Other),
    };
    LogError::Storage { doing, source: io::Error::new(kind, Cause(error)) }
}

/// What is behind an error that several are told.
#[derive(Debug)]
struct Cause(Arc<LogError>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.source() {
            Some(source) => fmt::Display::fmt(source, f),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()?.source()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;

    use super::Asking;
    use crate::port::LogError;

    #[tokio::test]
    async fn those_who_wait_share_the_next_question_and_never_the_one_under_way() {
        let asking = Arc::new(Asking::new());
        let put = Arc::new(AtomicU32::new(0));
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go, gone) = mpsc::channel::<()>();
        let (first, count) = (asking.clone(), put.clone());
        let first = tokio::spawn(async move {
            let question = move || {
                begun.send(()).unwrap();
                gone.recv().unwrap();
                Ok(count.fetch_add(1, Ordering::SeqCst))
            };
            first.ask(question).await
        });
        has_begun.await.unwrap();
        // Who goes away while the question is under way does not let others put theirs beside it.
        first.abort();
        let later: Vec<_> = (0..100)
            .map(|_| {
                let (asking, count) = (asking.clone(), put.clone());
                tokio::spawn(async move {
                    asking.ask(move || Ok(count.fetch_add(1, Ordering::SeqCst))).await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        for later in later {
            assert_eq!(later.await.unwrap().unwrap(), 1, "it was put after they had asked");
        }
        assert_eq!(put.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_error_is_told_and_the_question_can_be_put_again() {
        let asking = Asking::new();
        let failed = asking.ask(|| Err::<u32, _>(LogError::Full)).await.unwrap_err();
        let cause = std::error::Error::source(&failed).unwrap().to_string();
        assert!(cause.contains("no space left"), "{cause}");
        assert_eq!(asking.ask(|| Ok(1)).await.unwrap(), 1);
    }
}
