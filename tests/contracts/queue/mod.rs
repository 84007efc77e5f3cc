//! The conformance suite of carriers: every case runs over each of them and knows none of them.
//!
//! A carrier is one value of [`Side`]. To add a case, write an `async fn (side: &dyn Side)` in one of
//! the files below and name it in that file's `over_carriers!`. To add a carrier, implement `Side` and
//! add one module to the macro.

mod sides;

/// Makes one test for each case and carrier.
macro_rules! over_carriers {
    ($($(#[$attribute:meta])* $case:ident),+ $(,)?) => {
        mod apalis {
            $($(#[$attribute])* #[tokio::test]
            async fn $case() {
                super::$case(&$crate::contracts::queue::sides::apalis::Apalis).await;
            })+
        }
        mod cloud_tasks {
            $($(#[$attribute])* #[tokio::test]
            async fn $case() {
                let side = $crate::contracts::queue::sides::cloud_tasks::OnCloudTasks::start().await;
                super::$case(&side).await;
            })+
        }
    };
}

mod deliveries;
mod failures;
mod losses;
mod processes;
mod switch;

use serde_json::{Value, json};

use crate::support::{TestApp, TestUser};

/// The queue of image jobs and the class that works them.
const QUEUE: &str = "image-generation-queue";
const WORKER: &str = "ImageGenerationWorker";
/// Turns a duty off.
const NEVER_MS: u64 = 3_600_000;

/// A picture that is quickly drawn.
fn small() -> Value {
    json!({"prompt": "a fox", "providerOptions": {"width": 64, "height": 64}})
}

/// Follows jobs to their ends and says how each ended.
async fn ends(app: &TestApp, user: &TestUser, ids: &[String]) -> Vec<String> {
    let mut ends = Vec::new();
    for id in ids {
        let job = app.final_job(user, id).await;
        ends.push(job["status"].as_str().unwrap().to_owned());
    }
    ends
}

async fn assert_all_completed(app: &TestApp, user: &TestUser, ids: &[String]) {
    let ends = ends(app, user, ids).await;
    assert!(ends.iter().all(|end| end == "COMPLETED"), "{ends:?}");
}
