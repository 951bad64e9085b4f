//! Moojo's login by SMS code or Firebase JWT: a client of its HTTP API, and the login flow on top
//! of it that puts sessions into a [`SessionManager`](moojo_session::SessionManager).
//!
//! ```no_run
//! use moojo_otp::{LoginError, LoginFlow, MoojoClient, PhoneNumber, VerificationCode};
//! use moojo_session::{ApiKey, MemoryStore, SessionManager, UserId};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let key = std::env::var("MOOJO_API_KEY").map_err(|_| "MOOJO_API_KEY is not set")?;
//! let moojo = MoojoClient::builder(ApiKey::new(key)?).build()?;
//! let sessions = SessionManager::new(MemoryStore::new());
//! let login = LoginFlow::new(moojo, sessions.clone());
//!
//! let alice = UserId::new("alice")?;
//! let phone: PhoneNumber = "+1(555)987-6543".parse()?;
//! login.send_code(&alice, &phone).await?; // one SMS
//!
//! let typed = VerificationCode::new("133575")?;
//! match login.verify(&alice, &typed).await {
//!     Ok(session) => println!("logged in until {}", session.expires_at()),
//!     Err(LoginError::WrongCode { attempts_left, .. }) => println!("{attempts_left} left"),
//!     Err(error) => return Err(error.into()), // `error.retry_at()`: when to try again, if known
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The parts
//!
//! - [`LoginFlow`] sends codes and turns them into sessions, with cooldown, limits and a record of
//!   what was sent. Most need nothing else.
//! - [`LoginWorker`] asks the people who have to log in again, and needs to know how they are reached
//!   ([`People`]).
//! - [`FirebaseRenewal`] renews sessions without the person, where there is a JWT.
//! - [`MoojoClient`] makes the calls. It repeats one only where it is certain that Moojo received
//!   nothing, so no SMS goes out twice.
//! - [`Transport`] is what it sends with: reqwest, unless you give it another.
//! - [`Classify`] is the one place that says what errors mean, of which Moojo documents none.
//! - [`PhoneNumber`], [`VerificationCode`] and [`FirebaseJwt`] are what people type or bring along.
//!
//! # What stays in
//!
//! No token, code, key, JWT or whole phone number is in any `Debug`, `Display`, error or event of
//! this crate, not even if Moojo's answer repeats it: of an answer only its status, its trace id
//! and the usual names of its fields are shown ([`Reply`]).
//!
//! # Features
//!
//! - `reqwest` (on): the default transport. Without it there is no HTTP client in the graph, and
//!   [`MoojoClientBuilder::transport`] has to be given one: [`ConfigError::NoTransport`] says so.
//! - `rustls` (on, with `reqwest`): https for it, by rustls with aws-lc-rs. Without it the default
//!   transport speaks plain http only.

/// The snippets of the guide compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/re-auth.md")]
struct ReAuthGuide;

mod answer;
mod classify;
mod client;
mod code;
mod error;
mod login;
mod phone;
mod renewal;
mod sync;
mod transport;
mod worker;

pub use answer::{Answer, Endpoint, Reply};
pub use classify::{Classify, DefaultClassifier, Verdict};
pub use client::{Authentication, CodeSent, MoojoClient, MoojoClientBuilder, PhoneFormat};
pub use code::{FirebaseJwt, InvalidCode, InvalidJwt, VerificationCode};
pub use error::{ConfigError, Malformation, MoojoError};
pub use login::{InvalidPrefix, LoginError, LoginFlow, LoginFlowBuilder};
pub use phone::{InvalidPhoneNumber, PhoneNumber};
pub use renewal::{FirebaseRenewal, JwtSource};
pub use transport::{Transport, TransportError};
pub use worker::{Ask, LoginWorker, People, PersonReply};
