//! Rule 13: whatever Moojo answers, no secret is in what errors and events show.

mod common;

use bytes::Bytes;
use common::{Fake, TOKEN, alice, builder, clock, shown};
use http::{HeaderValue, Response, StatusCode};
use moojo_otp::{FirebaseJwt, LoginFlow, PhoneNumber, VerificationCode};
use moojo_session::{MemoryStore, SessionManager};
use moojo_testkit::Log;
use proptest::prelude::*;

const KEY: &str = "planted-api-key";
const CODE: &str = "pL4nt3dC0de";
const JWT: &str = "eyJwbGFudGVkIjoxfQ.eyJwbGFudGVkIjoyfQ.c2ln";
const PHONE: &str = "+1(555)987-6543";

/// The secrets, whole and in the parts that would give them away.
const SECRETS: [&str; 11] = [
    KEY,
    CODE,
    JWT,
    "eyJwbGFudGVkIjoyfQ",
    PHONE,
    "+15559876543",
    "5559876543",
    "987-6543",
    "9876543",
    TOKEN,
    "92accff189e7735fdf2a3d4dc67b08",
];

fn assert_none_in(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// Bodies as a server, or something in front of it, may send them: what it was sent among them.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let secret = prop::sample::select(SECRETS.to_vec());
    let text =
        (secret.clone(), "\\PC{0,8}", "\\PC{0,8}").prop_map(|(secret, a, b)| a + secret + &b);
    let escaped = secret.clone().prop_map(|secret| {
        secret.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>()
    });
    let word = prop_oneof![
        secret.prop_map(str::to_owned),
        text,
        escaped,
        Just("success".to_owned()),
        Just("2025-02-16T15:12:52.555Z".to_owned()),
    ];
    let name = prop_oneof![
        word.clone(),
        prop::sample::select(vec![
            "status",
            "traceId",
            "data",
            "token",
            "expiresAtIso8601",
            "publicUserId",
            "error",
            "message",
        ])
        .prop_map(str::to_owned),
    ];
    let quoted = |text: String| format!("\"{}\"", text.replace('"', "'"));
    let leaf = prop_oneof![word.clone().prop_map(quoted), word.clone(), Just("7".to_owned())];
    let json = leaf.prop_recursive(3, 12, 4, move |inner| {
        let field = (name.clone(), inner.clone())
            .prop_map(move |(name, value)| format!("{}:{value}", quoted(name)));
        prop_oneof![
            prop::collection::vec(field, 0..5).prop_map(|f| format!("{{{}}}", f.join(","))),
            prop::collection::vec(inner, 0..3).prop_map(|v| format!("[{}]", v.join(","))),
        ]
    });
    prop_oneof![
        2 => json.clone().prop_map(String::into_bytes),
        2 => json.prop_map(|data| {
            format!(r#"{{"status":"success","traceId":"{TOKEN}","data":{data}}}"#).into_bytes()
        }),
        1 => word.prop_map(|text| format!("<html>{text}</html>").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..64),
    ]
}

fn header_value() -> impl Strategy<Value = HeaderValue> {
    let known = [
        "application/json",
        "text/html",
        "",
        "30",
        "-1",
        "Sun, 16 Feb 2025 13:12:52 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(HeaderValue::from_static),
        prop::sample::select(SECRETS.to_vec()).prop_map(HeaderValue::from_static),
        prop::collection::vec(any::<u8>(), 0..16)
            .prop_filter_map("no header value", |bytes| HeaderValue::from_bytes(&bytes).ok()),
    ]
}

fn answer() -> impl Strategy<Value = Response<Bytes>> {
    let names = ["content-type", "date", "retry-after", "location", "traceid"];
    let headers =
        prop::collection::vec((prop::sample::select(names.to_vec()), header_value()), 0..4);
    let status = prop_oneof![Just(200_u16), Just(429), 100..=999_u16];
    (status, headers, body()).prop_map(|(status, headers, body)| {
        let mut answer = Response::new(Bytes::from(body));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            answer.headers_mut().append(name, value);
        }
        answer
    })
}

fn flow(fake: &Fake) -> LoginFlow {
    let clock = clock();
    let sessions = SessionManager::builder(MemoryStore::new()).clock(clock.clone()).build();
    LoginFlow::new(builder(fake, &clock).build().unwrap(), sessions)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rule_13_no_answer_panics_or_shows_a_secret(answer in answer()) {
        let phone: PhoneNumber = PHONE.parse().unwrap();
        let (code, jwt) = (VerificationCode::new(CODE).unwrap(), FirebaseJwt::new(JWT).unwrap());
        let (log, logged) = Log::of_thread();
        let fake = Fake::new();
        let texts = run(async {
            let moojo = builder(&fake, &clock()).build().unwrap();
            let mut texts = vec![format!("{moojo:?} {phone} {phone:?} {code:?} {jwt:?}")];
            for _ in 0..3 {
                fake.then(Ok(answer.clone()));
            }
            match moojo.send_verification_code(&phone).await {
                Ok(sent) => texts.push(format!("{sent:?}")),
                Err(error) => texts.push(shown(&error)),
            }
            for result in [
                moojo.authenticate(&phone, &code).await,
                moojo.authenticate_with_jwt(&jwt).await,
            ] {
                match result {
                    Ok(login) => {
                        texts.push(format!("{login:?}"));
                        let _ = login.into_session(alice());
                    }
                    Err(error) => texts.push(shown(&error)),
                }
            }

            let flow = flow(&fake);
            fake.then(Ok(answer.clone())).then(Ok(answer.clone())).then(Ok(answer.clone()));
            texts.push(format!("{flow:?}"));
            match flow.send_code(&alice(), &phone).await {
                Ok(challenge) => texts.push(format!("{challenge:?}")),
                Err(error) => texts.push(shown(&error)),
            }
            for result in [
                flow.verify(&alice(), &code).await,
                flow.login_with_jwt(&alice(), &jwt).await,
            ] {
                match result {
                    Ok(session) => texts.push(format!("{session:?}")),
                    Err(error) => texts.push(shown(&error)),
                }
            }
            texts
        });
        drop(logged);
        for text in texts {
            assert_none_in(&text);
        }
        let log = log.text();
        prop_assert!(log.contains("moojo_otp"));
        assert_none_in(&log);
    }
}
