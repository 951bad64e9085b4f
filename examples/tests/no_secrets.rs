//! Rule 13: everything that the workspace prints at `TRACE` in all flows, good and bad, with every
//! error and every `Debug` on the way, is captured and searched for the secrets that went through.

use std::fmt::{Debug, Write as _};
use std::time::Duration;

use chrono::Utc;
use http::Request;
use http_body_util::{BodyExt, Limited};
use moojo_examples::{Body, http_client};
use moojo_otp::{FirebaseJwt, LoginFlow, MoojoClient, PhoneNumber, VerificationCode};
use moojo_session::{
    ApiKey, ManualClock, MemoryStore, OnReauth, SessionLayer, SessionManager, UserId,
};
use moojo_sim::{Fault, FaultKind, Malformed, MoojoSim};
use moojo_testkit::Log;
use tower::{Layer, ServiceExt};

const KEY: &str = "planted-api-key-93f1";
const JWT: &str = "plantedjwteyJhbGciOi";
/// The same number as it is typed, and its digits as they would stand in anything derived from it.
const PHONE: &str = "+1(555)987-6543";
const PHONE_FORMS: [&str; 3] = ["5559876543", "987-6543", "9876543"];

/// All that was printed: what is logged, what goes through the `log` crate too (rustls, the HTTP client),
/// and more that the test adds.
#[derive(Clone)]
struct Printed(Log);

impl Printed {
    fn note(&self, what: &str) {
        self.0.note(what);
    }

    /// A value as it may land in a log: `Debug`, and for errors the whole chain of `Display`.
    fn debug(&self, value: impl Debug) {
        self.note(&format!("{value:?}\n{value:#?}\n"));
    }

    fn result<T: Debug, E: std::error::Error>(&self, result: Result<T, E>) {
        self.debug(&result);
        let mut error = result.as_ref().err().map(|error| error as &dyn std::error::Error);
        while let Some(link) = error {
            self.note(&format!("{link}\n"));
            error = link.source();
        }
    }
}

