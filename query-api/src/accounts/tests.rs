mod second_factor;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use uuid::Uuid;
use vault::{MemoryVault, Root};

use super::*;

const ACME: TenantId = TenantId(Uuid::from_u128(1));
const GLOBEX: TenantId = TenantId(Uuid::from_u128(2));
const ADA: ActorId = ActorId(Uuid::from_u128(11));
const EVE: ActorId = ActorId(Uuid::from_u128(12));
const HOME: ClientAddress = ClientAddress(Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
/// From where nobody is told from another: this machine, or a proxy that does not say who asks.
const NOWHERE: ClientAddress = ClientAddress(None);

const GOOD: &str = "correct zebra window asterisk";
const BAD: &str = "uvlhqktmrozc";

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct Stopped(Mutex<DateTime<Utc>>);

#[async_trait]
impl Clock for Stopped {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    async fn wait_until(&self, _at: DateTime<Utc>) {}
}

struct Office {
    accounts: Accounts,
    clock: Arc<Stopped>,
}

impl Office {
    async fn open() -> Self {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let clock = Arc::new(Stopped(Mutex::new(start)));
        let root = Root::from_bytes(&[1; 32].into());
        let keyring = Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap();
        for tenant in [TenantId::SYSTEM, ACME, GLOBEX] {
            // Whoever has members has recorded them.
            keyring.tenant(tenant).await.unwrap();
        }
        Self { accounts: Accounts::new(keyring, clock.clone()), clock }
    }

    /// The same with an account of Ada's.
    async fn with_ada() -> Self {
        let office = Self::open().await;
        office.set(ACME, ADA, "invite", "ada", GOOD).await.unwrap();
        office
    }

    fn wait(&self, time: TimeDelta) {
        *self.clock.0.lock().unwrap() += time;
    }

    async fn set(
        &self,
        tenant: TenantId,
        member: ActorId,
        text: &str,
        login: &str,
        password: &str,
    ) -> Result<(), Unset> {
        let login = LoginName::new(login).unwrap();
        let names = vec!["acme".to_owned()];
        let hashed = self.accounts.hash(tenant, login, password.into(), names, NOWHERE).await?;
        let once = Once::Invite(text, self.clock.now() + TimeDelta::days(7));
        let grant = Grant { tenant, member, term: Term(1), once };
        self.accounts.set(&grant, &hashed, |_, _| true).await
    }

    async fn prove(
        &self,
        whose: &Whose,
        login: &str,
        password: &str,
        from: ClientAddress,
    ) -> Result<Proved, Unproved> {
        let login = LoginName::new(login).unwrap();
        let shown = Shown { password: password.into(), code: None };
        self.accounts.prove(whose, &login, shown, from).await
    }

    /// What Ada's password gets from there.
    async fn ada(&self, password: &str, from: ClientAddress) -> Result<ActorId, Unproved> {
        let proved = self.prove(&Whose::Tenant(ACME), "ada", password, from).await?;
        self.accounts.let_in(&proved).await.unwrap();
        Ok(proved.proof.member)
    }
}

fn address(number: u32) -> ClientAddress {
    ClientAddress::of(Ipv4Addr::from_bits(0x0A00_0000 + number).into())
}

#[track_caller]
fn assert_later<T: std::fmt::Debug>(proved: &Result<T, Unproved>, seconds: u64) {
    let wait = Duration::from_secs(seconds);
    assert!(matches!(proved, Err(Unproved::Later(it)) if *it == wait), "{proved:?}");
}

#[tokio::test]
async fn a_password_proves_who_somebody_is_in_one_tenant() {
    let office = Office::with_ada().await;
    office.set(GLOBEX, EVE, "invite", "ada", BAD).await.unwrap();
    assert_eq!(office.ada(GOOD, HOME).await.unwrap(), ADA);
    let other = Whose::Tenant(GLOBEX);
    assert_eq!(office.prove(&other, "ADA", BAD, HOME).await.unwrap().proof.member, EVE);
    for (whose, login, password) in [
        (Whose::Tenant(ACME), "ada", BAD),
        (Whose::Tenant(ACME), "eve", GOOD),
        (Whose::Tenant(GLOBEX), "ada", GOOD),
        (Whose::Nobody("nowhere.example".to_owned()), "ada", GOOD),
    ] {
        let proved = office.prove(&whose, login, password, address(1)).await;
        assert!(matches!(proved, Err(Unproved::Wrong)), "{whose:?} {login}: {proved:?}");
        // And then each of them waits as long.
        assert_later(&office.prove(&whose, login, password, address(1)).await, 1);
        office.wait(TimeDelta::milliseconds(200));
        assert_later(&office.prove(&whose, login, password, address(1)).await, 1);
    }
}

/// How many of a thousand passwords are looked at that are tried once a second.
async fn looked_at(office: &Office, from: impl Fn(u32) -> ClientAddress) -> u32 {
    let mut looked_at = 0;
    for it in 0..1_000 {
        match office.ada(BAD, from(it)).await {
            Err(Unproved::Wrong) => looked_at += 1,
            Err(Unproved::Later(_)) => {}
            other => panic!("{other:?}"),
        }
        office.wait(TimeDelta::seconds(1));
    }
    looked_at
}

#[tokio::test]
async fn of_a_thousand_passwords_few_are_looked_at() {
    let office = Office::with_ada().await;
    assert_eq!(looked_at(&office, |_| HOME).await, 10);
    let office = Office::with_ada().await;
    assert_eq!(looked_at(&office, address).await, 32);
    // Where nobody is told from another it is as from everywhere.
    let office = Office::with_ada().await;
    assert_eq!(looked_at(&office, |_| NOWHERE).await, 32);
    // Also where nobody has that login name.
    let office = Office::open().await;
    assert_eq!(looked_at(&office, |_| HOME).await, 10);
}

/// What is tried once at each of many accounts delays no account, but the address it comes from.
#[tokio::test]
async fn one_password_at_a_thousand_accounts_is_not_looked_at_as_often() {
    let office = Office::with_ada().await;
    office.ada(GOOD, HOME).await.unwrap();
    let spray = async |it: u32, from| {
        // At whatever tenant, too.
        let whose = if it.is_multiple_of(2) { ACME } else { GLOBEX };
        let proved = office.prove(&Whose::Tenant(whose), &format!("user-{it}"), BAD, from).await;
        office.wait(TimeDelta::seconds(1));
        matches!(proved, Err(Unproved::Wrong))
    };
    let mut looked_at = 0;
    for it in 0..1_000 {
        looked_at += u32::from(spray(it, HOME).await);
    }
    assert_eq!(looked_at, 42);
    assert!(spray(2_000, address(1)).await, "others are not delayed");
    office.ada(GOOD, HOME).await.expect("nor who signs in from there");
    let mut looked_at = 0;
    for it in 3_000..3_100 {
        looked_at += u32::from(spray(it, NOWHERE).await);
    }
    assert_eq!(looked_at, 100, "what is no address does not count");
}

/// Each sign-in ends a session where there are many: nobody keeps its owner out by many.
#[tokio::test]
async fn who_comes_in_very_often_waits_even_with_the_right_password() {
    let office = Office::with_ada().await;
    for it in 0..31 {
        office.ada(GOOD, address(it)).await.unwrap();
    }
    assert_later(&office.ada(GOOD, HOME).await, 1);
    assert!(matches!(office.ada(BAD, address(99)).await, Err(Unproved::Wrong)), "nothing is told");
    // That was no failure, and so delays nothing further.
    assert_later(&office.ada(GOOD, HOME).await, 1);
    office.wait(TimeDelta::seconds(1));
    office.ada(GOOD, HOME).await.unwrap();
    assert_later(&office.ada(GOOD, HOME).await, 2);
    office.wait(TimeDelta::hours(1));
    office.ada(GOOD, HOME).await.unwrap();
}

#[tokio::test]
async fn the_right_password_waits_too_and_then_nothing_delays_it() {
    let office = Office::with_ada().await;
    for (waits, then) in [(0, 1), (1, 2), (2, 4)] {
        office.wait(TimeDelta::seconds(waits));
        assert!(matches!(office.ada(BAD, HOME).await, Err(Unproved::Wrong)));
        assert_later(&office.ada(GOOD, HOME).await, then);
    }
    // What is refused does not count.
    office.wait(TimeDelta::seconds(4));
    assert_eq!(office.ada(GOOD, HOME).await.unwrap(), ADA);
    assert!(matches!(office.ada(BAD, HOME).await, Err(Unproved::Wrong)));
    assert_later(&office.ada(GOOD, HOME).await, 1);
}

#[tokio::test]
async fn many_attempts_at_once_are_one_try() {
    let office = Office::with_ada().await;
    // As long as no password is looked at, all but one are told to wait.
    let held = office.accounts.hashing.held().await;
    let tries = (0..4).map(|_| {
        let (accounts, login) = (office.accounts.clone(), LoginName::new("ada").unwrap());
        tokio::spawn(async move {
            let shown = Shown { password: BAD.into(), code: None };
            accounts.prove(&Whose::Tenant(ACME), &login, shown, HOME).await.map(drop)
        })
    });
    let tries: Vec<_> = tries.collect();
    while tries.iter().filter(|it| it.is_finished()).count() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(held);
    let ends = join_all(tries).await;
    let wrong = ends.iter().filter(|it| matches!(it, Ok(Err(Unproved::Wrong)))).count();
    let later = ends.iter().filter(|it| matches!(it, Ok(Err(Unproved::Later(_))))).count();
    assert_eq!((wrong, later), (1, 3), "{ends:?}");
}

/// Whoever tries from everywhere delays those who were there before at no address.
#[tokio::test]
async fn who_has_signed_in_from_there_does_not_wait_for_what_others_do_elsewhere() {
    let office = Office::with_ada().await;
    office.ada(GOOD, HOME).await.unwrap();
    for it in 0..12 {
        assert!(matches!(office.ada(BAD, address(it)).await, Err(Unproved::Wrong)));
        office.wait(TimeDelta::seconds(1));
    }
    office.ada(GOOD, HOME).await.unwrap();
    assert_later(&office.ada(GOOD, address(100)).await, 1);
    // It is not delayed for ever either, and may go on failing as it did.
    office.wait(TimeDelta::seconds(1));
    office.ada(GOOD, address(100)).await.unwrap();
    assert!(matches!(office.ada(BAD, HOME).await, Err(Unproved::Wrong)));
    assert_later(&office.ada(GOOD, HOME).await, 1);
    office.wait(TimeDelta::days(31));
    assert!(matches!(office.ada(BAD, HOME).await, Err(Unproved::Wrong)));
}

#[tokio::test]
async fn of_two_who_accept_one_invite_one_does() {
    for round in 0..8 {
        let office = Office::open().await;
        let accept = async |member, login| office.set(ACME, member, "invite", login, GOOD).await;
        // Of one member, as whoever has the text may be two, and of two, were that possible.
        let second = if round % 2 == 0 { (ADA, "eve") } else { (EVE, "eve") };
        let ends = tokio::join!(accept(ADA, "ada"), accept(second.0, second.1));
        let is_used = |it: &Result<(), Unset>| matches!(it, Err(Unset::Used));
        let used = [&ends.0, &ends.1].into_iter().filter(|it| is_used(it)).count();
        assert_eq!(used, 1, "{ends:?}");
        let whose = Whose::Tenant(ACME);
        let ada = office.prove(&whose, "ada", GOOD, HOME).await.is_ok();
        let eve = office.prove(&whose, "eve", GOOD, HOME).await.is_ok();
        assert!(ada != eve && ada == ends.0.is_ok(), "{ends:?}");
        // Nor later, until the invite itself is no good any more.
        office.wait(TimeDelta::days(7));
        assert!(is_used(&office.set(ACME, ADA, "invite", "ada", BAD).await));
    }
}

#[tokio::test]
async fn an_invite_replaces_the_account_that_a_member_had() {
    let office = Office::with_ada().await;
    let whose = Whose::Tenant(ACME);
    // Under the same login name, which is not taken then, however it is spelled.
    office.set(ACME, ADA, "second", "Ada", BAD).await.unwrap();
    assert!(matches!(office.ada(GOOD, HOME).await, Err(Unproved::Wrong)));
    assert_eq!(office.ada(BAD, address(1)).await.unwrap(), ADA);
    // And under another one.
    office.set(ACME, ADA, "third", "lovelace", GOOD).await.unwrap();
    assert!(matches!(office.ada(BAD, address(2)).await, Err(Unproved::Wrong)));
    let proved = office.prove(&whose, "lovelace", GOOD, address(3)).await;
    assert_eq!(proved.unwrap().proof.member, ADA);
    // The former one is free for others, the present one is not.
    let taken = office.set(ACME, EVE, "fourth", "lovelace", BAD).await;
    assert!(matches!(taken, Err(Unset::Taken)), "{taken:?}");
    office.set(ACME, EVE, "fourth", "ada", BAD).await.expect("what was refused is not used");
    assert_eq!(office.ada(BAD, address(4)).await.unwrap(), EVE);
}

/// Whoever was removed has no login name any more, whatever of it is stored still.
#[tokio::test]
async fn the_login_name_of_who_is_no_member_any_more_is_free() {
    let office = Office::with_ada().await;
    let login = || LoginName::new("ada").unwrap();
    let hashed = office.accounts.hash(ACME, login(), BAD.into(), Vec::new(), HOME).await.unwrap();
    let once = Once::Invite("second", office.clock.now() + TimeDelta::days(7));
    let grant = Grant { tenant: ACME, member: EVE, term: Term(3), once };
    let taken = office.accounts.set(&grant, &hashed, |it, term| it == ADA && term == Term(1)).await;
    assert!(matches!(taken, Err(Unset::Taken)), "{taken:?}");
    // She is a member again, for the second time.
    office.accounts.set(&grant, &hashed, |it, term| it == ADA && term == Term(2)).await.unwrap();
    let proved = office.prove(&Whose::Tenant(ACME), "ada", BAD, HOME).await.unwrap().proof;
    assert_eq!((proved.member, proved.term), (EVE, Term(3)));
    assert_eq!(office.accounts.login_of(ACME, ADA).await.unwrap(), None);
    assert_eq!(office.accounts.login_of(ACME, EVE).await.unwrap(), Some(login()));
}

#[tokio::test]
async fn a_password_holds_until_another_one_is_set() {
    let office = Office::with_ada().await;
    let proved = office.prove(&Whose::Tenant(ACME), "ada", GOOD, HOME).await.unwrap();
    assert!(office.accounts.holds(ACME, &proved.proof).await.unwrap());
    office.set(ACME, ADA, "second", "ada", GOOD).await.unwrap();
    assert!(!office.accounts.holds(ACME, &proved.proof).await.unwrap(), "even if it is the same");
    office.accounts.let_in(&proved).await.unwrap();
    let proved = office.prove(&Whose::Tenant(ACME), "ada", GOOD, HOME).await.unwrap();
    office.set(ACME, ADA, "third", "lovelace", GOOD).await.unwrap();
    assert!(!office.accounts.holds(ACME, &proved.proof).await.unwrap(), "under another name");
}

#[tokio::test]
async fn an_invite_is_tried_ten_times_whatever_is_asked_for_with_it() {
    let office = Office::open().await;
    let end = office.clock.now() + TimeDelta::days(7);
    let may_try = async |tenant, text| office.accounts.may_try(tenant, text, end).await.unwrap();
    for _ in 0..10 {
        assert!(may_try(ACME, "invite").await);
    }
    assert!(!may_try(ACME, "invite").await);
    assert!(may_try(ACME, "another").await && may_try(GLOBEX, "invite").await);
}

#[tokio::test]
async fn a_password_that_is_not_taken_uses_no_invite() {
    let office = Office::open().await;
    for (password, expected) in [
        ("short", NoPassword::Length),
        ("acmeacmeacme", NoPassword::Guessable),
        ("password1234", NoPassword::Guessable),
    ] {
        let set = office.set(ACME, ADA, "invite", "ada", password).await;
        assert!(matches!(&set, Err(Unset::Password(it)) if *it == expected), "{set:?}");
    }
    office.set(ACME, ADA, "invite", "ada", GOOD).await.unwrap();
}

#[tokio::test]
async fn a_password_is_replaced_and_the_login_name_stays() {
    let office = Office::with_ada().await;
    let login = office.accounts.login_of(ACME, ADA).await.unwrap().unwrap();
    assert_eq!(login.as_str(), "ada");
    assert_eq!(office.accounts.login_of(ACME, EVE).await.unwrap(), None);
    let proved = office.prove(&Whose::Tenant(ACME), login.as_str(), GOOD, HOME).await.unwrap();
    office.accounts.let_in(&proved).await.unwrap();
    let hashed = office.accounts.hash(ACME, login, BAD.into(), Vec::new(), HOME).await.unwrap();
    office.accounts.replace(ACME, &proved.proof, &hashed).await.unwrap();
    // Who has proved the one before may have got it from its owner, who has just said no to that.
    let again = office.accounts.replace(ACME, &proved.proof, &hashed).await;
    assert!(matches!(again, Err(Unset::Used)), "{again:?}");
    assert!(matches!(office.ada(GOOD, HOME).await, Err(Unproved::Wrong)));
    assert_eq!(office.ada(BAD, address(1)).await.unwrap(), ADA);
}

/// Who finds no place has not tried.
#[tokio::test]
async fn where_too_many_passwords_are_looked_at_others_are_refused_and_nothing_counts() {
    let office = Office::with_ada().await;
    let whose = Whose::Tenant(ACME).name();
    let places: Vec<_> =
        std::iter::from_fn(|| office.accounts.hashing.enter(&whose, NOWHERE)).collect();
    assert!(matches!(office.ada(GOOD, HOME).await, Err(Unproved::Busy)));
    let set = office.set(ACME, EVE, "second", "eve", GOOD).await;
    assert!(matches!(set, Err(Unset::Busy)), "{set:?}");
    drop(places);
    assert_eq!(office.ada(GOOD, HOME).await.unwrap(), ADA);
    office.set(ACME, EVE, "second", "eve", GOOD).await.unwrap();
}

mod setup {
    use super::*;
    use crate::accounts::setup::{Opening, SETUP_LASTS, offer_setup};

    /// An office whose clock shows the time at which tokens are made, and one.
    async fn offered() -> (Office, String) {
        let office = Office::open().await;
        *office.clock.0.lock().unwrap() = Utc::now();
        let token = offer_setup(&office.accounts.keyring).await.unwrap().unwrap();
        (office, token)
    }

    async fn set(office: &Office, opening: Opening, login: &str) -> Result<(), Unset> {
        let Opening { member, version } = opening;
        let (tenant, login) = (TenantId::SYSTEM, LoginName::new(login).unwrap());
        let hashed = office.accounts.hash(tenant, login, GOOD.into(), Vec::new(), HOME).await?;
        let grant = Grant { tenant, member, term: Term(1), once: Once::Setup(version) };
        office.accounts.set(&grant, &hashed, |_, _| true).await
    }

    async fn opening(office: &Office, token: &str) -> Option<Opening> {
        office.accounts.opening(token).await.unwrap()
    }

    #[tokio::test]
    async fn a_setup_token_makes_one_account() {
        let (office, token) = offered().await;
        // 256 bits.
        assert_eq!(token.len(), "cbs_".len() + 43, "{token}");
        for wrong in ["", "cbs_", &token[..token.len() - 1], &token.to_uppercase()] {
            assert!(opening(&office, wrong).await.is_none(), "{wrong}");
        }
        let found = opening(&office, &token).await.unwrap();
        let ends = tokio::join!(set(&office, found, "ada"), set(&office, found, "eve"));
        let is_used = |it: &Result<(), Unset>| matches!(it, Err(Unset::Used));
        assert!(ends.0.is_ok() != ends.1.is_ok(), "{ends:?}");
        assert!(is_used(&ends.0) != is_used(&ends.1), "{ends:?}");
        assert!(opening(&office, &token).await.is_none(), "it is used");
        assert!(is_used(&set(&office, found, "eve").await));
        assert_eq!(offer_setup(&office.accounts.keyring).await.unwrap(), None);
    }

    #[tokio::test]
    async fn it_is_good_for_half_an_hour_and_until_the_next_one_is_made() {
        let (office, token) = offered().await;
        let first = opening(&office, &token).await.unwrap();
        let minute = TimeDelta::minutes(1);
        office.wait(SETUP_LASTS - minute);
        assert!(opening(&office, &token).await.is_some());
        office.wait(minute * 2);
        assert!(opening(&office, &token).await.is_none());
        let (office, token) = offered().await;
        let second = offer_setup(&office.accounts.keyring).await.unwrap().unwrap();
        assert!(opening(&office, &token).await.is_none());
        let again = opening(&office, &second).await.unwrap();
        assert_ne!(again.version, first.version);
        set(&office, again, "ada").await.unwrap();
    }

    #[tokio::test]
    async fn whoever_repeats_what_was_interrupted_makes_the_same_member() {
        let (office, token) = offered().await;
        let before = opening(&office, &token).await.unwrap().member;
        let next = offer_setup(&office.accounts.keyring).await.unwrap().unwrap();
        assert_eq!(opening(&office, &next).await.unwrap().member, before);
    }

    #[tokio::test]
    async fn of_processes_that_start_at_once_one_prints_the_token_that_is_good() {
        let (office, _) = offered().await;
        let keyring = &office.accounts.keyring;
        let made = join_all((0..8).map(|_| offer_setup(keyring))).await;
        let made: Vec<_> = made.into_iter().filter_map(Result::unwrap).collect();
        let mut good = 0;
        for token in &made {
            good += usize::from(opening(&office, token).await.is_some());
        }
        assert_eq!(good, 1, "{}", made.len());
    }

    #[tokio::test]
    async fn an_operator_who_was_invited_ends_the_setup() {
        let (office, token) = offered().await;
        office.set(ACME, ADA, "invite", "ada", GOOD).await.unwrap();
        assert!(opening(&office, &token).await.is_some(), "that is another tenant's");
        office.set(TenantId::SYSTEM, ADA, "invite", "ada", GOOD).await.unwrap();
        assert!(opening(&office, &token).await.is_none());
        assert_eq!(offer_setup(&office.accounts.keyring).await.unwrap(), None);
    }
}
