//! What providers share: access to the account, calls to the API, the judgement of errors, options,
//! pictures as base64. A provider's file says only what is its own (docs/adding-a-provider.md).

mod access;
mod call;
mod form;
mod judge;
mod options;
mod pictures;
mod repeat;

pub use access::{Access, Api, KeyIn};
pub use call::{Answer, Call};
pub use form::Form;
pub use judge::{Judge, Reply, Verdict};
pub use options::{Options, nearest_ratio, nearest_size};
pub use pictures::{check_picture, data_url, decode, encode};
pub use repeat::repeated;

use serde_json::{Map, Value};

use super::{
    RequestError,
    error::{FaultClass, ProviderError},
};

/// A request that was admitted and is refused while it is made ready for upstream.
impl From<RequestError> for ProviderError {
    fn from(error: RequestError) -> Self {
        Self::new(FaultClass::BadInput, error.to_string())
    }
}

/// Runs work that would hold up the runtime on a thread of its own.
///
/// # Errors
/// When the process ends meanwhile.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ProviderError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ProviderError::new(FaultClass::Transient, error.to_string()))
}

/// The fields of a call, what else is known of it, and what of the request it leaves out or changes, as
/// sentences.
pub type Wanted<T> = Result<(Map<String, Value>, T, Vec<String>), RequestError>;
