//! How many streams each principal has open; with tenants for principals and requests for
//! streams, also how many requests each tenant has in flight. Who has none takes no room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts what is open, by principal, and refuses more than one may have.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    max: usize,
    open: Arc<Mutex<HashMap<String, usize>>>,
}

/// One open stream. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Permit {
    streams: Streams,
    principal: String,
}

impl Streams {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, open: Arc::default() }
    }

    /// Room for one more stream, if there is any.
    pub(crate) fn open(&self, principal: &str) -> Option<Permit> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(principal.to_owned()).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Permit { streams: self.clone(), principal: principal.to_owned() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.principal);
            }
        }
    }
}
