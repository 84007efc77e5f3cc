//! Limits of the identity routes, per network address and per account. They are kept in the database, so
//! that a guesser gains nothing by more processes; only refreshes, where nothing can be guessed, are
//! counted by each process.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use loco_rs::app::AppContext;
use sea_orm::{DatabaseConnection, DbErr};
use sha2::{Digest, Sha256};

use crate::{
    models::rate_limits,
    settings::{AuthLimits, Rate},
};

/// Network addresses whose refreshes one process counts; beyond that the oldest are forgotten.
const MAX_COUNTED: usize = 10_000;
/// Seconds of a day.
const DAY_S: f64 = 86_400.0;

/// How a limit stands for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How many at once.
    pub limit: u32,
    /// How many are left now.
    pub remaining: u32,
    /// Seconds until all are there again.
    pub reset_s: u64,
}

/// Why a limit stops somebody.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    #[error("too many requests of this kind")]
    TooMany {
        retry_after_s: u64,
        standing: Standing,
        /// Whether it was about mails.
        is_mail: bool,
    },
    /// Too many refreshes at once from one address.
    #[error("too many refreshes at once")]
    Busy,
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// A log-in that is being tried. It counts as a wrong one until it is said to be right.
#[derive(Debug)]
pub struct Attempt {
    taken: Vec<(Vec<u8>, f64)>,
    known: Vec<u8>,
}

/// The limits in force.
pub struct Limits {
    db: DatabaseConnection,
    rates: AuthLimits,
    refreshes: Mutex<HashMap<IpAddr, Instant>>,
}

impl Limits {
    /// Limits that are kept in `db`.
    #[must_use]
    pub fn new(db: DatabaseConnection, rates: AuthLimits) -> Self {
        Self {
            db,
            rates,
            refreshes: Mutex::default(),
        }
    }

    /// The limits that boot put into the context.
    ///
    /// # Errors
    /// When the context was not made by this application's hooks.
    pub fn of(ctx: &AppContext) -> loco_rs::Result<Arc<Self>> {
        ctx.shared_store
            .get::<Arc<Self>>()
            .ok_or_else(|| loco_rs::Error::string("the limits are missing from the context"))
    }

    /// Counts a sign-up.
    ///
    /// # Errors
    /// [`LimitError`].
    pub async fn sign_up(&self, address: IpAddr) -> Result<Standing, LimitError> {
        let key = key(&["sign-up", &text(address)]);
        self.take(&key, self.rates.sign_up, false).await
    }

    /// Begins a log-in with a password: for this account from this address, from this address in all,
    /// and, where the address was never used for this account, for the account in all. So guessers
    /// cannot lock an owner out.
    ///
    /// # Errors
    /// [`LimitError`].
    pub async fn log_in(
        &self,
        address: IpAddr,
        email: &str,
    ) -> Result<(Attempt, Standing), LimitError> {
        let address = text(address);
        let known = key(&["known", &address, email]);
        let mut attempt = Attempt {
            taken: Vec::new(),
            known,
        };
        let standing = self
            .also(
                &mut attempt,
                key(&["password-here", &address, email]),
                self.rates.password_here,
            )
            .await?;
        self.also(
            &mut attempt,
            key(&["password-address", &address]),
            self.rates.password_address,
        )
        .await?;
        if !rate_limits::Entity::is_marked(&self.db, &attempt.known).await? {
            self.also(
                &mut attempt,
                key(&["password-anywhere", email]),
                self.rates.password_anywhere,
            )
            .await?;
        }
        Ok((attempt, standing))
    }

