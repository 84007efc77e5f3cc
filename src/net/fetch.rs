//! The guarded fetcher, for URLs that somebody else chose.
//!
//! Owns the rules under which a URL from a user or from an upstream body is
//! requested, so that such a URL cannot reach this machine, its network or a
//! cloud's metadata service. Every hop of a redirect passes the same check, and
//! names are judged by the very addresses that are connected to: the filter
//! sits in the client's resolver, so there is no second lookup to win a race
//! against.
//!
//! It must not send cookies or a referrer, nor a credential but the one that the
//! policy binds to an origin, must not use a proxy, and must not interpret what
//! it fetched: the bytes and the content type are claims of a stranger.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use tokio::time::{Instant, Sleep};
use url::Url;

use super::client::{NetError, Timeouts, builder, take_from};

#[cfg(test)]
mod corpus;
mod policy;
mod resolve;
#[cfg(test)]
mod tests;
mod upload;

pub use policy::{Credential, Hosts, Policy};
pub use resolve::{Lookup, LookupAnswer, SystemLookup};

use policy::{MAX_URL_BYTES, check, parse};
use resolve::{Filtered, Zone};

/// The longest total limit; it keeps the deadline arithmetic in range.
const MAX_TOTAL: Duration = Duration::from_hours(24);
/// The one port of the public internet that is fetched from.
const PUBLIC_PORT: u16 = 443;

/// A body that was fetched whole.
#[derive(Clone)]
pub struct Fetched {
    /// The complete body.
    pub bytes: Bytes,
    /// The `Content-Type` as the other side claims it.
    pub content_type: Option<String>,
    /// The URL that answered, after redirects. May hold a signature: a secret.
    pub final_url: Url,
}

/// An answer whose body is still to be read.
pub struct Opened {
    /// The body; it enforces the policy's size and time limits itself.
    pub body: BodyStream,
    /// The `Content-Type` as the other side claims it.
    pub content_type: Option<String>,
    /// The announced length in bytes, already known to be within the limit.
    pub content_length: Option<u64>,
    /// The URL that answered, after redirects. May hold a signature: a secret.
    pub final_url: Url,
}

// Written by hand, so that neither a signed URL nor a body ends up in a log.
impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("bytes", &self.bytes.len())
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("content_length", &self.content_length)
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

/// Fetches URLs that somebody else chose. Cheap to clone; one per process.
#[derive(Debug, Clone)]
pub struct GuardedFetcher {
    // One client per zone, because a resolver learns only the name and could
    // not know which policy the request came with.
    public: reqwest::Client,
    loopback: reqwest::Client,
    public_port: u16,
}

impl GuardedFetcher {
    /// Builds the fetcher on the operating system's resolver.
    ///
    /// # Errors
    /// `NetError::Build` if `user_agent` is not a valid header value.
    pub fn new(user_agent: &str) -> Result<Self, NetError> {
        Self::with_lookup(user_agent, Arc::new(SystemLookup))
    }

    /// Like [`GuardedFetcher::new`], on another resolver. Its answers are
    /// filtered just the same.
    ///
    /// # Errors
    /// `NetError::Build` if `user_agent` is not a valid header value.
    pub fn with_lookup(user_agent: &str, lookup: Arc<dyn Lookup>) -> Result<Self, NetError> {
        let client = |zone, lookup| {
            let client = builder(user_agent)?
                .connect_timeout(Timeouts::default().connect)
                // Nothing is kept open towards hosts that strangers picked.
                .pool_max_idle_per_host(0)
                .https_only(zone == Zone::Public)
                .dns_resolver(Filtered { zone, lookup })
                .build()?;
            Ok::<_, NetError>(client)
        };
        Ok(Self {
            public: client(Zone::Public, Arc::clone(&lookup))?,
            loopback: client(Zone::Loopback, lookup)?,
            public_port: PUBLIC_PORT,
        })
    }

    /// Takes another port for the public one, so that a test can listen on it.
    #[cfg(test)]
    const fn with_public_port(mut self, port: u16) -> Self {
        self.public_port = port;
        self
    }

    /// Fetches a whole body into memory.
    ///
    /// # Errors
    /// `InvalidUrl` or `Forbidden` before anything is sent to the refused host,
    /// `TooManyRedirects`, `Status` for any answer but 200, `TooLarge`, `Cut`,
    /// `TimedOut`, `Connect` and `NoAnswer`.
    pub async fn fetch(&self, url: &str, policy: &Policy) -> Result<Fetched, NetError> {
        let mut opened = self.open(url, policy).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = opened.body.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(Fetched {
            bytes: bytes.into(),
            content_type: opened.content_type,
            final_url: opened.final_url,
        })
    }

