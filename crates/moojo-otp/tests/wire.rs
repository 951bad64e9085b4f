//! The documented examples, byte for byte on the wire and back.

#![cfg(feature = "reqwest")]

mod common;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use common::{alice, at, clock};
use moojo_otp::{FirebaseJwt, MoojoClient, MoojoError, PhoneFormat, PhoneNumber, VerificationCode};
use moojo_session::{ApiKey, Clock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SENT: &str = r#"{
    "status": "success",
    "traceId": "40a906a6-6b44-481a-98ca-a73655fee0e2",
    "data": {
        "verificationId": "23bf767fe5472279ce72a01d110bf84b75d5e7480d7a04d0000000"
    }
}"#;

const AUTHENTICATED: &str = r#"{
    "status": "success",
    "traceId": "ce194afc-fe80-4cf9-a174-3e3256760ec8",
    "data": {
        "token":"6c0350a00925b9bbd3408a4e382c2790aa92accff189e7735fdf2a3d4dc67b08",
        "expiresAtIso8601":"2025-02-16T15:12:52.555Z",
        "publicUserId":"a6e8f837-2f6b-478c-a007-82989d000000",
        "publicKey":"0x0288f8935f7669832d4f5ae90c43d550e80f93420da7178019f89e0b00dfb0a000"
    }
}"#;

struct Captured {
    request_line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// A server of one request, which it gives back.
async fn server(answer: String) -> (String, JoinHandle<Captured>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        let captured = loop {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request breaks off");
            if let Some(captured) = capture(std::str::from_utf8(&bytes).unwrap()) {
                break captured;
            }
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        captured
    });
    (url, task)
}

fn capture(text: &str) -> Option<Captured> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let request_line = lines.next()?.to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let before = headers.insert(name.to_ascii_lowercase(), value.to_owned());
        assert_eq!(before, None, "{name} twice");
    }
    let length: usize = headers["content-length"].parse().unwrap();
    let whole = body.len() == length;
    whole.then(|| Captured { request_line, headers, body: body.to_owned() })
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn client(url: &str) -> MoojoClient {
    let key = ApiKey::new("Your-API-KEY-as-provided-by-Moojo").unwrap();
    let builder = MoojoClient::builder(key).base_url(url).unwrap().clock(clock());
    builder.phone_format(PhoneFormat::AsTyped).user_agent("tests/1").build().unwrap()
}

