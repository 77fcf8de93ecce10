//! The hashes of passwords: argon2id, so many at a time, for it is meant to take time and memory.
//!
//! What does not fit is refused at once: whoever floods this door waits for nothing, and neither a
//! tenant nor an address has more than a part of it.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::password::{NoPassword, Password};
use super::{AccountFault, Unset};
use crate::doors::ClientAddress;
use crate::transport::{StreamPermit, Streams};

/// How many passwords are hashed at a time: 2, some 40 MiB.
const RUNNING_MAX: usize = 2;

/// How many may wait for that or be hashed: 32, a second's work or two.
const PLACES_MAX: usize = 32;

/// How many of them one tenant may have: 16, half of all.
const TENANT_PLACES_MAX: usize = 16;

/// How many of them one address may have: 4, for one password takes some 30 ms.
const ADDRESS_PLACES_MAX: usize = 4;

/// What a hash costs: 19 MiB, two passes, one lane, as OWASP recommends at least. Each stored hash says
/// what it took, so this may grow.
const PARAMETERS: Params = Params::DEFAULT;

/// Hashes passwords. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hashing {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
    shares: Streams,
    by_address: Streams,
    /// A hash of what nobody knows.
    nobodys: Arc<str>,
}

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashing").finish_non_exhaustive()
    }
}

/// What became of looking at a password.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is another one.
    Wrong,
    /// It is this one.
    Right {
        /// Its hash, if the one that is stored took less than one takes now.
        anew: Option<String>,
    },
}

/// A place among those whose passwords are hashed.
#[derive(Debug)]
pub(super) struct Place {
    running: Arc<Semaphore>,
    nobodys: Arc<str>,
    held: (OwnedSemaphorePermit, StreamPermit, Option<StreamPermit>),
}

impl Hashing {
    pub(super) fn new() -> Self {
        Self {
            running: Arc::new(Semaphore::new(RUNNING_MAX)),
            places: Arc::new(Semaphore::new(PLACES_MAX)),
            shares: Streams::new(TENANT_PLACES_MAX),
            by_address: Streams::new(ADDRESS_PLACES_MAX),
            nobodys: hash(&vault::random_bytes::<32>()).into(),
        }
    }

    /// Lets nobody hash until it is dropped.
    #[cfg(test)]
    pub(super) async fn held(&self) -> OwnedSemaphorePermit {
        let all = u32::try_from(RUNNING_MAX).unwrap();
        Arc::clone(&self.running).acquire_many_owned(all).await.unwrap()
    }

    /// A place for one more of whom `tenant` names, asked for from there; none if all are taken.
    pub(super) fn enter(&self, tenant: &str, from: ClientAddress) -> Option<Place> {
        let of_address = match from.0 {
            Some(address) => Some(self.by_address.open(&address.to_string())?),
            None => None,
        };
        let share = self.shares.open(tenant)?;
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (running, nobodys) = (self.running.clone(), self.nobodys.clone());
        Some(Place { running, nobodys, held: (place, share, of_address) })
    }
}

impl Place {
    /// Whether a password has this hash; it never has none, and that takes as long to say.
    pub(super) async fn verify(
        self,
        password: Password,
        stored: Option<String>,
    ) -> Result<Verdict, AccountFault> {
        let nobodys = self.nobodys.clone();
        self.run(move || {
            let is_known = stored.is_some();
            let stored = stored.as_deref().unwrap_or(&nobodys);
            let is_it = hasher().verify_password(password.as_bytes(), stored).is_ok();
            match is_it && is_known {
                true => Verdict::Right {
                    anew: (!is_as_strong(stored)).then(|| hash(password.as_bytes())),
                },
                false => Verdict::Wrong,
            }
        })
        .await
    }

    /// The hash of a password that `work` has nothing to say against.
    pub(super) async fn hash(
        self,
        password: Password,
        work: impl FnOnce(&Password) -> Result<(), NoPassword> + Send + 'static,
    ) -> Result<String, Unset> {
        let hashed = self.run(move || work(&password).map(|()| hash(password.as_bytes())));
        Ok(hashed.await??)
    }

    /// Does `work` when it is its turn, on a thread that may be kept busy.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountFault> {
        let running = self.running.acquire_owned().await.expect("the semaphore is never closed");
        let held = self.held;
        // It goes on to its end, and counts until then, even if nobody waits for it any more.
        let done = spawn_blocking(move || {
            let _held = (running, held);
            work()
        });
        // Why is not passed on: what a panic says may be the password.
        done.await.map_err(|_| AccountFault::Hashing)
    }
}

fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, PARAMETERS)
}

