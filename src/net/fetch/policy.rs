//! What a fetch may request, judged without touching the network.
//!
//! Owns the policy types and the check that every hop passes. It must not
//! resolve names: a name that passes here is judged again, by its addresses,
//! in the resolver.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Origin, Url};

use super::resolve::Zone;
use crate::net::address::{is_loopback, is_public};
use crate::net::client::NetError;
use crate::settings::Secret;

/// The longest URL that is looked at, in bytes; signed URLs stay far below it.
pub(super) const MAX_URL_BYTES: usize = 8 * 1024;

/// Which hosts a fetch may go to.
#[derive(Debug, Clone)]
pub enum Hosts {
    /// Any name or IP literal that is public.
    AnyPublic,
    /// Only names that equal an entry or end in it at a label boundary:
    /// `bfl.ai` and `.bfl.ai` both admit `bfl.ai` and `x.bfl.ai`, not
    /// `evilbfl.ai`. Entries are ASCII (punycode). IP literals never match.
    Suffixes(Vec<String>),
}

/// A header that proves who we are to one origin. It never goes to another, whatever redirects say.
#[derive(Debug, Clone)]
pub struct Credential {
    origin: Origin,
    header: &'static str,
    value: Secret,
}

impl Credential {
    /// A header for the origin of `base`.
    #[must_use]
    pub fn new(base: &Url, header: &'static str, value: Secret) -> Self {
        Self {
            origin: base.origin(),
            header,
            value,
        }
    }

    /// The header's name and value, when `url` lies on its origin.
    pub(super) fn at(&self, url: &Url) -> Option<(&'static str, &str)> {
        (url.origin() == self.origin).then(|| (self.header, self.value.expose()))
    }
}

/// The longest silence of the other side.
const IDLE: Duration = Duration::from_secs(30);

/// The rules for one fetch.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The hosts that are allowed, at every hop.
    pub hosts: Hosts,
    /// Also allow loopback hosts (a loopback IP literal, or `localhost`) on any
    /// port and over plain HTTP. Only for a provider whose own configured base
    /// URL is loopback, that is for stand-ins.
    pub allow_loopback: bool,
    /// The largest body, in bytes.
    pub max_bytes: u64,
    /// The limit for everything: all hops, headers and body. At most 24 h.
    pub total: Duration,
    /// The limit for waiting for an answer, and then for the next bytes of its body.
    pub idle: Duration,
    /// How many redirects are followed.
    pub max_redirects: u8,
    /// The `Accept` header, if any particular one is to be sent.
    pub accept: Option<&'static str>,
    /// What to send to one origin, if that is among the allowed hosts.
    pub credential: Option<Credential>,
}

impl Policy {
    /// Rules with three redirects, no loopback, no particular `Accept` and no credential.
    #[must_use]
    pub fn new(hosts: Hosts, max_bytes: u64, total: Duration) -> Self {
        Self {
            hosts,
            allow_loopback: false,
            max_bytes,
            total,
            idle: IDLE,
            max_redirects: 3,
            accept: None,
            credential: None,
        }
    }
}

/// Reads the URL text as it came from outside.
pub(super) fn parse(text: &str) -> Result<Url, NetError> {
    // The parser would quietly drop control characters and read a backslash as
    // a slash. Other readers of the same text may not, so neither is accepted.
    let odd = |c: char| c.is_control() || c == '\\';
    if text.len() > MAX_URL_BYTES || text.contains(odd) {
        return Err(NetError::InvalidUrl);
    }
    Url::parse(text).map_err(|_error| NetError::InvalidUrl)
}

/// Judges one hop by everything that is known without a lookup.
pub(super) fn check(url: &Url, policy: &Policy, public_port: u16) -> Result<Zone, NetError> {
    let forbidden = |reason| Err(NetError::Forbidden { reason });
    let https = url.scheme() == "https";
    if !https && url.scheme() != "http" {
        return forbidden("scheme");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return forbidden("userinfo");
    }
    let Some(host) = url.host() else {
        return forbidden("host");
    };
    let literal = match &host {
        Host::Domain(_) => None,
        Host::Ipv4(ip) => Some(IpAddr::V4(*ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(*ip)),
    };
    let local = literal.map_or(host == Host::Domain("localhost"), is_loopback);
    if policy.allow_loopback && local {
        return Ok(Zone::Loopback);
    }
    if !https {
        return forbidden("scheme");
    }
    if url.port_or_known_default() != Some(public_port) {
        return forbidden("port");
    }
    match (host, &policy.hosts) {
        (Host::Domain(name), hosts) if !name_allowed(name, hosts) => forbidden("host"),
        (Host::Ipv4(_) | Host::Ipv6(_), Hosts::Suffixes(_)) => forbidden("host"),
        _ if literal.is_some_and(|ip| !is_public(ip)) => forbidden("address"),
        _ => Ok(Zone::Public),
    }
}

/// Whether a name, already lower-case punycode, may be looked up at all.
fn name_allowed(name: &str, hosts: &Hosts) -> bool {
    // A single label or a trailing dot changes how a resolver searches, and no
    // public file host needs either.
    if name.ends_with('.') || !name.contains('.') {
        return false;
    }
    match hosts {
        Hosts::AnyPublic => true,
        Hosts::Suffixes(suffixes) => suffixes.iter().any(|suffix| {
            let suffix = suffix.trim_start_matches('.').to_ascii_lowercase();
            let before = name.strip_suffix(suffix.as_str());
            !suffix.is_empty() && before.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        }),
    }
}

#[cfg(test)]
mod tests;
