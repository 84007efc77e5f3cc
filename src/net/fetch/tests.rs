use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::dns::Resolve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

mod limits;

/// Answers names from a script, one entry per question; the last one repeats.
/// It never asks the network.
pub(super) struct Script {
    answers: Vec<Vec<IpAddr>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    pub(super) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self {
            answers: answers.iter().map(parse).collect(),
            asked: Mutex::default(),
        })
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Lookup for Script {
    fn lookup(&self, name: &str) -> LookupAnswer {
        let mut asked = self.asked.lock().unwrap();
        let index = asked.len().min(self.answers.len() - 1);
        asked.push(name.to_owned());
        let answer = self.answers[index].clone();
        Box::pin(async move { Ok(answer) })
    }
}

/// A loopback server; `reply` turns a request into raw bytes and the time the
/// connection stays open after them.
pub(super) struct StandIn {
    pub(super) base: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

async fn stand_in(reply: impl Fn(&str) -> (Vec<u8>, Duration) + Send + Sync + 'static) -> StandIn {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let connections = Arc::new(AtomicUsize::new(0));
    let (seen, count, reply) = (requests.clone(), connections.clone(), Arc::new(reply));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let (seen, reply) = (seen.clone(), reply.clone());
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => return,
                    }
                }
                let request = String::from_utf8(request).unwrap();
                let (bytes, linger) = reply(&request);
                seen.lock().unwrap().push(request);
                let _ = stream.write_all(&bytes).await;
                tokio::time::sleep(linger).await;
            });
        }
    });
    StandIn {
        base,
        requests,
        connections,
    }
}

pub(super) async fn saying(raw: &str) -> StandIn {
    let raw = raw.as_bytes().to_vec();
    stand_in(move |_| (raw.clone(), Duration::ZERO)).await
}

fn fetcher() -> GuardedFetcher {
    GuardedFetcher::with_lookup("daygen-test", Script::new(&[&[]])).unwrap()
}

pub(super) fn public() -> Policy {
    Policy::new(Hosts::AnyPublic, 1000, Duration::from_secs(5))
}

pub(super) fn with_loopback() -> Policy {
    Policy {
        allow_loopback: true,
        ..public()
    }
}

fn only(suffixes: &[&str]) -> Policy {
    let suffixes = suffixes.iter().map(ToString::to_string).collect();
    Policy::new(Hosts::Suffixes(suffixes), 1000, Duration::from_secs(5))
}

