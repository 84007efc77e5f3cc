//! Sending a form to an address that somebody else chose.

use reqwest::multipart::Form;
use tokio::time::timeout;

use super::{
    GuardedFetcher, MAX_TOTAL,
    policy::{Policy, check, parse},
    resolve::Zone,
};
use crate::net::client::NetError;

impl GuardedFetcher {
    /// Posts a form under the rules of a fetch, but follows no redirect: what is sent goes to the
    /// judged address only. Any 2xx is a success; the answer's body is not read.
    ///
    /// # Errors
    /// `InvalidUrl` or `Forbidden` before anything is sent, `Status` for any other answer,
    /// `TimedOut`, `Connect` and `NoAnswer`.
    pub async fn upload(&self, url: &str, form: Form, policy: &Policy) -> Result<(), NetError> {
        let url = parse(url)?;
        let zone = check(&url, policy, self.public_port)?;
        let client = match zone {
            Zone::Public => &self.public,
            Zone::Loopback => &self.loopback,
        };
        let sent = timeout(
            policy.total.min(MAX_TOTAL),
            client.post(url).multipart(form).send(),
        );
        let response = sent.await.map_err(|_elapsed| NetError::TimedOut)??;
        if response
            .remote_addr()
            .is_some_and(|peer| !zone.admits(peer.ip()))
        {
            return Err(NetError::Forbidden { reason: "address" });
        }
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(NetError::Status(status.as_u16()))
    }
}