fn assert_documented(captured: &Captured, request_line: &str, url: &str, body: &str) {
    assert_eq!(captured.request_line, request_line);
    assert_eq!(captured.body, body);
    let length = body.len().to_string();
    let expected = [
        // Documented.
        ("content-type", "application/json"),
        ("x-api-key", "Your-API-KEY-as-provided-by-Moojo"),
        // Of HTTP itself.
        ("accept", "*/*"),
        ("content-length", length.as_str()),
        ("host", url.strip_prefix("http://").unwrap()),
        ("user-agent", "tests/1"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(captured.headers, BTreeMap::from(expected));
}

#[tokio::test]
async fn the_documented_send() {
    let (url, server) = server(ok(SENT)).await;
    let phone: PhoneNumber = "+1(555)987-6543".parse().unwrap();
    let sent = client(&url).send_verification_code(&phone).await.unwrap();
    let id = "23bf767fe5472279ce72a01d110bf84b75d5e7480d7a04d0000000";
    assert_eq!(sent.verification_id(), Some(id));
    assert_eq!(sent.trace_id(), Some("40a906a6-6b44-481a-98ca-a73655fee0e2"));
    assert_documented(
        &server.await.unwrap(),
        "POST /send-verification-code HTTP/1.1",
        &url,
        r#"{"phoneNumber":"+1(555)987-6543"}"#,
    );
}

#[tokio::test]
async fn the_documented_login_with_a_code() {
    let (url, server) = server(ok(AUTHENTICATED)).await;
    let phone: PhoneNumber = "+1(555)987-6543".parse().unwrap();
    let code = VerificationCode::new("133575").unwrap();
    let login = client(&url).authenticate(&phone, &code).await.unwrap();
    assert_eq!(login.trace_id(), Some("ce194afc-fe80-4cf9-a174-3e3256760ec8"));
    let session = login.into_session(alice());
    let token = "6c0350a00925b9bbd3408a4e382c2790aa92accff189e7735fdf2a3d4dc67b08";
    assert_eq!(session.access_token().expose_secret(), token);
    assert_eq!(session.expires_at(), at("2025-02-16T15:12:52.555Z"));
    assert_eq!(session.issued_at(), at(common::NOW));
    assert_eq!(session.public_user_id(), Some("a6e8f837-2f6b-478c-a007-82989d000000"));
    let key = "0x0288f8935f7669832d4f5ae90c43d550e80f93420da7178019f89e0b00dfb0a000";
    assert_eq!(session.public_key(), Some(key));
    assert_documented(
        &server.await.unwrap(),
        "POST /user/authenticate HTTP/1.1",
        &url,
        concat!(
            r#"{"idType":"smsVerificationCode","phoneNumber":"+1(555)987-6543","#,
            r#""verificationCode":"133575"}"#
        ),
    );
}

#[tokio::test]
async fn the_documented_login_with_a_jwt_under_a_path() {
    let (url, server) = server(ok(AUTHENTICATED)).await;
    let jwt = FirebaseJwt::new("eyJhbGciOiJSUzI1NiIsImtpZCI6Ij").unwrap();
    client(&format!("{url}/moojo/")).authenticate_with_jwt(&jwt).await.unwrap();
    assert_documented(
        &server.await.unwrap(),
        "POST /moojo/user/authenticate HTTP/1.1",
        &url,
        r#"{"idType":"firebaseJwt","id":"eyJhbGciOiJSUzI1NiIsImtpZCI6Ij"}"#,
    );
}

#[tokio::test]
async fn rule_2_a_redirect_is_not_followed() {
    let answer = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\n\
                  Content-Length: 0\r\n\r\n";
    let (url, server) = server(answer.to_owned()).await;
    let error = client(&url).send_verification_code(&common::phone()).await.unwrap_err();
    assert_eq!(error.status().unwrap(), 307);
    assert!(matches!(error, MoojoError::Malformed { .. }), "{error:?}");
    server.await.unwrap();
}

#[tokio::test]
async fn rule_8_a_refused_connection_is_certainly_not_sent() {
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let clock = clock();
    let key = ApiKey::new("key").unwrap();
    let builder = MoojoClient::builder(key).base_url(&url).unwrap().clock(clock.clone());
    let moojo = builder.retries(2).timeout(std::time::Duration::MAX).build().unwrap();
    let call = tokio::spawn(async move { moojo.send_verification_code(&common::phone()).await });
    // The pauses are on the clock of the tests.
    while !call.is_finished() {
        clock.advance(std::time::Duration::from_millis(100));
        tokio::task::yield_now().await;
    }
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, MoojoError::NotSent { attempts: 3, .. }), "{error:?}");
    assert!(clock.now() - at(common::NOW) >= TimeDelta::milliseconds(600));
}

#[tokio::test]
async fn rule_8_a_name_that_is_not_found_is_certainly_not_sent() {
    let key = ApiKey::new("key").unwrap();
    let url = "http://moojo.invalid";
    let builder = MoojoClient::builder(key).base_url(url).unwrap().allow_insecure_base_url();
    let moojo = builder.retries(0).build().unwrap();
    let error = moojo.send_verification_code(&common::phone()).await.unwrap_err();
    assert!(matches!(error, MoojoError::NotSent { attempts: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn rule_8_a_connection_that_is_cut_is_unknown_and_not_tried_again() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"status\""] {
        let (url, server) = server(answer.to_owned()).await;
        let error = client(&url).send_verification_code(&common::phone()).await.unwrap_err();
        assert!(matches!(error, MoojoError::OutcomeUnknown { .. }), "{error:?}");
        server.await.unwrap();
    }
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn rule_8_a_failed_handshake_is_certainly_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        // A fatal alert of TLS: handshake_failure.
        stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).await.unwrap();
    });
    let key = ApiKey::new("key").unwrap();
    let builder = MoojoClient::builder(key).base_url(&url).unwrap().retries(0);
    let Ok(moojo) = builder.build() else { return };
    let error = moojo.send_verification_code(&common::phone()).await.unwrap_err();
    assert!(matches!(error, MoojoError::NotSent { attempts: 1, .. }), "{error:?}");
    server.await.unwrap();
}

#[tokio::test]
async fn rule_12_a_body_without_end_is_given_up() {
    let endless = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                   Transfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
    for answer in [format!("{endless}{}", chunk.repeat(17)), announced.to_owned()] {
        let (url, _server) = server(answer).await;
        let error = client(&url).send_verification_code(&common::phone()).await.unwrap_err();
        assert_eq!(error.status().unwrap(), 200);
        assert_eq!(
            error.to_string(),
            "Moojo's answer is longer than 65536 bytes: status 200, a body of more than 65536 bytes"
        );
    }
}
