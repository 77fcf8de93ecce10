//! Why a command of the command line did not succeed, as an exit code.

/// A failure with its exit code; the codes are in `callboard --help`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line or the settings are wrong.
    #[error("{0}")]
    Usage(String),
    /// Something was rejected, or all of it.
    #[error("{0}")]
    Rejected(String),
    /// No server answers, or it cannot at present.
    #[error("{0}")]
    Unreachable(String),
    /// The server refused the credential or the permission.
    #[error("{0}")]
    Refused(String),
}

/// The exit code of a failure; anything unforeseen is a fault.
#[must_use]
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Failure>() {
        None => 1,
        Some(Failure::Usage(_)) => 2,
        Some(Failure::Rejected(_)) => 3,
        Some(Failure::Unreachable(_)) => 4,
        Some(Failure::Refused(_)) => 5,
    }
}
