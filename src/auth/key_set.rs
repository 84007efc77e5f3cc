//! Published key sets (RFC 7517): fetched, kept for a bounded time, asked anew for unknown key ids.
//!
//! A key carries the one algorithm it verifies; what a token's header says is only compared with it.
//! Symmetric keys in a published set are ignored: everybody knows them.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use reqwest::header::{CACHE_CONTROL, HeaderMap};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::net::{NetError, api_client, read_limited};

/// Largest set of keys, bytes.
const MAX_SET_BYTES: u64 = 256 * 1024;
/// Most keys of a set that are looked at.
const MAX_KEYS: usize = 64;
/// Size of a coordinate of P-256 and of an Ed25519 key, bytes.
const COORDINATE_BYTES: usize = 32;
/// Smallest RSA modulus, bytes (RFC 7518 section 3.3).
const MIN_RSA_BYTES: usize = 256;

/// How long keys are trusted and how often they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long keys are kept when the answer does not say.
    pub default_life: Duration,
    /// How long they are kept at most, whatever the answer says.
    pub max_life: Duration,
    /// How much longer known keys are trusted while new ones cannot be had.
    pub last_good: Duration,
    /// Least time between two fetches: anybody can make key ids up.
    pub floor: Duration,
    /// The same after a fetch that failed.
    pub retry: Duration,
    /// Limit of one fetch.
    pub timeout: Duration,
}

/// A public key and the algorithm it is for.
pub struct VerifyingKey {
    id: String,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

/// A key set behind an address.
#[derive(Clone)]
pub struct KeySet(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    url: String,
    rules: Rules,
    state: RwLock<State>,
    /// Held while fetching, so that many tokens at once fetch once.
    fetching: Arc<Mutex<()>>,
}

#[derive(Clone, Default)]
struct State {
    keys: Vec<Arc<VerifyingKey>>,
    /// The last good answer, and how long it may be used without asking.
    fetched: Option<Instant>,
    life: Duration,
    /// The last attempt, and why it failed if it did.
    tried: Option<Instant>,
    failure: Option<Arc<NetError>>,
}

/// The keys are needed and cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the public keys cannot be fetched: {0}")]
pub struct KeysUnavailable(Arc<NetError>);

impl KeySet {
    /// The set at `url`; nothing is fetched before a key is asked for.
    ///
    /// # Errors
    /// When an HTTP client cannot be made.
    pub fn new(url: String, rules: Rules, user_agent: &str) -> Result<Self, NetError> {
        Ok(Self(Arc::new(Inner {
            http: api_client(user_agent)?,
            url,
            rules,
            state: RwLock::default(),
            fetching: Arc::default(),
        })))
    }

