//! Large results: stored while they arrive, whole or not at all.

use serde_json::{Value, json};

use crate::support::{
    Builder, TestApp, TestUser,
    studio::{self, Studio, Take},
    test_app,
};

const MIB: usize = 1024 * 1024;

fn with_studio(app: Builder, studio: &Studio) -> Builder {
    app.set("/providers/kling/api_key", studio::KEY)
        .set("/providers/kling/base_url", studio.base.as_str())
}

async fn film(app: &TestApp, user: &TestUser) -> Value {
    let body = json!({"prompt": "a fox runs", "model": "kling-v2.1-master", "providerOptions": {}});
    let answer = app.post("/api/video/kling", Some(&user.token), body).await;
    assert_eq!(answer.status, 201, "{}", answer.json);
    let id = answer.json["jobId"].as_str().unwrap().to_owned();
    app.final_job(user, &id).await
}

/// Files of uploads that were begun and not ended, in the folder of the stand-in of S3.
fn unfinished(app: &TestApp) -> Vec<String> {
    std::fs::read_dir(&app.bucket.root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".upload"))
        .collect()
}

#[tokio::test]
async fn videos_of_every_size_are_stored_byte_by_byte() {
    for (bytes, is_announced) in [
        // Below a part, exactly one and two, and beyond.
        (1000, true),
        (8 * MIB, true),
        (16 * MIB, false),
        (20 * MIB + 17, false),
    ] {
        let studio = Studio::start(&[Take::Whole {
            bytes,
            is_announced,
        }])
        .await;
        with_studio(test_app().worker(), &studio)
            .run(async |app| {
                let user = app.user().await;
                let job = film(app, &user).await;
                assert_eq!(job["status"], "COMPLETED", "{bytes}: {job}");
                let path = job["resultUrl"].as_str().unwrap();
                let path = path.strip_prefix(&app.base).unwrap();
                let served = app.get(path, None).await;
                assert_eq!(served.header("content-type"), Some("video/mp4"));
                let expected: Vec<u8> = (0..bytes).map(studio::byte).collect();
                assert!(served.bytes == expected, "{bytes}: other bytes are served");
                let size = "select sum(file_size)::bigint from r2_files";
                assert_eq!(app.count(size).await, i64::try_from(bytes).unwrap());
                assert_eq!(unfinished(app), Vec::<String>::new());
                ranges(app, path, &expected).await;
                assert_eq!(app.credits(&user).await, 20 - 5);
            })
            .await;
    }
}

/// Players ask for pieces, beginning with the first bytes and the end.
async fn ranges(app: &TestApp, path: &str, all: &[u8]) {
    let size = all.len();
    for (range, from, to) in [
        ("bytes=0-1".to_owned(), 0, 2),
        (format!("bytes={}-", size - 100), size - 100, size),
        ("bytes=-50".to_owned(), size - 50, size),
        ("bytes=0-".to_owned(), 0, size),
    ] {
        let request = app.request(reqwest::Method::GET, path);
        let answer = app.send(request.header("range", &range)).await;
        assert_eq!(answer.status, 206, "{range}");
        let shown = format!("bytes {from}-{}/{size}", to - 1);
        assert_eq!(answer.header("content-range"), Some(shown.as_str()));
        assert!(answer.bytes == all[from..to], "{range}");
    }
}

#[tokio::test]
async fn a_video_that_is_cut_leaves_nothing_and_is_fetched_again() {
    let whole = Take::Whole {
        bytes: 9 * MIB,
        is_announced: true,
    };
    let takes = [
        Take::Cut { bytes: 100 },
        Take::Cut { bytes: 12 * MIB },
        whole,
    ];
    let studio = Studio::start(&takes).await;
    with_studio(test_app().worker(), &studio)
        .run(async |app| {
            let user = app.user().await;
            let job = film(app, &user).await;
            assert_eq!(job["status"], "COMPLETED", "{job}");
            assert_eq!((studio.submissions(), studio.downloads()), (1, 3));
            app.until("the parts of the cut one to go", || async {
                unfinished(app).is_empty().then_some(())
            })
            .await;
            assert_eq!(app.bucket.keys("videos").len(), 1);
            assert_eq!(app.count("select tries::bigint from jobs").await, 0);
        })
        .await;
}

#[tokio::test]
async fn a_video_above_the_limit_is_given_up() {
    for is_announced in [true, false] {
        let bytes = 17 * MIB;
        let studio = Studio::start(&[Take::Whole {
            bytes,
            is_announced,
        }])
        .await;
        with_studio(test_app().worker(), &studio)
            .set("/generation/max_video_bytes", 16 * MIB)
            .run(async |app| {
                let user = app.user().await;
                let job = film(app, &user).await;
                assert_eq!(job["status"], "FAILED", "{job}");
                let sql = "select count(*) from jobs where error_code = 'NO_USABLE_RESULT'";
                assert_eq!(app.count(sql).await, 1);
                assert_eq!(app.credits(&user).await, 20);
                app.until("everything to go", || async {
                    let is_empty = app.bucket.keys("videos").is_empty();
                    (is_empty && unfinished(app).is_empty()).then_some(())
                })
                .await;
            })
            .await;
    }
}
