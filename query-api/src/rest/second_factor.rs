//! The doors at which a member says what is asked for beside their password from now on.
//!
//! Each change takes the password once more, and what is asked for so far. What is shown here, the secret
//! of an app and recovery codes, is shown once and nowhere else.

use axum::Json;
use axum::extract::{self, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::id::TenantId;
use domain::member::CredentialChange;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::accounts::{Asked, Oneself, enter_proved, handed, note, unset};
use super::{Door, Problem};
use crate::accounts::{
    Beside, Code, Enrolment, Password, Proof, SecondFactor, Shown, Unconfirmed, Unset,
};
use crate::auth::Others;

/// How a member signs in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountView {
    /// The login name.
    login: String,
    /// What is asked for beside the password; absent if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    second_factor: Option<SecondFactorView>,
}

/// What is asked for beside a password.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SecondFactorView {
    /// How many recovery codes were not used.
    recovery_codes_left: usize,
}

/// Who somebody is, once more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Again {
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

/// What an app shows.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Confirmation {
    /// The six digits.
    code: String,
}

/// What to put into an app.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EnrolmentView {
    /// The secret in base 32, to be typed.
    secret: String,
    /// The same as an `otpauth` address, to be shown as a QR code.
    uri: String,
}

/// Recovery codes, which are shown once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RecoveryCodes {
    /// Each is good once, instead of what the app shows.
    recovery_codes: Vec<String>,
}

/// What is asked for from now on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Confirmed {
    #[serde(flatten)]
    codes: RecoveryCodes,
    /// Whether all sessions have ended but the one in the cookie that is set. If not, none has begun: sign
    /// out everywhere, and in again.
    other_sessions_ended: bool,
}

impl From<Enrolment> for EnrolmentView {
    fn from(told: Enrolment) -> Self {
        Self { secret: told.secret.to_string(), uri: told.uri.to_string() }
    }
}

impl From<SecondFactor> for SecondFactorView {
    fn from(known: SecondFactor) -> Self {
        Self { recovery_codes_left: known.recovery_codes_left }
    }
}

