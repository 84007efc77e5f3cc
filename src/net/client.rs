//! The HTTP client for configured origins, and what every HTTP answer shares.
//!
//! Owns the client settings (trust anchors, no redirects, no cookies, no proxy
//! from the environment, no automatic retries), the error type of the whole
//! room, bounded body reading and `Retry-After`. It must not be used for a URL
//! that came from outside the configuration: it connects wherever it is told.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::address::AddressRefused;

/// The longest wait that `retry_after` reports.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Why an outgoing request brought nothing usable.
///
/// No variant holds a URL: signed URLs are secrets, and these texts end up in
/// logs and job records.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The text is not a URL that can be requested.
    #[error("the URL is not valid")]
    InvalidUrl,
    /// The URL may not be fetched. `reason` names the part that is refused:
    /// `scheme`, `port`, `userinfo`, `host` or `address`.
    #[error("the URL is not allowed: {reason}")]
    Forbidden {
        /// The refused part of the URL.
        reason: &'static str,
    },
    /// No connection was made, also not within the connect limit, so the
    /// request was certainly not sent. `stage` is `name lookup`, `tls` or
    /// `connection`.
    #[error("could not connect: {stage} failed")]
    Connect {
        /// What failed.
        stage: &'static str,
    },
    /// A connection was made but no valid answer came back. The other side may
    /// have acted on the request, so repeating it is not free of effects.
    #[error("the connection ended without a valid answer")]
    NoAnswer,
    /// The total limit ran out. The request may or may not have been sent.
    #[error("the time limit ran out")]
    TimedOut,
    /// The answer's status is not the one that was needed.
    #[error("unexpected status {0}")]
    Status(u16),
    /// More redirects than the policy allows.
    #[error("too many redirects")]
    TooManyRedirects,
    /// The body is, or claims to be, larger than the limit.
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// The body ended before it was complete.
    #[error("the body was cut off")]
    Cut,
    /// A client or request could not be built; a fault on our side.
    #[error("could not build the request: {0}")]
    Build(String),
}

impl From<reqwest::Error> for NetError {
    fn from(error: reqwest::Error) -> Self {
        // Dropping the URL comes first: everything below may be logged.
        let error = error.without_url();
        if any_cause(&error, <dyn Error>::is::<AddressRefused>) {
            return Self::Forbidden { reason: "address" };
        }
        tracing::debug!(cause = %chain(&error), "outgoing request failed");
        if error.is_builder() {
            Self::Build(chain(&error))
        } else if error.is_dns() {
            Self::Connect {
                stage: "name lookup",
            }
        } else if error.is_connect() && any_cause(&error, is_tls) {
            Self::Connect { stage: "tls" }
        } else if error.is_connect() {
            Self::Connect {
                stage: "connection",
            }
        } else if error.is_timeout() {
            Self::TimedOut
        } else if error.is_body() || error.is_decode() {
            Self::Cut
        } else {
            Self::NoAnswer
        }
    }
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of the name lookup to an open, encrypted connection.
    pub connect: Duration,
    /// The whole exchange, from connecting to the last byte of the body.
    pub total: Duration,
}

impl Default for Timeouts {
    /// 10 s to connect and 120 s in total, the latter as a backstop for a call
    /// site that sets no limit of its own.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            total: Duration::from_mins(2),
        }
    }
}

/// Builds the client for configured origins, with the default [`Timeouts`].
///
/// Call sites set the total limit that fits them with
/// `RequestBuilder::timeout`; it replaces the default.
///
/// # Errors
/// `NetError::Build` if `user_agent` is not a valid header value.
pub fn api_client(user_agent: &str) -> Result<reqwest::Client, NetError> {
    api_client_with(user_agent, Timeouts::default())
}

/// Like [`api_client`], with other limits.
///
/// # Errors
/// `NetError::Build` if `user_agent` is not a valid header value.
pub fn api_client_with(user_agent: &str, timeouts: Timeouts) -> Result<reqwest::Client, NetError> {
    Ok(builder(user_agent)?
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.total)
        .build()?)
}

