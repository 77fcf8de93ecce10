//! Two processes on one log: what one does not own, the other decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use commands::request::Repetition;
use commands::{
    Away, CommandError, Commands, Mode, Outcome, Peers, Request, SecretOf, SystemClock,
};
use domain::id::{ActorId, SessionId, TenantId};
use domain::member::{self, Lifetime, Method, SignIn};
use domain::operation::Operation;
use domain::personal::Digest;
use domain::principal::{Means, Permission, Principal};
use event_log::memory::{Fault, Group};
use event_log::{EventLog, MemoryLog, Partition};
use outbound::{Limits, PeerClient};
use projections::temporary::{Kind, Temporary};
use projections::{Model, Projections};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use vault::{Keyring, MemoryVault, Root};

use super::authority::{self, Authority};
use super::{carried, client, refused, rename};
use crate::auth::{Credential, Hosts, Secret, Session, Verifier};
use crate::peers::{COMMANDS, Carried, Carrier, NotCarried, PeerListener, Sender};
use crate::testing::{SOON, settings};
use crate::{Connections, Context, Doors, auth};

/// The real client, which loses as many answers, or waits for as many for ever, as it is told to.
#[derive(Debug)]
struct Losing {
    client: PeerClient,
    answers: Arc<AtomicUsize>,
    silent: Arc<AtomicUsize>,
}

#[async_trait]
impl Carrier for Losing {
    async fn carry(
        &self,
        address: &str,
        path: &str,
        credential: Option<&Credential>,
        body: Bytes,
    ) -> Result<Carried, NotCarried> {
        let answer = carried(&self.client, address, path, credential, body).await;
        let (one_less, order) = (|it: usize| it.checked_sub(1), Ordering::SeqCst);
        if self.silent.fetch_update(order, order, one_less).is_ok() {
            std::future::pending::<()>().await;
        }
        if self.answers.fetch_update(order, order, one_less).is_ok() {
            return Err(NotCarried::NoAnswer("lost on purpose".to_owned()));
        }
        answer
    }
}

pub(super) struct Process {
    pub(super) commands: Commands,
    pub(super) context: Context,
    pub(super) address: String,
    lost: Arc<AtomicUsize>,
    silent: Arc<AtomicUsize>,
    _folder: TempDir,
    _place: Temporary,
}

impl Process {
    async fn start(log: &MemoryLog, keyring: &Keyring, authority: &Authority) -> Self {
        let (place, folder) = (Temporary::new(Kind::Sqlite).await, TempDir::new().unwrap());
        let log: Arc<dyn EventLog> = Arc::new(log.clone());
        let identity = authority.identity("127.0.0.1");
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = PeerListener::bind(any, authority::shown(&identity)).await.unwrap();
        let address = listener.address().to_string();
        let (lost, silent) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let limits = Limits { time: SOON, ..Limits::default() };
        let client = PeerClient::new(&identity, limits).unwrap();
        let carrier = Losing { client, answers: lost.clone(), silent: silent.clone() };
        let mut sender = Sender::new(log.owners(), Arc::new(carrier));
        sender.patience = Duration::from_secs(1);
        sender.after_move = Duration::from_millis(50);
        let settings_of_commands = commands::Settings {
            address: Some(address.clone()),
            peers: Some(Arc::new(sender.clone()) as Arc<dyn Peers>),
            ..commands::Settings::new(folder.path().join("identities"))
        };
        let clock = Arc::new(SystemClock);
        let commands =
            Commands::start(log.clone(), keyring.clone(), clock, settings_of_commands).await;
        let commands = commands.unwrap();
        let projections = Projections::start(place.settings(), log.clone(), keyring.clone()).await;
        let projections = Arc::new(projections.unwrap());
        let context = Context::new(commands.clone(), projections, log, keyring.clone(), SOON);
        let context = context.with_peers(sender);
        let router =
            Doors::between_processes(context.clone(), &settings(&CancellationToken::new()));
        tokio::spawn(Doors::serve(
            listener,
            router,
            Connections::of_peers(),
            CancellationToken::new(),
        ));
        Self { commands, context, address, lost, silent, _folder: folder, _place: place }
    }

    /// Who comes with this credential.
    async fn enter(&self, keyring: &Keyring, token: &str) -> Session {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        let verified =
            Verifier::between_processes(keyring.clone()).verified(&headers).unwrap().unwrap();
        verified.enter(&self.context).await.unwrap()
    }

    async fn ask(&self, session: &Session, request: Request) -> Result<Outcome, CommandError> {
        self.context.submit(session, request).await
    }
}

/// Two processes, and a tenant in partition 1. The first owns partition 0, nobody owns 1.
pub(super) struct Two {
    pub(super) log: MemoryLog,
    pub(super) group: Group,
    pub(super) keyring: Keyring,
    pub(super) one: Process,
    pub(super) two: Process,
    pub(super) authority: Authority,
    pub(super) session: Session,
    token: String,
}