/// How the member signs in whose session it is.
#[utoipa::path(
    get,
    path = "/api/v1/account",
    security(("session" = [])),
    responses(
        (status = 200, body = AccountView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn show(
    State(door): State<Door>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Oneself { tenant, member, login } = Oneself::of(&door, &headers).await?;
    let term = door.context.commands().term(tenant, member);
    let second_factor = match term {
        Some(term) => door.accounts.second_factor(tenant, member, term).await?,
        None => None,
    };
    let second_factor = second_factor.map(SecondFactorView::from);
    Ok(shown_once(AccountView { login: login.as_str().to_owned(), second_factor }))
}

/// Begins to set up an authenticator app (RFC 6238), for ten minutes. What was asked for so far is until
/// the app has shown that it works.
#[utoipa::path(
    post,
    path = "/api/v1/account/totp",
    security(("session" = [])),
    request_body = Again,
    responses(
        (status = 200, body = EnrolmentView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn enrol(
    State(door): State<Door>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let (oneself, proof) = proved_again(&door, request).await?;
    let directory = door.context.commands().directory();
    let entry = directory.entry(oneself.tenant);
    let issuer = entry.map_or_else(|| "Callboard".to_owned(), |it| it.name.as_str().to_owned());
    let told = door.accounts.enrol(oneself.tenant, &proof, &issuer).await;
    Ok(shown_once(EnrolmentView::from(told.map_err(unchanged)?)))
}

/// Has the app that is being set up be asked for from now on, and shows ten recovery codes. All sessions
/// end but the one in the cookie that is set.
#[utoipa::path(
    post,
    path = "/api/v1/account/totp/confirm",
    security(("session" = [])),
    request_body = Confirmation,
    responses(
        (status = 200, body = Confirmed),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn confirm(
    State(door): State<Door>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let (Oneself { tenant, member, login }, asked) =
        Oneself::asking::<Confirmation>(&door, request).await?;
    let shown = &asked.body.code;
    // Whether it is right is for `confirm` to say and to count.
    if let Some(term) = door.accounts.would_confirm(tenant, &login, member, shown).await? {
        note(&door, tenant, (member, term), CredentialChange::SecondFactorSet).await?;
    }
    let confirmed = door.accounts.confirm(tenant, &login, member, shown).await;
    let (codes, proof) = confirmed?;
    // Whatever becomes of sessions, the codes are nowhere else.
    let (cookie, other_sessions_ended) = match anew(&door, tenant, &proof).await {
        Ok(answer) => (answer.headers().clone(), true),
        Err(_) => (HeaderMap::new(), false),
    };
    let codes = RecoveryCodes::from(codes);
    let mut answer = shown_once(Confirmed { codes, other_sessions_ended });
    answer.headers_mut().extend(cookie);
    Ok(answer)
}

/// Asks for the password alone from now on. All sessions end but the one in the cookie that is set.
#[utoipa::path(
    post,
    path = "/api/v1/account/totp/remove",
    security(("session" = [])),
    request_body = Again,
    responses(
        (status = 204, description = "Only the password is asked for from now on."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn remove(
    State(door): State<Door>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let (Oneself { tenant, .. }, proof) = proved_again(&door, request).await?;
    has_second_factor(&proof)?;
    let whom = (proof.member, proof.term);
    note(&door, tenant, whom, CredentialChange::SecondFactorRemoved).await?;
    let removed = door.accounts.remove_second_factor(tenant, &proof).await;
    anew(&door, tenant, &removed.map_err(unchanged)?).await
}

/// Replaces all recovery codes.
#[utoipa::path(
    post,
    path = "/api/v1/account/recovery-codes",
    security(("session" = [])),
    request_body = Again,
    responses(
        (status = 200, body = RecoveryCodes),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn renew(
    State(door): State<Door>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let (Oneself { tenant, .. }, proof) = proved_again(&door, request).await?;
    has_second_factor(&proof)?;
    let whom = (proof.member, proof.term);
    note(&door, tenant, whom, CredentialChange::RecoveryCodesReplaced).await?;
    let codes = door.accounts.renew_recovery_codes(tenant, &proof).await;
    Ok(shown_once(RecoveryCodes::from(codes.map_err(unchanged)?)))
}

/// What was shown beside a password.
pub(super) fn code(
    code: Option<String>,
    recovery_code: Option<String>,
) -> Result<Option<Code>, Problem> {
    match (code, recovery_code) {
        (None, None) => Ok(None),
        (Some(code), None) => Ok(Some(Code::App(Zeroizing::new(code)))),
        (None, Some(code)) => Ok(Some(Code::Recovery(Zeroizing::new(code)))),
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("expected `code` or `recoveryCode`, got both"))
        }
    }
}

/// Who asks to change how they sign in, and has proved once more who they are.
async fn proved_again(door: &Door, request: extract::Request) -> Result<(Oneself, Proof), Problem> {
    let (oneself, asked) = Oneself::asking::<Again>(door, request).await?;
    let Asked { body: Again { password, code: shown, recovery_code }, from, .. } = asked;
    let shown = Shown { password, code: code(shown, recovery_code)? };
    let proof = oneself.prove(door, shown, from).await?;
    Ok((oneself, proof))
}

/// A new session, instead of all others.
async fn anew(door: &Door, tenant: TenantId, proof: &Proof) -> Result<Response, Problem> {
    Ok(handed(enter_proved(door, tenant, proof, Others::End).await?))
}

/// What nobody keeps but who has asked.
fn shown_once(body: impl Serialize) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    ([(header::CACHE_CONTROL, no_store)], Json(body)).into_response()
}

fn has_second_factor(proof: &Proof) -> Result<(), Problem> {
    if proof.beside != Beside::Nothing {
        return Ok(());
    }
    let detail = "nothing is asked for beside your password";
    Err(Problem::new(StatusCode::CONFLICT, "NO_SECOND_FACTOR", detail))
}

/// Why what is asked for is as it was.
fn unchanged(error: Unset) -> Problem {
    match error {
        Unset::Busy => busy_with_others(),
        error => unset(error, "password"),
    }
}

fn busy_with_others() -> Problem {
    let detail = "others are changing the same; try again";
    Problem::new(StatusCode::CONFLICT, "CONFLICT", detail)
}

impl From<Vec<Zeroizing<String>>> for RecoveryCodes {
    fn from(codes: Vec<Zeroizing<String>>) -> Self {
        Self { recovery_codes: codes.iter().map(|it| it.to_string()).collect() }
    }
}

impl From<Unconfirmed> for Problem {
    fn from(error: Unconfirmed) -> Self {
        match error {
            Unconfirmed::NotBegun => {
                let detail = "no app is being set up, or not any more: `GET /api/v1/account` says whether \
                              it is asked for already; begin again with `POST /api/v1/account/totp`";
                Self::new(StatusCode::CONFLICT, "NO_ENROLMENT", detail)
            }
            Unconfirmed::Wrong => {
                let detail = "expected the six digits that the app shows now; if they are those, the \
                              clock of its device is wrong";
                Self::new(StatusCode::FORBIDDEN, "SECOND_FACTOR_REFUSED", detail)
            }
            Unconfirmed::Busy => busy_with_others(),
            Unconfirmed::Fault(error) => error.into(),
        }
    }
}
