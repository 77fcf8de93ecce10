use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use domain::id::SubjectId;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use super::{PostgresVault, is_away};
use crate::conformance::{ACME, GLOBEX};
use crate::port::{CursorName, Cursors, KeyName, Keys, Slot, VaultError, Wrapped};
use crate::temporary::TemporaryDatabase;
use crate::{Keyring, Root};

async fn open(database: &TemporaryDatabase) -> PostgresVault {
    PostgresVault::open(database.url(), 4).await.unwrap()
}

mod on_postgres {
    use super::*;

    mod silent;
    mod standby;

    mod contract {
        use super::*;

        crate::conformance::conformance_tests!({
            if !TemporaryDatabase::can_be_made() {
                return;
            }
            let database = TemporaryDatabase::make().await;
            (Arc::new(open(&database).await), database)
        });
    }

    macro_rules! tests {
        ($($name:ident)*) => {
            $(#[tokio::test]
            async fn $name() {
                if TemporaryDatabase::can_be_made() {
                    super::$name(&TemporaryDatabase::make().await).await;
                }
            })*
        };
    }

    tests! {
        everything_is_there_after_reopening
        two_processes_creating_the_same_keys_agree
        who_makes_keys_and_who_destroys_the_tenant_do_not_pass_each_other
        who_destroys_keys_keeps_only_its_own_tenant_waiting
        readers_of_read_models_have_no_rights_here
        what_cannot_be_opened_is_named
        keys_are_synced_whatever_the_database_says
        whoever_is_cut_off_holds_nothing_for_long
        a_server_that_is_away_is_told_from_one_that_refuses
        a_tenant_with_more_keys_than_go_at_once_is_erased_bit_by_bit
        a_vacuum_that_fails_is_asked_for_again_and_leaves_no_longer_limit_behind
    }
}

async fn everything_is_there_after_reopening(database: &TemporaryDatabase) {
    let vault = open(database).await;
    let subject = SubjectId(Uuid::from_u128(7));
    let names = [KeyName::Tenant(ACME), KeyName::Subject(ACME, subject)];
    vault.get_or_create(&names.map(|it| (it, Wrapped(vec![9; 61])))).await.unwrap();
    vault.destroy_subject(ACME, subject).await.unwrap();
    let cursor = CursorName { tenant: ACME, name: "tail".into() };
    vault.advance(&cursor, None, "41").await.unwrap();
    vault.close().await;
    let vault = open(database).await;
    let slots = Keys::get(&vault, &names).await.unwrap();
    assert_eq!(slots, [Some(Slot::Held(Wrapped(vec![9; 61]))), Some(Slot::Destroyed)]);
    assert_eq!(Cursors::get(&vault, &cursor).await.unwrap().as_deref(), Some("41"));
}

async fn two_processes_creating_the_same_keys_agree(database: &TemporaryDatabase) {
    let vaults = [Arc::new(open(database).await), Arc::new(open(database).await)];
    for round in 0..20_u128 {
        let name =
            |tenant, it| KeyName::Subject(tenant, SubjectId(Uuid::from_u128(round << 64 | it)));
        let names: Vec<_> = (0..8).flat_map(|it| [name(ACME, it), name(GLOBEX, it)]).collect();
        let creators = [0_u8, 1, 2, 3].map(|creator| {
            let vault = Arc::clone(&vaults[usize::from(creator % 2)]);
            let wrapped = |it: &KeyName| (*it, Wrapped(vec![creator; 61]));
            let mut candidates: Vec<_> = names.iter().map(wrapped).collect();
            // In whatever order they are asked for.
            candidates.rotate_left(usize::from(creator) * 3);
            tokio::spawn(async move { vault.get_or_create(&candidates).await.unwrap() })
        });
        for it in futures::future::join_all(creators).await {
            it.unwrap();
        }
        let slots = Keys::get(&*vaults[0], &names).await.unwrap();
        assert_eq!(Keys::get(&*vaults[1], &names).await.unwrap(), slots);
        assert!(slots.iter().all(Option::is_some));
    }
}

/// However it falls out, no bytes of a key of a destroyed tenant are left.
async fn who_makes_keys_and_who_destroys_the_tenant_do_not_pass_each_other(
    database: &TemporaryDatabase,
) {
    let vault = Arc::new(open(database).await);
    for round in 0..20_u128 {
        let tenant = domain::id::TenantId(Uuid::from_u128(100 + round));
        let maker = vault.clone();
        let names = (0..50).map(|it| KeyName::Subject(tenant, SubjectId(Uuid::from_u128(it))));
        let candidates: Vec<_> = names.map(|it| (it, Wrapped(vec![1; 61]))).collect();
        let making = tokio::spawn(async move {
            let mut made = maker.get_or_create(&candidates).await;
            while made.as_ref().is_err_and(VaultError::is_held) {
                tokio::time::sleep(Duration::from_millis(1)).await;
                made = maker.get_or_create(&candidates).await;
            }
            made.unwrap()
        });
        vault.destroy_tenant(tenant).await.unwrap();
        making.await.unwrap();
        let left = "select count(*) from keys where tenant = $1 and wrapped is not null";
        let left = sqlx::query_scalar::<_, i64>(left).bind(tenant.0);
        assert_eq!(left.fetch_one(&vault.pool).await.unwrap(), 0);
    }
}

