use std::collections::BTreeSet;

use domain::member::Method;
use totp_rs::{Builder, Secret};

use super::*;
use crate::accounts::{Code, Enrolment, Unconfirmed};

/// One step of a one-time password.
const STEP: TimeDelta = TimeDelta::seconds(30);

/// An app that was told this, which knows nothing of how it is looked at.
struct App(totp_rs::Totp);

impl App {
    fn told(told: &Enrolment) -> Self {
        let secret = Secret::try_from_base32(told.secret.as_str()).unwrap();
        Self(Builder::new().with_secret(secret).build().unwrap())
    }

    /// What it shows on a device whose clock is that of the office.
    fn shows(&self, office: &Office) -> String {
        self.shows_at(office.clock.now())
    }

    fn shows_at(&self, now: DateTime<Utc>) -> String {
        self.0.generate(now.timestamp().try_into().unwrap()).to_string()
    }
}

fn app(text: &str) -> Option<Code> {
    Some(Code::App(text.to_owned().into()))
}

fn recovery(text: &str) -> Option<Code> {
    Some(Code::Recovery(text.to_owned().into()))
}

impl Office {
    /// What Ada gets who shows this beside a password.
    async fn shown(
        &self,
        password: &str,
        code: Option<Code>,
        from: ClientAddress,
    ) -> Result<Proof, Unproved> {
        let login = LoginName::new("ada").unwrap();
        let shown = Shown { password: password.into(), code };
        let proved = self.accounts.prove(&Whose::Tenant(ACME), &login, shown, from).await?;
        self.accounts.let_in(&proved).await.unwrap();
        Ok(proved.proof)
    }

    async fn enrol(&self) -> App {
        let proved = self.shown(GOOD, None, HOME).await.unwrap();
        App::told(&self.accounts.enrol(ACME, &proved, "Acme").await.unwrap())
    }

    async fn confirm(&self, password: &str) -> Result<Vec<String>, Unconfirmed> {
        let login = LoginName::new("ada").unwrap();
        let (codes, _) = self.accounts.confirm(ACME, &login, ADA, password).await?;
        Ok(codes.iter().map(|it| it.to_string()).collect())
    }

    /// The same with an app that Ada is asked for, and her recovery codes.
    async fn with_app() -> (Self, App, Vec<String>) {
        let office = Self::with_ada().await;
        let app = office.enrol().await;
        let codes = office.confirm(&app.shows(&office)).await.unwrap();
        office.wait(STEP);
        (office, app, codes)
    }

    async fn recovery_codes_left(&self) -> Option<usize> {
        let known = self.accounts.second_factor(ACME, ADA, Term(1)).await.unwrap();
        known.map(|it| it.recovery_codes_left)
    }
}

#[track_caller]
fn assert_wrong(proved: &Result<Proof, Unproved>) {
    assert!(matches!(proved, Err(Unproved::CodeWrong)), "{proved:?}");
}

#[tokio::test]
async fn an_app_is_asked_for_once_it_has_shown_what_it_should() {
    let office = Office::with_ada().await;
    assert!(matches!(office.confirm("000000").await, Err(Unconfirmed::NotBegun)));
    let ada = office.enrol().await;
    assert_eq!(
        office.shown(GOOD, None, HOME).await.unwrap().beside.methods(),
        [Method::Pwd].into()
    );
    let other = ada.shows_at(office.clock.now() + STEP * 10);
    assert!(matches!(office.confirm(&other).await, Err(Unconfirmed::Wrong)));
    assert_eq!(office.recovery_codes_left().await, None);
    let codes = office.confirm(&ada.shows(&office)).await.unwrap();
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), 10);
    assert!(matches!(office.confirm(&ada.shows(&office)).await, Err(Unconfirmed::NotBegun)));

    assert!(matches!(office.shown(GOOD, None, HOME).await, Err(Unproved::CodeMissing)));
    // With what it has shown already nobody comes in, and so not with what it showed before that.
    for step in [0, -1] {
        let shown = ada.shows_at(office.clock.now() + STEP * step);
        assert_wrong(&office.shown(GOOD, app(&shown), address(1)).await);
        office.wait(TimeDelta::seconds(2));
    }
    office.wait(STEP);
    let proved = office.shown(GOOD, app(&ada.shows(&office)), HOME).await.unwrap();
    assert_eq!(proved.beside.methods(), [Method::Pwd, Method::Otp, Method::Mfa].into());
    office.wait(STEP);
    let wrong = office.shown(BAD, app(&ada.shows(&office)), address(2)).await;
    assert!(matches!(wrong, Err(Unproved::Wrong)), "{wrong:?}");
    office.shown(GOOD, app(&ada.shows(&office)), HOME).await.expect("it was not used for that");
}

