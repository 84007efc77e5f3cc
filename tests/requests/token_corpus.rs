//! Tokens that somebody made up: none of them gets in, whatever the keys are.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::support::{
    google,
    key_server::KeyServer,
    signing::{SigningKey, part, sign_text},
    test_app, tokens,
};

const SUBJECT: &str = "6f1b9a52-7a3e-4d5c-9b1f-0d2a3c4e5f60";
const ISSUER: &str = "https://identity.example.com/auth/v1";

/// The keys that the app trusts, and one of the attacker's own.
struct Keys {
    rsa: SigningKey,
    p256: SigningKey,
    ed25519: SigningKey,
    attacker: SigningKey,
}

fn claims() -> Value {
    let mut claims = tokens::claims(SUBJECT, "grace@example.com");
    claims["iss"] = json!(ISSUER);
    claims["iat"] = json!(chrono::Utc::now().timestamp());
    claims
}

fn with(changes: &[(&str, Value)]) -> Value {
    let mut claims = claims();
    for (key, value) in changes {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(*key);
        } else {
            claims[*key] = value.clone();
        }
    }
    claims
}

fn secret(text: &[u8]) -> EncodingKey {
    EncodingKey::from_secret(text)
}

/// HS256 under any header with any secret.
fn hs256(head: &Value, payload: &str, key: &[u8]) -> String {
    sign_text(&head.to_string(), payload, &secret(key), Algorithm::HS256)
}

fn our_head() -> Value {
    json!({"alg": "HS256", "typ": "JWT"})
}

/// Our own secret under a header with something more in it.
fn ours_with(more: Value) -> String {
    let mut head = our_head();
    head.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    hs256(&head, &claims().to_string(), tokens::SECRET.as_bytes())
}