#[tokio::test]
async fn names_are_filtered_where_the_client_resolves_them() {
    let lookup = Script::new(&[&["8.8.8.8", "127.0.0.1", "::1", "10.0.0.1"], &["127.0.0.1"]]);
    let filtered = Filtered {
        zone: Zone::Public,
        lookup,
    };
    let first = filtered
        .resolve("example.com".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(
        first.map(|to| to.to_string()).collect::<Vec<_>>(),
        ["8.8.8.8:0"]
    );
    // The name has been rebound in between.
    let second = filtered
        .resolve("example.com".parse().unwrap())
        .await
        .err()
        .unwrap();
    assert!(second.is::<crate::net::address::AddressRefused>());
}

#[tokio::test]
async fn a_name_without_public_addresses_is_refused_with_one_lookup() {
    for answer in [
        &["127.0.0.1"][..],
        &["10.0.0.1", "169.254.169.254", "::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["fd00:ec2::254"],
        &[],
    ] {
        let lookup = Script::new(&[answer, &["127.0.0.1"]]);
        let fetcher = GuardedFetcher::with_lookup("daygen-test", lookup.clone()).unwrap();
        let error = fetcher
            .fetch("https://rebind.example/?secret=1", &public())
            .await
            .unwrap_err();
        assert!(
            matches!(error, NetError::Forbidden { reason: "address" }),
            "{error:?}"
        );
        assert_eq!(lookup.asked(), ["rebind.example"]);
    }
}

#[tokio::test]
async fn a_connection_goes_to_the_address_that_was_judged() {
    let server = saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let url = server.base.replace("127.0.0.1", "localhost");
    let lookup = Script::new(&[&["203.0.113.1", "127.0.0.1"], &["192.0.2.1"]]);
    let fetcher = GuardedFetcher::with_lookup("daygen-test", lookup.clone()).unwrap();
    assert_eq!(
        fetcher.fetch(&url, &with_loopback()).await.unwrap().bytes,
        "ok"
    );
    assert_eq!(lookup.asked().len(), 1);
    let error = fetcher.fetch(&url, &with_loopback()).await.unwrap_err();
    assert!(
        matches!(error, NetError::Forbidden { reason: "address" }),
        "{error:?}"
    );
    assert_eq!(lookup.asked().len(), 2);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failing_lookup_is_a_connect_error() {
    struct Broken;
    impl Lookup for Broken {
        fn lookup(&self, _name: &str) -> LookupAnswer {
            Box::pin(async { Err(std::io::Error::other("down")) })
        }
    }
    let fetcher = GuardedFetcher::with_lookup("daygen-test", Arc::new(Broken)).unwrap();
    let error = fetcher
        .fetch("https://example.com/", &public())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            NetError::Connect {
                stage: "name lookup"
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_fetch_brings_bytes_type_and_final_url_and_sends_nothing_extra() {
    let server = stand_in(|request| {
        let raw = if request.starts_with("GET /first?") {
            "HTTP/1.1 302 Found\r\nLocation: second?b=2#x\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 5\r\n\r\nhello"
        };
        (raw.as_bytes().to_vec(), Duration::ZERO)
    })
    .await;
    let policy = Policy {
        accept: Some("image/*"),
        ..with_loopback()
    };
    let url = format!("{}/first?a=1#frag", server.base);
    let fetched = fetcher().fetch(&url, &policy).await.unwrap();
    assert_eq!(fetched.bytes, "hello");
    assert_eq!(fetched.content_type.as_deref(), Some("image/png"));
    assert_eq!(
        fetched.final_url.as_str(),
        format!("{}/second?b=2", server.base)
    );
    assert!(!format!("{fetched:?}").contains("b=2"));
    let requests = server.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        let request = request.to_ascii_lowercase();
        assert!(request.contains("accept: image/*\r\n"), "{request}");
        assert!(request.contains("user-agent: daygen-test\r\n"), "{request}");
        for header in ["cookie:", "referer:", "authorization:", "proxy-"] {
            assert!(!request.contains(header), "{request}");
        }
    }
}

#[tokio::test]
async fn loopback_is_refused_unless_allowed() {
    let server = saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    for policy in [public(), only(&["127.0.0.1", "localhost"])] {
        for base in [server.base.clone(), server.base.replace("http", "https")] {
            let error = fetcher().fetch(&base, &policy).await.unwrap_err();
            assert!(matches!(error, NetError::Forbidden { .. }), "{error:?}");
        }
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn redirects_pass_the_same_check() {
    for (location, reason) in [
        ("http://169.254.169.254/latest/meta-data/", "scheme"),
        ("https://169.254.169.254/latest/meta-data/", "address"),
        ("https://10.0.0.1/", "address"),
        ("//10.0.0.1/", "scheme"),
        ("https://[::ffff:10.0.0.1]/", "address"),
        ("https://user:pass@example.com/", "userinfo"),
        ("https://example.com:8443/", "port"),
        ("http://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("https://intranet/", "host"),
        ("https://internal.example/", "address"),
    ] {
        let server = saying(&format!(
            "HTTP/1.1 307 Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
        let lookup = Script::new(&[&["10.0.0.1"]]);
        let fetcher = GuardedFetcher::with_lookup("daygen-test", lookup).unwrap();
        let error = fetcher
            .fetch(&server.base, &with_loopback())
            .await
            .unwrap_err();
        let NetError::Forbidden { reason: found } = error else {
            panic!("{location}: {error:?}");
        };
        assert_eq!(found, reason, "{location}");
    }
}

#[tokio::test]
async fn redirects_are_counted() {
    let server =
        saying("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n").await;
    let error = fetcher()
        .fetch(&server.base, &with_loopback())
        .await
        .unwrap_err();
    assert!(matches!(error, NetError::TooManyRedirects), "{error:?}");
    assert_eq!(server.requests.lock().unwrap().len(), 4);
    let none = Policy {
        max_redirects: 0,
        ..with_loopback()
    };
    let error = fetcher().fetch(&server.base, &none).await.unwrap_err();
    assert!(matches!(error, NetError::TooManyRedirects), "{error:?}");
    assert_eq!(server.requests.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn only_a_200_counts() {
    for (status, expected) in [
        (204, 204),
        (206, 206),
        (302, 302),
        (304, 304),
        (403, 403),
        (500, 500),
    ] {
        let server = saying(&format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")).await;
        let error = fetcher()
            .fetch(&server.base, &with_loopback())
            .await
            .unwrap_err();
        assert!(
            matches!(error, NetError::Status(found) if found == expected),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_credential_goes_to_its_own_origin_only() {
    let foreign = saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let elsewhere = foreign.base.clone();
    let own = stand_in(move |request| {
        let to = if request.starts_with("GET /first") {
            "/second".to_owned()
        } else {
            format!("{elsewhere}/third")
        };
        let raw = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        (raw.into_bytes(), Duration::ZERO)
    })
    .await;
    let key = crate::settings::Secret::from("the-key".to_owned());
    let policy = Policy {
        credential: Some(Credential::new(
            &own.base.parse().unwrap(),
            "x-goog-api-key",
            key,
        )),
        ..with_loopback()
    };
    let url = format!("{}/first", own.base);
    assert_eq!(fetcher().fetch(&url, &policy).await.unwrap().bytes, "ok");
    let asked = own.requests.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    for request in asked {
        assert!(request.contains("x-goog-api-key: the-key\r\n"), "{request}");
    }
    let asked = foreign.requests.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert!(!asked[0].contains("the-key"), "{}", asked[0]);
    assert!(!format!("{policy:?}").contains("the-key"));
}

#[tokio::test]
async fn errors_never_show_the_url() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for url in [
        format!("http://{closed}/p?X-Signature=topsecret"),
        "https://10.0.0.1/p?X-Signature=topsecret".to_owned(),
        "https://internal.example/p?X-Signature=topsecret".to_owned(),
        "nonsense?X-Signature=topsecret".to_owned(),
    ] {
        let error = fetcher().fetch(&url, &with_loopback()).await.unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("topsecret"),
            "{error:?}"
        );
    }
}

#[test]
fn fetches_can_run_on_any_thread() {
    fn assert_send<T: Send>(_: T) {}
    let (fetcher, policy) = (fetcher(), public());
    assert_send(fetcher.fetch("https://example.com/", &policy));
    assert_send(fetcher.open("https://example.com/", &policy));
}
