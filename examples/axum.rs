//! A web service on axum that logs people in and makes calls for them.
//!
//! ```text
//! cargo run --example axum
//! ```
//!
//! It starts a simulated Moojo beside it, and prints the requests to try.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error as StdError;
use std::process::ExitCode;

use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use moojo_examples::{Body, BoxError, HttpClient, http_client, start};
use moojo_otp::{LoginError, LoginFlow, MoojoClient, PhoneNumber, VerificationCode};
use moojo_session::{
    ApiKey, Chain, Error, MemoryStore, SessionLayer, SessionManager, SessionService, UserId,
};
use moojo_sim::MoojoSim;
use serde::Deserialize;
use tower::{Layer, ServiceExt};

#[derive(Clone)]
struct App {
    login: LoginFlow,
    client: SessionService<HttpClient>,
    moojo: String,
}

const HELP: &str = "\
A web service on axum that logs people in and makes calls for them, with a simulated Moojo beside it.
It prints the requests to try, and goes on until Ctrl-C.

It takes no arguments and reads no environment. It listens on free ports of this machine.";

#[tokio::main]
async fn main() -> ExitCode {
    start(HELP, run()).await
}

async fn run() -> Result<(), BoxError> {
    let sim = MoojoSim::start().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let here = format!("http://{}", listener.local_addr()?);
    let json = "-H 'content-type: application/json'";
    println!("In another terminal:");
    println!("  1. curl -i {here}/alice/credentials");
    println!("     She has to log in (401).");
    println!("  2. curl -i {here}/alice/code {json} -d '{{\"phone\":\"+1(555)987-6543\"}}'");
    println!("     A code is sent: read it at {}", sim.phone_url());
    println!("  3. curl -i {here}/alice/login {json} -d '{{\"code\":\"…\"}}'");
    println!("  4. curl -i {here}/alice/credentials");
    println!("Ctrl-C stops it.");
    axum::serve(listener, app(&sim)?).await?;
    Ok(())
}

fn app(sim: &MoojoSim) -> Result<Router, BoxError> {
    let api_key = ApiKey::new(sim.api_key())?;
    let moojo = MoojoClient::builder(api_key.clone()).base_url(&sim.base_url())?.build()?;
    let sessions = SessionManager::new(MemoryStore::new());
    let login = LoginFlow::new(moojo, sessions.clone());
    let client = SessionLayer::new(sessions)
        .api_key(api_key)
        .allow_origin(&sim.base_url())?
        .layer(http_client());
    Ok(Router::new()
        .route("/{user}/code", post(send_code))
        .route("/{user}/login", post(verify))
        .route("/{user}/credentials", get(credentials))
        .with_state(App { login, client, moojo: sim.base_url() }))
}

/// The user is named by the path here; in earnest it is who your own login says it is.
fn user(name: &str) -> Result<UserId, Failure> {
    UserId::new(name).map_err(|error| Failure::new(StatusCode::BAD_REQUEST, &error))
}

#[derive(Deserialize)]
struct Phone {
    phone: String,
}

async fn send_code(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(Phone { phone }): Json<Phone>,
) -> Result<StatusCode, Failure> {
    let phone = phone.parse::<PhoneNumber>();
    let phone = phone.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, &error))?;
    app.login.send_code(&user(&name)?, &phone).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

async fn verify(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(Code { code }): Json<Code>,
) -> Result<StatusCode, Failure> {
    let code = VerificationCode::new(&code)
        .map_err(|error| Failure::new(StatusCode::BAD_REQUEST, &error))?;
    app.login.verify(&user(&name)?, &code).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn credentials(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, Failure> {
    let url = format!("{}/user/vault/list-credentials", app.moojo);
    let mut request = Request::post(url)
        .header("content-type", "application/json")
        .body(Body::default())
        .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, &error))?;
    request.extensions_mut().insert(user(&name)?);
    Ok(app.client.oneshot(request).await?.map(axum::body::Body::new))
}

/// What the caller of this service is told. Why it failed is for the log.
struct Failure(StatusCode, String);

impl Failure {
    fn new(status: StatusCode, error: &(dyn StdError + 'static)) -> Self {
        eprintln!("{status}: {}", Chain(error));
        Self(status, error.to_string())
    }
}

impl<E: StdError + 'static> From<Error<E>> for Failure {
    fn from(error: Error<E>) -> Self {
        let status = match &error {
            Error::ReauthRequired(_) => StatusCode::UNAUTHORIZED,
            Error::Declined(_) => StatusCode::FORBIDDEN,
            Error::Store(_) | Error::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Error::Inner(_) => StatusCode::BAD_GATEWAY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, &error)
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        let status = match &error {
            LoginError::SendUnknown { .. } => StatusCode::ACCEPTED,
            LoginError::WrongCode { .. } => StatusCode::FORBIDDEN,
            LoginError::NoOpenChallenge { .. }
            | LoginError::Locked { .. }
            | LoginError::CodeAlreadyUsed { .. }
            | LoginError::Revoked => StatusCode::CONFLICT,
            LoginError::NumberNotAllowed { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            LoginError::ResendTooSoon { .. }
            | LoginError::TooManySends { .. }
            | LoginError::TooManyTenantSends { .. }
            | LoginError::NotAnswering { .. } => StatusCode::TOO_MANY_REQUESTS,
            LoginError::Moojo { .. } => StatusCode::BAD_GATEWAY,
            // Of `NotSaved` the session is lost here: a service that has to keep it saves it later.
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, &error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}