#[tokio::test]
async fn of_many_who_show_the_same_at_once_one_comes_in() {
    let (office, ada, codes) = Office::with_app().await;
    for code in [app(&ada.shows(&office)), recovery(&codes[0])] {
        let all = (0..6).map(|it| office.shown(GOOD, code.clone(), address(it)));
        let all = join_all(all).await;
        assert_eq!(all.iter().filter(|it| it.is_ok()).count(), 1, "{all:?}");
    }
}

#[tokio::test]
async fn a_recovery_code_is_good_once_however_it_is_typed() {
    let (office, _, codes) = Office::with_app().await;
    let typed = codes[3].to_uppercase().replace('-', " ");
    let proved = office.shown(GOOD, recovery(&typed), HOME).await.unwrap();
    assert_eq!(proved.beside.methods(), [Method::Pwd, Method::Mfa].into());
    assert_eq!(office.recovery_codes_left().await, Some(9));
    assert_wrong(&office.shown(GOOD, recovery(&codes[3]), address(1)).await);
    assert_eq!(office.recovery_codes_left().await, Some(9));
    // All of them are other ones from now on.
    let renewed = office.accounts.renew_recovery_codes(ACME, &proved).await.unwrap();
    assert_wrong(&office.shown(GOOD, recovery(&codes[4]), address(2)).await);
    office.shown(GOOD, recovery(&renewed[0]), address(3)).await.unwrap();
}

/// Whoever delays others has not taken the way back in from them.
#[tokio::test]
async fn nothing_that_others_do_delays_who_has_a_recovery_code() {
    let (office, ada, codes) = Office::with_app().await;
    for it in 0..30 {
        let failed = office.shown(BAD, None, address(it)).await;
        assert!(matches!(failed, Err(Unproved::Wrong | Unproved::Later(_))), "{failed:?}");
    }
    let delayed = office.shown(GOOD, app(&ada.shows(&office)), address(100)).await;
    assert!(matches!(delayed, Err(Unproved::Later(_))), "{delayed:?}");
    let guessed = office.shown(GOOD, recovery("aaaa-aaaa-aaaa-aaaa"), address(100)).await;
    assert!(matches!(guessed, Err(Unproved::Later(_))), "{guessed:?}");
    office.shown(GOOD, recovery(&codes[0]), address(100)).await.unwrap();
    // It is used even where the password is wrong: nobody tries passwords with it.
    let wrong = office.shown(BAD, recovery(&codes[1]), address(200)).await;
    assert!(matches!(wrong, Err(Unproved::Wrong)), "{wrong:?}");
    let again = office.shown(GOOD, recovery(&codes[1]), address(200)).await;
    assert!(matches!(again, Err(Unproved::Later(_))), "{again:?}");
}

#[tokio::test]
async fn guesses_count_whatever_is_shown_between_them() {
    let (office, ada, _) = Office::with_app().await;
    let other = ada.shows_at(office.clock.now() + STEP * 10);
    let (mut looked_at, mut asked) = (0, 0);
    for second in 0..1_000 {
        // Who knows the password is asked for more, which takes nothing back.
        let code = if second % 2 == 0 { None } else { app(&other) };
        match office.shown(GOOD, code, address(1)).await {
            Err(Unproved::CodeWrong) => looked_at += 1,
            Err(Unproved::CodeMissing) => asked += 1,
            Err(Unproved::Later(_)) => {}
            other => panic!("{other:?}"),
        }
        office.wait(TimeDelta::seconds(1));
    }
    assert!((1..=10).contains(&looked_at), "{looked_at} are more than of passwords");
    assert!(asked > 0);
}

#[tokio::test]
async fn after_a_hundred_wrong_ones_only_a_recovery_code_helps() {
    let (office, ada, codes) = Office::with_app().await;
    let mut wrong = 0;
    while wrong < 100 {
        let other = ada.shows_at(office.clock.now() + STEP * 10);
        match office.shown(GOOD, app(&other), address(wrong)).await {
            Err(Unproved::CodeWrong) => wrong += 1,
            Err(Unproved::Later(wait)) => office.wait(TimeDelta::from_std(wait).unwrap()),
            other => panic!("{other:?}"),
        }
    }
    office.wait(TimeDelta::hours(1));
    let late = office.shown(GOOD, app(&ada.shows(&office)), HOME).await;
    assert!(matches!(late, Err(Unproved::CodesExhausted)), "{late:?}");
    office.shown(GOOD, recovery(&codes[0]), HOME).await.unwrap();
    office.wait(TimeDelta::hours(1));
    office.shown(GOOD, app(&ada.shows(&office)), HOME).await.expect("they count from the start");
}

