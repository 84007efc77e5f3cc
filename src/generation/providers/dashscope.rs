//! The errors of Alibaba Cloud's DashScope, the same for all its models (providers contract 8, and its
//! own list of error codes). The code decides whatever the HTTP status is: an account in arrears is told
//! with 400. Codes come in two spellings, `InvalidApiKey` and `invalid_api_key`.

use crate::generation::kit::{Reply, Verdict};

/// Codes by their beginnings, in small letters and without `_`; the first that fits counts.
const CODES: [(&str, Verdict); 31] = [
    ("datainspectionfailed", Verdict::MODERATED),
    ("ipinfringementsuspect", Verdict::MODERATED),
    ("invalidapikey", Verdict::KEY_REJECTED),
    ("accessdenied.unpurchased", Verdict::OUT_OF_CREDITS),
    ("accessdenied", Verdict::KEY_REJECTED),
    ("app.accessdenied", Verdict::KEY_REJECTED),
    ("model.accessdenied", Verdict::MISCONFIGURED),
    ("workspace.accessdenied", Verdict::MISCONFIGURED),
    ("arrearage", Verdict::OUT_OF_CREDITS),
    ("allocationquota", Verdict::OUT_OF_CREDITS),
    ("prepaidbilloverdue", Verdict::OUT_OF_CREDITS),
    ("postpaidbilloverdue", Verdict::OUT_OF_CREDITS),
    ("commoditynotpurchased", Verdict::OUT_OF_CREDITS),
    ("modelnotfound", Verdict::MISCONFIGURED),
    ("modelnotexist", Verdict::MISCONFIGURED),
    ("model.notexist", Verdict::MISCONFIGURED),
    ("modelnotsupported", Verdict::MISCONFIGURED),
    ("throttling", Verdict::RATE_LIMITED),
    ("limitrequests", Verdict::RATE_LIMITED),
    ("insufficientquota", Verdict::RATE_LIMITED),
    ("internalerror", Verdict::TRANSIENT),
    ("systemerror", Verdict::TRANSIENT),
    ("serviceunavailable", Verdict::TRANSIENT),
    ("modelunavailable", Verdict::TRANSIENT),
    ("modelserv", Verdict::TRANSIENT),
    ("requesttimeout", Verdict::TRANSIENT),
    ("responsetimeout", Verdict::TRANSIENT),
    ("gatewaytimeout", Verdict::TRANSIENT),
    ("invalidparameter", Verdict::BAD_INPUT),
    ("invalidurl", Verdict::BAD_INPUT),
    ("invalidimage", Verdict::BAD_INPUT),
];

/// What an answer with a `code` means; also successful ones may have one.
#[must_use]
pub fn judge(reply: &Reply<'_>) -> Option<Verdict> {
    verdict(&reply.at("/code"))
}

/// What a code means; `None` for one that is not known.
#[must_use]
pub fn verdict(code: &str) -> Option<Verdict> {
    let code = code.to_ascii_lowercase().replace('_', "");
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
            ("DataInspectionFailed", Some(Verdict::MODERATED)),
            ("data_inspection_failed", Some(Verdict::MODERATED)),
            ("IPInfringementSuspect", Some(Verdict::MODERATED)),
            // Upstream could not read a picture; nothing was judged.
            ("InvalidParameter.DataInspection", Some(Verdict::BAD_INPUT)),
            ("InvalidApiKey", Some(Verdict::KEY_REJECTED)),
            ("invalid_api_key", Some(Verdict::KEY_REJECTED)),
            ("Arrearage", Some(Verdict::OUT_OF_CREDITS)),
            ("AccessDenied.Unpurchased", Some(Verdict::OUT_OF_CREDITS)),
            (
                "AllocationQuota.FreeTierOnly",
                Some(Verdict::OUT_OF_CREDITS),
            ),
            ("Model.NotExist", Some(Verdict::MISCONFIGURED)),
            ("Throttling.AllocationQuota", Some(Verdict::RATE_LIMITED)),
            ("limit_requests", Some(Verdict::RATE_LIMITED)),
            ("InternalError.Timeout", Some(Verdict::TRANSIENT)),
            ("InvalidParameter", Some(Verdict::BAD_INPUT)),
            ("SomethingNew", None),
            ("", None),
        ] {
            assert_eq!(verdict(code), expected, "{code}");
        }
    }
}
