//! When API keys were used last: neither a fact nor a view, so a record of the vault.
//!
//! A request that bears a key notes so in memory and goes on; nothing that goes wrong here is any
//! trouble of its. What was noted is written now and then ([`keep`]), one record for each member, by
//! compare-and-set, so several processes agree, and a time never goes back. Keys that have ended are
//! taken out of the record whenever it is written. Start at `KeyUses::note`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use commands::Commands;
use domain::Principal;
use domain::id::{ActorId, TenantId};
use domain::principal::Means;
use vault::{Changes, Committed, Keyring, KeyringError, RecordError, RecordKind};

use crate::error::ApiError;

/// How long a process does not note a use of a key after it has noted one, so what is shown may be so
/// much older than the last use. In seconds: 300.
pub(crate) const PRECISION: TimeDelta = TimeDelta::seconds(300);

/// How often what was noted is written. In seconds: 10.
const WRITTEN_EVERY: Duration = Duration::from_secs(10);

/// How long writing one record may take. In seconds: 10.
const WRITING_TIME_MAX: Duration = Duration::from_secs(10);

/// How many keys of one tenant are kept in mind: 4,096, some 400 KiB. Uses of others are not noted
/// until some of them were not used for [`PRECISION`].
const KEYS_MAX: usize = 4_096;

/// How often others may come before while a record is written, before it waits for the next time: 3.
const TRIES_MAX: usize = 3;

/// When each key of a member was used last, as it is stored.
pub(crate) type Uses = BTreeMap<ActorId, DateTime<Utc>>;

/// What was noted is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyUsesFault {
    /// There are no keys.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// There are no records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It takes too long, or others write the same all the time.
    #[error("the record was not written in time")]
    Late,
}

impl KeyUsesFault {
    /// Whether it is about this record or its tenant alone, and trying again would not help.
    fn is_of_one(&self) -> bool {
        match self {
            Self::Keyring(KeyringError::TenantErased(_)) => true,
            Self::Keyring(error) => error.is_of_one(),
            Self::Record(error) => !matches!(error, RecordError::Vault(_)),
            Self::Late => false,
        }
    }
}

/// What this process knows of the use of keys.
#[derive(Debug, Default)]
pub(crate) struct KeyUses(Mutex<HashMap<TenantId, Noted>>);

/// The same of one tenant.
#[derive(Debug, Default)]
struct Noted {
    /// When a use of each key was noted last.
    last: HashMap<ActorId, DateTime<Utc>>,
    /// What is to be written of each member.
    waiting: HashMap<ActorId, Uses>,
}

impl KeyUses {
    /// Notes that `principal` has come in, if by an API key.
    pub(crate) fn note(&self, principal: &Principal, now: DateTime<Utc>) {
        let (Means::ApiKey(key), Some(member)) = (principal.means(), principal.member_id()) else {
            return;
        };
        let mut tenants = self.lock();
        let noted = tenants.entry(principal.tenant()).or_default();
        let before = noted.last.get(&key);
        let is_known = before.is_some_and(|it| (now - *it).abs() < PRECISION);
        let has_room = before.is_some() || noted.last.len() < KEYS_MAX;
        if !is_known && has_room {
            noted.last.insert(key, now);
            noted.waiting.entry(member).or_default().insert(key, now);
        }
    }

    /// Says that a key of `member` may have ended: what is stored of it goes with the next writing.
    pub(crate) fn look_again(&self, tenant: TenantId, member: ActorId) {
        let mut tenants = self.lock();
        let waiting = &mut tenants.entry(tenant).or_default().waiting;
        if waiting.len() < KEYS_MAX {
            waiting.entry(member).or_default();
        }
    }

