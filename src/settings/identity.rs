//! Where accounts are kept, whose tokens are trusted, and Google sign-in.

use std::time::Duration;

use serde::Deserialize;

use super::{
    Secret, Settings, flag, list, optional,
    validate::{Fault, base_url},
};

/// Identity providers and the keys of their tokens.
#[derive(Debug, Clone, Deserialize)]
pub struct Identity {
    pub supabase: Supabase,
    pub jwks: Jwks,
    pub google: Google,
    /// Whether `POST /api/auth/dev-login` exists.
    #[serde(deserialize_with = "flag")]
    pub dev_login: bool,
}

/// A Supabase project as identity provider; without an address accounts are our own.
#[derive(Debug, Clone, Deserialize)]
pub struct Supabase {
    #[serde(deserialize_with = "optional")]
    pub url: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub service_role_key: Option<Secret>,
    pub timeout_ms: u64,
}

impl Supabase {
    /// Base address of the project's identity API.
    #[must_use]
    pub fn auth_url(&self) -> Option<String> {
        let url = self.url.as_deref()?.trim_end_matches('/');
        Some(format!("{url}/auth/v1"))
    }

    /// Limit of one call.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Public keys of access tokens.
#[derive(Debug, Clone, Deserialize)]
pub struct Jwks {
    #[serde(deserialize_with = "optional")]
    pub url: Option<String>,
    pub life_s: u64,
    pub last_good_s: u64,
    pub floor_ms: u64,
    pub retry_ms: u64,
    pub timeout_ms: u64,
    /// Seconds the proof of one token serves its repetitions; never beyond its end.
    pub proof_s: u64,
}

/// Google sign-in.
#[derive(Debug, Clone, Deserialize)]
pub struct Google {
    /// Client ids whose tokens are accepted; the first is ours in the redirect flow.
    #[serde(deserialize_with = "list")]
    pub client_ids: Vec<String>,
    #[serde(deserialize_with = "optional")]
    pub client_secret: Option<Secret>,
    /// One address for all of Google's endpoints; Google's own three hosts without it.
    #[serde(deserialize_with = "optional")]
    pub base: Option<String>,
}

impl Google {
    /// Where the browser is sent to sign in.
    #[must_use]
    pub fn authorize_url(&self) -> String {
        self.at("https://accounts.google.com", "/o/oauth2/v2/auth")
    }

    /// Where a code is exchanged for tokens.
    #[must_use]
    pub fn token_url(&self) -> String {
        self.at("https://oauth2.googleapis.com", "/token")
    }

    /// Google's public keys.
    #[must_use]
    pub fn certs_url(&self) -> String {
        self.at("https://www.googleapis.com", "/oauth2/v3/certs")
    }

    fn at(&self, host: &str, path: &str) -> String {
        let base = self.base.as_deref().unwrap_or(host);
        format!("{}{path}", base.trim_end_matches('/'))
    }
}

impl Identity {
    /// Where the public keys of access tokens are: named, or the project's own.
    #[must_use]
    pub fn jwks_url(&self) -> Option<String> {
        self.jwks.url.clone().or_else(|| {
            let base = self.supabase.auth_url()?;
            Some(format!("{base}/.well-known/jwks.json"))
        })
    }
}

/// Lists the faults of identity settings.
pub(super) fn check(settings: &Settings, faults: &mut Vec<Fault>) {
    let identity = &settings.identity;
    for (name, text) in [
        ("SUPABASE_URL", &identity.supabase.url),
        ("JWKS_URL", &identity.jwks.url),
        ("GOOGLE_OAUTH_BASE", &identity.google.base),
    ] {
        if let Some(text) = text
            && let Err(reason) = base_url(text)
        {
            faults.push(format!("{name} {reason}"));
        }
    }
    if identity.supabase.url.is_some() && settings.auth.anon_key.is_none() {
        faults.push("SUPABASE_ANON_KEY is not set, and SUPABASE_URL needs it".to_owned());
    }
    for (name, value) in [
        ("supabase.timeout_ms", identity.supabase.timeout_ms),
        ("jwks.life_s", identity.jwks.life_s),
        ("jwks.floor_ms", identity.jwks.floor_ms),
        ("jwks.retry_ms", identity.jwks.retry_ms),
        ("jwks.timeout_ms", identity.jwks.timeout_ms),
    ] {
        if value == 0 {
            faults.push(format!("settings.identity.{name} must be above 0"));
        }
    }
}
