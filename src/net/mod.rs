//! Everything that leaves the process over HTTP goes through here.
//!
//! * [`client`] owns the HTTP client for configured origins (provider APIs),
//!   the crate-wide [`NetError`], and bounded body reading.
//! * [`fetch`] owns the guarded fetcher for URLs that somebody else chose: a
//!   user, or the body of an upstream answer.
//! * [`address`] owns the judgement of which IP addresses are public.
//!
//! The rule for callers: an origin that an operator configured may use
//! [`api_client`]; every other URL goes through [`GuardedFetcher`]. No other
//! room builds an HTTP client of its own. This room knows nothing of providers,
//! jobs or storage, never sends credentials it was not handed by the call site for that origin,
//! and never writes a URL's query to an error or a log, because signed URLs are
//! secrets.
//!
//! Trust anchors are Mozilla's roots, compiled in. Neither a system certificate
//! store nor a process-wide TLS provider has to exist for a client to be built.

pub mod address;
pub mod client;
pub mod fetch;

pub use address::is_public;
pub use client::{NetError, Timeouts, api_client, api_client_with, read_limited, retry_after};
pub use fetch::{
    BodyStream, Credential, Fetched, GuardedFetcher, Hosts, Lookup, LookupAnswer, Opened, Policy,
    SystemLookup,
};