    /// The password was right: the attempt does not count, and the address is known from now on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn logged_in(&self, attempt: Attempt) -> Result<(), LimitError> {
        self.give_back(&attempt).await?;
        let for_s = f64::from(self.rates.known_address_days) * DAY_S;
        rate_limits::Entity::mark(&self.db, &attempt.known, for_s).await?;
        Ok(())
    }

    /// Nobody can say whether the password was right: the attempt does not count.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn undecided(&self, attempt: Attempt) -> Result<(), LimitError> {
        self.give_back(&attempt).await
    }

    /// Counts a mail to a recipient that this address asks for.
    ///
    /// # Errors
    /// [`LimitError`].
    pub async fn mail(&self, address: IpAddr, email: &str) -> Result<Standing, LimitError> {
        let asked = key(&["mail-address", &text(address)]);
        self.take(&asked, self.rates.mail_address, true).await?;
        let to = key(&["mail-recipient", email]);
        self.take(&to, self.rates.mail_recipient, true).await
    }

    /// Counts a link or code that is tried; a code with the address it was sent to.
    ///
    /// # Errors
    /// [`LimitError`].
    pub async fn verify(
        &self,
        address: IpAddr,
        email: Option<&str>,
    ) -> Result<Standing, LimitError> {
        let tried = key(&["verify-address", &text(address)]);
        let standing = self.take(&tried, self.rates.verify_address, false).await?;
        let Some(email) = email else {
            return Ok(standing);
        };
        let of = key(&["verify-recipient", email]);
        self.take(&of, self.rates.verify_recipient, false).await
    }

    /// Counts an exchange: a PKCE code, an ID token, a way to Google.
    ///
    /// # Errors
    /// [`LimitError`].
    pub async fn exchange(&self, address: IpAddr) -> Result<Standing, LimitError> {
        let key = key(&["exchange", &text(address)]);
        self.take(&key, self.rates.exchange, false).await
    }

    /// Counts a refresh in this process.
    ///
    /// # Errors
    /// [`LimitError::Busy`], which has to be answered so that clients keep their session.
    pub fn refresh(&self, address: IpAddr) -> Result<(), LimitError> {
        let rate = self.rates.refresh;
        let every = Duration::from_secs_f64(rate.every_s);
        let now = Instant::now();
        let mut counted = self
            .refreshes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= MAX_COUNTED {
            counted.retain(|_, empty_at| *empty_at > now);
            if counted.len() >= MAX_COUNTED {
                counted.clear();
            }
        }
        let empty_at = counted
            .get(&network(address))
            .map_or(now, |empty_at| (*empty_at).max(now));
        if empty_at.duration_since(now) > every.saturating_mul(rate.burst.saturating_sub(1)) {
            return Err(LimitError::Busy);
        }
        counted.insert(
            network(address),
            empty_at.checked_add(every).unwrap_or(empty_at),
        );
        Ok(())
    }

    async fn also(
        &self,
        attempt: &mut Attempt,
        key: Vec<u8>,
        rate: Rate,
    ) -> Result<Standing, LimitError> {
        match self.take(&key, rate, false).await {
            Ok(standing) => {
                attempt.taken.push((key, rate.every_s));
                Ok(standing)
            }
            Err(error) => {
                // An attempt that is not made counts nowhere.
                self.give_back(attempt).await?;
                Err(error)
            }
        }
    }

    async fn give_back(&self, attempt: &Attempt) -> Result<(), LimitError> {
        for (key, every_s) in &attempt.taken {
            rate_limits::Entity::give_back(&self.db, key, *every_s).await?;
        }
        Ok(())
    }

    async fn take(&self, key: &[u8], rate: Rate, is_mail: bool) -> Result<Standing, LimitError> {
        let level = rate_limits::Entity::take(&self.db, key, rate.burst, rate.every_s).await?;
        let taken = whole((level.empty_in_s / rate.every_s).ceil());
        let standing = Standing {
            limit: rate.burst,
            remaining: rate
                .burst
                .saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX)),
            reset_s: whole(level.empty_in_s.ceil()),
        };
        if level.is_taken {
            return Ok(standing);
        }
        let full_s = f64::from(rate.burst.saturating_sub(1)) * rate.every_s;
        Err(LimitError::TooMany {
            retry_after_s: whole((level.empty_in_s - full_s).ceil()).max(1),
            standing,
            is_mail,
        })
    }
}

/// A count that is not negative; what is beyond any sensible count becomes the largest.
fn whole(number: f64) -> u64 {
    Duration::try_from_secs_f64(number.max(0.0)).map_or(u64::MAX, |duration| duration.as_secs())
}

/// Who counts as one: an IPv4 address, or the /64 that a subscriber gets of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn text(address: IpAddr) -> String {
    network(address).to_string()
}

/// The key of a bucket: addresses are not stored.
fn key(parts: &[&str]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subscriber_is_one_address() {
        for (one, other, is_same) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ] {
            let (a, b): (IpAddr, IpAddr) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(network(a) == network(b), is_same, "{one} {other}");
        }
    }
}
