//! The errors of BytePlus Ark, the same for its pictures and videos (providers contract 9, and Ark's own
//! table of error codes). The code decides before the HTTP status: used-up quotas of the account come as
//! 429, a closed endpoint as 400.

use crate::generation::kit::{Reply, Verdict};

/// Codes by their beginnings; the first that fits counts.
const CODES: [(&str, Verdict); 22] = [
    ("AuthenticationError", Verdict::KEY_REJECTED),
    ("InvalidAccountStatus", Verdict::KEY_REJECTED),
    ("AccessDenied", Verdict::KEY_REJECTED),
    ("AccountOverdueError", Verdict::OUT_OF_CREDITS),
    ("OperationDenied.ServiceOverdue", Verdict::OUT_OF_CREDITS),
    ("InvalidSubscription", Verdict::OUT_OF_CREDITS),
    // A limit that the account has set itself, and a used-up trial.
    ("SetLimitExceeded", Verdict::OUT_OF_CREDITS),
    ("QuotaExceeded", Verdict::OUT_OF_CREDITS),
    ("OperationDenied", Verdict::MISCONFIGURED),
    ("ModelNotOpen", Verdict::MISCONFIGURED),
    ("UnsupportedModel", Verdict::MISCONFIGURED),
    ("InvalidEndpoint", Verdict::MISCONFIGURED),
    ("ServerOverloaded", Verdict::RATE_LIMITED),
    ("RequestBurstTooFast", Verdict::RATE_LIMITED),
    ("InflightBatchsizeExceeded", Verdict::RATE_LIMITED),
    ("InternalServiceError", Verdict::TRANSIENT),
    ("ContentSecurityDetectionError", Verdict::TRANSIENT),
    ("InvalidParameter", Verdict::BAD_INPUT),
    ("MissingParameter", Verdict::BAD_INPUT),
    ("InvalidArgumentError", Verdict::BAD_INPUT),
    ("InvalidImageURL", Verdict::BAD_INPUT),
    ("OutofContextError", Verdict::BAD_INPUT),
];

/// What an answer with an `error.code` means; also successful ones may have one.
#[must_use]
pub fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    verdict(&reply.at("/error/code"))
}

/// What a code means; `None` for one that is not known.
#[must_use]
pub fn verdict(code: &str) -> Option<Verdict> {
    // `InputTextSensitiveContentDetected`, `OutputImageSensitiveContentDetected.PolicyViolation`,
    // `InputImageRiskDetection` and their like.
    if code.contains("SensitiveContentDetected") || code.contains("RiskDetection") {
        return Some(Verdict::MODERATED);
    }
    // `ModelAccountIpmRateLimitExceeded` and the other limits by account, model and endpoint.
    if code.contains("RateLimitExceeded") {
        return Some(Verdict::RATE_LIMITED);
    }
    CODES
        .iter()
        .find(|(beginning, _)| code.starts_with(beginning))
        .map(|(_, verdict)| *verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide() {
        for (code, expected) in [
            (
                "InputTextSensitiveContentDetected",
                Some(Verdict::MODERATED),
            ),
            (
                "OutputImageSensitiveContentDetected.PolicyViolation",
                Some(Verdict::MODERATED),
            ),
            ("InputImageRiskDetection", Some(Verdict::MODERATED)),
            ("AuthenticationError", Some(Verdict::KEY_REJECTED)),
            ("AccountOverdueError", Some(Verdict::OUT_OF_CREDITS)),
            (
                "OperationDenied.ServiceOverdue",
                Some(Verdict::OUT_OF_CREDITS),
            ),
            (
                "OperationDenied.ServiceNotOpen",
                Some(Verdict::MISCONFIGURED),
            ),
            (
                "InvalidEndpointOrModel.NotFound",
                Some(Verdict::MISCONFIGURED),
            ),
            ("SetLimitExceeded", Some(Verdict::OUT_OF_CREDITS)),
            (
                "RateLimitExceeded.EndpointRPMExceeded",
                Some(Verdict::RATE_LIMITED),
            ),
            (
                "ModelAccountIpmRateLimitExceeded",
                Some(Verdict::RATE_LIMITED),
            ),
            ("ServerOverloaded", Some(Verdict::RATE_LIMITED)),
            ("InternalServiceError", Some(Verdict::TRANSIENT)),
            (
                "InvalidParameter.UnsupportedValue",
                Some(Verdict::BAD_INPUT),
            ),
            ("SomethingNew", None),
            ("", None),
        ] {
            assert_eq!(verdict(code), expected, "{code}");
        }
    }
}
