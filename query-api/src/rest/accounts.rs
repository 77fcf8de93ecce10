//! The doors for who has no credential yet: signing in with a password, and setting one.
//!
//! Which tenant is meant only the host says. What is refused here says the same, after as much
//! work, whether there is no such tenant, no such account or another password. Neither login names
//! nor passwords are repeated in an answer or written to the log.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::{self, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use commands::{CommandError, Request, SecretOf};
use domain::id::{ActorId, ProviderId, TenantId};
use domain::member::{CredentialChange, Lifetime, Method, Term};
use domain::operation::Operation;
use domain::principal::Means;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::{Door, Problem, second_factor};
use crate::accounts::{
    AccountFault, Grant, LoginName, NoLoginName, NoPassword, Once, Password, Proof, Proved, Shown,
    Unproved, Unset, Whose,
};
use crate::auth::{
    Asking, Others, Secret, Session, SignedIn, change_credential, cookie, host, sign_in,
};
use crate::doors::ClientAddress;
use crate::error::{ApiError, UNAVAILABLE_RETRY_AFTER};

/// The most that a request may say, in bytes: 4,096, several times what it needs.
pub(super) const BYTES_MAX: usize = 4_096;

/// When to try again where too many passwords are looked at. In seconds: 1.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who somebody says they are, and what they prove it with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Credentials {
    /// The login name.
    login: String,
    /// The password.
    #[schema(value_type = String)]
    password: Password,
    /// The six digits that the member's app shows, if they are asked for.
    #[serde(default)]
    code: Option<String>,
    /// A recovery code instead, which is used up.
    #[serde(default)]
    recovery_code: Option<String>,
}

/// What somebody was invited with, and how they sign in from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Acceptance {
    /// The text of the invite, `cbi_…`.
    invite: String,
    /// The login name, 1 to 128 characters. Neither case nor how it is composed counts.
    login: String,
    /// The password, 12 to 128 characters of any kind, that is not easy to guess.
    #[schema(value_type = String)]
    password: Password,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Change {
    /// The one that is good now.
    #[schema(value_type = String)]
    current: Password,
    /// The six digits that the member's app shows, if they are asked for.
    #[serde(default)]
    code: Option<String>,
    /// A recovery code instead, which is used up.
    #[serde(default)]
    recovery_code: Option<String>,
    /// The one that is good from now on, 12 to 128 characters of any kind, that is not easy to guess.
    #[schema(value_type = String)]
    new: Password,
}