#[tokio::test]
async fn an_app_is_set_up_within_ten_minutes_and_five_tries() {
    let office = Office::with_ada().await;
    let ada = office.enrol().await;
    office.wait(TimeDelta::minutes(10));
    let late = office.confirm(&ada.shows(&office)).await;
    assert!(matches!(late, Err(Unconfirmed::NotBegun)), "{late:?}");
    let ada = office.enrol().await;
    for _ in 0..5 {
        let wrong = office.confirm("x").await;
        assert!(matches!(wrong, Err(Unconfirmed::Wrong)), "{wrong:?}");
    }
    let late = office.confirm(&ada.shows(&office)).await;
    assert!(matches!(late, Err(Unconfirmed::NotBegun)), "{late:?}");
    // A second one takes the place of the first only when it has shown that it works.
    let first = office.enrol().await;
    office.confirm(&first.shows(&office)).await.unwrap();
    office.wait(STEP);
    let proved = office.shown(GOOD, app(&first.shows(&office)), HOME).await.unwrap();
    let second = App::told(&office.accounts.enrol(ACME, &proved, "Acme").await.unwrap());
    office.wait(STEP);
    office.shown(GOOD, app(&first.shows(&office)), HOME).await.unwrap();
    office.confirm(&second.shows(&office)).await.unwrap();
    office.wait(STEP);
    assert_wrong(&office.shown(GOOD, app(&first.shows(&office)), HOME).await);
    office.wait(STEP);
    office.shown(GOOD, app(&second.shows(&office)), HOME).await.unwrap();
}

#[tokio::test]
async fn it_is_asked_for_until_it_is_removed_or_the_member_is_invited_anew() {
    let (office, ada, codes) = Office::with_app().await;
    let proved = office.shown(GOOD, app(&ada.shows(&office)), HOME).await.unwrap();
    assert!(office.accounts.holds(ACME, &proved).await.unwrap());
    let without = office.accounts.remove_second_factor(ACME, &proved).await.unwrap();
    assert!(office.accounts.holds(ACME, &without).await.unwrap());
    assert!(!office.accounts.holds(ACME, &proved).await.unwrap());
    let bare = office.shown(GOOD, recovery(&codes[0]), HOME).await.unwrap();
    assert_eq!(bare.beside.methods(), [Method::Pwd].into(), "nothing is asked for");
    assert!(office.accounts.holds(ACME, &bare).await.unwrap());

    let ada = office.enrol().await;
    office.confirm(&ada.shows(&office)).await.unwrap();
    assert!(!office.accounts.holds(ACME, &bare).await.unwrap(), "more is asked for by now");
    assert!(matches!(office.shown(GOOD, None, HOME).await, Err(Unproved::CodeMissing)));
    office.set(ACME, ADA, "another invite", "ada", GOOD).await.unwrap();
    let invited = office.shown(GOOD, None, HOME).await.unwrap();
    assert_eq!(invited.beside.methods(), [Method::Pwd].into());
    // Others are asked for what is theirs alone.
    office.set(GLOBEX, ADA, "elsewhere", "ada", GOOD).await.unwrap();
    let ada = office.enrol().await;
    office.confirm(&ada.shows(&office)).await.unwrap();
    office.prove(&Whose::Tenant(GLOBEX), "ada", GOOD, HOME).await.unwrap();
}

/// Whoever was let in for something else than what is asked for by now changes nothing.
#[tokio::test]
async fn what_was_shown_before_a_change_is_good_for_nothing_after_it() {
    let office = Office::with_ada().await;
    let bare = office.shown(GOOD, None, HOME).await.unwrap();
    let (accounts, login) = (&office.accounts, LoginName::new("ada").unwrap());
    let hashed = accounts.hash(ACME, login, BAD.into(), Vec::new(), NOWHERE).await.unwrap();
    let first = office.enrol().await;
    office.confirm(&first.shows(&office)).await.unwrap();
    office.wait(STEP);
    let shown = office.shown(GOOD, app(&first.shows(&office)), HOME).await.unwrap();
    let second = App::told(&accounts.enrol(ACME, &shown, "Acme").await.unwrap());
    office.confirm(&second.shows(&office)).await.unwrap();
    for former in [&bare, &shown] {
        assert!(!accounts.holds(ACME, former).await.unwrap());
        assert!(matches!(accounts.enrol(ACME, former, "Acme").await, Err(Unset::Used)));
        let removed = accounts.remove_second_factor(ACME, former).await;
        assert!(matches!(removed, Err(Unset::Used)), "{removed:?}");
        let renewed = accounts.renew_recovery_codes(ACME, former).await;
        assert!(matches!(renewed, Err(Unset::Used)));
        let replaced = accounts.replace(ACME, former, &hashed).await;
        assert!(matches!(replaced, Err(Unset::Used)), "{replaced:?}");
    }
    office.wait(STEP);
    let now = office.shown(GOOD, app(&second.shows(&office)), HOME).await.unwrap();
    let third = App::told(&accounts.enrol(ACME, &now, "Acme").await.unwrap());
    let now = accounts.replace(ACME, &now, &hashed).await.unwrap();
    assert!(accounts.holds(ACME, &now).await.unwrap());
    // What was begun with the former password goes no further with this one.
    assert!(matches!(office.confirm(&third.shows(&office)).await, Err(Unconfirmed::NotBegun)));
}
