//! Cancelling: a delivery of a job that is no more wanted does no harm, and one brings its end.

use axum::http::Method;
use serde_json::json;

use super::{assert_all_completed, ends, sides::Side, small};
use crate::support::{bfl::Bfl, test_app};

over_carriers!(
    a_cancelled_job_is_not_worked_and_others_are,
    a_job_that_waits_for_upstream_is_ended_at_once,
);

async fn a_cancelled_job_is_not_worked_and_others_are(side: &dyn Side) {
    let bfl = Bfl::start().await;
    side.held(test_app())
        .flux(&bfl)
        .run(async |app| {
            let user = app.user().await;
            let mut ids = Vec::new();
            for _ in 0..4 {
                ids.push(app.generate(&user, json!({"prompt": "a fox"})).await);
            }
            let unwanted = ids.remove(1);
            let path = format!("/api/jobs/{unwanted}");
            let answer = app
                .call(Method::DELETE, &path, Some(&user.token), None)
                .await;
            assert_eq!(answer.status, 200, "{}", answer.json);
            side.release(app);
            assert_all_completed(app, &user, &ids).await;
            assert_eq!(ends(app, &user, &[unwanted]).await, ["CANCELLED"]);
            assert_eq!(bfl.submissions().len(), 3);
            assert_eq!(app.credits(&user).await, 17);
        })
        .await;
}

async fn a_job_that_waits_for_upstream_is_ended_at_once(side: &dyn Side) {
    let bfl = Bfl::start().await;
    bfl.answer_polls([json!({"status": "Pending"})]);
    side.held(test_app())
        .flux(&bfl)
        // The next look would come much later.
        .set("/providers/flux/poll_interval_ms", 60_000)
        .run(async |app| {
            let user = app.user().await;
            side.release(app);
            let id = app.generate(&user, json!({"prompt": "a fox"})).await;
            app.until("the job to rest", || async {
                let resting = "select count(*) from jobs where upstream_id is not null and lease_owner is null";
                (app.count(resting).await == 1).then_some(())
            })
            .await;
            let path = format!("/api/jobs/{id}/cancel");
            let answer = app.post(&path, Some(&user.token), json!({})).await;
            assert_eq!(answer.status, 202, "{}", answer.json);
            assert_eq!(ends(app, &user, std::slice::from_ref(&id)).await, ["CANCELLED"]);
            assert_eq!(app.credits(&user).await, 20);
            let next = app.generate(&user, small()).await;
            let path = format!("/api/jobs/{next}");
            app.call(Method::DELETE, &path, Some(&user.token), None).await;
            assert_eq!(ends(app, &user, &[next]).await, ["CANCELLED"]);
        })
        .await;
}
