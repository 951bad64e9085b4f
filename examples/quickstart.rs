//! The main job, from end to end, against a simulated Moojo: three people log in by SMS code, calls
//! are made for all of them at once, a token ends, the call it interrupts is finished after a new
//! login.
//!
//! ```text
//! cargo run --example quickstart
//! ```
#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::Duration;

use chrono::Utc;
use http::Request;
use http_body_util::BodyExt;
use moojo_examples::{Body, BoxError, HttpClient, http_client, masked, start};
use moojo_otp::{LoginFlow, MoojoClient, PhoneNumber, VerificationCode};
use moojo_session::{
    ApiKey, ManualClock, MemoryStore, ReauthRequired, Session, SessionLayer, SessionManager,
    SessionService, UserId,
};
use moojo_sim::MoojoSim;
use serde_json::Value;
use tower::{Layer, ServiceExt};

const PEOPLE: [(&str, &str); 3] =
    [("alice", "+1(555)987-6543"), ("bob", "+1 202-555-0143"), ("carol", "+49 30 901820")];

const HELP: &str = "\
The whole path against a simulated Moojo: three people log in by SMS code, calls are made for all of
them, a token ends, and the call that this interrupts is finished after a new login.

It takes no arguments, reads no environment and needs no network.";

#[tokio::main]
async fn main() -> ExitCode {
    start(HELP, run()).await
}

async fn run() -> Result<(), BoxError> {
    // In place of the real Moojo and of two hours of waiting.
    let clock = ManualClock::new(Utc::now());
    let sim = MoojoSim::builder().clock(clock.clone()).start().await?;
    println!("A simulated Moojo listens on {}\n", sim.base_url());

    // What an application sets up: a client for the login, the sessions, the layer.
    let api_key = ApiKey::new(sim.api_key())?;
    let moojo = MoojoClient::builder(api_key.clone())
        .base_url(&sim.base_url())?
        .clock(clock.clone())
        .build()?;
    let sessions = SessionManager::builder(MemoryStore::new()).clock(clock.clone()).build();
    let login = LoginFlow::new(moojo, sessions.clone());
    let client = SessionLayer::new(sessions.clone())
        .api_key(api_key)
        .allow_origin(&sim.base_url())?
        .layer(http_client());

    println!("1. Three people log in, each with the code from an SMS.");
    for (name, phone) in PEOPLE {
        let session = log_in(&login, &sim, name, phone).await?;
        let ends = session.expires_at().format("%H:%M:%S");
        println!("   {name:<6} token {}, good until {ends} UTC", masked(&session));
    }

    println!("\n2. Calls for all of them at once, through one client.");
    let calls = PEOPLE.map(|(name, _)| {
        let (client, url) = (client.clone(), list_url(&sim));
        tokio::spawn(async move { (name, credentials(client, &url, name).await) })
    });
    for call in calls {
        let (name, credentials) = call.await?;
        println!("   {name:<6} → {}", credentials?);
    }
    for (name, phone) in PEOPLE {
        show_whose_token_arrived(&sim, &sessions, name, phone).await?;
    }

    println!("\n3. Two hours pass. Alice's next call is not sent: the layer says what is wrong.");
    clock.advance(Duration::from_secs(2 * 60 * 60));
    let before = sim.requests().len();
    let error = match credentials(client.clone(), &list_url(&sim), "alice").await {
        Err(error) => error,
        Ok(answer) => return Err(format!("sent after its end: {answer}").into()),
    };
    let signal = ReauthRequired::find(&*error).ok_or("no signal")?;
    println!("   {signal} ({:?})", signal.reason());
    println!("   requests sent meanwhile: {}", sim.requests().len() - before);

    println!("\n4. She types a new code, and the call that was interrupted is finished.");
    let (name, phone) = PEOPLE[0];
    let session = log_in(&login, &sim, name, phone).await?;
    println!("   alice  token {}", masked(&session));
    println!("   alice  → {}", credentials(client, &list_url(&sim), name).await?);

    println!("\nSMS sent: {}, one for each login.", sim.sms_count());
    Ok(())
}

/// A code is sent, the person reads it on her phone and types it.
async fn log_in(
    login: &LoginFlow,
    sim: &MoojoSim,
    name: &str,
    phone: &str,
) -> Result<Session, BoxError> {
    let user = UserId::new(name)?;
    let number: PhoneNumber = phone.parse()?;
    login.send_code(&user, &number).await?;
    let typed = sim.last_code(number.e164()).ok_or("no SMS arrived")?;
    Ok(login.verify(&user, &VerificationCode::new(&typed)?).await?)
}

fn list_url(sim: &MoojoSim) -> String {
    format!("{}/user/vault/list-credentials", sim.base_url())
}

/// A user-scoped call: it names the user, and the layer does the rest.
async fn credentials(
    client: SessionService<HttpClient>,
    url: &str,
    name: &str,
) -> Result<String, BoxError> {
    let mut request =
        Request::post(url).header("content-type", "application/json").body(Body::default())?;
    request.extensions_mut().insert(UserId::new(name)?);

    let response = client.oneshot(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&body)?;
    let credential = &answer["data"]["credentials"][0];
    Ok(format!("credential {} of wallet {}", credential["slug"], credential["recipientAddress"]))
}

/// Looks at what the simulator received: whose token came with whose call.
async fn show_whose_token_arrived(
    sim: &MoojoSim,
    sessions: &SessionManager,
    name: &str,
    phone: &str,
) -> Result<(), BoxError> {
    let session = sessions.get(&UserId::new(name)?).await?;
    let number: PhoneNumber = phone.parse()?;
    let own = sim.user_of(session.access_token().expose_secret());
    if own.is_none() || own != sim.public_user_id(number.e164()) {
        return Err(format!("{name}'s token is not {name}'s").into());
    }
    let carried = sim
        .requests()
        .iter()
        .filter(|request| request.bearer() == Some(session.access_token().expose_secret()))
        .count();
    println!("   {name:<6} {carried} call arrived with {}, {name}'s own token", masked(&session));
    Ok(())
}
