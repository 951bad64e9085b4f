//! The layer over a client that a test looks into.

mod bound;
#[path = "../common/mod.rs"]
mod common;
mod failures;
mod outage;
mod refused;
mod secrets;
mod waiting;

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use moojo_session::{ApiKey, Error, ReauthReason, SessionLayer, SessionManager, UserId};
use parking_lot::Mutex;
use tower::service_fn;
use tower::util::BoxCloneService;

const LIST: &str = "https://api.moojo.id/user/vault/list-credentials";

type Client<E = std::io::Error> = BoxCloneService<Request<String>, Response<String>, E>;

/// A server as far as the layer can see it: it notes what arrives, and refuses some tokens.
#[derive(Clone, Default)]
struct Server {
    arrived: Arc<Mutex<Vec<(Uri, HeaderMap)>>>,
    refuses: Arc<Mutex<Vec<&'static str>>>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        BoxCloneService::new(service_fn(move |request: Request<String>| {
            let status = server.answer(&request);
            std::future::ready(Ok(Response::builder()
                .status(status)
                .body("answer".into())
                .unwrap()))
        }))
    }

    fn answer(&self, request: &Request<String>) -> StatusCode {
        self.arrived.lock().push((request.uri().clone(), request.headers().clone()));
        let token = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap());
        let refused = self.refuses.lock().iter().any(|bad| token == Some(&format!("Bearer {bad}")));
        if refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK }
    }

    fn refuse(&self, token: &'static str) {
        self.refuses.lock().push(token);
    }

    fn tokens(&self) -> Vec<String> {
        let text = |headers: &HeaderMap| headers[AUTHORIZATION].to_str().unwrap().to_owned();
        self.arrived.lock().iter().map(|(_, headers)| text(headers)).collect()
    }

    fn count(&self) -> usize {
        self.arrived.lock().len()
    }
}

fn layer(sessions: &SessionManager) -> SessionLayer {
    SessionLayer::new(sessions.clone())
        .api_key(ApiKey::new("the-key").unwrap())
        .allow_origin("https://api.moojo.id")
        .unwrap()
}

fn request(user: &UserId) -> Request<String> {
    let mut request = Request::post(LIST).body(String::new()).unwrap();
    request.extensions_mut().insert(user.clone());
    request
}

fn reason<T, E>(result: Result<T, Error<E>>) -> ReauthReason {
    match result {
        Err(Error::ReauthRequired(signal)) => signal.reason(),
        Err(_) => panic!("another error"),
        Ok(_) => panic!("no error"),
    }
}
