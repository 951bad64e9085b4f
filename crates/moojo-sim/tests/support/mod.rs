//! A client that shows what is on the wire: no pool, no retries, no interpretation.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io;
use std::time::Duration;

use moojo_session::ManualClock;
use moojo_sim::MoojoSim;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const PHONE: &str = "+1(555)987-6543";
pub(crate) const SEND: &str = "/send-verification-code";
pub(crate) const AUTH: &str = "/user/authenticate";
pub(crate) const LIST: &str = "/user/vault/list-credentials";
pub(crate) const SCORE: &str = "/user/vault/compute-fit-score";

/// A simulator with a clock that stands at the documented example's login.
pub(crate) async fn sim() -> (MoojoSim, ManualClock) {
    let clock = ManualClock::new("2025-02-16T13:12:52.555Z".parse().expect("a literal time"));
    let sim = MoojoSim::builder().clock(clock.clone()).start().await.expect("a free port");
    (sim, clock)
}

/// One answer, as far as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether as much of the body came as `Content-Length` announced.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }

    /// A field of `data` that is a string.
    pub(crate) fn data(&self, name: &str) -> String {
        self.json()["data"][name].as_str().expect("a string in `data`").to_owned()
    }

    /// The `code` of the error in the body.
    pub(crate) fn error(&self) -> String {
        self.json()["error"]["code"].as_str().expect("an error with a code").to_owned()
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) async fn open(sim: &MoojoSim) -> Self {
        let stream = TcpStream::connect(sim.addr()).await.expect("the simulator listens");
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(text.as_ref()).await
    }

    /// The next answer; none if the connection ended before any byte of one.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let head_end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if self.more().await == 0 {
                assert!(self.buffer.is_empty(), "half a head");
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..head_end).collect();
        let head = String::from_utf8(head).expect("a head of text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut answer =
            Answer { head, status: status.expect("a status"), body: Vec::new(), complete: false };
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        let Some(length) = length else { return Some(answer) };
        while self.buffer.len() < length && self.more().await > 0 {}
        answer.complete = self.buffer.len() >= length;
        answer.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        Some(answer)
    }

    /// Whether the other side has closed the connection, with nothing more sent.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && self.more().await == 0
    }

    /// Reads at least `bytes` of whatever comes; gives how many came before an end.
    pub(crate) async fn read_at_least(&mut self, bytes: usize) -> usize {
        while self.buffer.len() < bytes && self.more().await > 0 {}
        self.buffer.len()
    }

    async fn more(&mut self) -> usize {
        let read = self.stream.read_buf(&mut self.buffer);
        let read = tokio::time::timeout(Duration::from_secs(30), read).await;
        // A reset is an end too.
        read.expect("something within 30 seconds").unwrap_or(0)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The text of a `POST`.
pub(crate) fn request(path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("POST {path} HTTP/1.1\r\nhost: sim\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{text}content-length: {}\r\n\r\n{body}", body.len())
}

/// The text of a call as Moojo documents it.
pub(crate) fn call(sim: &MoojoSim, path: &str, body: &Value) -> String {
    let headers = [("content-type", "application/json"), ("x-api-key", sim.api_key())];
    request(path, &headers, &body.to_string())
}

/// The text of a user-scoped call as Moojo documents it.
pub(crate) fn user_call(sim: &MoojoSim, path: &str, token: &str) -> String {
    let bearer = format!("Bearer {token}");
    let key = ("x-api-key", sim.api_key());
    request(path, &[("content-type", "application/json"), key, ("authorization", &bearer)], "")
}

/// Sends one text on a connection of its own.
pub(crate) async fn exchange(sim: &MoojoSim, text: impl AsRef<[u8]>) -> Option<Answer> {
    let mut wire = Wire::open(sim).await;
    wire.send(text).await.expect("the simulator reads");
    wire.answer().await
}

pub(crate) async fn post(sim: &MoojoSim, path: &str, body: &Value) -> Answer {
    exchange(sim, call(sim, path, body)).await.expect("an answer")
}

pub(crate) async fn post_as(sim: &MoojoSim, path: &str, token: &str) -> Answer {
    exchange(sim, user_call(sim, path, token)).await.expect("an answer")
}

pub(crate) async fn get(sim: &MoojoSim, path: &str) -> Answer {
    let text = format!("GET {path} HTTP/1.1\r\nhost: sim\r\n\r\n");
    exchange(sim, text).await.expect("an answer")
}

pub(crate) fn phone_body(phone: &str) -> Value {
    json!({ "phoneNumber": phone })
}

pub(crate) fn code_body(phone: &str, code: &str) -> Value {
    json!({ "idType": "smsVerificationCode", "phoneNumber": phone, "verificationCode": code })
}

pub(crate) async fn send_code(sim: &MoojoSim, phone: &str) -> String {
    assert_eq!(post(sim, SEND, &phone_body(phone)).await.status, 200);
    sim.last_code(phone).expect("a message")
}

pub(crate) async fn submit(sim: &MoojoSim, phone: &str, code: &str) -> Answer {
    post(sim, AUTH, &code_body(phone, code)).await
}

/// The whole login; gives the token.
pub(crate) async fn log_in(sim: &MoojoSim, phone: &str) -> String {
    let code = send_code(sim, phone).await;
    submit(sim, phone, &code).await.data("token")
}

/// A code that is not this one.
pub(crate) fn other_than(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}