/// Where the tenant is.
pub(super) const ITS: Partition = Partition(1);

impl Two {
    pub(super) async fn start() -> Self {
        let log = MemoryLog::new(2);
        let (group, authority) = (log.group(), Authority::new());
        let root = Root::from_hex(&"07".repeat(32), "the test").unwrap();
        let keyring = Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap();
        let one = Process::start(&log, &keyring, &authority).await;
        let two = Process::start(&log, &keyring, &authority).await;
        group.seize(Partition(0), 0);
        group.seize(ITS, 0);
        for partition in [Partition(0), ITS] {
            one.commands.owned().wait_for(|it| it.contains(&partition)).await.unwrap();
        }
        let actor = ActorId(Uuid::now_v7());
        let tenant = tenant_of(&one.commands, ITS, Some(actor)).await;
        let hour = Duration::from_secs(3_600);
        let token = auth::mint(keyring.issuer(), tenant, actor, hour).unwrap();
        let session = one.enter(&keyring, &token).await;
        Self { log, group, keyring, one, two, authority, session, token }
    }
}

/// A new tenant there. Each goes where there are fewest.
pub(super) async fn tenant_on(commands: &Commands, partition: Partition) -> TenantId {
    tenant_of(commands, partition, None).await
}

/// The same with its owner.
async fn tenant_of(commands: &Commands, partition: Partition, owner: Option<ActorId>) -> TenantId {
    let operator = Principal::unchecked(TenantId::SYSTEM, ActorId::SYSTEM);
    for _ in 0..8 {
        let tenant = TenantId(Uuid::now_v7());
        let slug = format!("t{}", tenant.0.simple()).parse().unwrap();
        let name = "Its name".parse().unwrap();
        let register = Operation::RegisterTenant { tenant, slug, name, owner };
        commands.submit(&operator, Request::new(register)).await.unwrap();
        commands.created(tenant, SOON).await.unwrap();
        if commands.partition_of(tenant) == Some(partition) {
            return tenant;
        }
    }
    panic!("no tenant is placed on partition {partition}");
}

#[tokio::test]
async fn a_change_is_decided_where_it_may_be_and_seen_where_it_was_asked_for() {
    let two = Two::start().await;
    for (owner, name) in [(1, "Second"), (0, "First"), (1, "Second again")] {
        two.group.hand_over(ITS, owner).await;
        for (process, at) in [(&two.one, "here"), (&two.two, "there")] {
            let request = rename(&format!("{name} {at}"));
            let outcome = process.ask(&two.session, request).await.unwrap();
            assert_eq!((outcome.partition, outcome.events.len()), (ITS, 1));
            let models = process.context.projections().models();
            let seen = models.wait_for(&[Model::ALL[0]], ITS, outcome.position, SOON).await;
            seen.unwrap();
        }
    }
    // What the owner refuses is refused in the same words.
    let denied = Request::new(Operation::ReactivateTenant { tenant: TenantId::SYSTEM });
    let denied = two.one.ask(&two.session, denied).await.unwrap_err();
    assert!(matches!(denied, CommandError::Denied(_)), "{denied:?}");
}

#[tokio::test]
async fn an_api_key_is_good_wherever_it_is_decided_and_until_it_is_revoked_there() {
    let two = Two::start().await;
    let tenant = two.session.principal.tenant();
    two.group.hand_over(ITS, 1).await;
    let key = ActorId(Uuid::now_v7());
    let text = Secret::draw(&two.keyring, SecretOf::ApiKey, tenant, key);
    let asked = member::ApiKey {
        name: "ci".parse().unwrap(),
        scope: vec![Permission::TenantWrite],
        secret: two.one.commands.digest_of_secret(tenant, SecretOf::ApiKey, &text).await.unwrap(),
        expires_at: chrono::Utc::now() + chrono::TimeDelta::hours(1),
    };
    let issue = Request::new(Operation::IssueApiKey { key, asked });
    two.one.ask(&two.session, issue).await.unwrap();
    let session = two.one.enter(&two.keyring, &text).await;
    let renamed = two.one.ask(&session, rename("By a machine")).await.unwrap();
    assert_eq!(renamed.events.len(), 1);
    let revoke = Request::new(Operation::RevokeApiKey { member: None, key });
    two.two.ask(&two.session, revoke).await.unwrap();
    let refused = two.one.ask(&session, rename("By nobody")).await;
    assert!(refused.is_err(), "{refused:?}");
}

