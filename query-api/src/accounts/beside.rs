//! What somebody shows beside a password, and what that was. Whether it is right is for `second_factor` to say.

use std::collections::BTreeSet;
use std::fmt;

use domain::member::Method;
use uuid::Uuid;
use zeroize::Zeroizing;

/// What somebody shows beside a password. It has no text form for logs.
#[derive(Clone)]
pub(crate) enum Code {
    /// The one-time password that their app shows.
    App(Zeroizing<String>),
    /// One of their recovery codes.
    Recovery(Zeroizing<String>),
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App(_) => "App(…)",
            Self::Recovery(_) => "Recovery(…)",
        })
    }
}

/// What somebody has shown beside a password, and of which second factor it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nothing, for nothing was asked for.
    Nothing,
    /// A one-time password of an app.
    App(Uuid),
    /// A recovery code.
    RecoveryCode(Uuid),
}

impl Beside {
    /// How who has shown the password, too, has proved who they are.
    pub(crate) fn methods(self) -> BTreeSet<Method> {
        match self {
            Self::Nothing => [Method::Pwd].into(),
            Self::App(_) => [Method::Pwd, Method::Otp, Method::Mfa].into(),
            Self::RecoveryCode(_) => [Method::Pwd, Method::Mfa].into(),
        }
    }

    /// Of which second factor it was.
    pub(super) fn factor(self) -> Option<Uuid> {
        match self {
            Self::Nothing => None,
            Self::App(factor) | Self::RecoveryCode(factor) => Some(factor),
        }
    }
}
