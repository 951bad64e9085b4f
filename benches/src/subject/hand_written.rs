//! A layer as one writes it by hand: an async lock around the standard map, and a boxed future.
//!
//! The header values stand ready and the guard is dropped before the inner service is called;
//! beyond that it is what comes first to mind, with the standard hasher.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use moojo_session::UserId;
use tokio::sync::RwLock;
use tower::Service;

use super::{Call, authorization, bare};
use crate::exchange::{Inner, exchange, request};
use crate::workload::Users;

pub(super) struct HandWritten {
    ids: Vec<UserId>,
    service: Lookup,
}

struct Lookup {
    inner: Inner,
    tokens: Arc<RwLock<HashMap<String, HeaderValue>>>,
}

impl HandWritten {
    pub(super) fn new(users: &Users) -> Self {
        let mut tokens = HashMap::with_capacity(users.count());
        tokens.extend((0..users.count()).map(|user| (users.id(user), authorization(users, user))));
        let tokens = Arc::new(RwLock::new(tokens));
        Self { ids: bare::ids(users), service: Lookup { inner: Inner, tokens } }
    }
}

impl Service<Request<()>> for Lookup {
    type Response = <Inner as Service<Request<()>>>::Response;
    type Error = <Inner as Service<Request<()>>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        <Inner as Service<Request<()>>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, mut request: Request<()>) -> Self::Future {
        let mut inner = self.inner;
        let tokens = Arc::clone(&self.tokens);
        Box::pin(async move {
            let user: &UserId = request.extensions().get().expect("the request names its user");
            let token = tokens.read().await.get(user.as_str()).cloned();
            request.headers_mut().insert(AUTHORIZATION, token.expect("all are logged in"));
            inner.call(request).await
        })
    }
}

impl Call for HandWritten {
    fn call(&mut self, user: usize) {
        exchange(&mut self.service, request(self.ids[user].clone()));
    }
}