#[tokio::test]
async fn rule_13_no_secret_in_anything_printed() {
    let printed = Printed(Log::of_process());
    let panics = printed.clone();
    std::panic::set_hook(Box::new(move |panic| panics.note(&format!("{panic}\n"))));

    let clock = ManualClock::new(Utc::now());
    let sim = MoojoSim::builder().clock(clock.clone()).api_key(KEY).start().await.unwrap();
    let key = ApiKey::new(KEY).unwrap();
    let moojo = MoojoClient::builder(key.clone())
        .base_url(&sim.base_url())
        .unwrap()
        .timeout(Duration::from_secs(2))
        .clock(clock.clone())
        .build()
        .unwrap();
    let sessions = SessionManager::builder(MemoryStore::new()).clock(clock.clone()).build();
    let login = LoginFlow::builder(moojo.clone(), sessions.clone())
        .resend_cooldown(Duration::ZERO)
        .sends_per_number(1000, Duration::from_secs(1))
        .build();
    let layer = SessionLayer::new(sessions.clone())
        .api_key(key.clone())
        .allow_origin(&sim.base_url())
        .unwrap();
    let client = layer.layer(http_client());
    let (alice, phone) = (UserId::new("alice").unwrap(), PHONE.parse::<PhoneNumber>().unwrap());
    let jwt = FirebaseJwt::new(JWT).unwrap();
    let mut secrets: Vec<String> = vec![KEY.into(), JWT.into()];
    secrets.extend(PHONE_FORMS.map(String::from));
    for (what, value) in [
        ("key", format!("{key:?}")),
        ("jwt", format!("{jwt:?}")),
        ("phone", format!("{phone:?} {phone}")),
    ] {
        printed.note(&format!("{what} {value}\n"));
    }
    printed.result("not +15559876543".parse::<PhoneNumber>());
    printed.result("+1555987654398765439876543".parse::<PhoneNumber>());

    // A login and calls with it, then every fault of every endpoint under all of them.
    let mut events = sessions.events();
    let faults = faults();
    for fault in std::iter::once(None).chain(faults.iter().map(Some)) {
        for path in
            ["/send-verification-code", "/user/authenticate", "/user/vault/list-credentials"]
        {
            sim.clear_faults();
            clock.advance(Duration::from_secs(60));
            if let Some(fault) = fault {
                sim.inject(Fault::on(path).times(1).kind(fault.clone()));
            }
            printed.result(login.send_code(&alice, &phone).await);
            let code = sim.last_code(phone.e164()).unwrap_or_else(|| "424242".into());
            let wrong = if code.starts_with('1') { "987651" } else { "123459" };
            secrets.extend([code.clone(), wrong.to_owned()]);
            for code in [wrong, &code] {
                let code = VerificationCode::new(code).unwrap();
                printed.debug(&code);
                printed.result(login.verify(&alice, &code).await);
            }
            printed.result(login.login_with_jwt(&alice, &jwt).await);
            printed.result(moojo.authenticate_with_jwt(&jwt).await);
            if let Ok(session) = sessions.get(&alice).await {
                secrets.push(session.access_token().expose_secret().to_owned());
                printed.debug((&session, session.access_token(), session.authorization()));
            }
            let mut request =
                Request::post(format!("{}/user/vault/list-credentials", sim.base_url()))
                    .body(Body::default())
                    .unwrap();
            request.extensions_mut().insert(alice.clone());
            request.extensions_mut().insert(OnReauth::Wait(Duration::ZERO));
            printed.debug(&request);
            match client.clone().oneshot(request).await {
                // The body is the server's; only its head is ours to print.
                Ok(response) => {
                    printed.debug((response.status(), response.headers()));
                    let body = Limited::new(response.into_body(), 1 << 16).collect().await;
                    printed.note(&format!("{:?}\n", body.err()));
                }
                Err(error) => printed.result(Err::<(), _>(error)),
            }
        }
    }
    sim.clear_faults();
    sim.revoke_user(phone.e164());
    let mut request = Request::post(format!("{}/user/vault/compute-fit-score", sim.base_url()))
        .body(Body::default())
        .unwrap();
    request.extensions_mut().insert(alice.clone());
    printed.result(client.clone().oneshot(request).await.map(|_| ()));

    printed.debug((&sessions, &login, &moojo, &layer, &client, sim.requests(), sim.inbox(PHONE)));
    drop((client, layer, login, sessions));
    while let Some(event) = events.next().await {
        printed.debug(event);
    }

    drop(std::panic::take_hook());
    let text = printed.0.text();
    assert!(text.contains("session event"), "the library's own tracing was captured");
    assert!(secrets.len() > 50, "the flows went through");
    secrets.sort();
    secrets.dedup();
    let mut found = String::new();
    for secret in &secrets {
        if let Some(at) = find(&text, secret) {
            let line = text[..at].rfind('\n').map_or(0, |start| start + 1);
            let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
            writeln!(found, "{secret}: {}", &text[line..end]).unwrap();
        }
    }
    assert!(found.is_empty(), "{} bytes were printed, and in them:\n{found}", text.len());
}

/// Where the secret stands, and not by chance within some longer id.
fn find(text: &str, secret: &str) -> Option<usize> {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.match_indices(secret).map(|(at, _)| at).find(|at| {
        let (before, after) = (&text[..*at], &text[at + secret.len()..]);
        secret.len() > 6 || !is_part(before.chars().last()) && !is_part(after.chars().next())
    })
}

/// One of each kind that ends by itself.
fn faults() -> Vec<FaultKind> {
    let mut faults = vec![
        FaultKind::RateLimited { retry_after: Duration::from_secs(1) },
        FaultKind::Status(400),
        FaultKind::Status(401),
        FaultKind::Status(403),
        FaultKind::Status(500),
        FaultKind::Redirect { status: 307, location: "http://127.0.0.1:1/elsewhere".into() },
        FaultKind::Body {
            status: 400,
            content_type: "text/html".into(),
            body: format!("<p>{PHONE} {KEY} {JWT} 5559876543</p>").into(),
        },
        FaultKind::CutBeforeAnswer,
        FaultKind::CutDuringAnswer,
        FaultKind::CutAfterAnswer,
        FaultKind::AnswerLost,
        FaultKind::WrongDate(chrono::TimeDelta::hours(1)),
    ];
    faults.extend(
        [
            Malformed::Html,
            Malformed::TruncatedJson,
            Malformed::WrongContentType,
            Malformed::MissingData,
            Malformed::StatusNotSuccess,
            Malformed::EmptyBody,
            Malformed::EndlessBody,
            Malformed::BadToken,
            Malformed::ExpiryInThePast,
            Malformed::ExpiryWithoutZone,
            Malformed::ExpiryAbsent,
        ]
        .map(FaultKind::Malformed),
    );
    faults
}