/// Nobody's signature, or somebody else's.
fn forged(keys: &Keys) -> Vec<(&'static str, String)> {
    let good = claims();
    let text = good.to_string();
    let unsigned = |alg: &str, tail: &str| {
        let head = json!({"alg": alg, "typ": "JWT"}).to_string();
        format!("{}.{}.{tail}", part(&head), part(&text))
    };
    let theirs = &keys.attacker;
    let under = |id: &str| json!({"alg": theirs.algorithm, "typ": "JWT", "kid": id});
    let jwk_text = keys.rsa.jwk().to_string();
    let modulus = keys.rsa.jwk()["n"].as_str().unwrap().to_owned();
    let rsa_pem = google::public_pem(0);
    let hs_head = json!({"alg": "HS256", "typ": "JWT", "kid": keys.rsa.id});
    let p256_x = URL_SAFE_NO_PAD
        .decode(keys.p256.jwk()["x"].as_str().unwrap())
        .unwrap();
    vec![
        ("alg none", unsigned("none", "")),
        ("alg None", unsigned("None", "")),
        ("alg nOnE with a signature", unsigned("nOnE", "AAAA")),
        ("alg empty", unsigned("", "")),
        ("alg HS256 without a signature", unsigned("HS256", "")),
        ("alg RS256 without a signature", unsigned("RS256", "")),
        ("another secret", hs256(&our_head(), &text, b"another-secret-of-at-least-32-bytes!")),
        ("the empty secret", hs256(&our_head(), &text, b"")),
        ("a well-known secret", hs256(&our_head(), &text, b"change-me-in-production")),
        ("the right secret by HS512", sign_text(&json!({"alg": "HS512"}).to_string(), &text, &secret(tokens::SECRET.as_bytes()), Algorithm::HS512)),
        ("HS512 called HS256", sign_text(&our_head().to_string(), &text, &secret(tokens::SECRET.as_bytes()), Algorithm::HS512)),
        ("HS256 with the public key's PEM", hs256(&hs_head, &text, rsa_pem.as_bytes())),
        ("HS256 with the PEM, no key id", hs256(&our_head(), &text, rsa_pem.as_bytes())),
        ("HS256 with the PEM, trimmed", hs256(&hs_head, &text, rsa_pem.trim().as_bytes())),
        ("HS256 with the published JSON", hs256(&hs_head, &text, jwk_text.as_bytes())),
        ("HS256 with the modulus", hs256(&hs_head, &text, modulus.as_bytes())),
        ("HS256 with a public coordinate", hs256(&our_head(), &text, &p256_x)),
        ("another key under a published id", theirs.sign_under(&under(&keys.rsa.id), &text)),
        ("another key under its own id", theirs.sign(&good)),
        ("another key without an id", theirs.sign_under(&json!({"alg": theirs.algorithm}), &text)),
        ("an id that is a path", theirs.sign_under(&under("../../../../dev/null"), &text)),
        ("an id that is an address", theirs.sign_under(&under("https://attacker.example/keys.json"), &text)),
        ("an id that is a statement", theirs.sign_under(&under("' union select 'secret' --"), &text)),
        ("a huge id", theirs.sign_under(&under(&"k".repeat(4_000)), &text)),
        ("a key of its own in the header", theirs.sign_under(&json!({"alg": "RS256", "kid": theirs.id, "jwk": theirs.jwk()}), &text)),
        ("a key set of its own in the header", theirs.sign_under(&json!({"alg": "RS256", "kid": theirs.id, "jku": "https://attacker.example/keys.json"}), &text)),
        ("a certificate's address in the header", theirs.sign_under(&json!({"alg": "RS256", "kid": theirs.id, "x5u": "https://attacker.example/cert.pem"}), &text)),
        ("a certificate in the header", theirs.sign_under(&json!({"alg": "RS256", "kid": keys.rsa.id, "x5c": ["MIIB"]}), &text)),
        ("RS256 under the id of a P-256 key", keys.rsa.sign_under(&json!({"alg": "RS256", "kid": keys.p256.id}), &text)),
        ("ES256 under the id of an RSA key", keys.p256.sign_under(&json!({"alg": "ES256", "kid": keys.rsa.id}), &text)),
        ("EdDSA called ES256", keys.ed25519.sign_under(&json!({"alg": "ES256", "kid": keys.ed25519.id}), &text)),
        ("a P-256 signature of zeroes", {
            let head = keys.p256.head().to_string();
            format!("{}.{}.{}", part(&head), part(&text), URL_SAFE_NO_PAD.encode([0_u8; 64]))
        }),
        ("an empty P-256 signature", format!("{}.{}.", part(&keys.p256.head().to_string()), part(&text))),
        ("an Ed25519 signature of zeroes", {
            let head = keys.ed25519.head().to_string();
            format!("{}.{}.{}", part(&head), part(&text), URL_SAFE_NO_PAD.encode([0_u8; 64]))
        }),
        ("PS256 with a published key", {
            let head = json!({"alg": "PS256", "kid": keys.rsa.id}).to_string();
            let signed = keys.rsa.sign(&good);
            let tail = signed.rsplit_once('.').unwrap().1;
            format!("{}.{}.{tail}", part(&head), part(&text))
        }),
        ("a symmetric key that was published", hs256(&json!({"alg": "HS256", "kid": "published-secret"}), &text, b"a-secret-that-everybody-can-read")),
        ("a key that is published for encryption", theirs.sign_under(&under("for-encryption"), &text)),
        ("a key that is published for another algorithm", theirs.sign_under(&under("for-rs512"), &text)),
    ]
}