/// The settings that every client of this process shares.
pub(super) fn builder(user_agent: &str) -> Result<reqwest::ClientBuilder, NetError> {
    // Compiled-in roots and an explicit provider: the client library's own
    // choice reads the system store, fails without one, and panics if no
    // process-wide provider is installed.
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| NetError::Build(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(user_agent)
        .redirect(reqwest::redirect::Policy::none())
        // Repeating a request costs money upstream; only callers may decide it.
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy())
}

/// Reads a whole body of at most `limit_bytes` bytes.
///
/// The time limit is the one the request was sent with.
///
/// # Errors
/// `TooLarge` by the announced length before a byte is read, or as soon as
/// the body passes the limit; `Cut` if the body ends early; `TimedOut`.
pub async fn read_limited(
    mut response: reqwest::Response,
    limit_bytes: u64,
) -> Result<Bytes, NetError> {
    let announced = response.content_length();
    if announced.is_some_and(|length| length > limit_bytes) {
        return Err(NetError::TooLarge { limit_bytes });
    }
    // Memory grows with what has arrived, not with what was announced.
    let mut body = Vec::new();
    let mut left = limit_bytes;
    while let Some(chunk) = response.chunk().await? {
        left = take_from(left, &chunk).ok_or(NetError::TooLarge { limit_bytes })?;
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// What is left of a byte allowance after `chunk`; `None` when it is overrun.
pub(super) fn take_from(left: u64, chunk: &Bytes) -> Option<u64> {
    left.checked_sub(u64::try_from(chunk.len()).ok()?)
}

/// The wait that a `Retry-After` header asks for, at most one hour.
///
/// Understands whole seconds and HTTP dates in the current (IMF-fixdate) form;
/// a date in the past is zero. `None` if the header is missing or unreadable.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    retry_after_at(headers, SystemTime::now())
}

fn retry_after_at(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // All digits but too large for the type is still "a long time".
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(http_date(text)?))?;
    let wait = at.duration_since(now).unwrap_or(Duration::ZERO);
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Seconds since 1970 of a date like `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_weekday, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let day: u64 = number(parts.next()?, 1, 31)?;
    let name = parts.next()?;
    let month = u64::try_from(MONTHS.iter().position(|month| *month == name)?).ok()?;
    let year = number(parts.next()?, 1970, 9999)?;
    let mut clock = parts.next()?.split(':');
    let hour = number(clock.next()?, 0, 23)?;
    let minute = number(clock.next()?, 0, 59)?;
    let second = number(clock.next()?, 0, 60)?;
    if parts.next() != Some("GMT") || parts.next().is_some() || clock.next().is_some() {
        return None;
    }
    // Counting years from March puts the leap day at the end of the year, so
    // the days before a month follow one formula (month 0 is January here).
    let (year, month) = if month < 2 {
        (year - 1, month + 10)
    } else {
        (year, month - 2)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719 469 is the same count for 1 January 1970, day number 1 included.
    let days = (year * 365 + leap_days + (month * 153 + 2) / 5 + day).checked_sub(719_469)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    let value = text.parse().ok()?;
    (least..=most).contains(&value).then_some(value)
}

/// Whether `test` holds for `error` or anything that caused it.
fn any_cause(error: &(dyn Error + 'static), test: fn(&(dyn Error + 'static)) -> bool) -> bool {
    causes(error).any(test)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    // The explicit `*` keeps the cause's own lifetime, not the closure's.
    std::iter::successors(Some(error), |error| (*error).source())
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    // The TLS layer reports through nested `io::Error`s, whose `source` skips
    // the error they wrap, so those have to be opened by hand.
    let mut inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    while let Some(wrapped) = inner {
        if wrapped.is::<rustls::Error>() {
            return true;
        }
        inner = wrapped
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
    }
    error.is::<rustls::Error>()
}

fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests;
