//! The tower layer that gives each request its user's token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower_layer::Layer;

use crate::manager::SessionManager;
use crate::origin::{InvalidOrigin, Origin};
use crate::secret::ApiKey;

mod binding;
mod classify;
mod for_user;
mod future;
mod guard;
mod repeat;
mod service;
mod slow;

pub use classify::{Refusal, refused_token};
pub use for_user::ForUser;
pub use future::ResponseFuture;
pub use guard::{OriginGuard, OriginGuardLayer};
pub use service::SessionService;

use classify::Classifier;
use repeat::Repeats;

/// Attaches to each request the valid token of the user that the request is bound to.
///
/// A request is bound to a user by a [`UserId`](crate::UserId) or a
/// [`UserHandle`](crate::UserHandle) in its extensions. The layer then
///
/// - refuses it if it does not go to an [allowed origin](Self::allow_origin);
/// - takes the user's session from memory or from the store, or gives
///   [`Error::ReauthRequired`](crate::Error::ReauthRequired) if there is none that is live (or
///   [waits](Self::on_reauth) for one);
/// - inserts `Authorization: Bearer …` and, if one is set, the [API key](Self::api_key);
/// - removes the session if the server [refuses](Self::classifier) its token, and says so in the
///   same way.
///
/// A response is passed on as it is, but for one that refuses the token: that one is only if a newer
/// session is there and the request could not be [repeated](Self::repeat_bodies) with it. If the
/// store fails while the refused session is being removed, the call gives
/// [`Error::Store`](crate::Error::Store) in place of the response.
///
/// # Where to put it
///
/// Next to the client, inside of everything that queues, delays or repeats (`buffer`,
/// `concurrency_limit`, `retry`, `FollowRedirect`): whether a token is still good and where it goes
/// is judged when the request passes. Timeouts go inside if the layer waits for logins, so that a
/// call's own time does not run while a person types.
///
/// **The client must follow no redirects by itself.** It would do so under the layer, where nobody
/// judges the next hop, and repeat our headers there: reqwest, for one, takes `Authorization` off a
/// request to another host, and leaves `x-api-key`. Switch it off (in reqwest
/// `redirect::Policy::none()`), and follow redirects by a middleware: above the layer, or under it
/// with an [origin guard](Self::origin_guard) under the middleware.
///
/// The client is a `Service<http::Request<B>>` that gives an `http::Response<R>`. `reqwest::Client` is
/// none: it needs an adapter, such as that of the README. Without one, the compiler says of `oneshot`
/// that `SessionService<Client>: Service<_>` was not satisfied.
///
/// # Example
///
/// ```
/// use chrono::{TimeDelta, Utc};
/// use http::{Request, Response};
/// use moojo_session::{
///     AccessToken, ApiKey, MemoryStore, Session, SessionLayer, SessionManager, UserId,
/// };
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Any client that takes an `http::Request`, gives an `http::Response` and follows no redirects
/// // itself.
/// let http_client = service_fn(|request: Request<String>| async move {
///     assert_eq!(request.headers()["authorization"], "Bearer 6c0350a00925");
///     assert_eq!(request.headers()["x-api-key"], "key");
///     Ok::<_, std::io::Error>(Response::new("[]"))
/// });
///
/// let sessions = SessionManager::new(MemoryStore::new());
/// let client = ServiceBuilder::new()
///     .layer(
///         SessionLayer::new(sessions.clone())
///             .api_key(ApiKey::new("key")?)
///             .allow_origin("https://api.moojo.id")?,
///     )
///     .service(http_client);
///
/// let alice = UserId::new("alice")?;
/// let login = Session::builder(alice.clone(), AccessToken::new("6c0350a00925")?);
/// sessions.insert(login.expires_at(Utc::now() + TimeDelta::hours(2)).build()?).await?;
///
/// let mut request =
///     Request::post("https://api.moojo.id/user/vault/list-credentials").body(String::new())?;
/// request.extensions_mut().insert(alice);
/// let response = client.oneshot(request).await?;
/// # assert_eq!(*response.body(), "[]");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct SessionLayer {
    settings: Settings,
}

#[derive(Clone)]
struct Settings {
    sessions: SessionManager,
    origins: Vec<Origin>,
    api_key_header: HeaderName,
    api_key: Option<HeaderValue>,
    without_user: WithoutUser,
    on_authorization: OnAuthorization,
    on_reauth: OnReauth,
    classifier: Arc<Classifier>,
    repeats: Repeats,
}

/// What becomes of a request that is bound to no user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WithoutUser {
    /// It is refused with [`Error::UserRequired`](crate::Error::UserRequired).
    #[default]
    Refuse,
    /// It passes untouched, to whatever origin: without token and without API key.
    Pass,
}

/// What becomes of an `Authorization` header that the caller has set on a request for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnAuthorization {
    /// The user's token takes its place.
    #[default]
    Replace,
    /// The request is refused with
    /// [`Error::AuthorizationPresent`](crate::Error::AuthorizationPresent).
    Refuse,
}

/// What becomes of a request whose user has to log in again. Set it for the
/// [layer](SessionLayer::on_reauth), or for one request by inserting it into its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnReauth {
    /// It fails at once with [`Error::ReauthRequired`](crate::Error::ReauthRequired).
    #[default]
    Fail,
    /// It waits this long for a session of the user to be inserted, without holding on to the
    /// capacity of the service under the layer, and then fails in the same way. A request that went
    /// out already and whose token was refused waits only if it can be
    /// [repeated](SessionLayer::repeat_bodies); else it fails at once.
    Wait(Duration),
}