    /// Writes what was noted, and forgets what was noted long before `now`. What could not be written
    /// is, the next time.
    ///
    /// # Errors
    ///
    /// The first fault that keeps others from being written, too.
    pub(crate) async fn write(
        &self,
        commands: &Commands,
        keyring: &Keyring,
        now: DateTime<Utc>,
    ) -> Result<(), KeyUsesFault> {
        let mut left = self.take(now).into_iter();
        while let Some((tenant, member, uses)) = left.next() {
            let writing = write(commands, keyring, (tenant, member), &uses, now);
            let written = tokio::time::timeout(WRITING_TIME_MAX, writing).await;
            match written.unwrap_or(Err(KeyUsesFault::Late)) {
                Ok(()) => {}
                Err(error) if error.is_of_one() => {
                    tracing::warn!(%tenant, %error, "when an API key was used last is not stored");
                }
                Err(error) => {
                    self.put_back([(tenant, member, uses)].into_iter().chain(left));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// What is to be written: of each tenant something in turn, so none waits for all of another one.
    fn take(&self, now: DateTime<Utc>) -> Vec<(TenantId, ActorId, Uses)> {
        let (mut tenants, mut taken) = (self.lock(), Vec::new());
        for (tenant, noted) in tenants.iter_mut() {
            noted.last.retain(|_, it| (now - *it).abs() < PRECISION);
            let waiting = std::mem::take(&mut noted.waiting).into_iter().enumerate();
            taken.extend(waiting.map(|(turn, (member, uses))| (turn, (*tenant, member, uses))));
        }
        tenants.retain(|_, it| !it.last.is_empty());
        drop(tenants);
        taken.sort_by_key(|it| it.0);
        taken.into_iter().map(|it| it.1).collect()
    }

    fn put_back(&self, unwritten: impl Iterator<Item = (TenantId, ActorId, Uses)>) {
        let mut tenants = self.lock();
        for (tenant, member, uses) in unwritten {
            let waiting = &mut tenants.entry(tenant).or_default().waiting;
            merge(waiting.entry(member).or_default(), &uses);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is noted about the use of API keys now and then, for ever.
pub(crate) async fn keep(uses: Arc<KeyUses>, commands: Commands, keyring: Keyring) {
    loop {
        tokio::time::sleep(WRITTEN_EVERY).await;
        if let Err(error) = uses.write(&commands, &keyring, Utc::now()).await {
            tracing::warn!(error = ?error, "when API keys were used last is not stored yet");
        }
    }
}

/// When the keys of each of `members` were used last, in order.
///
/// # Errors
///
/// A fault of the vault.
pub(crate) async fn of_members(
    keyring: &Keyring,
    tenant: TenantId,
    members: &[ActorId],
) -> Result<Vec<Uses>, ApiError> {
    let keys = keyring.existing(tenant).await?;
    let names: Vec<_> = members.iter().map(ToString::to_string).collect();
    let names: Vec<_> = names.iter().map(|it| (RecordKind::KeyUses, it.as_str())).collect();
    let known = keyring.records().get_all(&keys, &names, Utc::now()).await?;
    let uses = known.iter().map(|it| it.as_ref().map_or(Ok(Uses::new()), |it| read(&it.value)));
    Ok(uses.collect::<Result<_, _>>()?)
}

/// Adds `uses` to what is stored of a member, and takes out the keys that they have no more.
pub(crate) async fn write(
    commands: &Commands,
    keyring: &Keyring,
    (tenant, member): (TenantId, ActorId),
    uses: &Uses,
    now: DateTime<Utc>,
) -> Result<(), KeyUsesFault> {
    let (keys, name) = (keyring.existing(tenant).await?, member.to_string());
    let (records, place) = (keyring.records(), (RecordKind::KeyUses, name.as_str()));
    for _ in 0..TRIES_MAX {
        let known = records.get(&keys, place, now).await?;
        let (version, before) = match &known {
            Some(it) => (Some(it.version), read(&it.value)?),
            None => (None, Uses::new()),
        };
        let held = commands.api_keys_of(tenant, member);
        let held: HashMap<_, _> = held.iter().map(|it| (it.0, it.1.expires_at)).collect();
        let mut after = before.clone();
        merge(&mut after, uses);
        after.retain(|key, _| held.contains_key(key));
        if after == before {
            return Ok(());
        }
        let ends_at = after.keys().filter_map(|it| held.get(it)).max().copied();
        let changes = match (version, ends_at) {
            (Some(version), None) => Changes::of(&keys).remove(place, version),
            (version, ends_at) => {
                let value = serde_json::to_vec(&after).expect("it is plain data");
                Changes::of(&keys).put(place, version, &value, ends_at)
            }
        };
        match records.commit(&changes, now).await? {
            Committed::Whole => return Ok(()),
            Committed::Conflict => {}
        }
    }
    Err(KeyUsesFault::Late)
}

/// The later time counts.
fn merge(into: &mut Uses, uses: &Uses) {
    for (key, at) in uses {
        let known = into.entry(*key).or_insert(*at);
        *known = (*known).max(*at);
    }
}

fn read(value: &[u8]) -> Result<Uses, RecordError> {
    serde_json::from_slice(value).map_err(|_| RecordError::Damaged(RecordKind::KeyUses))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tenant_is_kept_in_mind_with_so_many_keys_and_no_other_one_has_fewer_for_it() {
        let (a, b) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        let (uses, now) = (KeyUses::default(), Utc::now());
        let note = |tenant, count: usize| {
            for _ in 0..count {
                let (key, member) = (Uuid::now_v7(), Uuid::now_v7());
                let (key, member) = (ActorId(key), ActorId(member));
                let grants = Arc::default();
                uses.note(&Principal::api_key(tenant, key, member, grants), now);
            }
        };
        note(a, KEYS_MAX + 10);
        note(b, 1);
        let taken = uses.take(now);
        assert_eq!(taken.len(), KEYS_MAX + 1);
        // In turn.
        assert!(taken[..2].iter().any(|it| it.0 == b));
        // Once they were not used for a while, nothing is kept of them.
        assert_eq!(uses.take(now + PRECISION).len(), 0);
        assert!(uses.lock().is_empty());
    }
}
