//! How fast keys of new persons are made, where those who need some at the same time share a
//! transaction of the vault, and where each has its own.
//!
//! `cargo bench -p vault --bench keys -- [seconds] [postgres://…]`: on SQLite, and with an address on
//! PostgreSQL too, in a schema of its database that should not be there yet. Each caller asks for the
//! key of one new person of one of 16 tenants, again and again. Those who share have one keyring, as
//! in a process; the others have one each, over the same vault. Rounds of both take turns.

#![expect(clippy::print_stdout, reason = "printing figures is what this program does")]
#![expect(clippy::float_arithmetic, reason = "rates are for people to read")]
#![expect(clippy::cast_precision_loss, reason = "rates are for people to read")]
#![expect(clippy::unwrap_used, reason = "a bench that fails has nothing to report")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::id::{SubjectId, TenantId};
use futures::future::join_all;
use uuid::Uuid;
use vault::{Blobs, Keyring, Keys, PostgresVault, Records, Root, SqliteVault};

/// How many callers ask at the same time.
const CALLERS: [usize; 4] = [1, 16, 64, 256];
const TENANTS: u128 = 16;
/// How often both are measured, in turns.
const ROUNDS: usize = 3;

fn main() {
    let seconds = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(2.0);
    let time = Duration::from_secs_f64(seconds);
    let url = std::env::args().find(|it| it.starts_with("postgres"));
    tokio::runtime::Runtime::new().unwrap().block_on(run(time, url));
}

async fn run(time: Duration, url: Option<String>) {
    println!(
        "vault       callers  shared: keys/s  p50 ms  p99 ms   apart: keys/s  p50 ms  p99 ms   ratio"
    );
    let folder = tempfile::tempdir().unwrap();
    let vault = SqliteVault::open(&folder.path().join("vault.db")).await.unwrap();
    compare("sqlite", &Arc::new(vault), time).await;
    if let Some(url) = url {
        compare("postgresql", &Arc::new(PostgresVault::open(&url, 4).await.unwrap()), time).await;
    }
}

async fn compare<V: Keys + Blobs + Records + 'static>(name: &str, vault: &Arc<V>, time: Duration) {
    for callers in CALLERS {
        let one = keyring(vault).await;
        let shared: Vec<_> = (0..callers).map(|_| one.clone()).collect();
        let mut apart = Vec::new();
        for _ in 0..callers {
            apart.push(keyring(vault).await);
        }
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            together.extend(ask(&shared, time).await);
            alone.extend(ask(&apart, time).await);
        }
        let spent = time.as_secs_f64() * ROUNDS as f64;
        let (shared, apart) = (Row::of(together, spent), Row::of(alone, spent));
        let ratio = shared.rate / apart.rate;
        println!("{name:<11} {callers:>7}  {shared}  {apart}  {ratio:>6.1}");
    }
}

async fn keyring<V: Keys + Blobs + Records + 'static>(vault: &Arc<V>) -> Keyring {
    Keyring::open(vault.clone(), Root::from_bytes(&[1; 32].into())).await.unwrap()
}

/// How long each request took that was answered while all of them asked.
async fn ask(keyrings: &[Keyring], time: Duration) -> Vec<Duration> {
    let until = Instant::now() + time;
    let callers = keyrings.iter().cloned().zip(0_u128..).map(|(keyring, number)| {
        tokio::spawn(async move {
            let tenant = TenantId(Uuid::from_u128(1 + number % TENANTS));
            let mut took = Vec::new();
            while Instant::now() < until {
                let (began, subject) = (Instant::now(), SubjectId(Uuid::now_v7()));
                keyring.ensure_subjects(tenant, &[subject]).await.unwrap();
                took.push(began.elapsed());
            }
            took
        })
    });
    join_all(callers).await.into_iter().flat_map(Result::unwrap).collect()
}

/// What came of one way to ask.
struct Row {
    rate: f64,
    median: f64,
    slow: f64,
}

impl Row {
    fn of(mut took: Vec<Duration>, seconds: f64) -> Self {
        took.sort_unstable();
        let at =
            |part: usize| took[(took.len() * part / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
        Self { rate: took.len() as f64 / seconds, median: at(50), slow: at(99) }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>14.0} {:>7.1} {:>7.1}", self.rate, self.median, self.slow)
    }
}
