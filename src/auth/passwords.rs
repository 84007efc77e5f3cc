//! Passwords: what makes a good one, and their hashes: Argon2id off the async threads, a bounded number
//! at a time.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

use argon2::{
    Argon2, PasswordHash, PasswordHasher, PasswordVerifier,
    password_hash::{SaltString, rand_core::OsRng},
};
use loco_rs::app::AppContext;
use tokio::sync::{OnceCell, Semaphore};

use super::AuthError;

/// Bounds of a password, characters.
pub const MIN_CHARS: usize = 8;
pub const MAX_CHARS: usize = 128;

/// Longest wait for a free slot.
const PATIENCE: Duration = Duration::from_secs(15);
/// Shortest word of the list that counts with digits behind it.
const MIN_STEM: usize = 6;

/// Passwords that everybody tries first, lower-case.
static LEAKED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("../../assets/auth/leaked-passwords.txt")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
});

/// Whether a password is one of those that leak again and again, also with digits or marks behind it, or
/// the address itself.
#[must_use]
pub fn is_easy(password: &str, email: &str) -> bool {
    let lower = password.trim().to_lowercase();
    let stem = lower.trim_end_matches(|c: char| !c.is_alphabetic());
    let local = email.split('@').next().unwrap_or_default();
    let mut letters = lower.chars();
    let first = letters.next();
    LEAKED.contains(lower.as_str())
        || (stem.len() >= MIN_STEM && LEAKED.contains(stem))
        || lower == email
        || (local.len() >= MIN_STEM && (lower == local || stem == local))
        || letters.all(|letter| Some(letter) == first)
}

/// Hashes and checks passwords.
pub struct Passwords {
    slots: Arc<Semaphore>,
    /// Checked against when there is no account, so that both cases take the same time.
    decoy: OnceCell<String>,
}

impl Passwords {
    /// A hasher that works on at most `slots` passwords at once.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(slots)),
            decoy: OnceCell::new(),
        }
    }

    /// The hasher that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store.get::<Arc<Self>>().ok_or_else(|| {
            loco_rs::Error::string("the password hasher is missing from the context")
        })
    }

    /// The hash of a password that somebody chose for an account with this address.
    ///
    /// # Errors
    /// [`AuthError::WeakPassword`], [`AuthError::LeakedPassword`], [`AuthError::Busy`].
    pub async fn hash_new(&self, password: &str, email: &str) -> Result<String, AuthError> {
        // Length first: it is the plainer thing to say.
        if (MIN_CHARS..=MAX_CHARS).contains(&password.chars().count()) && is_easy(password, email) {
            return Err(AuthError::LeakedPassword);
        }
        self.hash(password).await
    }

    /// The hash of a new password, in PHC form.
    ///
    /// # Errors
    /// [`AuthError::WeakPassword`] outside the bounds, [`AuthError::Crypto`] when hashing fails.
    pub async fn hash(&self, password: &str) -> Result<String, AuthError> {
        if !(MIN_CHARS..=MAX_CHARS).contains(&password.chars().count()) {
            return Err(AuthError::WeakPassword);
        }
        let password = password.to_owned();
        self.run(move || hash_now(&password)).await?
    }

    /// Whether `password` belongs to `hash`; without a hash it takes as long and says no.
    ///
    /// # Errors
    /// [`AuthError::Crypto`] when the hash cannot be read.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, AuthError> {
        let is_real = hash.is_some();
        let hash = match hash {
            Some(hash) => hash.to_owned(),
            None => self.decoy().await?.to_owned(),
        };
        // Longer than any password we take: refused without hashing megabytes.
        if password.chars().count() > MAX_CHARS {
            return Ok(false);
        }
        let password = password.to_owned();
        let matches = self
            .run(move || {
                let hash = PasswordHash::new(&hash)
                    .map_err(|error| AuthError::Crypto(error.to_string()))?;
                Ok::<_, AuthError>(
                    Argon2::default()
                        .verify_password(password.as_bytes(), &hash)
                        .is_ok(),
                )
            })
            .await??;
        Ok(matches && is_real)
    }

    async fn decoy(&self) -> Result<&str, AuthError> {
        let decoy = self
            .decoy
            .get_or_try_init(|| async { self.run(|| hash_now("no account has this")).await? })
            .await?;
        Ok(decoy)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        let waiting = Arc::clone(&self.slots).acquire_owned();
        let slot = tokio::time::timeout(PATIENCE, waiting)
            .await
            .map_err(|_| AuthError::Busy)?
            .map_err(|error| AuthError::Crypto(error.to_string()))?;
        // The slot goes with the work: a request that is given up does not free it early.
        let bounded = move || {
            let result = work();
            drop(slot);
            result
        };
        tokio::task::spawn_blocking(bounded)
            .await
            .map_err(|error| AuthError::Crypto(error.to_string()))
    }
}

fn hash_now(password: &str) -> Result<String, AuthError> {
    let salt = SaltString::generate(&mut OsRng);
    Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| AuthError::Crypto(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_tries_first_is_refused() {
        for easy in [
            "password",
            "Password123!",
            "QWERTYUIOP",
            "12345678",
            "aaaaaaaaaa",
            "iloveyou2",
            "ada.lovelace@example.com",
            "Ada.Lovelace99",
        ] {
            assert!(is_easy(easy, "ada.lovelace@example.com"), "{easy}");
        }
        for fine in [
            "correct horse",
            "passwordless living",
            "Tr0ub4dor&3",
            "zebra-omelette",
        ] {
            assert!(!is_easy(fine, "ada.lovelace@example.com"), "{fine}");
        }
    }

    #[test]
    fn the_list_has_only_what_could_be_chosen() {
        assert!(LEAKED.len() > 150);
        for word in LEAKED.iter() {
            assert_eq!(*word, word.to_lowercase());
            assert!(word.chars().count() >= MIN_STEM, "{word}");
        }
    }
}
