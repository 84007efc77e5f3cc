//! Mails and limits of the identity routes.

use serde::Deserialize;

use super::{Secret, optional};

/// How mails leave. Without a host, development keeps them in its inbox.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    #[serde(deserialize_with = "optional")]
    pub smtp_host: Option<String>,
    pub smtp_port: u16,
    #[serde(deserialize_with = "optional")]
    pub smtp_user: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub smtp_password: Option<Secret>,
    pub smtp_tls: SmtpTls,
    /// Sender: an address, or `Name <address>`.
    pub from: String,
    /// Milliseconds one mail may take to be handed over.
    pub send_timeout_ms: u64,
    /// Pauses after failures: base * 2^n, at most max.
    pub backoff_base_ms: u64,
    pub backoff_max_ms: u64,
}

/// How the connection to the SMTP server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// By port: 465 implicit, else STARTTLS; none on loopback.
    Auto,
    Implicit,
    Starttls,
    None,
}

/// A limit: so many at once, and one more after every so many seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Rate {
    pub burst: u32,
    pub every_s: f64,
}

/// Limits of the identity routes. "Address" is the caller's network address (IPv6: its /64).
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct AuthLimits {
    /// Sign-ups from one address.
    pub sign_up: Rate,
    /// Wrong passwords for one account from one address.
    pub password_here: Rate,
    /// Wrong passwords for one account from addresses that it was never used from.
    pub password_anywhere: Rate,
    /// Wrong passwords from one address, whatever the account.
    pub password_address: Rate,
    /// Mails to one recipient.
    pub mail_recipient: Rate,
    /// Mails that one address asks for.
    pub mail_address: Rate,
    /// Codes and links tried from one address, and codes for one recipient.
    pub verify_address: Rate,
    pub verify_recipient: Rate,
    /// Exchanges (PKCE, ID tokens, authorize) from one address.
    pub exchange: Rate,
    /// Refreshes from one address in one process; beyond it the answer is 503, never 429.
    pub refresh: Rate,
    /// Days an address counts as known to an account after a log-in.
    pub known_address_days: u32,
}

impl AuthLimits {
    /// Every limit with its name.
    #[must_use]
    pub fn all(&self) -> [(&'static str, Rate); 10] {
        [
            ("sign_up", self.sign_up),
            ("password_here", self.password_here),
            ("password_anywhere", self.password_anywhere),
            ("password_address", self.password_address),
            ("mail_recipient", self.mail_recipient),
            ("mail_address", self.mail_address),
            ("verify_address", self.verify_address),
            ("verify_recipient", self.verify_recipient),
            ("exchange", self.exchange),
            ("refresh", self.refresh),
        ]
    }
}
