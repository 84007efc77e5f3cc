//! Names to addresses, filtered on the way into the client.
//!
//! Owns the seam to the operating system's resolver and the filter behind it.
//! The client connects to what the filter lets through and nothing else, so
//! there is no second lookup that could give another answer. It must not cache:
//! an answer is good for the one connection it was asked for.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::net::address::{AddressRefused, is_loopback, is_public};

/// Turns a name into addresses. Tests put their own in its place.
pub trait Lookup: Send + Sync {
    /// All addresses of `name`, unfiltered. An empty answer counts as a
    /// refused address, an error as a failed connection.
    fn lookup(&self, name: &str) -> LookupAnswer;
}

/// The future that a [`Lookup`] returns.
pub type LookupAnswer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: &str) -> LookupAnswer {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Where a request is allowed to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// The public internet.
    Public,
    /// This machine, for stand-ins.
    Loopback,
}

impl Zone {
    /// Whether `ip` lies in this zone.
    pub(super) fn admits(self, ip: IpAddr) -> bool {
        match self {
            Self::Public => is_public(ip),
            Self::Loopback => is_loopback(ip),
        }
    }
}

/// A resolver whose answers hold only addresses of one zone.
pub(super) struct Filtered {
    /// What is let through.
    pub(super) zone: Zone,
    /// Where the unfiltered answers come from.
    pub(super) lookup: Arc<dyn Lookup>,
}

impl Resolve for Filtered {
    fn resolve(&self, name: Name) -> Resolving {
        let zone = self.zone;
        let found = self.lookup.lookup(name.as_str());
        Box::pin(async move {
            let mut addresses = found.await?;
            addresses.retain(|ip| zone.admits(*ip));
            if addresses.is_empty() {
                return Err(AddressRefused.into());
            }
            // Port zero stands for "the one of the URL".
            let sockets = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            let sockets: Addrs = Box::new(sockets);
            Ok(sockets)
        })
    }
}
