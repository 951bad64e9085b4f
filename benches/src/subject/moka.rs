//! A moka cache of ready header values with one time to live for all.
//!
//! The sync cache, which needs no boxed future and is the faster one for this, with foldhash.

use std::task::{Context, Poll};
use std::time::Duration;

use foldhash::fast::RandomState;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use moka::sync::Cache;
use moojo_session::UserId;
use tower::Service;

use super::{Call, authorization, bare};
use crate::exchange::{Inner, exchange, request};
use crate::workload::Users;

pub(super) struct Moka {
    ids: Vec<UserId>,
    service: Lookup,
}

struct Lookup {
    inner: Inner,
    tokens: Cache<String, HeaderValue, RandomState>,
}

impl Moka {
    pub(super) fn new(users: &Users) -> Self {
        let tokens = Cache::builder()
            .initial_capacity(users.count())
            .time_to_live(Duration::from_secs(2 * 60 * 60))
            .build_with_hasher(RandomState::default());
        for user in 0..users.count() {
            tokens.insert(users.id(user), authorization(users, user));
        }
        tokens.run_pending_tasks();
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
        let token = self.tokens.get(user.as_str()).expect("all are logged in");
        request.headers_mut().insert(AUTHORIZATION, token);
        self.inner.call(request)
    }
}

impl Call for Moka {
    fn call(&mut self, user: usize) {
        exchange(&mut self.service, request(self.ids[user].clone()));
    }
}
