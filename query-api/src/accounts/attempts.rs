//! Attempts to sign in: remembered in the vault, so that it does not matter which process is asked.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use chrono::TimeDelta;
use domain::id::TenantId;
use vault::{Changes, Committed, Known, RecordKind, TenantKeys, Version};

use super::delays::{ANYWHERE, Attempts, FROM_ADDRESS, Pace};
use super::{AccountFault, Accounts, LoginName, Unproved, read, written};

/// How often something is tried anew that others have changed meanwhile.
pub(super) const TRIES_MAX: usize = 8;

/// When to try again where others try as often as they can. In seconds: 1.
const CROWDED_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Attempts at one account from one address, and what they are called where they are remembered.
#[derive(Debug)]
pub(super) struct Attempt {
    here: String,
    anywhere: String,
}

/// What is remembered, and in which states that is.
struct Remembered {
    keys: TenantKeys,
    here: (Attempts, Option<Version>),
    anywhere: (Attempts, Option<Version>),
}

impl Attempt {
    /// An attempt at an account that may not exist, which makes no difference.
    pub(super) fn of(whose: &str, login: &LoginName, from: IpAddr) -> Self {
        // None of the parts has this character.
        let anywhere = format!("{whose}\n{}", login.as_str());
        Self { here: format!("{anywhere}\n{}", counted(from)), anywhere }
    }

    /// Counts it as one that has failed, if it is time for it.
    ///
    /// # Errors
    ///
    /// [`Unproved::Later`] if it is not.
    pub(super) async fn begin(&self, accounts: &Accounts) -> Result<(), Unproved> {
        for _ in 0..TRIES_MAX {
            let now = accounts.clock.now();
            let Remembered { keys, here, anywhere } = self.remembered(accounts).await?;
            let is_known = here.0.is_known(now);
            let mut delay = here.0.delay(FROM_ADDRESS, now);
            if !is_known {
                delay = delay.max(anywhere.0.delay(ANYWHERE, now));
            }
            if let Some(delay) = delay {
                return Err(Unproved::Later(seconds(delay)));
            }
            let mut changes = Changes::of(&keys);
            changes = put(
                changes,
                &self.here,
                (here.0.with_another(FROM_ADDRESS, now), here.1),
                FROM_ADDRESS,
            );
            // Whoever tries elsewhere does not delay them, and they delay nobody.
            if !is_known {
                let another = anywhere.0.with_another(ANYWHERE, now);
                changes = put(changes, &self.anywhere, (another, anywhere.1), ANYWHERE);
            }
            if accounts.commit(&changes).await? == Committed::Whole {
                return Ok(());
            }
        }
        Err(Unproved::Later(CROWDED_RETRY_AFTER))
    }

    /// It has not failed: nothing delays who comes from there, and what others did counts as before.
    pub(super) async fn succeed(&self, accounts: &Accounts) -> Result<(), AccountFault> {
        for _ in 0..TRIES_MAX {
            let now = accounts.clock.now();
            let Remembered { keys, here, anywhere } = self.remembered(accounts).await?;
            let mut changes = Changes::of(&keys);
            changes = put(changes, &self.here, (Attempts::succeeded(now), here.1), FROM_ADDRESS);
            if !here.0.is_known(now) {
                changes = put(
                    changes,
                    &self.anywhere,
                    (anywhere.0.with_one_less(), anywhere.1),
                    ANYWHERE,
                );
            }
            if accounts.commit(&changes).await? == Committed::Whole {
                break;
            }
        }
        Ok(())
    }

    async fn remembered(&self, accounts: &Accounts) -> Result<Remembered, AccountFault> {
        // Those of the installation for all: a tenant that does not exist has none.
        let keys = accounts.keyring.tenant(TenantId::SYSTEM).await?;
        let names = [&self.here, &self.anywhere].map(|it| (RecordKind::Attempts, it.as_str()));
        let records = accounts.keyring.records();
        let mut found = records.get_all(&keys, &names, accounts.clock.now()).await?.into_iter();
        let mut next = || known(found.next().flatten());
        Ok(Remembered { here: next()?, anywhere: next()?, keys })
    }
}

fn known(found: Option<Known>) -> Result<(Attempts, Option<Version>), AccountFault> {
    let Some(known) = found else { return Ok((Attempts::default(), None)) };
    Ok((read(&known)?, Some(known.version)))
}

fn put(
    changes: Changes,
    name: &str,
    (attempts, before): (Attempts, Option<Version>),
    pace: Pace,
) -> Changes {
    let (value, ends_at) = (written(&attempts), attempts.ends_at(pace));
    changes.put((RecordKind::Attempts, name), before, &value, Some(ends_at))
}

/// Whole seconds, rounded up.
fn seconds(delay: TimeDelta) -> Duration {
    let whole = delay.num_seconds() + i64::from(delay.subsec_nanos() > 0);
    Duration::from_secs(u64::try_from(whole).unwrap_or(0).max(1))
}

/// Whom an address is counted as: of an IPv6 address the first 64 bits, for one machine may have all
/// behind them.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(it) => it.into(),
        IpAddr::V6(it) => {
            let [first, second, third, fourth, ..] = it.segments();
            Ipv6Addr::new(first, second, third, fourth, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(first: &str, second: &str, is_same: bool) {
        let counted = |it: &str| counted(it.parse().unwrap());
        assert_eq!(counted(first) == counted(second), is_same, "{first} and {second}");
    }

    #[test]
    fn an_address_counts_by_itself_and_an_ipv6_address_by_its_first_half() {
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true);
        check("2001:db8:0:1::1", "2001:db8:0:2::1", false);
    }
}
