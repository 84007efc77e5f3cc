//! From an answer to a fault in our terms (providers contract 0.2). The status alone is not enough:
//! several providers report our own fault as 400, or errors with 200, so each is asked first.

use std::time::Duration;

use serde_json::Value;

use crate::generation::error::{AccountFault, FaultClass, ProviderError};

/// Longest part of an upstream text that is kept for operators, characters.
const MAX_DETAIL: usize = 300;
/// Shortest text of a request that is hidden where upstream repeats it, characters; shorter ones are
/// ids and words.
const MIN_HIDDEN: usize = 12;
/// Most of a body that is searched for words, bytes.
const SEARCHED_BYTES: usize = 8 * 1024;
/// Where APIs put their sentence.
const SENTENCES: [&str; 9] = [
    "/error/message",
    "/message",
    "/detail",
    "/error",
    "/failure",
    "/base_resp/status_msg",
    "/output/message",
    "/detail/0/msg",
    "/errors/0/message",
];

/// What a provider says about an answer in its own terms; `None` leaves it to the status. It is asked
/// about successful answers too, for APIs that report errors with 200.
pub type Judge = fn(&Reply<'_>) -> Option<Verdict>;

/// An answer to be judged.
pub struct Reply<'a> {
    pub status: u16,
    /// Null when the body is no JSON.
    pub body: &'a Value,
    /// The first part of an error's body in small letters.
    text: String,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    class: FaultClass,
    account: Option<AccountFault>,
    retry_after: Option<Duration>,
    is_lost: bool,
}

impl Verdict {
    const fn of(class: FaultClass) -> Self {
        Self {
            class,
            account: None,
            retry_after: None,
            is_lost: false,
        }
    }

    const fn ours(fault: AccountFault) -> Self {
        Self {
            account: Some(fault),
            ..Self::of(FaultClass::Operator)
        }
    }

    /// Our key is wrong or may not do this.
    pub const KEY_REJECTED: Self = Self::ours(AccountFault::KeyRejected);
    /// Our account there cannot pay.
    pub const OUT_OF_CREDITS: Self = Self::ours(AccountFault::OutOfCredits);
    /// Our settings are wrong: an unknown model, a missing permission.
    pub const MISCONFIGURED: Self = Self::ours(AccountFault::Misconfigured);
    /// Refused by the provider's content rules.
    pub const MODERATED: Self = Self::of(FaultClass::Moderated);
    /// The request itself is to blame.
    pub const BAD_INPUT: Self = Self::of(FaultClass::BadInput);
    /// Too many requests.
    pub const RATE_LIMITED: Self = Self::of(FaultClass::RateLimited);
    /// Will pass.
    pub const TRANSIENT: Self = Self::of(FaultClass::Transient);
    /// An answer without a usable result.
    pub const BAD_UPSTREAM: Self = Self::of(FaultClass::BadUpstream);

    /// Says how long to stay away.
    #[must_use]
    pub const fn after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }

    /// Says that the task is gone, so that only another submission helps.
    #[must_use]
    pub const fn losing_task(mut self) -> Self {
        self.is_lost = true;
        self
    }

    /// The failure with a detail for operators.
    #[must_use]
    pub fn error(self, detail: impl Into<String>) -> ProviderError {
        ProviderError {
            account: self.account,
            retry_after: self.retry_after,
            forgets_task: self.is_lost,
            ..ProviderError::new(self.class, detail)
        }
    }
}

impl<'a> Reply<'a> {
    pub(super) fn new(status: u16, body: &'a Value, bytes: &[u8]) -> Self {
        let text = if (200..300).contains(&status) {
            String::new()
        } else if body.is_null() {
            let searched = bytes.get(..SEARCHED_BYTES).unwrap_or(bytes);
            String::from_utf8_lossy(searched).to_lowercase()
        } else {
            let mut text = body.to_string().to_lowercase();
            let end = text.floor_char_boundary(SEARCHED_BYTES);
            text.truncate(end);
            text
        };
        Self { status, body, text }
    }

    /// Whether the status says that all is well.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The text or number at this JSON pointer; empty when there is none.
    #[must_use]
    pub fn at(&self, pointer: &str) -> String {
        match self.body.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }

    /// Whether an error's body has one of these (small) words; never true of a success.
    #[must_use]
    pub fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.contains(word))
    }
}

/// The failure that an answer means, without its detail; `None` for a good one.
pub(super) fn refusal(
    judge: Judge,
    reply: &Reply<'_>,
    is_submission: bool,
) -> Option<ProviderError> {
    let verdict = judge(reply).or_else(|| by_status(reply.status, is_submission))?;
    Some(verdict.error(""))
}

fn by_status(status: u16, is_submission: bool) -> Option<Verdict> {
    let verdict = match status {
        200..=299 => return None,
        401 | 403 => Verdict::KEY_REJECTED,
        402 => Verdict::OUT_OF_CREDITS,
        // An unknown model is our configuration, not the user's fault; a task that is not known is lost.
        404 if is_submission => Verdict::MISCONFIGURED,
        404 | 410 => Verdict::TRANSIENT.losing_task(),
        429 => Verdict::RATE_LIMITED,
        408 | 500..=599 => Verdict::TRANSIENT,
        400..=499 if is_submission => Verdict::BAD_INPUT,
        // A question about a task has nothing in it that a user wrote.
        _ => Verdict::BAD_UPSTREAM,
    };
    Some(verdict)
}

/// What upstream says, for operators: shortened, without addresses, secrets and texts of the request.
pub(super) fn detail<'s>(reply: &Reply<'_>, hidden: impl Iterator<Item = &'s str>) -> String {
    let sentence = SENTENCES
        .iter()
        .find_map(|pointer| reply.body.pointer(pointer).and_then(Value::as_str))
        .unwrap_or("no detail");
    let codes = [
        "/error/code",
        "/error/type",
        "/code",
        "/error/status",
        "/failureCode",
    ]
    .iter()
    .map(|pointer| reply.at(pointer))
    .find(|code| !code.is_empty())
    .unwrap_or_default();
    let mut text = format!("{codes} {sentence}");
    for secret in hidden {
        if secret.chars().count() >= MIN_HIDDEN {
            text = text.replace(secret, "[hidden]");
        }
    }
    let words: Vec<&str> = text
        .split_whitespace()
        .map(|word| {
            if word.contains("://") {
                "[address]"
            } else {
                word
            }
        })
        .collect();
    let text: String = words.join(" ").chars().take(MAX_DETAIL).collect();
    format!("HTTP {}: {text}", reply.status)
}

/// The texts of a body that upstream might repeat.
pub(super) fn texts_of(body: &Value, texts: &mut Vec<String>) {
    match body {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, texts)),
        Value::Object(fields) => fields.values().for_each(|field| texts_of(field, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
