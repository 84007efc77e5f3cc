//! Password hashes: Argon2id off the async threads, a bounded number at a time.

use std::sync::Arc;

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
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
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
