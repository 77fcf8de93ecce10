//! A standby: it answers whatever it is asked, and may lack what was stored a moment ago.

use sqlx::ConnectOptions as _;

use super::silent::{keyring, served};
use crate::conformance::{ACME, GLOBEX};
use crate::port::{KeyName, Keys, VaultError};
use crate::{PostgresVault, postgres};

fn refused(error: &VaultError) {
    let cause = error.source.to_string();
    assert!(cause.contains("is a standby"), "{cause}");
    assert!(cause.contains("`storage.postgresql.url`"), "{cause}");
    assert!(error.is_away(), "it may be promoted");
}

#[tokio::test]
async fn a_standby_is_away_until_it_is_promoted() {
    let Some((server, vault)) = served().await else { return };
    keyring(&vault).await.unwrap().tenant(ACME).await.unwrap();
    let standby = tokio::task::spawn_blocking(move || (server.start_standby().unwrap(), server));
    let (standby, _server) = standby.await.unwrap();
    let options = postgres::options(&standby.url()).unwrap();

    // The control: it would say that there is no such key, as if that were lost.
    let mut connection = options.connect().await.unwrap();
    let count = "select count(*) from callboard_vault.keys where tenant = $1";
    let count = sqlx::query_scalar::<_, i64>(count).bind(GLOBEX.0);
    assert_eq!(count.fetch_one(&mut connection).await.unwrap(), 0);

    refused(&PostgresVault::open(&standby.url(), 1).await.unwrap_err());
    refused(&PostgresVault::is_there(&standby.url()).await.unwrap_err());
    // As where a primary has gone, and its address is that of a standby now.
    let vault = PostgresVault::on(options, 1);
    let names = [KeyName::Tenant(ACME), KeyName::Tenant(GLOBEX)];
    refused(&Keys::get(&vault, &names).await.unwrap_err());

    sqlx::query("select pg_promote()").execute(&mut connection).await.unwrap();
    let slots = Keys::get(&vault, &names).await.unwrap();
    assert_eq!(slots.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
    PostgresVault::open(&standby.url(), 1).await.unwrap();
}
