//! The layer over reqwest, against a simulated Moojo: a call, and one whose token is refused, which
//! waits for a login and is sent again.
//!
//! ```text
//! cargo run --example reqwest
//! ```
//!
//! reqwest's own requests have no place for the user that a call is for. So the layer works on
//! `http::Request`, and an adapter of a few lines hands that to reqwest. Against the real Moojo,
//! reqwest needs TLS: it is among its default features.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use moojo_examples::{BoxError, start};
use moojo_session::{
    AccessToken, ApiKey, Error, MemoryStore, OnReauth, Session, SessionLayer, SessionManager,
    UserId,
};
use moojo_sim::MoojoSim;
use reqwest::redirect::Policy;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

/// reqwest under the layer; clones share the connections. The box is there to name its type.
type Client = BoxCloneSyncService<Request<Bytes>, Response<reqwest::Body>, Error<reqwest::Error>>;

fn client(layer: SessionLayer) -> Result<Client, reqwest::Error> {
    let http = reqwest::Client::builder()
        // It would follow them under the layer, and take the API key along.
        .redirect(Policy::none())
        // Of the call itself: the time that a person takes does not count.
        .timeout(Duration::from_secs(10))
        .build()?;
    let adapter = service_fn(move |request: Request<Bytes>| {
        let http = http.clone();
        async move {
            let response = http.execute(request.map(reqwest::Body::from).try_into()?).await?;
            Ok::<_, reqwest::Error>(Response::from(response))
        }
    });
    Ok(BoxCloneSyncService::new(layer.layer(adapter)))
}

const HELP: &str = "\
The layer over reqwest, against a simulated Moojo: a call, and one whose token is refused, which waits
for a login and is sent again.

It takes no arguments, reads no environment and needs no network.";

#[tokio::main]
async fn main() -> ExitCode {
    start(HELP, async { run(&MoojoSim::start().await?).await }).await
}

pub(crate) async fn run(sim: &MoojoSim) -> Result<(), BoxError> {
    let sessions = SessionManager::new(MemoryStore::new());
    let layer = SessionLayer::new(sessions.clone())
        .api_key(ApiKey::new(sim.api_key())?)
        .allow_origin(&sim.base_url())?
        .on_reauth(OnReauth::Wait(Duration::from_secs(60)))
        // What is sent again must be cloned first: `Bytes` are cheap to clone, `reqwest::Body` is not
        // to be cloned.
        .repeat_bodies::<Bytes>();
    let client = client(layer)?;
    let url = format!("{}/user/vault/list-credentials", sim.base_url());

    let alice = UserId::new("alice")?;
    let session = log_in(sim, &alice)?;
    sessions.insert(session.clone()).await?;
    println!("1. {}", call(client.clone(), &url, &alice).await?);

    // Moojo ends the token early: the next call is refused, and waits.
    sim.revoke_token(session.access_token().expose_secret());
    let waiting = tokio::spawn({
        let alice = alice.clone();
        async move { call(client, &url, &alice).await }
    });
    let claim = sessions.reauth_queue().next().await;
    println!("2. {} has to log in: {:?}", claim.request().user(), claim.request().reason());
    claim.answer(log_in(sim, &alice)?).await?;
    println!("3. {}", waiting.await??);
    Ok(())
}

/// A user-scoped call.
async fn call(client: Client, url: &str, user: &UserId) -> Result<String, BoxError> {
    let mut request = Request::post(url)
        .header("content-type", "application/json")
        .body(Bytes::from_static(b"{}"))?;
    request.extensions_mut().insert(user.clone());
    // Back to reqwest's own response, which reads bodies.
    let response = reqwest::Response::from(client.oneshot(request).await?);
    Ok(format!("{} {}", response.status(), response.error_for_status()?.text().await?))
}

/// In earnest a login by SMS code: `moojo_otp::LoginFlow`.
fn log_in(sim: &MoojoSim, user: &UserId) -> Result<Session, BoxError> {
    let issued = sim.login("+1(555)987-6543");
    let session = Session::builder(user.clone(), AccessToken::new(&issued.token)?);
    Ok(session.expires_at(issued.expires_at).build()?)
}
