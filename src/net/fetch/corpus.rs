//! A corpus of addresses that must never be asked for anything, with a listener that hears whoever
//! asks nevertheless.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use tokio::net::{TcpListener, TcpStream};
use url::Host;

use super::tests::{Script, public, saying, with_loopback};
use super::*;

/// Why it is refused, then the address.
const CORPUS: &str = include_str!("../../../tests/fixtures/ssrf_addresses.txt");

/// Names, and what a resolver that lies or changes its mind answers, one list for each question.
const NAMES: [(&str, &[&[&str]]); 14] = [
    ("internal.example", &[&["127.0.0.1"]]),
    ("internal6.example", &[&["::1"]]),
    ("both.example", &[&["::1", "127.0.0.1"]]),
    ("unspecified.example", &[&["0.0.0.0", "::"]]),
    ("mapped.example", &[&["::ffff:127.0.0.1"]]),
    ("nat64.example", &[&["64:ff9b::7f00:1"]]),
    ("sixtofour.example", &[&["2002:7f00:1::"]]),
    (
        "metadata.google.internal",
        &[&["169.254.169.254"], &["127.0.0.1"]],
    ),
    ("127.0.0.1.nip.example", &[&["127.0.0.1"]]),
    ("localhost.evil.example", &[&["127.0.0.1"]]),
    ("bücher.example", &[&["127.0.0.1"]]),
    ("ｉｎｔｒａ.example", &[&["127.0.0.1"]]),
    // Rebinding: another answer to every question. Only the first is asked, judged and used.
    ("rebind.example", &[&["10.0.0.1"], &["127.0.0.1"], &["::1"]]),
    ("nothing.example", &[&[], &["127.0.0.1"]]),
];

/// Notes whoever connects to one port of 127.0.0.1 and, where there is IPv6, of ::1.
struct Listener {
    port: u16,
    hosts: Vec<&'static str>,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Listener {
    async fn start() -> Self {
        let v4 = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = v4.local_addr().unwrap().port();
        let peers = Arc::new(Mutex::new(Vec::new()));
        let mut hosts = vec!["127.0.0.1"];
        let v6 = TcpListener::bind(("::1", port)).await.ok();
        hosts.extend(v6.is_some().then_some("::1"));
        for listener in [Some(v4), v6].into_iter().flatten() {
            let peers = Arc::clone(&peers);
            tokio::spawn(async move {
                while let Ok((_connection, peer)) = listener.accept().await {
                    peers.lock().unwrap().push(peer);
                }
            });
        }
        Self { port, hosts, peers }
    }

    /// How many connected since the last call. Connections of our own come last on each side and show
    /// that nothing else is on its way any more; they are not counted.
    async fn heard(&self) -> usize {
        for host in &self.hosts {
            let own = TcpStream::connect((*host, self.port)).await.unwrap();
            let own = own.local_addr().unwrap();
            while !self.peers.lock().unwrap().contains(&own) {
                tokio::task::yield_now().await;
            }
        }
        std::mem::take(&mut *self.peers.lock().unwrap()).len() - self.hosts.len()
    }
}

fn corpus(port: u16) -> Vec<(&'static str, String)> {
    CORPUS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (reason, address) = line.split_once(' ').unwrap();
            (reason, address.replace("{port}", &port.to_string()))
        })
        .collect()
}

fn reason(error: &NetError) -> &'static str {
    match error {
        NetError::Forbidden { reason } => reason,
        NetError::InvalidUrl => "invalid",
        other => panic!("{other:?}"),
    }
}

/// Where a program without judgement connects to for an address, if that is a literal.
fn literal(address: &str) -> Option<SocketAddr> {
    let url = Url::parse(address).ok()?;
    let ip = match url.host()? {
        Host::Domain(_) => return None,
        Host::Ipv4(ip) => IpAddr::V4(ip),
        Host::Ipv6(ip) => IpAddr::V6(ip),
    };
    Some(SocketAddr::new(ip, url.port()?))
}

