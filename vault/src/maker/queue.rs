//! Who waits for keys: a line for each tenant, which have their turns one after the other.

use std::collections::{HashMap, VecDeque};

use domain::id::TenantId;
use tokio::sync::oneshot;

use crate::port::{Busy, KeyName, Slot, VaultError, Wrapped, failed};

/// The most keys that one transaction makes, unless one request has more: 1,000, some 20 ms.
pub(super) const KEYS_MAX: usize = 1_000;

/// The most keys of one tenant that wait: 20,000, some 4 MiB.
pub(super) const WAITING_MAX: usize = 20_000;

/// Keys that somebody waits for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) candidates: Vec<(KeyName, Wrapped)>,
    pub(super) answer: oneshot::Sender<Result<Vec<Slot>, VaultError>>,
}

/// Requests of one tenant that are made together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) tenant: TenantId,
    pub(super) requests: Vec<Request>,
}

#[derive(Debug, Default)]
struct Line {
    requests: VecDeque<Request>,
    /// How many keys they are.
    keys: usize,
    /// Whether somebody makes keys of this tenant alone, for which the rest waits.
    is_apart: bool,
}

/// Who waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: HashMap<TenantId, Line>,
    /// The tenants whose lines are neither empty nor apart.
    turns: VecDeque<TenantId>,
    is_worked_on: bool,
}

impl Queue {
    /// Lets a request wait, and says whether somebody has to begin to work.
    pub(super) fn add(&mut self, tenant: TenantId, request: Request) -> Result<bool, VaultError> {
        let line = self.lines.entry(tenant).or_default();
        if !line.requests.is_empty() && line.keys + request.candidates.len() > WAITING_MAX {
            return Err(failed("creating keys")(Busy));
        }
        if line.requests.is_empty() && !line.is_apart {
            self.turns.push_back(tenant);
        }
        line.keys += request.candidates.len();
        line.requests.push_back(request);
        Ok(self.begins())
    }

    /// What is to be made next. None ends the work.
    pub(super) fn take(&mut self) -> Option<Vec<Group>> {
        let (mut groups, mut keys) = (Vec::<Group>::new(), 0);
        while keys < KEYS_MAX
            && let Some(tenant) = self.turns.pop_front()
        {
            let Some(line) = self.lines.get_mut(&tenant) else { continue };
            let request = line.requests.pop_front();
            let taken = request.as_ref().map_or(0, |it| it.candidates.len());
            line.keys -= taken;
            if line.requests.is_empty() {
                self.lines.remove(&tenant);
            } else {
                self.turns.push_back(tenant);
            }
            // Whoever has given up needs none.
            let Some(request) = request.filter(|it| !it.answer.is_closed()) else { continue };
            keys += taken;
            match groups.iter_mut().find(|it| it.tenant == tenant) {
                Some(group) => group.requests.push(request),
                None => groups.push(Group { tenant, requests: vec![request] }),
            }
        }
        self.is_worked_on = !groups.is_empty();
        self.is_worked_on.then_some(groups)
    }

    /// Has the rest of a tenant wait for what is made of it alone.
    pub(super) fn set_apart(&mut self, tenant: TenantId) {
        self.lines.entry(tenant).or_default().is_apart = true;
        self.turns.retain(|it| *it != tenant);
    }

    /// Ends that, and says whether somebody has to begin to work.
    pub(super) fn take_back(&mut self, tenant: TenantId) -> bool {
        let Some(line) = self.lines.get_mut(&tenant) else { return false };
        line.is_apart = false;
        if line.requests.is_empty() {
            self.lines.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        self.begins()
    }

    fn begins(&mut self) -> bool {
        !self.turns.is_empty() && !std::mem::replace(&mut self.is_worked_on, true)
    }
}
