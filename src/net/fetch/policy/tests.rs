use super::*;

fn public() -> Policy {
    Policy::new(Hosts::AnyPublic, 1000, Duration::from_secs(5))
}

fn with_loopback() -> Policy {
    Policy {
        allow_loopback: true,
        ..public()
    }
}

fn only(suffixes: &[&str]) -> Policy {
    let suffixes = suffixes.iter().map(ToString::to_string).collect();
    Policy::new(Hosts::Suffixes(suffixes), 1000, Duration::from_secs(5))
}

/// The verdict on a URL without any network: `public`, `loopback`, a reason.
fn verdict(url: &str, policy: &Policy) -> &'static str {
    match parse(url).and_then(|url| check(&url, policy, 443)) {
        Ok(Zone::Public) => "public",
        Ok(Zone::Loopback) => "loopback",
        Err(NetError::Forbidden { reason }) => reason,
        Err(NetError::InvalidUrl) => "invalid",
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn urls_on_the_open_internet_are_judged() {
    let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
    for (url, expected) in [
        ("https://example.com/a.png?sig=1#f", "public"),
        ("https://example.com:443/", "public"),
        ("HTTPS://EXAMPLE.COM/", "public"),
        ("https://8.8.8.8/", "public"),
        ("https://[2606:4700:4700::1111]/", "public"),
        ("https://bücher.example/", "public"),
        // Schemes and ports.
        ("http://example.com/", "scheme"),
        ("http://example.com:443/", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.com/", "scheme"),
        ("data:image/png;base64,AAAA", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("https://example.com:80/", "port"),
        ("https://example.com:8443/", "port"),
        ("https://example.com:22/", "port"),
        ("https://example.com:0/", "port"),
        // User information.
        ("https://user@example.com/", "userinfo"),
        ("https://user:pass@example.com/", "userinfo"),
        ("https://:pass@example.com/", "userinfo"),
        ("https://example.com@127.0.0.1/", "userinfo"),
        ("https://example.com%40evil.com@127.0.0.1/", "userinfo"),
        // Loopback and friends, in every spelling.
        ("https://127.0.0.1/", "address"),
        ("https://127.1/", "address"),
        ("https://127.0.0.1./", "address"),
        ("https://2130706433/", "address"),
        ("https://0x7f000001/", "address"),
        ("https://0x7f.0.0.1/", "address"),
        ("https://0X7F.1/", "address"),
        ("https://017700000001/", "address"),
        ("https://0177.0.0.1/", "address"),
        ("https://0300.0250.0.1/", "address"),
        ("https://%31%32%37.0.0.1/", "address"),
        ("https://①②⑦.0.0.1/", "address"),
        ("https://127。0。0。1/", "address"),
        ("https://0/", "address"),
        ("https://0.0.0.0/", "address"),
        ("https://10.0.0.1/", "address"),
        ("https://172.16.0.1/", "address"),
        ("https://192.168.1.1/", "address"),
        ("https://100.64.0.1/", "address"),
        ("https://100.100.100.200/", "address"),
        ("https://169.254.169.254/latest/meta-data/", "address"),
        ("https://2852039166/latest/meta-data/", "address"),
        ("https://0xa9fea9fe/", "address"),
        ("https://0251.0376.0251.0376/", "address"),
        ("https://[::]/", "address"),
        ("https://[::1]/", "address"),
        ("https://[0:0:0:0:0:0:0:1]/", "address"),
        ("https://[::ffff:127.0.0.1]/", "address"),
        ("https://[::ffff:7f00:1]/", "address"),
        ("https://[::ffff:169.254.169.254]/", "address"),
        ("https://[::127.0.0.1]/", "address"),
        ("https://[64:ff9b::7f00:1]/", "address"),
        ("https://[64:ff9b::169.254.169.254]/", "address"),
        ("https://[2002:7f00:1::]/", "address"),
        ("https://[fd00:ec2::254]/", "address"),
        ("https://[fe80::1]/", "address"),
        // Names that a resolver would treat specially.
        ("https://localhost/", "host"),
        ("https://LOCALHOST/", "host"),
        ("https://localhost./", "host"),
        ("https://intranet/", "host"),
        ("https://example.com./", "host"),
        // Not URLs, or read differently by different readers.
        ("", "invalid"),
        ("/a.png", "invalid"),
        ("//example.com/a.png", "invalid"),
        ("https://", "invalid"),
        ("https://256.0.0.1/", "invalid"),
        ("https://[fe80::1%25eth0]/", "invalid"),
        ("https://exa mple.com/", "invalid"),
        ("https://example.com\\@127.0.0.1/", "invalid"),
        ("https://exam\nple.com/", "invalid"),
        ("https://example.com/\r\nX-A: b", "invalid"),
        (long.as_str(), "invalid"),
    ] {
        assert_eq!(verdict(url, &public()), expected, "{url}");
    }
}

#[test]
fn suffixes_match_at_label_boundaries() {
    for list in [
        only(&["bfl.ai"]),
        only(&[".BFL.ai"]),
        only(&["other.example", "bfl.ai"]),
    ] {
        for (url, expected) in [
            ("https://bfl.ai/", "public"),
            ("https://delivery.eu.bfl.ai/x", "public"),
            ("https://BFL.AI/", "public"),
            ("https://ｂｆｌ.ai/", "public"),
            ("https://evilbfl.ai/", "host"),
            ("https://bfl.ai.evil.com/", "host"),
            ("https://bfl.ai./", "host"),
            ("https://bfl.aix/", "host"),
            ("https://ai/", "host"),
            ("https://bƒl.ai/", "host"),
            ("https://evil.com/bfl.ai", "host"),
            ("https://evil.com/?.bfl.ai", "host"),
            ("https://evil.com#.bfl.ai", "host"),
            ("https://bfl.ai@evil.com/", "userinfo"),
            ("https://8.8.8.8/", "host"),
            ("https://[2606:4700:4700::1111]/", "host"),
            ("https://localhost/", "host"),
            ("http://bfl.ai/", "scheme"),
            ("https://bfl.ai:8443/", "port"),
        ] {
            assert_eq!(verdict(url, &list), expected, "{url}");
        }
    }
    assert_eq!(verdict("https://bfl.ai/", &only(&[])), "host");
    assert_eq!(verdict("https://bfl.ai/", &only(&["", "."])), "host");
}

#[test]
fn allowing_loopback_allows_nothing_else() {
    for (url, expected) in [
        ("http://127.0.0.1:8080/", "loopback"),
        ("https://127.0.0.1:8443/", "loopback"),
        ("http://[::1]:8080/", "loopback"),
        ("http://[::ffff:127.0.0.1]:8080/", "loopback"),
        ("http://localhost:8080/", "loopback"),
        ("http://user@127.0.0.1:8080/", "userinfo"),
        ("ftp://127.0.0.1/", "scheme"),
        ("http://10.0.0.1:8080/", "scheme"),
        ("https://10.0.0.1/", "address"),
        ("http://0.0.0.0:8080/", "scheme"),
        ("http://169.254.169.254/", "scheme"),
        ("https://169.254.169.254/", "address"),
        ("http://localhost.evil.com/", "scheme"),
        ("http://127.0.0.1.evil.com/", "scheme"),
        ("https://example.com/", "public"),
        ("http://example.com/", "scheme"),
        ("https://example.com:8443/", "port"),
    ] {
        assert_eq!(verdict(url, &with_loopback()), expected, "{url}");
    }
    let listed = Policy {
        allow_loopback: true,
        ..only(&["bfl.ai"])
    };
    assert_eq!(verdict("http://127.0.0.1:8080/", &listed), "loopback");
    assert_eq!(verdict("https://bfl.ai/", &listed), "public");
    assert_eq!(verdict("https://example.com/", &listed), "host");
}
