//! Bearer token sessions of many users, for [tower](https://docs.rs/tower) stacks.
//!
//! A process that acts for people sends each one's token with each call. Moojo's tokens live two
//! hours and cannot be refreshed: a new one takes a code from an SMS, which the person types. This
//! crate keeps the tokens, puts the right one on each request, and says in a typed way when a person
//! has to log in again. How a login is made is the business of `moojo-otp`; this crate knows no HTTP
//! client and no TLS.
//!
//! ```
//! use http::{Request, Response};
//! use moojo_session::{ApiKey, Error, MemoryStore, SessionLayer, SessionManager, UserId};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let http_client = service_fn(async |_: Request<String>| Ok::<_, std::io::Error>(Response::new("")));
//! let sessions = SessionManager::new(MemoryStore::new());
//! let layer = SessionLayer::new(sessions.clone())
//!     .api_key(ApiKey::new("my-key")?)
//!     .allow_origin("https://api.moojo.id")?;
//! // Any client as a tower service that follows no redirects itself.
//! let client = ServiceBuilder::new().layer(layer).service(http_client);
//!
//! let url = "https://api.moojo.id/user/vault/list-credentials";
//! let mut request = Request::post(url).body(String::new())?;
//! request.extensions_mut().insert(UserId::new("alice")?); // whose token goes with it
//! match client.oneshot(request).await {
//!     Ok(response) => println!("{}", response.status()), // it was sent with alice's token
//!     // She has to log in: nothing was sent, or the token was refused. Her session then goes to
//!     // `sessions.insert`.
//!     Err(Error::ReauthRequired(signal)) => println!("{signal}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - [`SessionManager`] holds the sessions of all users, in front of a [`SessionStore`].
//! - [`SessionLayer`] attaches the token to requests that are bound to a user by a [`UserId`] or a
//!   [`UserHandle`] in their extensions.
//! - [`ReauthRequired`] is the signal, and [`Error`] all that a call can end in.
//! - [`MemoryStore`] is the store of a single process. Others implement [`SessionStore`]; the
//!   feature `conformance` tests them.
//! - [`ChallengeStore`] keeps logins under way, for `moojo-otp`.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `test-util`: `ManualClock`, which tests move.
//! - `conformance`: the rules of the store traits as test cases for any store.
//! - `serde`: `ExposedSession` and `ExposedChallenge`, as a store writes them, with the token and the
//!   phone number in the clear.
//! - `sealed`: `SealedStore`, which encrypts tokens and phone numbers before a store sees them.
//!
//! # Runtime
//!
//! The crate needs tokio, with its timer enabled. A call whose session is in memory touches neither.

mod broadcast;
mod challenge;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod layer;
mod lease;
mod manager;
#[cfg(shuttle)]
#[doc(hidden)]
pub mod model;
mod origin;
mod reauth;
mod secret;
mod session;
mod shown;
mod store;
mod sync;
mod text;
mod user;

/// For `impl` blocks of this crate's traits, as in the examples: the macro of the crate
/// [async-trait](https://docs.rs/async-trait), so that you need not depend on it.
pub use async_trait::async_trait;

#[cfg(feature = "serde")]
pub use challenge::ExposedChallenge;
pub use challenge::{
    Admission, Challenge, ChallengeState, ChallengeStore, MemoryChallengeStore, Quota, Revision,
};
#[cfg(feature = "test-util")]
pub use clock::ManualClock;
pub use clock::{Clock, ClockReading, Sleep, SystemClock};
pub use error::{Error, Limit};
pub use layer::{
    ForUser, OnAuthorization, OnReauth, OriginGuard, OriginGuardLayer, Refusal, ResponseFuture,
    SessionLayer, SessionService, WithoutUser, refused_token,
};
pub use lease::{Lease, LeaseHolder, LeaseStore, MemoryLeaseStore};
pub use manager::{
    Arrival, Arrived, Claim, ClaimLost, Event, EventStream, ExpiringSoon, ExpiryNotices,
    ReauthQueue, ReauthRequest, SessionManager, SessionManagerBuilder, UserHandle, Wait,
};
pub use origin::{InvalidOrigin, Origin};
pub use reauth::{
    DeclineReason, Declined, InvalidPurpose, Purpose, ReauthReason, ReauthRequired, Reauthenticate,
};
pub use secret::{AccessToken, ApiKey, InvalidSecret};
pub use session::{
    InvalidExposed, InvalidSession, InvalidSessionId, Session, SessionBuilder, SessionId,
};
pub use shown::{Chain, redacted_url};
#[cfg(feature = "serde")]
pub use store::ExposedSession;
pub use store::{
    Change, ChangeStream, MemoryStore, MemoryStoreBuilder, Page, PageToken, SessionAdmin,
    SessionInfo, SessionStore, StoreError, StoreErrorKind, StoreLog,
};
#[cfg(feature = "sealed")]
pub use store::{InvalidKeyName, KeyRing, Resealed, SealedStore, Sealing, SealingKey};
pub use user::{InvalidUserId, UserId};