/// A new session of the tenant's owner, as it is named.
async fn signed_in(two: &Two, at: &Process) -> (SessionId, Session) {
    let (tenant, actor) = (two.session.principal.tenant(), two.session.principal.actor());
    let methods = [Method::Pwd].into();
    let (lifetime, others) = (Lifetime::SESSION_MAX, auth::Others::Stay);
    let asking = auth::Asking { methods, proved_s_ago: Some(0), lifetime, others, term: None };
    let signed_in = auth::sign_in(&at.context, tenant, actor, asking).await.unwrap();
    let text = signed_in.cookie.to_str().unwrap().split([';', '=']).nth(1).unwrap().to_owned();
    (signed_in.session, at.enter(&two.keyring, &text).await)
}

#[tokio::test]
async fn a_session_begins_where_it_may_and_is_good_wherever_it_is_decided_until_it_ends_there() {
    let two = Two::start().await;
    two.group.hand_over(ITS, 1).await;
    // The answer is lost once: it begins once all the same.
    two.two.lost.store(1, Ordering::SeqCst);
    let (_, here) = signed_in(&two, &two.one).await;
    let (there, _) = signed_in(&two, &two.two).await;
    assert_eq!(two.two.commands.sessions(&here.principal).len(), 2);
    let renamed = two.one.ask(&here, rename("In a session")).await.unwrap();
    assert_eq!(renamed.events.len(), 1);
    let Means::Session(id) = here.principal.means() else { panic!("{here:?}") };
    for session in [there, id] {
        let out = Operation::SignOut { member: None, session: Some(session) };
        two.two.ask(&two.session, Request::new(out)).await.unwrap();
    }
    let refused = two.one.ask(&here, rename("By nobody")).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn who_passes_on_that_somebody_has_signed_in_needs_the_proof_and_can_do_nothing_else_with_it()
{
    let two = Two::start().await;
    let peer = client(&two.authority.identity("127.0.0.1"));
    let (tenant, actor) = (two.session.principal.tenant(), two.session.principal.actor());
    let proof = auth::token::mint_proof(two.keyring.issuer(), tenant, actor).unwrap();
    let asked = SignIn {
        secret: Digest([1; 16]),
        methods: [Method::Pwd].into(),
        proved_s_ago: Some(0),
        lifetime: Lifetime::SESSION_MAX,
        ends_others: false,
        term: None,
    };
    let sign_in = || {
        let session = SessionId(Uuid::now_v7());
        Request::new(Operation::SignIn { session, asked: asked.clone() })
    };
    let asks = async |token: &str, request: Request| {
        let body = serde_json::to_vec(&request).unwrap().into();
        let bearer = format!("Bearer {token}");
        let answer = peer.post(&two.one.address, COMMANDS, Some(&bearer), body).await.unwrap();
        assert_eq!(answer.status, 200);
        serde_json::from_slice::<Result<Outcome, CommandError>>(&answer.body).unwrap()
    };
    let begun = asks(&proof, sign_in()).await.unwrap();
    assert_eq!(begun.events[0].name, "member.signed-in.v1");
    let by_token = asks(&two.token, sign_in()).await.unwrap_err();
    assert!(by_token.to_string().contains("just proved"), "{by_token}");
    let denied = asks(&proof, rename("By proof")).await.unwrap_err();
    assert!(matches!(denied, CommandError::Denied(_)), "{denied:?}");
    let out = Operation::SignOut { member: None, session: None };
    let not_in_person = asks(&proof, Request::new(out)).await.unwrap_err();
    assert!(not_in_person.to_string().contains("in person"), "{not_in_person}");

    // At a public door it is nothing.
    let hosts = Hosts::new(two.one.commands.clone(), "localhost".into());
    let public = Verifier::new(two.keyring.clone(), hosts);
    let at_public = |token: &str| {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        public.verified(&headers).map(|it| it.is_some())
    };
    assert!(at_public(&two.token).unwrap());
    assert_eq!(at_public(&proof).unwrap_err().status, 401);
}

#[tokio::test]
async fn what_follows_for_a_tenant_is_done_by_whoever_owns_its_partition() {
    let two = Two::start().await;
    two.group.hand_over(ITS, 1).await;
    // The first owns the directory, where the tenant is registered; the second creates it.
    let tenant = tenant_on(&two.one.commands, ITS).await;
    assert!(!two.one.commands.owned().borrow().contains(&ITS));
    assert!(two.two.commands.owned().borrow().contains(&ITS));
    two.two.commands.created(tenant, SOON).await.unwrap();
}

#[tokio::test]
async fn a_request_waits_for_an_owner_but_not_for_ever() {
    let two = Two::start().await;
    // Nobody hears that the first has lost it, and the last address that was announced is its.
    two.group.tell_lost(ITS, 0);
    two.one.commands.owned().wait_for(|it| !it.contains(&ITS)).await.unwrap();
    let late = two.two.ask(&two.session, rename("Late")).await.unwrap_err();
    assert!(matches!(late, CommandError::Unavailable(Away::Owner)), "{late:?}");
    let waiting = two.two.ask(&two.session, rename("In time"));
    let taking = async {
        tokio::task::yield_now().await;
        two.group.seize(ITS, 1);
    };
    let (outcome, ()) = tokio::join!(waiting, taking);
    assert_eq!(outcome.unwrap().events.len(), 1);
}

#[tokio::test]
async fn nobody_passes_on_what_was_passed_on() {
    let two = Two::start().await;
    let peer = client(&two.authority.identity("127.0.0.1"));
    let asks = async |process: &Process| {
        let bearer = format!("Bearer {}", two.token);
        let body = serde_json::to_vec(&rename("Passed on")).unwrap().into();
        peer.post(&process.address, COMMANDS, Some(&bearer), body).await.unwrap()
    };
    assert_eq!(refused(&asks(&two.two).await), (421, "NOT_OWNER".into()));
    // Positive control: at its public door it would have been.
    two.two.ask(&two.session, rename("Passed on")).await.unwrap();
    assert_eq!(asks(&two.one).await.status, 200);
}

#[tokio::test]
async fn what_may_have_happened_is_asked_again_only_if_nothing_happens_twice() {
    let two = Two::start().await;
    let lose = |answers| two.two.lost.store(answers, Ordering::SeqCst);
    lose(1);
    let unknown = two.two.ask(&two.session, rename("Unkeyed")).await.unwrap_err();
    assert!(matches!(unknown, CommandError::Unknown), "{unknown:?}");

    lose(2);
    let key = Some("once".parse().unwrap());
    let keyed = Request { idempotency_key: key, ..rename("Keyed") };
    let outcome = two.two.ask(&two.session, keyed.clone()).await.unwrap();
    assert_eq!((outcome.events.len(), outcome.repetition), (1, Repetition::Remembered));
    // Created, renamed without a key although nobody heard, renamed with one, once.
    let name = "tenant.renamed.v1";
    assert_eq!((&*outcome.events[0].name, outcome.events[0].revision), (name, 3));

    lose(1);
    let preview = Request { mode: Mode::Preview, ..rename("Perhaps") };
    assert_eq!(two.two.ask(&two.session, preview).await.unwrap().events.len(), 1);
    // It may have been done, so it is not said that it was not.
    lose(usize::MAX);
    let unknown = two.two.ask(&two.session, keyed).await.unwrap_err();
    assert!(matches!(unknown, CommandError::Unknown), "{unknown:?}");
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_does_not_say_that_nothing_was_done() {
    let two = Two::start().await;
    let keyed = |key: &str| {
        let idempotency_key = Some(key.parse().unwrap());
        Request { idempotency_key, ..rename(key) }
    };
    // The control: where nothing was lost, it says so.
    two.log.faults().fail_next(Fault::Refused);
    let refused = two.two.ask(&two.session, keyed("first")).await.unwrap_err();
    assert!(matches!(refused, CommandError::Unavailable(_)), "{refused:?}");
    two.two.lost.store(1, Ordering::SeqCst);
    for _ in 0..2 {
        two.log.faults().fail_next(Fault::Refused);
    }
    let unknown = two.two.ask(&two.session, keyed("second")).await.unwrap_err();
    assert!(matches!(unknown, CommandError::Unknown), "{unknown:?}");
}

#[tokio::test]
async fn the_next_owner_says_what_became_of_what_the_last_one_did_not_know() {
    let two = Two::start().await;
    two.log.faults().fail_next(Fault::UnknownWritten);
    let held = two.log.faults().hold();
    let key = Some("once".parse().unwrap());
    let asking = two.one.ask(&two.session, Request { idempotency_key: key, ..rename("Moved") });
    let moving = async {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        two.group.tell_lost(ITS, 0);
        drop(held);
        two.one.commands.owned().wait_for(|it| !it.contains(&ITS)).await.unwrap();
        two.group.seize(ITS, 1);
    };
    let (outcome, ()) = tokio::join!(asking, moving);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.events.len(), outcome.repetition), (1, Repetition::Remembered));
}

#[tokio::test]
async fn who_is_silent_is_not_waited_for_once_another_one_owns_the_partition() {
    let two = Two::start().await;
    two.two.silent.store(1, Ordering::SeqCst);
    let key = Some("once".parse().unwrap());
    let asking = two.two.ask(&two.session, Request { idempotency_key: key, ..rename("Silent") });
    let moving = async {
        while two.two.silent.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
        // Longer than a request waits for an owner.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        two.group.hand_over(ITS, 1).await;
    };
    let moved = async { tokio::join!(asking, moving).0 };
    let outcome = tokio::time::timeout(SOON, moved).await.expect("nobody waits for ever").unwrap();
    assert_eq!((outcome.events.len(), outcome.repetition), (1, Repetition::Remembered));
}