#[tokio::test]
async fn no_address_of_the_corpus_is_reached() {
    let listener = Listener::start().await;
    let corpus = corpus(listener.port);
    assert!(corpus.len() >= 60, "{}", corpus.len());

    // The listener hears those who do not judge: many of these addresses lead to it.
    let mut reaching = 0;
    for (_, address) in &corpus {
        if let Some(to) = literal(address)
            && (to.ip().to_canonical().is_loopback() || to.ip().is_unspecified())
            && TcpStream::connect(to).await.is_ok()
        {
            reaching += 1;
        }
    }
    assert!(
        reaching >= 20,
        "only {reaching} addresses lead to the listener"
    );
    assert_eq!(listener.heard().await, reaching);

    let lookup = Script::new(&[&["127.0.0.1", "::1"]]);
    let fetcher = GuardedFetcher::with_lookup("daygen-test", lookup.clone())
        .unwrap()
        .with_public_port(listener.port);
    for (expected, address) in &corpus {
        let error = fetcher.fetch(address, &public()).await.unwrap_err();
        assert_eq!(reason(&error), *expected, "{address}");
        let error = fetcher
            .open(address, &public())
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(reason(&error), *expected, "{address}");
    }
    assert_eq!(
        lookup.asked(),
        Vec::<String>::new(),
        "no name was looked up"
    );
    assert_eq!(listener.heard().await, 0);
}

#[tokio::test]
async fn no_resolver_leads_to_a_forbidden_address() {
    let listener = Listener::start().await;
    for (name, answers) in NAMES {
        let lookup = Script::new(answers);
        let fetcher = GuardedFetcher::with_lookup("daygen-test", lookup.clone())
            .unwrap()
            .with_public_port(listener.port);
        let address = format!("https://{name}:{}/?secret=1", listener.port);
        let error = fetcher.fetch(&address, &public()).await.unwrap_err();
        assert_eq!(reason(&error), "address", "{name}");
        assert_eq!(lookup.asked().len(), 1, "{name} is asked for once");
    }
    assert_eq!(listener.heard().await, 0);
}

#[tokio::test]
async fn no_redirect_leads_to_a_forbidden_address() {
    let listener = Listener::start().await;
    let named = NAMES.map(|(name, answers)| {
        let address = format!("https://{name}:{}/", listener.port);
        ("address", address, Script::new(answers))
    });
    let nowhere = || Script::new(&[&["127.0.0.1"]]);
    // Stand-ins are on this machine, so that literals of this machine are allowed where they are.
    let literals = corpus(listener.port).into_iter().filter(|(_, address)| {
        !literal(address).is_some_and(|to| to.ip().to_canonical().is_loopback())
            && Url::parse(address).is_ok_and(|url| url.host_str() != Some("localhost"))
    });
    let literals = literals.map(|(reason, address)| (reason, address, nowhere()));
    let mut checked = 0;
    for (expected, address, lookup) in named.into_iter().chain(literals) {
        if expected == "invalid" {
            continue;
        }
        let last = format!("HTTP/1.1 302 Go\r\nLocation: {address}\r\nContent-Length: 0\r\n\r\n");
        let last = saying(&last).await;
        let first = format!(
            "HTTP/1.1 301 Go\r\nLocation: {}/next\r\nContent-Length: 0\r\n\r\n",
            last.base
        );
        let first = saying(&first).await;
        let fetcher = GuardedFetcher::with_lookup("daygen-test", lookup)
            .unwrap()
            .with_public_port(listener.port);
        let error = fetcher
            .fetch(&first.base, &with_loopback())
            .await
            .unwrap_err();
        assert_eq!(reason(&error), expected, "{address}");
        checked += 1;
    }
    assert!(checked >= 60, "{checked}");
    assert_eq!(listener.heard().await, 0);
}
