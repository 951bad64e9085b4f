//! A papaya map of ready header values: the least that a lookup by user can cost.
//!
//! With foldhash, in its final size from the start, read under one pin. There is no expiry, no
//! check of the origin, and nothing to be done when a token is refused.

use std::task::{Context, Poll};

use foldhash::fast::RandomState;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use moojo_session::UserId;
use papaya::HashMap;
use tower::Service;

use super::{Call, authorization, bare};
use crate::exchange::{Inner, exchange, request};
use crate::workload::Users;

pub(super) struct Papaya {
    ids: Vec<UserId>,
    service: Lookup,
}

struct Lookup {
    inner: Inner,
    tokens: HashMap<String, HeaderValue, RandomState>,
}

impl Papaya {
    pub(super) fn new(users: &Users) -> Self {
        let tokens = HashMap::with_capacity_and_hasher(users.count(), RandomState::default());
        for user in 0..users.count() {
            tokens.pin().insert(users.id(user), authorization(users, user));
        }
        Self { ids: bare::ids(users), service: Lookup { inner: Inner, tokens } }
    }
}

impl Service<Request<()>> for Lookup {
    type Response = <Inner as Service<Request<()>>>::Response;
    type Error = <Inner as Service<Request<()>>>::Error;
    type Future = <Inner as Service<Request<()>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<()>) -> Self::Future {
        let user: &UserId = request.extensions().get().expect("the request names its user");
        let token = self.tokens.pin().get(user.as_str()).cloned().expect("all are logged in");
        request.headers_mut().insert(AUTHORIZATION, token);
        self.inner.call(request)
    }
}

impl Call for Papaya {
    fn call(&mut self, user: usize) {
        exchange(&mut self.service, request(self.ids[user].clone()));
    }
}
