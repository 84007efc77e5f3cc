//! What tests of operator routes share: finished jobs, an admin, and the reading of metrics.

use super::{Answer, TestApp, TestUser};

/// Puts finished jobs there that cost nothing, so that the books do not mind.
pub async fn finished(
    app: &TestApp,
    user: &TestUser,
    n: i64,
    (columns, values): (&str, &str),
    seconds_ago: u32,
) {
    let end = format!("(now() - interval '{seconds_ago} seconds')");
    let values = values.replace("END", &end);
    app.execute(&format!(
        "insert into jobs (id, user_id, type, queue, provider, model, input, cost, deadline_at, next_run_at,
                           completed_at, {columns})
         select gen_random_uuid(), '{}', 'IMAGE_GENERATION', 'image-generation-queue', 'flux', 'm', '{{}}', 0, now(),
                null, {end}, {values}
         from generate_series(1, {n})",
        user.id
    ))
    .await;
}

/// Columns and values of a job that took four seconds; `END` is when it ended.
pub const COMPLETED: (&str, &str) = (
    "status, progress, result_key, started_at",
    "'COMPLETED', 100, 'k', END - interval '4 seconds'",
);
/// One that failed after two seconds.
pub const FAILED: (&str, &str) = (
    "status, error, error_code, started_at",
    "'FAILED', 'e', 'PROVIDER_FAULT', END - interval '2 seconds'",
);

/// A new user with the admin role.
pub async fn admin(app: &TestApp) -> TestUser {
    let user = app.user().await;
    app.execute(&format!(
        "update users set role = 'ADMIN' where id = '{}'",
        user.id
    ))
    .await;
    user
}

/// The body as text.
pub fn text(answer: &Answer) -> String {
    String::from_utf8(answer.bytes.clone()).unwrap()
}

/// The value of one series.
pub fn value(text: &str, series: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}
