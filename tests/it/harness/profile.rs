//! How hard tests try: the environment variable `CALLBOARD_TEST_PROFILE`.

/// How hard this run tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Answers soon.
    Fast,
    /// What a change must pass.
    Ci,
    /// As hard as we ever do.
    Full,
}

impl Profile {
    /// The profile of this run: `fast` when nothing is said.
    pub(crate) fn of_this_run() -> Self {
        match std::env::var("CALLBOARD_TEST_PROFILE").as_deref() {
            Ok("full") => Self::Full,
            Ok("ci") => Self::Ci,
            Ok("fast") | Err(_) => Self::Fast,
            Ok(other) => panic!("expected the profile `fast`, `ci` or `full`, got `{other}`"),
        }
    }

    /// The one of three counts that is this profile's.
    pub(crate) fn count(self, fast: usize, ci: usize, full: usize) -> usize {
        match self {
            Self::Fast => fast,
            Self::Ci => ci,
            Self::Full => full,
        }
    }
}
