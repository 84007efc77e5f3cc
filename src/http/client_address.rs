//! The network address of a caller: the socket's, or what a trusted proxy says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, request::Parts},
};
use ipnet::IpNet;
use loco_rs::app::AppContext;

use super::error::ApiError;
use crate::settings::Settings;

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl FromRequestParts<AppContext> for ClientAddress {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        ctx: &AppContext,
    ) -> Result<Self, Self::Rejection> {
        let settings = Settings::of(ctx)?;
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| {
                peer.ip().to_canonical()
            });
        Ok(Self(behind(
            peer,
            &parts.headers,
            &settings.http.trusted_proxies,
        )))
    }
}

/// Walks `X-Forwarded-For` from its end as long as the speaker is trusted: what an untrusted one wrote
/// before it is anybody's invention.
fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[String]) -> IpAddr {
    let networks: Vec<IpNet> = trusted.iter().filter_map(|text| network(text)).collect();
    let is_trusted = |address: &IpAddr| networks.iter().any(|net| net.contains(address));
    let mut hops = headers
        .get_all("x-forwarded-for")
        .iter()
        .rev()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.rsplit(','));
    let mut address = peer;
    while is_trusted(&address) {
        let Some(hop) = hops
            .next()
            .and_then(|hop| hop.trim().parse::<IpAddr>().ok())
        else {
            break;
        };
        address = hop.to_canonical();
    }
    address
}

/// An address or a network of the list of proxies.
#[must_use]
pub fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = ["10.0.0.0/8", "192.0.2.1"].map(str::to_owned);
        for (peer, forwarded, expected) in [
            ("203.0.113.5", "", "203.0.113.5"),
            ("203.0.113.5", "1.1.1.1", "203.0.113.5"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
            ("10.0.0.1", "9.9.9.9, 1.1.1.1", "1.1.1.1"),
            ("10.0.0.1", "1.1.1.1, 192.0.2.1", "1.1.1.1"),
            ("10.0.0.1", "1.1.1.1, 192.0.2.2", "192.0.2.2"),
            ("10.0.0.1", "junk", "10.0.0.1"),
            ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("::ffff:10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ] {
            let mut headers = HeaderMap::new();
            if !forwarded.is_empty() {
                headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            }
            let peer: IpAddr = peer.parse::<IpAddr>().unwrap().to_canonical();
            let expected: IpAddr = expected.parse().unwrap();
            assert_eq!(
                behind(peer, &headers, &trusted),
                expected,
                "{peer} {forwarded}"
            );
        }
    }
}
