//! One-time passwords of an authenticator app (RFC 6238): SHA-1, six digits, 30 seconds, which is what
//! every app knows. It does *not* know which of them were used.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use totp_rs::{Algorithm, Builder, Totp};
use zeroize::Zeroizing;

/// How long a secret is, in bytes: 20, as RFC 4226 recommends.
const SECRET_LENGTH: usize = 20;

/// How many seconds one password is good for: 30.
const STEP: u64 = 30;

/// How many steps a clock may be off, either way: 1.
const SKEW: u16 = 1;

/// What an app and this installation share.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "[u8; SECRET_LENGTH]", into = "[u8; SECRET_LENGTH]")]
pub(super) struct Secret(Zeroizing<[u8; SECRET_LENGTH]>);

impl From<[u8; SECRET_LENGTH]> for Secret {
    fn from(bytes: [u8; SECRET_LENGTH]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<Secret> for [u8; SECRET_LENGTH] {
    fn from(secret: Secret) -> Self {
        *secret.0
    }
}

/// One of the times for which there is a password, in steps since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Step(u64);

/// A secret for whoever puts it into their app. It has no text form for logs.
pub(crate) struct Enrolment {
    /// The secret in base 32, to be typed.
    pub(crate) secret: Zeroizing<String>,
    /// The same as an address (`otpauth://totp/…`), to be shown as a QR code.
    pub(crate) uri: Zeroizing<String>,
}

impl Secret {
    /// One that nobody knows yet.
    pub(super) fn random() -> Self {
        Self(Zeroizing::new(vault::random_bytes()))
    }

    /// What the app of `login` at `issuer` is told.
    pub(super) fn enrolment(&self, issuer: &str, login: &str) -> Enrolment {
        let named = self.builder().with_issuer(Some(label(issuer))).with_account_name(label(login));
        let totp = named.build().expect("the secret is long enough and the names have no colon");
        let uri = totp.to_url().expect("the account has a name without a colon");
        Enrolment { secret: Zeroizing::new(totp.secret().to_base32()), uri: Zeroizing::new(uri) }
    }

    /// The step whose password this is, of those around `now`.
    pub(super) fn step(&self, password: &str, now: DateTime<Utc>) -> Option<Step> {
        self.totp().check(password, seconds(now)).map(Step)
    }

    fn totp(&self) -> Totp {
        self.builder().build().expect("the secret is long enough")
    }

    fn builder(&self) -> Builder {
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(6)
            .with_step_duration(STEP)
            .with_skew(SKEW)
            .with_secret(self.0.as_slice().to_vec())
    }

    /// The password at `now`.
    #[cfg(test)]
    pub(super) fn password(&self, now: DateTime<Utc>) -> String {
        self.totp().generate(seconds(now)).to_string()
    }
}

/// A name as apps show it, in which a colon would begin another one.
fn label(name: &str) -> String {
    let label: String = name.chars().map(|it| if it == ':' { '.' } else { it }).collect();
    if label.is_empty() { "callboard".to_owned() } else { label }
}

fn seconds(now: DateTime<Utc>) -> u64 {
    u64::try_from(now.timestamp()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret(Zeroizing::new(*b"12345678901234567890"))
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// The last six digits of those in appendix B of RFC 6238.
    #[test]
    fn passwords_are_those_of_the_rfc() {
        for (time, password) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret().password(at(time)), password);
            let step = u64::try_from(time).unwrap() / STEP;
            for (now, expected) in
                [(time, Some(Step(step))), (time + 30, Some(Step(step))), (time + 30 + 30, None)]
            {
                assert_eq!(secret().step(password, at(now)), expected, "{password} at {now}");
            }
        }
    }

    #[test]
    fn what_is_no_password_is_none_at_any_time() {
        for text in ["", "28708", "0287082", "+87082", "28 082", "２８７０８２", "287083"] {
            assert_eq!(secret().step(text, at(59)), None, "{text}");
        }
        for (early, expected) in [(-30, Some(Step(37_037_036))), (-60, None)] {
            assert_eq!(secret().step("081804", at(1_111_111_109 + early)), expected, "{early} s");
        }
    }

    #[test]
    fn an_app_is_told_the_secret_and_whose_it_is() {
        let told = secret().enrolment("Acme: Ltd", "ada@example.com");
        assert_eq!(*told.secret, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let uri = "otpauth://totp/Acme.%20Ltd:ada%40example.com?\
                   secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Acme.%20Ltd";
        assert_eq!(*told.uri, uri);
        assert_ne!(Secret::random().0, Secret::random().0);
    }
}
