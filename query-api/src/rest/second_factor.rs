//! The doors at which a member says what is asked for beside their password from now on.
//!
//! Each change takes the password once more, and what is asked for so far. What is shown here, the secret
//! of an app and recovery codes, is shown once and nowhere else.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{self, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::id::{ActorId, TenantId};
use domain::member::{Method, Term};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::accounts::{Asked, Oneself, begin, handed, unset};
use super::{Door, Problem};
use crate::accounts::{Code, Enrolment, Password, Proved, SecondFactor, Shown, Unconfirmed};
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
) -> Result<Json<AccountView>, Problem> {
    let Oneself { tenant, member, login } = Oneself::of(&door, &headers).await?;
    let term = door.context.commands().term(tenant, member);
    let second_factor = match term {
        Some(term) => door.accounts.second_factor(tenant, member, term).await?,
        None => None,
    };
    let second_factor = second_factor.map(SecondFactorView::from);
    Ok(Json(AccountView { login: login.as_str().to_owned(), second_factor }))
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
    let (oneself, proved) = proved_again(&door, request).await?;
    let directory = door.context.commands().directory();
    let entry = directory.entry(oneself.tenant);
    let issuer = entry.map_or_else(|| "Callboard".to_owned(), |it| it.name.as_str().to_owned());
    let told = door.accounts.enrol(oneself.tenant, &proved, &issuer).await;
    let told = told.map_err(|it| unset(it, "password"))?;
    Ok(shown_once(EnrolmentView::from(told)))
}

/// Has the app that is being set up be asked for from now on, and shows ten recovery codes. All sessions
/// end but the one in the cookie that is set.
#[utoipa::path(
    post,
    path = "/api/v1/account/totp/confirm",
    security(("session" = [])),
    request_body = Confirmation,
    responses(
        (status = 200, body = RecoveryCodes),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn confirm(
    State(door): State<Door>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let (Oneself { tenant, member, .. }, asked) =
        Oneself::asking::<Confirmation>(&door, request).await?;
    let term = door.context.commands().term(tenant, member);
    let whom = (member, term.ok_or(Unconfirmed::NotBegun)?);
    let codes = door.accounts.confirm(tenant, whom, &asked.body.code).await?;
    let methods = [Method::Pwd, Method::Otp, Method::Mfa].into();
    let cookie = anew(&door, tenant, whom, methods).await?;
    let mut answer = shown_once(RecoveryCodes::from(codes));
    answer.headers_mut().extend(cookie.headers().clone());
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
    let (Oneself { tenant, .. }, proved) = proved_again(&door, request).await?;
    let removed = door.accounts.remove_second_factor(tenant, &proved).await;
    if !removed.map_err(|it| unset(it, "password"))? {
        return Err(no_second_factor());
    }
    anew(&door, tenant, (proved.member, proved.term), [Method::Pwd].into()).await
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
    let (Oneself { tenant, .. }, proved) = proved_again(&door, request).await?;
    let codes = door.accounts.renew_recovery_codes(tenant, &proved).await;
    let codes = codes.map_err(|it| unset(it, "password"))?.ok_or_else(no_second_factor)?;
    Ok(shown_once(RecoveryCodes::from(codes)))
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
async fn proved_again(
    door: &Door,
    request: extract::Request,
) -> Result<(Oneself, Proved), Problem> {
    let (oneself, asked) = Oneself::asking::<Again>(door, request).await?;
    let Asked { body: Again { password, code: shown, recovery_code }, from, .. } = asked;
    let shown = Shown { password, code: code(shown, recovery_code)? };
    let proved = oneself.prove(door, shown, from).await?;
    Ok((oneself, proved))
}

/// A new session, instead of all others.
async fn anew(
    door: &Door,
    tenant: TenantId,
    whom: (ActorId, Term),
    methods: BTreeSet<Method>,
) -> Result<Response, Problem> {
    Ok(handed(begin(door, tenant, whom, methods, Others::End).await?))
}

/// What nobody keeps but who asked.
fn shown_once(body: impl Serialize) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    ([(header::CACHE_CONTROL, no_store)], Json(body)).into_response()
}

fn no_second_factor() -> Problem {
    let detail = "nothing is asked for beside your password";
    Problem::new(StatusCode::CONFLICT, "NO_SECOND_FACTOR", detail)
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
                let detail = "no app is being set up, or not any more; begin again with \
                              `POST /api/v1/account/totp`";
                Self::new(StatusCode::CONFLICT, "NO_ENROLMENT", detail)
            }
            Unconfirmed::Wrong => {
                let detail = "expected the six digits that the app shows now; if they are those, the \
                              clock of its device is wrong";
                Self::new(StatusCode::FORBIDDEN, "SECOND_FACTOR_REFUSED", detail)
            }
            Unconfirmed::Busy => {
                let detail = "others are changing the same; try again";
                Self::new(StatusCode::CONFLICT, "CONFLICT", detail)
            }
            Unconfirmed::Fault(error) => error.into(),
        }
    }
}
