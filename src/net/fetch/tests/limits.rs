//! Size and time of what is fetched.

use super::*;

#[tokio::test]
async fn oversized_bodies_are_refused() {
    let big = "x".repeat(1001);
    for raw in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{big}\r\n0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{big}"),
    ] {
        let server = saying(&raw).await;
        let error = fetcher()
            .fetch(&server.base, &with_loopback())
            .await
            .unwrap_err();
        assert!(
            matches!(error, NetError::TooLarge { limit_bytes: 1000 }),
            "{error:?}"
        );
    }
    let exact = "x".repeat(1000);
    let server = saying(&format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{exact}"
    ))
    .await;
    assert_eq!(
        fetcher()
            .fetch(&server.base, &with_loopback())
            .await
            .unwrap()
            .bytes,
        exact
    );
}

#[tokio::test]
async fn cut_bodies_are_errors() {
    for raw in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let server = saying(raw).await;
        let error = fetcher()
            .fetch(&server.base, &with_loopback())
            .await
            .unwrap_err();
        assert!(matches!(error, NetError::Cut), "{error:?}");
    }
}

#[tokio::test]
async fn the_total_limit_covers_headers_and_body() {
    let policy = Policy {
        total: Duration::from_millis(200),
        ..with_loopback()
    };
    for raw in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    ] {
        let server = stand_in(move |_| (raw.as_bytes().to_vec(), Duration::from_secs(30))).await;
        let started = Instant::now();
        let error = fetcher().fetch(&server.base, &policy).await.unwrap_err();
        assert!(matches!(error, NetError::TimedOut), "{raw}: {error:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_slow_lookup_counts_too() {
    struct Slow;
    impl Lookup for Slow {
        fn lookup(&self, _name: &str) -> LookupAnswer {
            Box::pin(std::future::pending())
        }
    }
    let fetcher = GuardedFetcher::with_lookup("daygen-test", Arc::new(Slow)).unwrap();
    let policy = Policy {
        total: Duration::from_millis(200),
        ..public()
    };
    let error = fetcher
        .fetch("https://example.com/", &policy)
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::TimedOut), "{error:?}");
    let policy = Policy {
        total: Duration::ZERO,
        ..public()
    };
    let error = fetcher
        .fetch("https://example.com/", &policy)
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::TimedOut), "{error:?}");
}

#[tokio::test]
async fn a_stream_keeps_its_limits_and_ends_after_an_error() {
    let server = stand_in(|_| {
        let raw = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 9\r\n\r\nhello";
        (raw.to_vec(), Duration::from_secs(30))
    })
    .await;
    let policy = Policy {
        total: Duration::from_millis(1500),
        ..with_loopback()
    };
    let mut opened = fetcher().open(&server.base, &policy).await.unwrap();
    assert_eq!(opened.content_type.as_deref(), Some("video/mp4"));
    assert_eq!(opened.content_length, Some(9));
    assert_eq!(opened.body.next().await.unwrap().unwrap(), "hello");
    let error = opened.body.next().await.unwrap().unwrap_err();
    assert!(matches!(error, NetError::TimedOut), "{error:?}");
    assert!(opened.body.next().await.is_none());
}

#[tokio::test]
async fn time_between_chunks_counts_even_when_bytes_are_ready() {
    let server = saying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
    let policy = Policy {
        total: Duration::from_millis(1500),
        ..with_loopback()
    };
    let mut opened = fetcher().open(&server.base, &policy).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let error = opened.body.next().await.unwrap().unwrap_err();
    assert!(matches!(error, NetError::TimedOut), "{error:?}");
}

#[tokio::test]
async fn a_silent_body_is_given_up() {
    let server = stand_in(|_| {
        let raw = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
        (raw.to_vec(), Duration::from_secs(60))
    })
    .await;
    let policy = Policy {
        total: Duration::from_hours(1),
        idle: Duration::from_millis(300),
        ..with_loopback()
    };
    let mut opened = fetcher().open(&server.base, &policy).await.unwrap();
    assert_eq!(opened.body.next().await.unwrap().unwrap(), "hello");
    // The reader's own pause is not the other side's silence.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let error = opened.body.next().await.unwrap().unwrap_err();
    assert!(matches!(error, NetError::TimedOut), "{error:?}");
    assert!(opened.body.next().await.is_none());
}
