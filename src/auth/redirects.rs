//! Where a sign-in may lead back to. An address that is not on the list is not refused: the frontend
//! takes its place, as GoTrue does it, so that no link of ours leads to a stranger's site.

use url::Url;

/// The list of allowed addresses.
#[derive(Debug, Clone)]
pub struct Redirects {
    frontend: String,
    allowed: Vec<Url>,
}

impl Redirects {
    /// The frontend, and what else is allowed.
    #[must_use]
    pub fn new(frontend: &str, others: &[String]) -> Self {
        let allowed = std::iter::once(frontend)
            .chain(others.iter().map(String::as_str))
            .filter_map(|text| Url::parse(text).ok())
            .collect();
        Self {
            frontend: frontend.trim_end_matches('/').to_owned(),
            allowed,
        }
    }

    /// The frontend's address without trailing slash.
    #[must_use]
    pub fn frontend(&self) -> &str {
        &self.frontend
    }

    /// The wanted address when it is allowed.
    #[must_use]
    pub fn allowed(&self, wanted: &str) -> Option<Url> {
        let url = Url::parse(wanted).ok()?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        (is_plain && self.allowed.iter().any(|entry| covers(entry, &url))).then_some(url)
    }

    /// The wanted address when it is allowed, else the frontend.
    #[must_use]
    pub fn or_frontend(&self, wanted: Option<&str>) -> String {
        wanted
            .and_then(|wanted| self.allowed(wanted))
            .map_or_else(|| self.frontend.clone(), String::from)
    }
}

/// Same scheme, host and port, and a path at or below the entry's.
fn covers(entry: &Url, url: &Url) -> bool {
    let is_same_place = entry.scheme() == url.scheme()
        && entry.host_str() == url.host_str()
        && entry.port_or_known_default() == url.port_or_known_default();
    let base = entry.path().trim_end_matches('/');
    is_same_place
        && url
            .path()
            .strip_prefix(base)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_led_to() {
        let others = ["https://app.example.org/auth", "myapp://login"].map(str::to_owned);
        let redirects = Redirects::new("https://www.example.com", &others);
        for good in [
            "https://www.example.com",
            "https://www.example.com/",
            "https://www.example.com:443/auth/callback?x=1#y",
            "https://app.example.org/auth",
            "https://app.example.org/auth/callback",
            "myapp://login",
            "myapp://login/callback",
        ] {
            assert!(redirects.allowed(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "/auth/callback",
            "//evil.example",
            "http://www.example.com/",
            "https://www.example.com.evil.example/",
            "https://www.example.com@evil.example/",
            "https://user@www.example.com/",
            "https://www.example.com:8443/",
            "https://app.example.org/",
            "https://app.example.org/authx",
            "https://app.example.org/auth/../x",
            "https://evil.example/?https://www.example.com",
            "https:\\\\evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "myapp://other",
        ] {
            assert!(redirects.allowed(bad).is_none(), "{bad}");
            assert_eq!(
                redirects.or_frontend(Some(bad)),
                "https://www.example.com",
                "{bad}"
            );
        }
    }
}
