//! What every route shares: the error envelope, the edge around all routes, caller and body
//! extractors, and the listener. No rule of the domain lives here.

pub mod body;
pub mod caller;
pub mod client_address;
pub mod edge;
pub mod error;
pub mod form;
pub mod idempotency;
pub mod internal;
pub mod internal_key;
pub mod limited;
pub mod operator;
pub mod prefer;
pub mod query;
pub mod request_ids;
pub mod room_errors;
pub mod server;

pub use body::{JsonBody, LargeJsonBody};
pub use caller::Caller;
pub use error::{ApiError, ApiResult, ErrorCode};
pub use form::{KeyedForm, Upload};
pub use idempotency::{Answer, KeyedBody};
pub use limited::Limited;
pub use operator::{Admin, Operator};
pub use prefer::Prefer;
