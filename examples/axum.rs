//! A web service on axum that logs people in and makes calls for them.
//!
//! ```text
//! cargo run --example axum
//! ```
//!
//! It starts a simulated Moojo beside it, and prints the requests to try.
#![allow(clippy::print_stdout)]

use std::error::Error as StdError;

use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use moojo_examples::{Body, HttpClient, http_client};
use moojo_otp::{LoginError, LoginFlow, MoojoClient, PhoneNumber, VerificationCode};
use moojo_session::{
    ApiKey, Error, MemoryStore, SessionLayer, SessionManager, SessionService, UserId,
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let sim = MoojoSim::start().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let here = format!("http://{}", listener.local_addr()?);
    println!(
        "curl -X POST {here}/alice/code -H 'content-type: application/json' -d '{{\"phone\":\"+1(555)987-6543\"}}'"
    );
    println!("open {} and read the code", sim.phone_url());
    println!(
        "curl -X POST {here}/alice/login -H 'content-type: application/json' -d '{{\"code\":\"…\"}}'"
    );
    println!("curl {here}/alice/credentials");
    axum::serve(listener, app(&sim)?).await?;
    Ok(())
}

fn app(sim: &MoojoSim) -> Result<Router, Box<dyn StdError>> {
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
    UserId::new(name).map_err(|error| Failure(StatusCode::BAD_REQUEST, error.to_string()))
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
    let phone: PhoneNumber =
        phone.parse().map_err(|error| Failure(StatusCode::BAD_REQUEST, format!("{error}")))?;
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
        .map_err(|error| Failure(StatusCode::BAD_REQUEST, error.to_string()))?;
    app.login.verify(&user(&name)?, &code).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn credentials(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, Failure> {
    let url = format!("{}/user/vault/list-credentials", app.moojo);
    let mut request = Request::post(url)
        .body(Body::default())
        .map_err(|error| Failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    request.extensions_mut().insert(user(&name)?);
    Ok(app.client.oneshot(request).await?.map(axum::body::Body::new))
}

/// What the caller of this service is told.
struct Failure(StatusCode, String);

impl<E: StdError> From<Error<E>> for Failure {
    fn from(error: Error<E>) -> Self {
        let status = match &error {
            Error::ReauthRequired(_) => StatusCode::UNAUTHORIZED,
            Error::Store(_) | Error::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self(status, error.to_string())
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        let status = match &error {
            LoginError::WrongCode { .. } => StatusCode::FORBIDDEN,
            LoginError::ResendTooSoon { .. } | LoginError::TooManySends { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            LoginError::NoOpenChallenge { .. }
            | LoginError::Locked { .. }
            | LoginError::CodeAlreadyUsed { .. } => StatusCode::CONFLICT,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self(status, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}
