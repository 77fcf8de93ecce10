//! Accounts of who is no member any more, here and at providers: they let nobody in, and are what somebody
//! was called and a hash of what they knew. So they are removed.

use std::collections::HashMap;

use chrono::Utc;
use commands::Commands;
use domain::id::{ActorId, TenantId};
use domain::member::Term;
use vault::{Changes, Committed, Keyring, KeyringError, RecordKind};

use super::{AccountFault, StoredAccount, StoredName, identities, read, second_factor};
use crate::key_uses::{self, KeyUsesFault, Uses};

/// Removes the accounts of all who are no members any more, as far as is known here. Who was looked at
/// before is in `done`, up to which time they were a member.
///
/// # Errors
///
/// A fault of the vault; then some may be left, and are found the next time.
pub async fn forget_former(
    commands: &Commands,
    keyring: &Keyring,
    done: &mut HashMap<(TenantId, ActorId), Term>,
) -> Result<(), AccountFault> {
    for (tenant, member, term) in commands.former_members() {
        if done.get(&(tenant, member)) == Some(&term) {
            continue;
        }
        match forget(commands, keyring, tenant, (member, term)).await {
            // It has no records any more either.
            Ok(()) | Err(AccountFault::Keyring(KeyringError::TenantErased(_))) => {
                done.insert((tenant, member), term);
            }
            // That one has lost its key, which is its trouble alone.
            Err(AccountFault::Keyring(error)) if error.is_of_one() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes what `member` signed in with up to the time `term`, and when their API keys were used.
async fn forget(
    commands: &Commands,
    keyring: &Keyring,
    tenant: TenantId,
    (member, term): (ActorId, Term),
) -> Result<(), AccountFault> {
    match key_uses::write(commands, keyring, (tenant, member), &Uses::new(), Utc::now()).await {
        // Whoever has changed it all the time knows better.
        Ok(()) | Err(KeyUsesFault::Late) => {}
        Err(KeyUsesFault::Keyring(error)) => return Err(error.into()),
        Err(KeyUsesFault::Record(error)) => return Err(error.into()),
    }
    identities::forget(keyring, tenant, member, term).await?;
    second_factor::forget(keyring, tenant, member, term).await?;
    forget_account(keyring, tenant, member, term).await
}

/// Removes the account that `member` had up to the time `term`, if they had one.
async fn forget_account(
    keyring: &Keyring,
    tenant: TenantId,
    member: ActorId,
    term: Term,
) -> Result<(), AccountFault> {
    let (keys, now, records) = (keyring.existing(tenant).await?, Utc::now(), keyring.records());
    let member_name = member.to_string();
    let of_member = (RecordKind::AccountOf, member_name.as_str());
    let Some(named) = records.get(&keys, of_member, now).await? else { return Ok(()) };
    let login = read::<StoredName>(&named)?.login;
    let place = (RecordKind::Account, login.as_str());
    let mut changes = Changes::of(&keys).remove(of_member, named.version);
    if let Some(known) = records.get(&keys, place, now).await? {
        let account = read::<StoredAccount>(&known)?;
        if account.member == member {
            if account.term > term {
                return Ok(());
            }
            changes = changes.remove(place, known.version);
        }
    }
    // Whoever has changed one of them meanwhile knows better.
    let (Committed::Whole | Committed::Conflict) = records.commit(&changes, now).await?;
    Ok(())
}
