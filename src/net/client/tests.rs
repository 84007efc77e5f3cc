use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use super::*;

/// A one-answer server on loopback that writes `raw` and closes.
fn serve(raw: impl Into<Vec<u8>>) -> SocketAddr {
    let raw = raw.into();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
            if request == [0x16] {
                // A TLS greeting has no blank line to wait for.
                let _ = stream.read(&mut [0; 4096]);
                break;
            }
        }
        let _ = stream.write_all(&raw);
    });
    address
}

async fn get(raw: impl Into<Vec<u8>>) -> reqwest::Response {
    let url = format!("http://{}/a?secret=1", serve(raw));
    api_client("daygen-test")
        .unwrap()
        .get(url)
        .send()
        .await
        .unwrap()
}

fn seconds(value: &str, now: u64) -> Option<u64> {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, value.parse().unwrap());
    let now = UNIX_EPOCH + Duration::from_secs(now);
    retry_after_at(&headers, now).map(|wait| wait.as_secs())
}

#[test]
fn retry_after_reads_seconds_and_dates() {
    assert_eq!(seconds("0", 0), Some(0));
    assert_eq!(seconds(" 17 ", 0), Some(17));
    assert_eq!(seconds("99999", 0), Some(3600));
    assert_eq!(seconds("99999999999999999999999999", 0), Some(3600));
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(seconds(date, 784_111_777 - 60), Some(60));
    assert_eq!(seconds(date, 784_111_777 + 60), Some(0));
    assert_eq!(seconds(date, 0), Some(3600));
    for bad in [
        "",
        "-1",
        "1.5",
        "soon",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nox 1994 08:49:37 GMT",
    ] {
        assert_eq!(seconds(bad, 0), None, "{bad}");
    }
    assert_eq!(retry_after(&HeaderMap::new()), None);
}

#[test]
fn http_dates_match_known_instants() {
    for (text, expected) in [
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("Tue, 29 Feb 2000 12:00:00 GMT", Some(951_825_600)),
        ("Wed, 01 Mar 2000 00:00:00 GMT", Some(951_868_800)),
        ("Thu, 31 Dec 2026 23:59:59 GMT", Some(1_798_761_599)),
        ("Thu, 31 Dec 1969 23:59:59 GMT", None),
        ("Thu, 01 Jan 1970 24:00:00 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 CET", None),
    ] {
        assert_eq!(http_date(text), expected, "{text}");
    }
}

#[test]
fn a_bad_user_agent_is_a_build_error() {
    assert!(matches!(api_client("a\nb"), Err(NetError::Build(_))));
}

#[tokio::test]
async fn a_body_within_the_limit_is_read_whole() {
    let response = get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(read_limited(response, 5).await.unwrap(), "hello");
    let response = get("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(read_limited(response, 0).await.unwrap(), "");
}

#[tokio::test]
async fn an_announced_oversize_is_refused_unread() {
    let response = get("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n").await;
    let error = read_limited(response, 5).await.unwrap_err();
    assert!(matches!(error, NetError::TooLarge { limit_bytes: 5 }));
}

#[tokio::test]
async fn an_unannounced_oversize_is_refused_while_reading() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    let error = read_limited(get(chunked).await, 5).await.unwrap_err();
    assert!(matches!(error, NetError::TooLarge { limit_bytes: 5 }));
    assert_eq!(read_limited(get(chunked).await, 6).await.unwrap(), "abcdef");
}

#[tokio::test]
async fn a_cut_body_is_an_error() {
    for raw in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let error = read_limited(get(raw).await, 100).await.unwrap_err();
        assert!(matches!(error, NetError::Cut), "{error:?}");
    }
}

#[tokio::test]
async fn redirects_are_handed_to_the_caller() {
    let response = get("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(response.status(), 302);
}

#[tokio::test]
async fn failures_are_told_apart_and_hold_no_url() {
    let client = api_client("daygen-test").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let waiting = hanging.local_addr().unwrap();
    for (url, expected) in [
        (
            format!("http://{closed}/?secret=1"),
            "Connect { stage: \"connection\" }",
        ),
        (
            format!("https://{}/?secret=1", serve("not tls at all")),
            "Connect { stage: \"tls\" }",
        ),
        (format!("http://{}/?secret=1", serve("")), "NoAnswer"),
        (
            format!("http://{}/?secret=1", serve("garbage\r\n\r\n")),
            "NoAnswer",
        ),
        (format!("http://{waiting}/?secret=1"), "TimedOut"),
    ] {
        let request = client.get(&url).timeout(Duration::from_secs(2));
        let error = NetError::from(request.send().await.unwrap_err());
        assert_eq!(format!("{error:?}"), expected, "{url}");
        assert!(!error.to_string().contains("secret"));
    }
    let error = NetError::from(client.get("no url?secret=1").send().await.unwrap_err());
    assert!(
        matches!(&error, NetError::Build(text) if !text.contains("secret")),
        "{error:?}"
    );
}

#[tokio::test]
async fn running_out_of_the_connect_limit_means_nothing_was_sent() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let timeouts = Timeouts {
        connect: Duration::from_millis(200),
        total: Duration::from_secs(10),
    };
    let client = api_client_with("daygen-test", timeouts).unwrap();
    // The handshake is part of connecting, and nobody answers it.
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let error = NetError::from(client.get(url).send().await.unwrap_err());
    assert!(
        matches!(
            error,
            NetError::Connect {
                stage: "connection"
            }
        ),
        "{error:?}"
    );
}
