//! The lazy identity cache of the AWS SDK, with a partition for each user.
//!
//! A partition belongs to an identity resolver, so each user has one, and the request carries it:
//! there is nothing to look it up by. The identity holds the finished header value, where the SDK's
//! own bearer scheme would format it for each request. The limit of partitions is raised to the
//! number of users, the time limit for loads is set (it is computed for each request otherwise),
//! and the timer that is made for each request is the cheapest there can be.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime_api::client::identity::{
    Identity, IdentityFuture, ResolveCachedIdentity, ResolveIdentity, SharedIdentityCache,
    SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::config_bag::ConfigBag;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use tower::Service;

use super::{Call, authorization};
use crate::exchange::{Inner, exchange, request};
use crate::workload::Users;

pub(super) struct Aws {
    resolvers: Vec<SharedIdentityResolver>,
    service: Lookup,
}

struct Lookup {
    inner: Inner,
    identities: Arc<Identities>,
}

struct Identities {
    cache: SharedIdentityCache,
    components: RuntimeComponents,
    config: ConfigBag,
}

#[derive(Debug)]
struct Login(HeaderValue);

impl ResolveIdentity for Login {
    fn resolve_identity<'a>(
        &'a self,
        _: &'a RuntimeComponents,
        _: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let end = SystemTime::now() + Duration::from_secs(2 * 60 * 60);
        IdentityFuture::ready(Ok(Identity::new(self.0.clone(), Some(end))))
    }
}

#[derive(Debug)]
struct NeverOver;

impl AsyncSleep for NeverOver {
    fn sleep(&self, _: Duration) -> Sleep {
        Sleep::new(std::future::pending())
    }
}

impl Aws {
    pub(super) fn new(users: &Users) -> Self {
        let cache = IdentityCache::lazy()
            .max_partitions(users.count())
            .load_timeout(Duration::from_secs(5))
            .build();
        let components = RuntimeComponentsBuilder::for_tests()
            .with_time_source(Some(SystemTimeSource::new()))
            .with_sleep_impl(Some(NeverOver))
            .build()
            .expect("all that is needed is there");
        let identities = Identities { cache, components, config: ConfigBag::base() };
        let service = Lookup { inner: Inner, identities: Arc::new(identities) };
        Self { resolvers: resolvers(users), service }
    }
}

/// What a request carries: a clone of its user's.
pub(super) fn resolvers(users: &Users) -> Vec<SharedIdentityResolver> {
    let resolver = |user| SharedIdentityResolver::new(Login(authorization(users, user)));
    (0..users.count()).map(resolver).collect()
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
        let identities = Arc::clone(&self.identities);
        Box::pin(async move {
            let Identities { cache, components, config } = &*identities;
            let resolver: &SharedIdentityResolver =
                request.extensions().get().expect("the request names its user");
            let identity = cache.resolve_cached_identity(resolver.clone(), components, config);
            let identity = identity.await.expect("all are logged in");
            let token: &HeaderValue = identity.data().expect("made with a header value");
            request.headers_mut().insert(AUTHORIZATION, token.clone());
            inner.call(request).await
        })
    }
}

impl Call for Aws {
    fn call(&mut self, user: usize) {
        exchange(&mut self.service, request(self.resolvers[user].clone()));
    }
}