/// Also where both ask at the same time, with fewer connections than there are who wait.
async fn who_destroys_keys_keeps_only_its_own_tenant_waiting(database: &TemporaryDatabase) {
    let vault = Arc::new(PostgresVault::open(database.url(), 2).await.unwrap());
    let keyring = Keyring::open(vault.clone(), Root::from_bytes(&[1; 32].into())).await.unwrap();
    let destroying = vault.pool.begin().await.unwrap();
    let mut destroying = destroying;
    let lock = "select pg_advisory_xact_lock(hashtextextended($1::text, $2))";
    let lock = sqlx::query(lock).bind(ACME.0).bind(super::Turn::Keys as i64);
    lock.execute(&mut *destroying).await.unwrap();
    let ask = |tenant, it| {
        let keyring = keyring.clone();
        tokio::spawn(async move {
            let subject = SubjectId(Uuid::from_u128(it));
            keyring.ensure_subjects(tenant, &[subject]).await.map(drop)
        })
    };
    let held: Vec<_> = (0..20).map(|it| ask(ACME, it)).collect();
    let others: Vec<_> = (20..40).map(|it| ask(GLOBEX, it)).collect();
    for it in others {
        it.await.unwrap().expect("nothing of this tenant is destroyed");
    }
    assert!(!held.iter().any(tokio::task::JoinHandle::is_finished), "it is not their turn");
    destroying.commit().await.unwrap();
    for it in held {
        it.await.unwrap().unwrap();
    }
}

