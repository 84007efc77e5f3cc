//! What can go wrong at a provider, in our own terms (providers contract 0.2). The answer to the
//! user is in our words; what upstream said stays private.

use std::time::Duration;

use crate::net::NetError;

/// Kind of a provider's failure; it decides about retry and blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// Our key, account or set-up: no retry, alarm for the operator.
    Operator,
    /// The request itself: no retry.
    BadInput,
    /// Refused by the provider's content rules: no retry.
    Moderated,
    /// Too many requests: wait, it costs no try.
    RateLimited,
    /// Will pass: retry with growing pauses.
    Transient,
    /// The time for a generation is used up: no retry.
    OutOfTime,
    /// An answer without a usable picture: one retry.
    BadUpstream,
}

impl FaultClass {
    /// Stable code stored with the job.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Operator => "PROVIDER_UNAVAILABLE",
            Self::BadInput => "PROVIDER_REFUSED_INPUT",
            Self::Moderated => "CONTENT_REFUSED",
            Self::RateLimited => "PROVIDER_BUSY",
            Self::Transient => "PROVIDER_FAULT",
            Self::OutOfTime => "GENERATION_TOO_SLOW",
            Self::BadUpstream => "NO_USABLE_RESULT",
        }
    }

    /// The sentence for the owner of a job that failed this way.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Operator => {
                "This model is not available right now. Your credits were returned; please try another model."
            }
            Self::BadInput => {
                "The provider did not accept these settings. Your credits were returned; please change them and try again."
            }
            Self::Moderated => {
                "The prompt or an image was refused by the provider's content rules. Your credits were returned."
            }
            Self::RateLimited => {
                "The provider is too busy right now. Your credits were returned; please try again later."
            }
            Self::Transient => {
                "The provider had a temporary fault. Your credits were returned; please try again."
            }
            Self::OutOfTime => {
                "The generation took too long and was stopped. Your credits were returned; please try again."
            }
            Self::BadUpstream => {
                "The provider gave no usable picture. Your credits were returned; please try again."
            }
        }
    }
}

impl FaultClass {
    /// The sentence for the owner of a batch's item that failed this way.
    #[must_use]
    pub const fn item_sentence(self) -> &'static str {
        match self {
            Self::Operator => "This model is not available right now. This picture is not charged.",
            Self::BadInput => {
                "The provider did not accept these settings. This picture is not charged."
            }
            Self::Moderated => {
                "The prompt or an image was refused by the provider's content rules. This picture is not charged."
            }
            Self::RateLimited => "The provider is too busy right now. This picture is not charged.",
            Self::Transient => "The provider had a temporary fault. This picture is not charged.",
            Self::OutOfTime => {
                "The generation took too long and was stopped. This picture is not charged."
            }
            Self::BadUpstream => {
                "The provider gave no usable picture. This picture is not charged."
            }
        }
    }

    /// The class that has this stable code.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        [
            Self::Operator,
            Self::BadInput,
            Self::Moderated,
            Self::RateLimited,
            Self::Transient,
            Self::OutOfTime,
            Self::BadUpstream,
        ]
        .into_iter()
        .find(|class| class.code() == code)
    }
}

/// What is wrong with our account at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountFault {
    /// The key is wrong, or may not do this.
    KeyRejected,
    /// The account cannot pay.
    OutOfCredits,
    /// The settings are wrong, such as a model that upstream does not know.
    Misconfigured,
}

/// A provider's failure.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{class:?}: {detail}")]
pub struct ProviderError {
    pub class: FaultClass,
    /// Private detail for logs and operators; never holds keys or prompts.
    pub detail: String,
    /// How long the provider asks us to stay away.
    pub retry_after: Option<Duration>,
    /// Whether the upstream task is lost, so that a retry has to submit again.
    pub forgets_task: bool,
    /// Whether upstream may have accepted the submission although no answer came: another one may be
    /// paid twice.
    pub may_have_run: bool,
    /// Set when our account is to blame and it is known how.
    pub account: Option<AccountFault>,
}

impl ProviderError {
    /// A failure of this class.
    #[must_use]
    pub fn new(class: FaultClass, detail: impl Into<String>) -> Self {
        Self {
            class,
            detail: detail.into(),
            retry_after: None,
            forgets_task: false,
            may_have_run: false,
            account: None,
        }
    }

    /// Says how long to stay away.
    #[must_use]
    pub const fn after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Says that a submission may have been accepted.
    #[must_use]
    pub const fn that_may_have_run(mut self) -> Self {
        self.may_have_run = true;
        self
    }

    /// Says that the upstream task is gone.
    #[must_use]
    pub const fn forgetting_task(mut self) -> Self {
        self.forgets_task = true;
        self
    }
}

impl From<NetError> for ProviderError {
    fn from(error: NetError) -> Self {
        let class = match &error {
            NetError::InvalidUrl | NetError::Forbidden { .. } | NetError::TooLarge { .. } => {
                FaultClass::BadUpstream
            }
            NetError::Build(_) => FaultClass::Operator,
            NetError::Connect { .. }
            | NetError::NoAnswer
            | NetError::TimedOut
            | NetError::Status(_)
            | NetError::TooManyRedirects
            | NetError::Cut => FaultClass::Transient,
        };
        Self::new(class, error.to_string())
    }
}
