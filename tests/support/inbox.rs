//! Mails as the development inbox shows them.

use serde_json::Value;

use super::TestApp;

/// A mail that came.
#[derive(Debug, Clone)]
pub struct Mail {
    pub subject: String,
    pub text: String,
    pub html: String,
}

impl Mail {
    /// The link that it carries.
    pub fn link(&self) -> String {
        let start = self.text.find("http://127.0.0.1").expect("a link");
        let rest = &self.text[start..];
        rest[..rest.find('\n').unwrap()].to_owned()
    }

    /// The link's secret.
    pub fn secret(&self) -> String {
        let link = url::Url::parse(&self.link()).unwrap();
        let secret = link.query_pairs().find(|(key, _)| key == "token").unwrap();
        secret.1.into_owned()
    }

    /// The code that it carries.
    pub fn code(&self) -> String {
        let start = self.text.find("code: ").expect("a code") + "code: ".len();
        self.text[start..start + 6].to_owned()
    }
}

impl TestApp {
    /// Mails to an address so far, newest first.
    pub async fn mails(&self, to: &str) -> Vec<Mail> {
        let answer = self.get(&format!("/dev/inbox.json?to={to}"), None).await;
        let text = |mail: &Value, key: &str| mail[key].as_str().unwrap().to_owned();
        answer.json["mails"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mail| Mail {
                subject: text(mail, "subject"),
                text: text(mail, "text"),
                html: text(mail, "html"),
            })
            .collect()
    }

    /// Waits for a mail with this subject; the newest counts.
    pub async fn mail(&self, to: &str, subject: &str) -> Mail {
        self.until(subject, || async {
            let mails = self.mails(to).await;
            mails.into_iter().find(|mail| mail.subject == subject)
        })
        .await
    }

    /// Waits until every mail was sent or found to be needless.
    pub async fn mails_done(&self) {
        self.until("the mails", || async {
            (self.count("select count(*) from mails").await == 0).then_some(())
        })
        .await;
    }

    /// Follows a link without going where it leads; gives that address.
    pub async fn follow(&self, link: &str) -> url::Url {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = client.get(link).send().await.unwrap();
        assert_eq!(answer.status(), 303, "{link}");
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        url::Url::parse(link).unwrap().join(&location).unwrap()
    }
}

/// A value of an address's query.
pub fn query(url: &url::Url, key: &str) -> Option<String> {
    url.query_pairs()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.into_owned())
}

/// A value behind an address's `#`.
pub fn fragment(url: &url::Url, key: &str) -> Option<String> {
    let text = url.fragment().unwrap_or_default();
    url::form_urlencoded::parse(text.as_bytes())
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.into_owned())
}
