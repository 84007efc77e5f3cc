//! The route table and the error codes.

use daygen::{app::App, http::ErrorCode};
use loco_rs::app::Hooks;

use crate::support::test_app;

#[tokio::test]
async fn the_route_table() {
    test_app()
        .run(async |app| {
            let mut routes: Vec<String> = App::routes(&app.ctx)
                .collect()
                .iter()
                .map(ToString::to_string)
                .collect();
            routes.sort();
            insta::assert_snapshot!("routes", routes.join("\n"));
        })
        .await;
}

#[test]
fn the_error_codes() {
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    insta::assert_snapshot!("error_codes", codes.join("\n"));
}
