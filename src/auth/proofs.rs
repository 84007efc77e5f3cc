//! Tokens that were proven a moment ago: checking a public-key signature costs a hundred times what a
//! look-up does, and a client repeats its token with every request.

use std::time::{Duration, SystemTime};

use moka::future::Cache;
use sha2::{Digest, Sha256};

use super::tokens::Claims;

/// Most proofs that are kept. A token has at most a few KiB of claims.
const MAX_PROOFS: u64 = 4096;

/// Proven claims by the hash of their token, for a short time and never beyond the token's end.
pub(super) struct Proofs(Cache<[u8; 32], Claims>);

impl Proofs {
    /// Keeps proofs for `life`; nothing with a life of zero.
    pub(super) fn new(life: Duration) -> Self {
        let capacity = if life.is_zero() { 0 } else { MAX_PROOFS };
        let cache = Cache::builder().max_capacity(capacity).time_to_live(life);
        Self(cache.build())
    }

    pub(super) async fn find(&self, token: &str) -> Option<Claims> {
        let now = SystemTime::now();
        self.0
            .get(&digest(token))
            .await
            .filter(|claims| claims.expires_at.is_none_or(|end| end > now))
    }

    pub(super) async fn keep(&self, token: &str, claims: &Claims) {
        self.0.insert(digest(token), claims.clone()).await;
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
