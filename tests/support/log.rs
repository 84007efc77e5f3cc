//! The event log, written beside the app: as commits of jobs write it, without their announcement.

use super::{TestApp, TestUser};

/// Writes `count` events of a job in one statement.
pub fn append_sql(user: &TestUser, job: &str, count: usize, metadata: &str) -> String {
    format!(
        "with numbers as (
            update event_sequences set last_seq = last_seq + {count}
            where user_id = '{0}' returning last_seq)
         insert into job_events (user_id, seq, job_id, payload)
         select '{0}', last_seq - {count} + n, '{job}', jsonb_build_object(
            'jobId', '{job}', 'type', 'IMAGE_GENERATION', 'status', 'PROCESSING', 'progress', 1,
            'stage', 'generating', 'metadata', '{metadata}'::jsonb)
         from numbers, generate_series(1, {count}) as n",
        user.id
    )
}

/// See [`append_sql`].
pub async fn append(app: &TestApp, user: &TestUser, job: &str, count: usize, metadata: &str) {
    app.execute(&append_sql(user, job, count, metadata)).await;
}

/// The numbers of the user's log, which has no gaps.
pub async fn logged(app: &TestApp, user: &TestUser) -> Vec<i64> {
    let id = &user.id;
    let newest = format!("select last_seq from event_sequences where user_id = '{id}'");
    let kept = format!("select count(*) from job_events where user_id = '{id}'");
    let newest = app.count(&newest).await;
    assert_eq!(newest, app.count(&kept).await, "the log has no gaps");
    (1..=newest).collect()
}