async fn keys_are_synced_whatever_the_database_says(database: &TemporaryDatabase) {
    let options = PgConnectOptions::from_str(database.url()).unwrap();
    let mut connection = options.connect().await.unwrap();
    let name = options.get_database().unwrap();
    let text = format!("alter database {name} set synchronous_commit = off");
    sqlx::query(sqlx::AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    let vault = open(database).await;
    let asked = || sqlx::query_scalar::<_, String>("show synchronous_commit");
    assert_eq!(asked().fetch_one(&vault.pool).await.unwrap(), "on");
    let mut control = options.connect().await.unwrap();
    assert_eq!(asked().fetch_one(&mut control).await.unwrap(), "off", "for others");
}

async fn readers_of_read_models_have_no_rights_here(database: &TemporaryDatabase) {
    let vault = open(database).await;
    let mut connection = vault.pool.acquire().await.unwrap();
    sqlx::query("select * from keys").execute(&mut *connection).await.unwrap();
    sqlx::query("set role callboard_reader").execute(&mut *connection).await.unwrap();
    for table in ["keys", "cursors", "blobs", "loose_blobs", "blob_holds", "records"] {
        let text = sqlx::AssertSqlSafe(format!("select * from callboard_vault.{table}"));
        let refused = sqlx::query(text).execute(&mut *connection).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }
}

async fn whoever_is_cut_off_holds_nothing_for_long(database: &TemporaryDatabase) {
    let vault = open(database).await;
    for (setting, value) in [
        ("idle_in_transaction_session_timeout", "10s"),
        ("lock_timeout", "8s"),
        ("statement_timeout", "30s"),
        ("tcp_keepalives_idle", "30"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "60000"),
    ] {
        let shown = sqlx::query_scalar("select current_setting($1)").bind(setting);
        let shown: String = shown.fetch_one(&vault.pool).await.unwrap();
        assert_eq!(shown, value, "{setting}");
    }
}

async fn what_cannot_be_opened_is_named(database: &TemporaryDatabase) {
    let wrong = database.url().replacen(":callboard", ":secret_callboard", 1);
    for (url, doing, is_away) in [
        ("nowhere", "reading the address", false),
        (&wrong, "connecting to its database", false),
        ("postgres://a:secret@127.0.0.1:1/a", "connecting to its database", true),
    ] {
        let error = PostgresVault::open(url, 1).await.unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(said.contains(doing) && !said.contains("secret"), "{said}");
        assert_eq!(error.is_away(), is_away, "{said}");
    }
}

async fn a_server_that_is_away_is_told_from_one_that_refuses(database: &TemporaryDatabase) {
    let vault = open(database).await;
    for (code, expected) in [
        ("08006", true),
        ("53300", true),
        ("57P01", true),
        ("57P03", true),
        ("55P03", true),
        ("25P03", true),
        ("23505", false),
        ("28P01", false),
        ("3D000", false),
        ("42501", false),
    ] {
        let raise = format!("DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$");
        let raised = sqlx::raw_sql(sqlx::AssertSqlSafe(raise)).execute(&vault.pool).await;
        assert_eq!(is_away(&raised.unwrap_err()), expected, "{code}");
    }
}

async fn a_vacuum_that_fails_is_asked_for_again_and_leaves_no_longer_limit_behind(
    database: &TemporaryDatabase,
) {
    // So whoever comes next has the same connection.
    let vault = PostgresVault::open(database.url(), 1).await.unwrap();
    let shorter = "select set_config('lock_timeout', '100ms', false)";
    sqlx::query(shorter).execute(&vault.pool).await.unwrap();
    let name = KeyName::Subject(ACME, SubjectId(Uuid::from_u128(7)));
    vault.get_or_create(&[(name, Wrapped(vec![9; 61]))]).await.unwrap();
    let known = PgConnectOptions::from_str(database.url()).unwrap();
    let mut other = known.connect().await.unwrap();
    // Keys can be changed meanwhile, but not cleaned up after.
    let hold = "begin; lock table callboard_vault.keys in share update exclusive mode";
    sqlx::raw_sql(hold).execute(&mut other).await.unwrap();
    let error = vault.destroy_subject(ACME, SubjectId(Uuid::from_u128(7))).await.unwrap_err();
    assert!(error.is_away(), "{error:?}");
    let limits = "select current_setting('statement_timeout'), current_setting('lock_timeout')";
    let limits = sqlx::query_as::<_, (String, String)>(limits).fetch_one(&vault.pool).await;
    let (statement, lock) = limits.unwrap();
    assert_eq!((statement.as_str(), lock.as_str()), ("30s", "100ms"), "it is the same connection");
    assert_eq!(Keys::get(&vault, &[name]).await.unwrap(), [Some(Slot::Destroyed)]);
    sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    sqlx::raw_sql("reset lock_timeout").execute(&vault.pool).await.unwrap();
    vault.destroy_subject(ACME, SubjectId(Uuid::from_u128(7))).await.expect("it helps");
}

async fn a_tenant_with_more_keys_than_go_at_once_is_erased_bit_by_bit(
    database: &TemporaryDatabase,
) {
    let vault = PostgresVault::open(database.url(), 1).await.unwrap();
    let shorter = "select set_config('lock_timeout', '100ms', false)";
    sqlx::query(shorter).execute(&vault.pool).await.unwrap();
    let make =
        "insert into keys select $1, 'subject', lpad(to_hex(it), 32, '0')::uuid, '\x09'::bytea
        from generate_series(1, 25000) as it";
    sqlx::query(make).bind(ACME.0).execute(&vault.pool).await.unwrap();
    let subject = |it| KeyName::Subject(ACME, SubjectId(Uuid::from_u128(it)));
    let other = Wrapped(vec![9; 61]);
    vault.get_or_create(&[(KeyName::Tenant(GLOBEX), other.clone())]).await.unwrap();
    let known = PgConnectOptions::from_str(database.url()).unwrap();
    let mut holder = known.connect().await.unwrap();
    let hold = "begin; select 1 from callboard_vault.keys
        where id = lpad(to_hex(25000), 32, '0')::uuid for update";
    sqlx::raw_sql(hold).execute(&mut holder).await.unwrap();
    let error = vault.destroy_tenant(ACME).await.unwrap_err();
    assert!(error.is_away(), "{error:?}");
    let left = async || {
        let left = "select count(*) from keys where wrapped is not null and tenant = $1";
        sqlx::query_scalar::<_, i64>(left).bind(ACME.0).fetch_one(&vault.pool).await.unwrap()
    };
    assert_eq!(left().await, 5_000, "what went before stays gone");
    let gone = Some(Slot::Destroyed);
    let names = [KeyName::Tenant(ACME), subject(1), subject(25_000)];
    assert_eq!(Keys::get(&vault, &names).await.unwrap(), [gone.clone(), gone.clone(), gone]);
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
    sqlx::raw_sql("reset lock_timeout").execute(&vault.pool).await.unwrap();
    vault.destroy_tenant(ACME).await.expect("it goes on");
    assert_eq!(left().await, 0);
    let kept = Keys::get(&vault, &[KeyName::Tenant(GLOBEX)]).await.unwrap();
    assert_eq!(kept, [Some(Slot::Held(other))]);
}
