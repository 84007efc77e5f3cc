//! Mails as people get them, and the way they leave.

use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::mpsc,
};

use crate::support::{TestApp, inbox::Mail, test_app};

/// The mail with what changes named.
fn stable(app: &TestApp, mail: &Mail, of: &str) -> String {
    let mut text = of.to_owned();
    if mail.text.contains("/auth/v1/verify") {
        let link = mail.link();
        let escaped = link.replace('&', "&amp;");
        assert!(text.contains(&link) || text.contains(&escaped));
        text = text.replace(&escaped, "[link]").replace(&link, "[link]");
    }
    if mail.text.contains("code: ") {
        assert!(text.contains(&mail.code()));
        text = text.replace(&mail.code(), "[code]");
    }
    assert!(!text.contains(&app.base));
    text
}

#[tokio::test]
async fn every_mail_in_words() {
    let mut seen = Vec::new();
    for confirm in ["false", "true"] {
        test_app()
            .worker()
            .set("/auth/confirm_email", confirm)
            .run(async |app| {
                let email = "ada@example.com";
                let body = json!({"email": email, "password": "correct horse"});
                let session = app.post("/auth/v1/signup", None, body.clone()).await.json;
                let mut subjects = Vec::new();
                if confirm == "true" {
                    let mail = app.mail(email, "Confirm your address").await;
                    app.follow(&mail.link()).await;
                    app.post("/auth/v1/signup", None, body).await;
                    subjects.extend([
                        ("confirm_sign_up", email, "Confirm your address"),
                        ("account_exists", email, "You have an account already"),
                    ]);
                } else {
                    let token = session["access_token"].as_str().unwrap();
                    let next = "ada.new@example.com";
                    for change in [
                        json!({"email": next}),
                        json!({"password": "staple of the battery"}),
                    ] {
                        let answer = app
                            .call(Method::PUT, "/auth/v1/user", Some(token), Some(change))
                            .await;
                        assert_eq!(answer.status, 200, "{}", answer.json);
                    }
                    for path in ["/auth/v1/recover", "/auth/v1/otp"] {
                        app.post(path, None, json!({"email": email})).await;
                    }
                    app.mail(email, "Choose a new password").await;
                    let mail = app.mail(email, "Sign in to DayGen").await;
                    app.follow(&mail.link()).await;
                    subjects.extend([
                        ("welcome", email, "Welcome to DayGen"),
                        ("email_change", next, "Confirm your new address"),
                        (
                            "email_change_notice",
                            email,
                            "Your address is about to change",
                        ),
                        ("password_changed", email, "Your password was changed"),
                        ("recovery", email, "Choose a new password"),
                        ("magic_link", email, "Sign in to DayGen"),
                        ("password_removed", email, "Set a new password"),
                    ]);
                }
                for (name, to, subject) in subjects {
                    let mail = app.mail(to, subject).await;
                    seen.push((
                        name,
                        stable(app, &mail, &mail.text),
                        stable(app, &mail, &mail.html),
                    ));
                }
            })
            .await;
    }
    for (name, text, html) in &seen {
        insta::assert_snapshot!(format!("{name}_text"), text);
        insta::assert_snapshot!(format!("{name}_html"), html);
    }
    assert_eq!(seen.len(), 9);
}

/// A mail server that is busy at first; it tells what it was handed.
async fn mail_server() -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for turn in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            if turn == 0 {
                writer.write_all(b"421 4.3.2 too busy\r\n").await.ok();
                continue;
            }
            writer.write_all(b"220 here\r\n").await.ok();
            let (mut is_data, mut mail) = (false, String::new());
            while let Ok(Some(line)) = lines.next_line().await {
                let word = line.get(..4).unwrap_or_default().to_uppercase();
                let answer: &[u8] = match (is_data, word.as_str()) {
                    (true, _) if line == "." => {
                        is_data = false;
                        told.send(std::mem::take(&mut mail)).unwrap();
                        b"250 taken\r\n"
                    }
                    (true, _) => {
                        mail.push_str(&line);
                        mail.push('\n');
                        continue;
                    }
                    (false, "DATA") => {
                        is_data = true;
                        b"354 go on\r\n"
                    }
                    (false, "QUIT") => b"221 bye\r\n",
                    (false, _) => b"250 fine\r\n",
                };
                writer.write_all(answer).await.ok();
            }
        }
    });
    (port, heard)
}

#[tokio::test]
async fn a_mail_that_the_server_does_not_take_is_sent_later() {
    let (port, mut heard) = mail_server().await;
    test_app()
        .held_worker()
        .set("/mail/smtp_host", "127.0.0.1")
        .set("/mail/smtp_port", port)
        .run(async |app| {
            app.post("/auth/v1/otp", None, json!({"email": "ada@example.com"}))
                .await;
            // Nothing is sent in the request, and no link waits anywhere.
            assert_eq!(app.count("select count(*) from mails").await, 1);
            assert_eq!(app.count("select count(*) from one_time_tokens").await, 0);
            app.work();
            let mail = app.until("the mail", || {
                let got = heard.try_recv().ok();
                async { got }
            });
            let mail = mail.await;
            assert!(mail.contains("Subject: Sign in to DayGen"), "{mail}");
            assert!(mail.contains("To: ada@example.com"), "{mail}");
            assert!(mail.contains("Message-ID: <"), "{mail}");
            app.mails_done().await;
            // With a mail server there is no inbox.
            assert_eq!(app.get("/dev/inbox", None).await.status, 404);
        })
        .await;
}