/// Whether a stored hash took what one takes now.
fn is_as_strong(stored: &str) -> bool {
    let expected = format!(
        "$argon2id$v=19$m={},t={},p={}$",
        PARAMETERS.m_cost(),
        PARAMETERS.t_cost(),
        PARAMETERS.p_cost()
    );
    stored.starts_with(&expected)
}

/// The hash of a password with a new salt, as a PHC string.
fn hash(password: &[u8]) -> String {
    let salt = vault::random_bytes::<16>();
    let hashed = hasher().hash_password_with_salt(password, &salt);
    hashed.expect("there is memory, and the salt is as long as it should be").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From where nobody is told from another.
    const HERE: ClientAddress = ClientAddress(None);

    #[tokio::test]
    async fn a_password_has_its_hash_and_no_other() {
        let hashing = Hashing::new();
        let hashed = async || {
            let place = hashing.enter("a", HERE).unwrap();
            place.hash(Password::from("uvlhqktmrozc"), |_| Ok(())).await.unwrap()
        };
        let (one, other) = (hashed().await, hashed().await);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, other, "each has a salt of its own");
        for (password, stored, expected) in [
            ("uvlhqktmrozc", Some(one.clone()), true),
            ("uvlhqktmrozc", Some(other), true),
            ("uvlhqktmrozC", Some(one.clone()), false),
            ("uvlhqktmrozc ", Some(one), false),
            ("uvlhqktmrozc", Some("$argon2id$damaged".to_owned()), false),
            ("uvlhqktmrozc", None, false),
        ] {
            let place = hashing.enter("a", HERE).unwrap();
            let verdict = place.verify(Password::from(password), stored).await.unwrap();
            assert_eq!(matches!(verdict, Verdict::Right { anew: None }), expected, "{verdict:?}");
        }
    }

    #[tokio::test]
    async fn what_was_hashed_with_less_work_is_hashed_anew_once_it_is_known() {
        let weak = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(8_192, 1, 1, None).unwrap(),
        );
        let weak = weak.hash_password_with_salt(b"uvlhqktmrozc", &[7; 16]).unwrap().to_string();
        let place = || Hashing::new().enter("a", HERE).unwrap();
        let wrong = place().verify(Password::from("another"), Some(weak.clone())).await.unwrap();
        assert!(matches!(wrong, Verdict::Wrong));
        let right = place().verify(Password::from("uvlhqktmrozc"), Some(weak)).await.unwrap();
        let Verdict::Right { anew: Some(anew) } = right else { panic!("{right:?}") };
        assert!(is_as_strong(&anew), "{anew}");
        let again = place().verify(Password::from("uvlhqktmrozc"), Some(anew)).await.unwrap();
        assert!(matches!(again, Verdict::Right { anew: None }), "{again:?}");
    }

    #[tokio::test]
    async fn work_that_panics_is_a_fault_and_its_place_is_free_again() {
        let hashing = Hashing::new();
        for _ in 0..PLACES_MAX {
            let place = hashing.enter("a", HERE).unwrap();
            let failed = place.run(|| panic!("on {}", "uvlhqktmrozc")).await;
            assert!(matches!(failed, Err::<(), _>(AccountFault::Hashing)), "{failed:?}");
            assert!(!format!("{failed:?}").contains("uvlhqktmrozc"), "{failed:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_taken_is_not_hashed() {
        let place = Hashing::new().enter("a", HERE).unwrap();
        let refused = place.hash(Password::from("x"), |_| Err(NoPassword::Length)).await;
        assert!(matches!(refused, Err(Unset::Password(NoPassword::Length))), "{refused:?}");
    }

    #[test]
    fn no_tenant_has_all_places_and_who_leaves_makes_room() {
        let hashing = Hashing::new();
        let enter = |it: &str| hashing.enter(it, HERE);
        let mut a: Vec<_> = (0..TENANT_PLACES_MAX).map(|_| enter("a").unwrap()).collect();
        assert!(enter("a").is_none());
        let b: Vec<_> = std::iter::from_fn(|| enter("b")).collect();
        assert_eq!(a.len() + b.len(), PLACES_MAX);
        assert!(enter("c").is_none());
        a.pop();
        assert!(enter("c").is_some());
        assert!(enter("a").is_some());
    }

    #[test]
    fn an_address_has_few_places_whatever_tenants_it_asks_for() {
        let hashing = Hashing::new();
        let enter = |tenant: usize, from: &str| {
            hashing.enter(&tenant.to_string(), ClientAddress::of(from.parse().unwrap()))
        };
        let held: Vec<_> = (0..).map_while(|it| enter(it, "192.0.2.1")).collect();
        assert_eq!(held.len(), ADDRESS_PLACES_MAX);
        assert!(enter(0, "192.0.2.2").is_some());
        drop(held);
        assert!(enter(0, "192.0.2.1").is_some());
    }
}