impl SessionLayer {
    /// A layer over the sessions of `sessions`. No origin is allowed yet.
    pub fn new(sessions: SessionManager) -> Self {
        let settings = Settings {
            sessions,
            origins: Vec::new(),
            api_key_header: HeaderName::from_static("x-api-key"),
            api_key: None,
            without_user: WithoutUser::default(),
            on_authorization: OnAuthorization::default(),
            on_reauth: OnReauth::default(),
            classifier: Arc::new(refused_token),
            repeats: Repeats::default(),
        };
        Self { settings }
    }

    /// Allows tokens and the API key to go to this origin: `https://host` or `https://host:port`,
    /// and `http` to this very machine.
    ///
    /// # Errors
    /// [`InvalidOrigin`] if it is none, or not encrypted.
    pub fn allow_origin(self, origin: &str) -> Result<Self, InvalidOrigin> {
        let origin: Origin = origin.parse()?;
        if origin.is_insecure() {
            return Err(InvalidOrigin::Insecure { origin });
        }
        Ok(self.allow(origin))
    }

    /// As [`allow_origin`](Self::allow_origin), and takes `http` to other machines as well, where
    /// **everyone on the way can read the tokens**: for a network that is encrypted by other means.
    ///
    /// # Errors
    /// [`InvalidOrigin`] if it is none.
    pub fn allow_insecure_origin(self, origin: &str) -> Result<Self, InvalidOrigin> {
        Ok(self.allow(origin.parse()?))
    }

    fn allow(mut self, origin: Origin) -> Self {
        self.settings.origins.push(origin);
        self
    }

    /// The caller's key, which goes with every token as `x-api-key`. No key unless set. **Moojo wants
    /// one on every call**: a 401 because it is missing is taken for a refused token. Few clients that
    /// follow redirects by themselves know this header for a secret: see [where to put the
    /// layer](Self#where-to-put-it).
    pub fn api_key(mut self, key: ApiKey) -> Self {
        self.settings.api_key = Some(key.header_value().clone());
        self
    }

    /// Another name for the header of the API key.
    pub fn api_key_header(mut self, name: HeaderName) -> Self {
        self.settings.api_key_header = name;
        self
    }

    /// What becomes of requests without a user. They are refused unless set.
    pub fn without_user(mut self, choice: WithoutUser) -> Self {
        self.settings.without_user = choice;
        self
    }

    /// What becomes of an `Authorization` header that is there already. It is replaced unless set.
    pub fn on_authorization(mut self, choice: OnAuthorization) -> Self {
        self.settings.on_authorization = choice;
        self
    }

    /// What becomes of requests whose user has to log in again. They fail at once unless set.
    pub fn on_reauth(mut self, choice: OnReauth) -> Self {
        self.settings.on_reauth = choice;
        self
    }

    /// Which answers mean that the token was refused, and so remove the session; [`refused_token`]
    /// unless set. It sees the head of each response, never its body.
    ///
    /// ```
    /// # use moojo_session::{MemoryStore, Refusal, SessionLayer, SessionManager};
    /// # let layer = SessionLayer::new(SessionManager::new(MemoryStore::new()));
    /// let layer = layer.classifier(|status, headers| {
    ///     let refused = status == 401 || status == 419;
    ///     let trace_id = headers.get("x-trace-id").and_then(|id| id.to_str().ok());
    ///     refused.then(|| Refusal::new().trace_id(trace_id))
    /// });
    /// ```
    pub fn classifier(
        mut self,
        classifier: impl Fn(StatusCode, &HeaderMap) -> Option<Refusal> + Send + Sync + 'static,
    ) -> Self {
        self.settings.classifier = Arc::new(classifier);
        self
    }

    /// Lets requests with bodies of the type `B` be repeated: if the token is refused and a newer
    /// session is there, such a request is sent once more. It takes a clone of each request, where
    /// the layer does not allocate otherwise; so choose a body that is cheap to clone (`Full<Bytes>`,
    /// not `Vec<u8>`). No body is repeatable unless set, and none is ever buffered.
    pub fn repeat_bodies<B: Clone + 'static>(self) -> Self {
        self.repeat_bodies_with(|body: &B| Some(body.clone()))
    }

    /// As [`repeat_bodies`](Self::repeat_bodies), for a type of which only some can be repeated:
    /// `clone` gives `None` for the others.
    pub fn repeat_bodies_with<B: 'static>(mut self, clone: fn(&B) -> Option<B>) -> Self {
        self.settings.repeats.allow(clone);
        self
    }

    /// A layer that takes token and API key off requests to any origin that is not allowed here.
    /// It goes **under** a middleware that follows redirects, if this layer is above it. A client
    /// that follows them by itself has nothing under it: switch that off.
    pub fn origin_guard(&self) -> OriginGuardLayer {
        OriginGuardLayer::new(self.settings.origins.clone(), self.settings.api_key_header.clone())
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, Arc::new(self.settings.clone()))
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer")
            .field("sessions", &self.sessions)
            .field("origins", &self.origins)
            .field("api_key_header", &self.api_key_header)
            .field("has_api_key", &self.api_key.is_some())
            .field("without_user", &self.without_user)
            .field("on_authorization", &self.on_authorization)
            .field("on_reauth", &self.on_reauth)
            .finish_non_exhaustive()
    }
}
