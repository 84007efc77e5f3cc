//! Several pictures from an API that makes one in a call.

use futures_util::{StreamExt, stream};

use crate::generation::{error::ProviderError, provider::Output};

/// Makes a call `times` times, at most `width` of them at once, each with its number. What was made is
/// kept when some of them fail: making it again would be paid for twice upstream.
///
/// # Errors
/// The first failure when nothing was made.
pub async fn repeated<F>(
    times: u32,
    width: usize,
    call: impl Fn(u32) -> F,
) -> Result<Vec<Output>, ProviderError>
where
    F: Future<Output = Result<Vec<Output>, ProviderError>>,
{
    let outcomes: Vec<_> = stream::iter((0..times).map(call))
        .buffered(width.max(1))
        .collect()
        .await;
    let mut outputs = Vec::new();
    let mut failure = None;
    for outcome in outcomes {
        match outcome {
            Ok(made) => outputs.extend(made),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) if outputs.is_empty() => Err(error),
        Some(error) => {
            tracing::warn!(
                error.detail = error.detail,
                made = outputs.len(),
                wanted = times,
                "a provider made only some of the pictures"
            );
            Ok(outputs)
        }
        None => Ok(outputs),
    }
}
