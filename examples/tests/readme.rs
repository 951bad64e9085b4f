//! The lines of the README: they stand here as they stand there, and compile.

use std::error::Error as StdError;

use moojo_examples::{Body, HttpClient};
use moojo_otp::{LoginError, LoginFlow, MoojoClient, PhoneNumber};
use moojo_session::{ApiKey, Error, MemoryStore, SessionLayer, SessionManager, UserId};
use tower::{ServiceBuilder, ServiceExt};

#[allow(dead_code, unused_variables, reason = "it is there to be compiled")]
async fn lines(http_client: HttpClient, body: Body) -> Result<(), Box<dyn StdError>> {
    let api_key = std::env::var("MOOJO_API_KEY").map_err(|_| "MOOJO_API_KEY is not set")?;
    let api_key = ApiKey::new(api_key)?; // yours, from Moojo
    let moojo = MoojoClient::builder(api_key.clone()).build()?;
    let sessions = SessionManager::new(MemoryStore::new());
    let login = LoginFlow::new(moojo, sessions.clone());
    let layer =
        SessionLayer::new(sessions).api_key(api_key).allow_origin("https://api.moojo.id")?;
    // Any Service<http::Request<B>, Response = http::Response<R>> that follows no redirects itself.
    let client = ServiceBuilder::new().layer(layer).service(http_client);

    let mut request = http::Request::post("https://api.moojo.id/user/vault/list-credentials")
        .header("content-type", "application/json")
        .body(body)?;
    request.extensions_mut().insert(UserId::new("alice")?); // binds the user to the request
    match client.clone().oneshot(request).await {
        Err(Error::ReauthRequired(signal)) => {
            let phone: PhoneNumber = "+1(555)987-6543".parse()?; // from your user records
            match login.send_code(signal.user(), &phone).await {
                // A code is out, or may be (`login.pending` says): show the form.
                Ok(_) | Err(LoginError::ResendTooSoon { .. } | LoginError::SendUnknown { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        answer => { /* … */ }
    }
    Ok(())
}

#[test]
fn they_stand_in_the_readme() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```rust,ignore\n").unwrap();
    let (snippet, _) = rest.split_once("```").unwrap();
    let mut here = include_str!("readme.rs").lines().map(str::trim);
    for line in snippet.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(here.any(|here| here == line), "not compiled here: {line}");
    }
}