    /// Fetches up to the headers and hands out the body as a stream, for
    /// bodies too big for memory. Time the caller spends between chunks counts.
    ///
    /// # Errors
    /// As [`GuardedFetcher::fetch`]; those of the body come from the stream.
    pub async fn open(&self, url: &str, policy: &Policy) -> Result<Opened, NetError> {
        let now = Instant::now();
        let deadline = now.checked_add(policy.total.min(MAX_TOTAL)).unwrap_or(now);
        let (response, final_url) = tokio::time::timeout_at(deadline, self.answer(url, policy))
            .await
            .map_err(|_elapsed| NetError::TimedOut)??;
        let limit_bytes = policy.max_bytes;
        let content_length = response.content_length();
        if content_length.is_some_and(|length| length > limit_bytes) {
            return Err(NetError::TooLarge { limit_bytes });
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        Ok(Opened {
            content_type: content_type
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            content_length,
            final_url,
            body: BodyStream {
                inner: Some(Box::pin(response.bytes_stream())),
                deadline: Box::pin(tokio::time::sleep_until(deadline)),
                idle: policy.idle.min(MAX_TOTAL),
                silent_until: None,
                left: limit_bytes,
                limit_bytes,
            },
        })
    }

    /// Follows redirects to the first 200.
    async fn answer(
        &self,
        url: &str,
        policy: &Policy,
    ) -> Result<(reqwest::Response, Url), NetError> {
        let mut current = parse(url)?;
        let mut redirects_left = policy.max_redirects;
        loop {
            current.set_fragment(None);
            let zone = check(&current, policy, self.public_port)?;
            let client = match zone {
                Zone::Public => &self.public,
                Zone::Loopback => &self.loopback,
            };
            // Compressed bodies would make the announced length meaningless.
            let mut request = client
                .get(current.clone())
                .header(ACCEPT_ENCODING, "identity");
            if let Some(accept) = policy.accept {
                request = request.header(ACCEPT, accept);
            }
            let credential = policy.credential.as_ref();
            if let Some((name, value)) = credential.and_then(|credential| credential.at(&current)) {
                let mut value = HeaderValue::from_str(value)
                    .map_err(|_error| NetError::Build("the credential is no header".to_owned()))?;
                value.set_sensitive(true);
                request = request.header(name, value);
            }
            let response = tokio::time::timeout(policy.idle, request.send())
                .await
                .map_err(|_elapsed| NetError::TimedOut)??;
            // The resolver and the literal check decide; this only makes sure
            // that the client library still connects the way they assume.
            if response
                .remote_addr()
                .is_some_and(|peer| !zone.admits(peer.ip()))
            {
                return Err(NetError::Forbidden { reason: "address" });
            }
            let status = response.status().as_u16();
            match status {
                200 => return Ok((response, current)),
                301 | 302 | 303 | 307 | 308 => {}
                _ => return Err(NetError::Status(status)),
            }
            let location = response
                .headers()
                .get(LOCATION)
                .ok_or(NetError::Status(status))?;
            redirects_left = redirects_left
                .checked_sub(1)
                .ok_or(NetError::TooManyRedirects)?;
            current = std::str::from_utf8(location.as_bytes())
                .ok()
                .filter(|text| text.len() <= MAX_URL_BYTES)
                .and_then(|text| current.join(text).ok())
                .ok_or(NetError::InvalidUrl)?;
        }
    }
}

/// A body that ends with an error when it passes the size limit or a time limit,
/// or is cut. After an error it yields nothing more.
pub struct BodyStream {
    // `None` once it is over, which also closes the connection.
    inner: Option<Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>>,
    deadline: Pin<Box<Sleep>>,
    idle: Duration,
    // Set while bytes are waited for; the caller's own pauses are not the other side's silence.
    silent_until: Option<Pin<Box<Sleep>>>,
    left: u64,
    limit_bytes: u64,
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyStream")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Stream for BodyStream {
    type Item = Result<Bytes, NetError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(inner) = this.inner.as_mut() else {
            return Poll::Ready(None);
        };
        // The deadline goes first: a body that always has a byte ready must
        // not outrun it.
        let item = if this.deadline.as_mut().poll(cx).is_ready() {
            Some(Err(NetError::TimedOut))
        } else {
            match inner.as_mut().poll_next(cx) {
                Poll::Pending => {
                    let idle = this.idle;
                    let limit = this
                        .silent_until
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                    if limit.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    Some(Err(NetError::TimedOut))
                }
                Poll::Ready(Some(Ok(chunk))) => match take_from(this.left, &chunk) {
                    Some(left) => {
                        this.left = left;
                        this.silent_until = None;
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    None => Some(Err(NetError::TooLarge {
                        limit_bytes: this.limit_bytes,
                    })),
                },
                Poll::Ready(Some(Err(error))) => Some(Err(error.into())),
                Poll::Ready(None) => None,
            }
        };
        this.inner = None;
        Poll::Ready(item)
    }
}