    /// The key with this id, when the set has one. Asks for the set when it is too old or the id is new.
    ///
    /// # Errors
    /// When only a fetch could tell and it failed.
    pub async fn find(&self, id: &str) -> Result<Option<Arc<VerifyingKey>>, KeysUnavailable> {
        let state = self.0.state();
        let known = state.find(id);
        if known.is_some() && state.is_fresh() {
            return Ok(known);
        }
        if self.0.may_fetch(&state) {
            let turn = Arc::clone(&self.0.fetching);
            let turn = match turn.try_lock_owned() {
                Ok(turn) => turn,
                // Somebody is asking already; a known key need not wait for that.
                Err(_) if known.is_some() => return self.0.judge(id),
                Err(_) => Arc::clone(&self.0.fetching).lock_owned().await,
            };
            // Whoever waited takes what the one before it brought.
            if self.0.state().tried == state.tried {
                let inner = Arc::clone(&self.0);
                // A task of its own: a caller that hangs up must not spoil the fetch for all others.
                let fetch = tokio::spawn(async move {
                    inner.refresh().await;
                    drop(turn);
                });
                fetch.await.ok();
            }
        }
        self.0.judge(id)
    }
}

impl Inner {
    fn state(&self) -> State {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn may_fetch(&self, state: &State) -> bool {
        let pause = if state.failure.is_some() {
            self.rules.retry
        } else {
            self.rules.floor
        };
        state.tried.is_none_or(|tried| tried.elapsed() >= pause)
    }

    /// What can be said of an id without asking any more.
    fn judge(&self, id: &str) -> Result<Option<Arc<VerifyingKey>>, KeysUnavailable> {
        let state = self.state();
        let limit = state.life.saturating_add(self.rules.last_good);
        let is_trusted = state.fetched.is_some_and(|at| at.elapsed() < limit);
        let known = state.find(id).filter(|_| is_trusted);
        match (known, state.failure) {
            (Some(key), _) => Ok(Some(key)),
            (None, None) if is_trusted => Ok(None),
            (None, Some(failure)) => Err(KeysUnavailable(failure)),
            (None, None) => Err(KeysUnavailable(Arc::new(NetError::NoAnswer))),
        }
    }

    async fn refresh(&self) {
        let outcome = self.fetch().await;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.tried = Some(Instant::now());
        match outcome {
            Ok((keys, life)) => {
                state.keys = keys;
                state.life = life;
                state.fetched = state.tried;
                state.failure = None;
            }
            Err(error) => {
                tracing::warn!(%error, url = self.url, "public keys cannot be fetched");
                state.failure = Some(Arc::new(error));
            }
        }
    }

    async fn fetch(&self) -> Result<(Vec<Arc<VerifyingKey>>, Duration), NetError> {
        let request = self.http.get(&self.url).timeout(self.rules.timeout);
        let response = request.send().await?;
        let status = response.status();
        if !status.is_success() {
            return Err(NetError::Status(status.as_u16()));
        }
        let life = max_age(response.headers()).unwrap_or(self.rules.default_life);
        let least = self.rules.floor.min(self.rules.max_life);
        let bytes = read_limited(response, MAX_SET_BYTES).await?;
        let set: WireSet = serde_json::from_slice(&bytes)
            .map_err(|_| NetError::Build("the keys cannot be read".to_owned()))?;
        let keys = set.keys.into_iter().take(MAX_KEYS).filter_map(read_key);
        Ok((
            keys.map(Arc::new).collect(),
            life.clamp(least, self.rules.max_life),
        ))
    }
}

impl State {
    fn find(&self, id: &str) -> Option<Arc<VerifyingKey>> {
        self.keys.iter().find(|key| key.id == id).cloned()
    }

    fn is_fresh(&self) -> bool {
        self.fetched.is_some_and(|at| at.elapsed() < self.life)
    }
}

/// A set whose keys are read one by one, so that one of a new kind does not hide the others.
#[derive(Deserialize)]
struct WireSet {
    keys: Vec<Value>,
}

fn read_key(value: Value) -> Option<VerifyingKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let is_for_signatures = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
        && jwk
            .common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let algorithm = algorithm_of(&jwk.algorithm)?;
    let is_named_so = jwk
        .common
        .key_algorithm
        .is_none_or(|named| named == KeyAlgorithm::from(algorithm));
    if !is_for_signatures || !is_named_so {
        return None;
    }
    Some(VerifyingKey {
        key: DecodingKey::from_jwk(&jwk).ok()?,
        id: jwk.common.key_id.filter(|id| !id.is_empty())?,
        algorithm,
    })
}

/// The one algorithm that is accepted from a kind of key. Sizes are checked here: the verifier of the
/// library takes them for granted.
fn algorithm_of(parameters: &AlgorithmParameters) -> Option<Algorithm> {
    match parameters {
        AlgorithmParameters::RSA(rsa) => {
            (number_bytes(&rsa.n)? >= MIN_RSA_BYTES).then_some(Algorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(key) => {
            let is_sized = is_coordinate(&key.x) && is_coordinate(&key.y);
            (is_sized && key.curve == EllipticCurve::P256).then_some(Algorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) => (is_coordinate(&key.x)
            && key.curve == EllipticCurve::Ed25519)
            .then_some(Algorithm::EdDSA),
        _ => None,
    }
}

/// Bytes of a number without leading zeroes.
fn number_bytes(text: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(bytes.iter().skip_while(|byte| **byte == 0).count())
}

fn is_coordinate(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|bytes| bytes.len() == COORDINATE_BYTES)
}

/// The `max-age` of an answer.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    text.split(',')
        .filter_map(|part| part.trim().strip_prefix("max-age="))
        .find_map(|seconds| seconds.parse().ok())
        .map(Duration::from_secs)
}