/// A signature that is good, or was, under a form that is not.
fn odd_forms(keys: &Keys) -> Vec<(&'static str, String)> {
    let good = claims();
    let text = good.to_string();
    let token = tokens::good(&good);
    let parts: Vec<&str> = token.split('.').collect();
    let (head, payload, tail) = (parts[0], parts[1], parts[2]);
    let own = tokens::SECRET.as_bytes();
    let rsa = keys.rsa.sign(&good);
    let richer = with(&[("email", json!("admin@example.com"))]).to_string();
    vec![
        ("critical extension", ours_with(json!({"crit": ["exp"]}))),
        ("critical nothing", ours_with(json!({"crit": []}))),
        (
            "payload that is not encoded, said only",
            ours_with(json!({"b64": false, "crit": ["b64"]})),
        ),
        (
            "payload that is not encoded, not critical",
            ours_with(json!({"b64": false})),
        ),
        ("payload that is not encoded", {
            let head = json!({"alg": "HS256", "b64": false, "crit": ["b64"]}).to_string();
            let signature = jsonwebtoken::crypto::sign(
                format!("{}.{text}", part(&head)).as_bytes(),
                &secret(own),
                Algorithm::HS256,
            )
            .unwrap();
            format!("{}.{text}.{signature}", part(&head))
        }),
        ("compressed payload", ours_with(json!({"zip": "DEF"}))),
        ("encrypted payload", ours_with(json!({"enc": "A128GCM"}))),
        (
            "another kind of token",
            ours_with(json!({"typ": "logout+jwt"})),
        ),
        ("a number as kind", ours_with(json!({"typ": 1}))),
        ("a list as key id", ours_with(json!({"kid": ["a"]}))),
        (
            "algorithm twice",
            sign_text(
                r#"{"alg":"none","alg":"HS256"}"#,
                &text,
                &secret(own),
                Algorithm::HS256,
            ),
        ),
        (
            "header that is a list",
            sign_text(r#"["HS256"]"#, &text, &secret(own), Algorithm::HS256),
        ),
        (
            "header that is no JSON",
            sign_text("HS256", &text, &secret(own), Algorithm::HS256),
        ),
        (
            "payload of another token",
            format!("{head}.{}.{tail}", part(&richer)),
        ),
        ("payload of another token, RS256", {
            let parts: Vec<&str> = rsa.split('.').collect();
            format!("{}.{}.{}", parts[0], part(&richer), parts[2])
        }),
        (
            "header of another token",
            format!("{}.{payload}.{tail}", part(r#"{"alg":"HS256"}"#)),
        ),
        ("a cut signature", token[..token.len() - 4].to_owned()),
        ("a longer signature", format!("{token}AAAA")),
        ("padded parts", format!("{head}.{payload}==.{tail}")),
        ("an empty payload", format!("{head}..{tail}")),
        ("two parts", format!("{head}.{payload}")),
        ("four parts", format!("{token}.{tail}")),
        (
            "five parts, as of an encrypted token",
            format!("{head}.{payload}.{tail}.{payload}.{tail}"),
        ),
        ("blanks inside", format!("{head}.{payload} .{tail}")),
        (
            "payload that is a list",
            hs256(&our_head(), &format!("[{text}]"), own),
        ),
        ("payload that is no JSON", hs256(&our_head(), "hello", own)),
        (
            "deeply nested payload",
            hs256(
                &our_head(),
                &format!(
                    r#"{{"user_metadata":{}1{}}}"#,
                    "[".repeat(3_000),
                    "]".repeat(3_000)
                ),
                own,
            ),
        ),
        (
            "huge",
            hs256(
                &our_head(),
                &with(&[("user_metadata", json!({"a": "x".repeat(40_000)}))]).to_string(),
                own,
            ),
        ),
        ("not a token", "not.a.token".to_owned()),
        ("only dots", "..".to_owned()),
    ]
}

/// A good signature over claims that say too little, too much, or the wrong thing.
fn wrong_claims() -> Vec<(&'static str, Value)> {
    let now = chrono::Utc::now().timestamp();
    vec![
        ("expired by a second", with(&[("exp", json!(now - 1))])),
        ("expires now", with(&[("exp", json!(now))])),
        ("expired long ago", with(&[("exp", json!(1))])),
        ("negative expiry", with(&[("exp", json!(-1))])),
        (
            "expiry as text",
            with(&[("exp", json!((now + 600).to_string()))]),
        ),
        ("expiry as a list", with(&[("exp", json!([now + 600]))])),
        ("no expiry", with(&[("exp", Value::Null)])),
        ("not yet valid", with(&[("nbf", json!(now + 300))])),
        (
            "not yet valid, as text",
            with(&[("nbf", json!("9999999999"))]),
        ),
        ("no role", with(&[("role", Value::Null)])),
        ("anonymous role", with(&[("role", json!("anon"))])),
        ("service role", with(&[("role", json!("service_role"))])),
        (
            "roles as a list",
            with(&[("role", json!(["authenticated"]))]),
        ),
        (
            "role in capitals",
            with(&[("role", json!("AUTHENTICATED"))]),
        ),
        ("no subject", with(&[("sub", Value::Null)])),
        (
            "no subject but its old name",
            with(&[("sub", Value::Null), ("authUserId", json!(SUBJECT))]),
        ),
        ("empty subject", with(&[("sub", json!(""))])),
        ("a subject that is no id", with(&[("sub", json!("admin"))])),
        ("a subject that is a number", with(&[("sub", json!(1))])),
        ("foreign audience", with(&[("aud", json!("elsewhere"))])),
        (
            "foreign audiences",
            with(&[("aud", json!(["elsewhere", "anywhere"]))]),
        ),
        ("no audience in the list", with(&[("aud", json!([]))])),
        (
            "foreign issuer",
            with(&[("iss", json!("https://attacker.example/auth/v1"))]),
        ),
        (
            "nearly our issuer",
            with(&[("iss", json!(format!("{ISSUER}/")))]),
        ),
        ("issuers as a list", with(&[("iss", json!([ISSUER]))])),
    ]
}

/// Claims that occur twice: readers differ in which of them counts.
fn twice() -> Vec<(&'static str, String)> {
    let text = claims().to_string();
    let also = |more: &str| format!("{{{more},{}", &text[1..]);
    vec![
        (
            "subject twice",
            also(r#""sub":"00000000-0000-4000-8000-000000000001""#),
        ),
        ("expiry twice", also(r#""exp":1"#)),
        ("role twice", also(r#""role":"anon""#)),
        ("audience twice", also(r#""aud":"elsewhere""#)),
        ("issuer twice", also(r#""iss":"https://attacker.example""#)),
        ("address twice", also(r#""email":"admin@example.com""#)),
        ("metadata twice", also(r#""user_metadata":{}"#)),
    ]
}

#[tokio::test]
async fn no_made_up_token_gets_in() {
    let keys = Keys {
        rsa: SigningKey::rsa("rsa-1", 0),
        p256: SigningKey::p256("p256-1"),
        ed25519: SigningKey::ed25519("ed-1"),
        attacker: SigningKey::rsa("attacker-1", 1),
    };
    let server = KeyServer::start(&[]).await;
    let mut published = vec![keys.rsa.jwk(), keys.p256.jwk(), keys.ed25519.jwk()];
    // What a careless or broken publisher might add.
    let renamed = |id: &str, key: &str, value: Value| {
        let mut jwk = keys.attacker.jwk();
        jwk["kid"] = json!(id);
        jwk[key] = value;
        jwk
    };
    let weak_secret = URL_SAFE_NO_PAD.encode("a-secret-that-everybody-can-read");
    published.extend([
        json!({"kty": "oct", "kid": "published-secret", "alg": "HS256", "k": weak_secret}),
        renamed("for-encryption", "use", json!("enc")),
        renamed("for-rs512", "alg", json!("RS512")),
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "short", "x": "AAAA"}),
        json!({"kty": "unheard-of", "kid": "new"}),
        json!("no key at all"),
    ]);
    server.publish_raw(published);
    test_app()
        .set("/identity/jwks/url", server.url.as_str())
        .set("/identity/jwks/floor_ms", 600_000)
        .set("/identity/jwks/life_s", 600)
        .set("/auth/issuer", ISSUER)
        .run(async |app| {
            // The same claims get in with every good key, so what follows is refused for its fault.
            let good = claims();
            let ours = tokens::good(&good);
            let accepted = [&keys.rsa, &keys.p256, &keys.ed25519].map(|key| key.sign(&good));
            let mut tried = 0;
            let mut refuse = async |name: &str, token: &str| {
                tried += 1;
                let answer = app.get("/api/users/me", Some(token)).await;
                assert_eq!(answer.status, 401, "{name}: {}", answer.json);
                let body = json!({"access_token": token});
                let answer = app.post("/api/auth/oauth-callback", None, body).await;
                assert_eq!(answer.status, 401, "{name}: {}", answer.json);
            };
            for (name, token) in forged(&keys).into_iter().chain(odd_forms(&keys)) {
                refuse(name, &token).await;
            }
            for (name, wrong) in wrong_claims() {
                refuse(name, &tokens::good(&wrong)).await;
                refuse(name, &keys.p256.sign(&wrong)).await;
            }
            for (name, text) in twice() {
                refuse(name, &hs256(&our_head(), &text, tokens::SECRET.as_bytes())).await;
                refuse(name, &keys.rsa.sign_under(&keys.rsa.head(), &text)).await;
            }
            assert!(tried >= 120, "{tried}");
            for table in ["users", "identities", "credit_transactions"] {
                assert_eq!(app.count(&format!("select count(*) from {table}")).await, 0);
            }
            for token in accepted.iter().chain([&ours]) {
                let answer = app.get("/api/users/me", Some(token)).await;
                assert_eq!((answer.status, &answer.json["id"]), (200, &json!(SUBJECT)));
            }
            assert_eq!(
                server.asked(),
                1,
                "made-up key ids must not make us ask again and again"
            );
        })
        .await;
}
