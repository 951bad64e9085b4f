//! Sessions of many users for tower stacks.
mod broadcast;
mod challenge;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod layer;
mod manager;
mod origin;
mod reauth;
mod secret;
mod session;
mod store;
mod user;

pub use async_trait::async_trait;

pub use challenge::{
    Admission, Challenge, ChallengeState, ChallengeStore, MemoryChallengeStore, Quota, Revision,
};
#[cfg(feature = "test-util")]
pub use clock::ManualClock;
pub use clock::{Clock, Sleep, SystemClock};
pub use error::{Error, Limit};
pub use layer::{
    ForUser, OnAuthorization, OnReauth, OriginGuard, OriginGuardLayer, Refusal, ResponseFuture,
    SessionLayer, SessionService, WithoutUser, refused_token,
};
pub use manager::{Event, EventStream, SessionManager, SessionManagerBuilder, UserHandle};
pub use origin::{InvalidOrigin, Origin};
pub use reauth::{ReauthReason, ReauthRequired};
pub use secret::{AccessToken, ApiKey, InvalidSecret};
pub use session::{InvalidSession, InvalidSessionId, Session, SessionBuilder, SessionId};
#[cfg(feature = "serde")]
pub use store::ExposedSession;
pub use store::{
    Change, ChangeStream, MemoryStore, MemoryStoreBuilder, SessionStore, StoreError, StoreErrorKind,
};
pub use user::{InvalidUserId, UserId};
