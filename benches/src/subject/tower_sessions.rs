//! tower-sessions with the token as a value in the session.
//!
//! The request carries the session's id, which the crate's own layer would parse out of a cookie,
//! and the session is opened directly, without the layer's cookies. What is stored is the whole
//! value of the header; a session's data is JSON, so a header value is made for each request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use time::{Duration, OffsetDateTime};
use tower::Service;
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record, Session};
use tower_sessions_memory_store::MemoryStore;
use tower_sessions_moka_store::MokaStore;

use super::Call;
use crate::exchange::{Inner, exchange, request};
use crate::workload::Users;

const KEY: &str = "authorization";

pub(super) struct TowerSessions<T> {
    ids: Vec<Id>,
    service: Lookup<T>,
}

struct Lookup<T> {
    inner: Inner,
    store: Arc<T>,
}

impl TowerSessions<MemoryStore> {
    pub(super) fn memory(users: &Users) -> Self {
        Self::new(users, MemoryStore::default())
    }
}

impl TowerSessions<MokaStore> {
    pub(super) fn moka(users: &Users) -> Self {
        Self::new(users, MokaStore::new(None))
    }
}

impl<T: SessionStore> TowerSessions<T> {
    fn new(users: &Users, store: T) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let ids = runtime.expect("a runtime without drivers").block_on(async {
            let mut ids = Vec::with_capacity(users.count());
            for user in 0..users.count() {
                let mut record = Record {
                    id: Id::default(),
                    data: [(KEY.to_owned(), format!("Bearer {}", users.token(user)).into())].into(),
                    expiry_date: OffsetDateTime::now_utc() + Duration::hours(2),
                };
                store.create(&mut record).await.expect("the store is in memory");
                ids.push(record.id);
            }
            ids
        });
        Self { ids, service: Lookup { inner: Inner, store: Arc::new(store) } }
    }
}

impl<T: SessionStore> Service<Request<()>> for Lookup<T> {
    type Response = <Inner as Service<Request<()>>>::Response;
    type Error = <Inner as Service<Request<()>>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        <Inner as Service<Request<()>>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, mut request: Request<()>) -> Self::Future {
        let mut inner = self.inner;
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            let id: Id = *request.extensions().get().expect("the request names its user");
            let session = Session::new(Some(id), store, None);
            let token: Option<String> = session.get(KEY).await.expect("the store is in memory");
            let token = HeaderValue::try_from(token.expect("all are logged in"));
            let mut token = token.expect("hexadecimal digits are legal");
            token.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, token);
            inner.call(request).await
        })
    }
}

impl<T: SessionStore> Call for TowerSessions<T> {
    fn call(&mut self, user: usize) {
        exchange(&mut self.service, request(self.ids[user]));
    }
}