/// Signs in with a login name and a password, and what is asked for beside it: sets the cookie of a
/// session. Whoever lacks the second is told so (`SECOND_FACTOR_REQUIRED`) once the first is right.
#[utoipa::path(
    post,
    path = "/api/v1/sign-in",
    request_body = Credentials,
    responses(
        (status = 204, description = "The session is in the cookie that is set."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn enter(
    State(door): State<Door>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let former = door.session(request.headers()).await.ok();
    let asked = Asked::<Credentials>::read(&door, request).await?;
    let Credentials { login, password, code, recovery_code } = asked.body;
    let login = login_name(&login)?;
    let shown = Shown { password, code: second_factor::code(code, recovery_code)? };
    let proved = door.accounts.prove(&asked.whose, &login, shown, asked.from).await?;
    let Whose::Tenant(tenant) = asked.whose else { return Err(Unproved::Wrong.into()) };
    let entered = enter_proved(&door, tenant, &proved.proof, Others::Stay).await;
    // Nobody has failed because the log is away or others ask for too much.
    if entered.as_ref().err().is_none_or(|it| it.status != StatusCode::FORBIDDEN) {
        let_in(&door, &proved).await;
    }
    let entered = entered?;
    // The browser has one session of a host, and forgets the one before.
    if let Some(former) = former {
        leave(&door, &former).await;
    }
    Ok(handed(entered))
}

/// Accepts an invite: sets how the member signs in from now on, and signs in.
#[utoipa::path(
    post,
    path = "/api/v1/invites/accept",
    request_body = Acceptance,
    responses(
        (status = 204, description = "The session is in the cookie that is set."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn accept(
    State(door): State<Door>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let former = door.session(request.headers()).await.ok();
    let asked = Asked::<Acceptance>::read(&door, request).await?;
    let Acceptance { invite, login, password } = asked.body;
    let login = login_name(&login)?;
    let made = invited(&door, &asked.whose, &invite).await?;
    let (tenant, member) = (made.tenant, made.actor);
    if door.accounts.is_used(tenant, &invite).await? {
        return Err(no_invite());
    }
    let hashed =
        door.accounts.hash(tenant, login, password, names(&door, tenant), asked.from).await;
    let hashed = hashed.map_err(|it| unset(it, "password"))?;
    // It took a while, in which another invite may have been made out, or the member removed.
    let commands = door.context.commands();
    let term = commands.invited_still(tenant, member, &invite).await?.ok_or_else(no_invite)?;
    let ends_at = Lifetime::INVITE_MAX.after(Utc::now());
    if !door.accounts.may_try(tenant, &invite, ends_at).await? {
        return Err(no_invite());
    }
    let grant = Grant { tenant, member, term, once: Once::Invite(&invite, ends_at) };
    note(&door, tenant, (member, term), CredentialChange::PasswordSet).await?;
    let belongs = |member, term| commands.term(tenant, member) == Some(term);
    door.accounts.set(&grant, &hashed, belongs).await.map_err(|error| match error {
        Unset::Used => no_invite(),
        error => unset(error, "password"),
    })?;
    let methods = [Method::Pwd].into();
    let entered = begin(&door, tenant, (member, term), methods, Others::End).await?;
    if let Some(former) = former.filter(|it| it.principal.actor() != member) {
        leave(&door, &former).await;
    }
    Ok(handed(entered))
}

/// Changes one's own password, which needs the one that is good now.
#[utoipa::path(
    put,
    path = "/api/v1/account/password",
    security(("session" = [])),
    request_body = Change,
    responses(
        (
            status = 204,
            description = "The new one is good from now on, and all sessions have ended but the one in \
                           the cookie that is set.",
        ),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn change(
    State(door): State<Door>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let (oneself, asked) = Oneself::asking::<Change>(&door, request).await?;
    let Change { current, code, recovery_code, new } = asked.body;
    let shown = Shown { password: current, code: second_factor::code(code, recovery_code)? };
    let proof = oneself.prove(&door, shown, asked.from).await?;
    let Oneself { tenant, login, .. } = oneself;
    let hashed = door.accounts.hash(tenant, login, new, names(&door, tenant), asked.from).await;
    let hashed = hashed.map_err(|it| unset(it, "new"))?;
    note(&door, tenant, (proof.member, proof.term), CredentialChange::PasswordSet).await?;
    let replaced = door.accounts.replace(tenant, &proof, &hashed).await;
    let proof = replaced.map_err(|it| unset(it, "new"))?;
    Ok(handed(enter_proved(&door, tenant, &proof, Others::End).await?))
}

/// A member in a session of theirs who has an account.
pub(super) struct Oneself {
    pub(super) tenant: TenantId,
    pub(super) member: ActorId,
    pub(super) login: LoginName,
}

impl Oneself {
    /// Who asks something about their own account, and what.
    pub(super) async fn asking<T: DeserializeOwned>(
        door: &Door,
        request: extract::Request,
    ) -> Result<(Self, Asked<T>), Problem> {
        let oneself = Self::of(door, request.headers()).await?;
        let asked = Asked::read(door, request).await?;
        if asked.whose != Whose::Tenant(oneself.tenant) {
            let detail = "nothing can be changed while the tenant is not active";
            return Err(Problem::new(StatusCode::CONFLICT, "TENANT_NOT_ACTIVE", detail));
        }
        Ok((oneself, asked))
    }

    /// Who sent a request with these headers.
    pub(super) async fn of(door: &Door, headers: &HeaderMap) -> Result<Self, Problem> {
        let principal = door.session(headers).await?.principal;
        if !matches!(principal.means(), Means::Session(_)) {
            let detail = "only who has signed in asks about their own account";
            return Err(Problem::new(StatusCode::FORBIDDEN, "FORBIDDEN", detail));
        }
        let (tenant, member) = (principal.tenant(), principal.actor());
        let login = door.accounts.login_of(tenant, member).await?;
        let login = login.ok_or_else(|| {
            let detail = "you sign in otherwise than with a password";
            Problem::new(StatusCode::CONFLICT, "NO_PASSWORD", detail)
        })?;
        Ok(Self { tenant, member, login })
    }

    /// Proves once more who they are.
    pub(super) async fn prove(
        &self,
        door: &Door,
        shown: Shown,
        from: ClientAddress,
    ) -> Result<Proof, Problem> {
        let whose = Whose::Tenant(self.tenant);
        let proved = door.accounts.prove(&whose, &self.login, shown, from).await?;
        // The login name may be somebody else's since it was looked up.
        if proved.proof.member != self.member {
            return Err(Unproved::Wrong.into());
        }
        let_in(door, &proved).await;
        Ok(proved.proof)
    }
}

/// A request at one of these doors.
pub(super) struct Asked<T> {
    pub(super) whose: Whose,
    pub(super) from: ClientAddress,
    pub(super) body: T,
}

impl<T: DeserializeOwned> Asked<T> {
    /// Reads a request, which is JSON from a page of the host that it is for, if it is from a page.
    pub(super) async fn read(door: &Door, request: extract::Request) -> Result<Self, Problem> {
        let headers = request.headers();
        if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") {
            cookie::check_origin(headers)?;
        }
        if !is_json(headers) {
            let detail = "expected `Content-Type: application/json`";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "UNSUPPORTED_MEDIA_TYPE", detail));
        }
        let whose = match door.hosts.selected(headers)? {
            Some(tenant) => Whose::Tenant(tenant),
            None => Whose::Nobody(host_name(headers)),
        };
        let from = *request.extensions().get::<ClientAddress>().ok_or_else(internal)?;
        let body = super::read_body(request).await?;
        // What is wrong with it is not repeated: it may be a password.
        let body = serde_json::from_slice(&body).map_err(|_| {
            let fields = "expected a JSON object with the fields that are described, and no others";
            Problem::bad_request(fields)
        })?;
        Ok(Self { whose, from, body })
    }
}

/// Begins a session for who has shown what is asked for, unless something else is by the time it has
/// begun: whoever has changed that has ended all sessions, and may have come before this one.
pub(super) async fn enter_proved(
    door: &Door,
    tenant: TenantId,
    proof: &Proof,
    others: Others,
) -> Result<SignedIn, Problem> {
    let whom = (proof.member, proof.term);
    let entered = begin(door, tenant, whom, proof.beside.methods(), others).await?;
    if door.accounts.holds(tenant, proof).await? {
        return Ok(entered);
    }
    leave(door, &entered.as_session(tenant, proof.member)).await;
    Err(Unproved::Wrong.into())
}

/// Begins a session for who has proved by these methods who they are.
pub(super) async fn begin(
    door: &Door,
    tenant: TenantId,
    (member, term): (ActorId, Term),
    methods: BTreeSet<Method>,
    others: Others,
) -> Result<SignedIn, Problem> {
    let lifetime = Lifetime::SESSION_MAX;
    let asked = Asking { methods, proved_s_ago: Some(0), lifetime, others, term: Some(term) };
    accepted(sign_in(&door.context, tenant, member, asked).await)
}

/// Records how a member who has just proved who they are proves it from now on: before it is so, that no change
/// goes unrecorded. Where it then comes to nothing, it was recorded all the same.
pub(super) async fn note(
    door: &Door,
    tenant: TenantId,
    whom: (ActorId, Term),
    change: CredentialChange,
) -> Result<(), Problem> {
    accepted(change_credential(&door.context, tenant, whom, change, None).await)
}

/// The same of a provider that says from now on, too, who they are.
pub(super) async fn note_link(
    door: &Door,
    tenant: TenantId,
    whom: (ActorId, Term),
    provider: ProviderId,
) -> Result<(), Problem> {
    let change = CredentialChange::ProviderLinked;
    accepted(change_credential(&door.context, tenant, whom, change, Some(provider)).await)
}

/// What became of a command of who has proved who they are.
fn accepted<T>(outcome: Result<T, CommandError>) -> Result<T, Problem> {
    outcome.map_err(|error| match error {
        // They are no member any more, or their tenant lets nobody in: that is nobody's business.
        CommandError::Rejected { .. } | CommandError::Denied(_) => Unproved::Wrong.into(),
        error => error.into(),
    })
}

/// Hands a session to the browser.
pub(super) fn handed(entered: SignedIn) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    let headers = [(header::SET_COOKIE, entered.cookie), (header::CACHE_CONTROL, no_store)];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Ends a session, if it is one. Whoever has it no longer does not wait for it to end.
pub(super) async fn leave(door: &Door, session: &Session) {
    let Means::Session(id) = session.principal.means() else { return };
    let operation = Operation::SignOut { member: None, session: Some(id) };
    if let Err(error) = door.context.submit(session, Request::new(operation)).await {
        tracing::warn!(error = %error, "a session goes on that nobody has any more");
    }
}

/// Whoever is in does not wait for what is written about how they came in.
async fn let_in(door: &Door, proved: &Proved) {
    if let Err(error) = door.accounts.let_in(proved).await {
        tracing::warn!(error = ?error, "an attempt to sign in counts as failed, but was none");
    }
}

/// Whom an invite is for, if it is good at this host.
pub(super) async fn invited(door: &Door, whose: &Whose, invite: &str) -> Result<Secret, Problem> {
    let keyring = door.context.keyring();
    let made = Secret::read(keyring, SecretOf::Invite, invite).ok_or_else(no_invite)?;
    if *whose != Whose::Tenant(made.tenant) {
        return Err(no_invite());
    }
    let invited = door.context.commands().invited(made.tenant, made.actor, invite).await?;
    invited.map(|_| made).ok_or_else(no_invite)
}

pub(super) fn no_invite() -> Problem {
    let detail = "the invite is not good here, or not any more; ask for another one";
    Problem::new(StatusCode::FORBIDDEN, "INVITE_REFUSED", detail)
}

pub(super) fn login_name(text: &str) -> Result<LoginName, Problem> {
    LoginName::new(text).map_err(|error: NoLoginName| Problem::bad_field("login", error))
}

/// What is known of a tenant, and so is in no good password.
fn names(door: &Door, tenant: TenantId) -> Vec<String> {
    let directory = door.context.commands().directory();
    let entry = directory.entry(tenant);
    entry.map_or_else(Vec::new, |it| vec![it.slug.as_str().to_owned(), it.name.as_str().to_owned()])
}

fn host_name(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).map(|it| String::from_utf8_lossy(it.as_bytes()));
    host::name(&host.unwrap_or_default()).to_ascii_lowercase()
}

fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let essence = said.and_then(|it| it.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn internal() -> Problem {
    let detail = "internal fault; the operator's log says more";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", detail)
}

/// The same for whoever comes too often and who comes at a bad time.
fn busy() -> Problem {
    let detail = "too many passwords are being looked at; try again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", detail)
        .retry_after(Some(BUSY_RETRY_AFTER))
}

pub(super) fn unset(error: Unset, field: &'static str) -> Problem {
    match error {
        Unset::Password(error @ (NoPassword::Length | NoPassword::Guessable)) => {
            Problem::bad_field(field, error)
        }
        Unset::Taken => {
            let detail = "another member has this login name; choose another one";
            Problem::new(StatusCode::CONFLICT, "LOGIN_TAKEN", detail)
        }
        Unset::Used => {
            let detail = "how you sign in was changed meanwhile; sign in again";
            Problem::new(StatusCode::CONFLICT, "CONFLICT", detail)
        }
        Unset::Busy => busy(),
        Unset::Fault(error) => error.into(),
    }
}

impl From<Unproved> for Problem {
    fn from(error: Unproved) -> Self {
        match error {
            Unproved::Wrong => {
                let detail = "the login name or the password is wrong, or nobody signs in here";
                Self::new(StatusCode::FORBIDDEN, "SIGN_IN_REFUSED", detail)
            }
            Unproved::CodeMissing => {
                let detail = "send the `code` that your app shows as well, or a `recoveryCode`";
                Self::new(StatusCode::FORBIDDEN, "SECOND_FACTOR_REQUIRED", detail)
            }
            Unproved::CodeWrong => {
                let detail = "the code is wrong, or was used before; each is good once, so wait for the \
                              next one that your app shows, or send a `recoveryCode`";
                Self::new(StatusCode::FORBIDDEN, "SECOND_FACTOR_REFUSED", detail)
            }
            Unproved::CodesExhausted => {
                let detail = "too many codes were wrong, so none is taken any more; send a \
                              `recoveryCode`, or ask who manages members for an invite";
                Self::new(StatusCode::FORBIDDEN, "SECOND_FACTOR_EXHAUSTED", detail)
            }
            Unproved::Later(wait) => {
                let detail = "too many attempts have failed; try again later";
                Self::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_ATTEMPTS", detail)
                    .retry_after(Some(wait))
            }
            Unproved::Busy => busy(),
            Unproved::Fault(error) => error.into(),
        }
    }
}

impl From<AccountFault> for Problem {
    fn from(error: AccountFault) -> Self {
        match error {
            AccountFault::Keyring(error) => ApiError::from(error).into(),
            AccountFault::Record(vault::RecordError::Vault(error)) if error.is_away() => {
                tracing::error!(error = ?error, "accounts cannot be looked up");
                let detail = "the vault does not answer at present; try again later";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail)
                    .retry_after(Some(UNAVAILABLE_RETRY_AFTER))
            }
            error => {
                tracing::error!(error = ?error, "an account cannot be read");
                internal()
            }
        }
    }
}
