//! A simulated Moojo to test against: the login by SMS code or Firebase JWT, two user-scoped calls, a
//! clock that tests move, faults on demand, an inbox of the messages sent, and a record of every
//! request.
//!
//! It listens on a real socket, so any HTTP client can be tested with it, and a connection that it
//! cuts is really cut.
//!
//! ```
//! use std::time::Duration;
//! use moojo_session::{Clock, ManualClock};
//! use moojo_sim::{Fault, FaultKind, MoojoSim};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = ManualClock::new("2025-02-16T13:12:52.555Z".parse()?);
//! let sim = MoojoSim::builder().clock(clock.clone()).start().await?;
//! // Point the client under test at it:
//! let (base_url, api_key) = (sim.base_url(), sim.api_key());
//!
//! // What it sent, and what it was sent:
//! assert_eq!(sim.last_code("+1(555)987-6543"), None);
//! assert_eq!(sim.requests().len(), 0);
//!
//! // Tokens end by the clock:
//! let issued = sim.login("+1(555)987-6543");
//! assert!(sim.is_live(&issued.token));
//! clock.advance(Duration::from_secs(2 * 60 * 60));
//! assert!(!sim.is_live(&issued.token));
//!
//! // The next login is answered with 429, once:
//! let retry_after = Duration::from_secs(30);
//! sim.inject(Fault::on("/user/authenticate").kind(FaultKind::RateLimited { retry_after }));
//! # Ok(())
//! # }
//! ```
//!
//! # What is documented and what is assumed
//!
//! Moojo documents little more than its good answers. A client must not depend on what is in the
//! right column: the settings and [`Fault`]s are there to try it with something else. The same two
//! words mark the places in the code.
//!
//! | | documented by Moojo | assumed here |
//! |---|---|---|
//! | paths | `POST /send-verification-code`, `/user/authenticate`, `/user/vault/list-credentials`, `/user/vault/compute-fit-score` | 404 and 405 for anything else |
//! | key | every call has `x-api-key` | 401 without one; 403 for a wrong one ([`wrong_key_status`](MoojoSimBuilder::wrong_key_status)) or two |
//! | good answers | 200, `{"status":"success","traceId":"<uuid>","data":{…}}` | that the JSON has no other fields |
//! | errors | nothing | `{"status":"error","traceId":"…","error":{"code":"…","message":"…"}}`, and every status |
//! | `phoneNumber` | a string; the example is `+1(555)987-6543` | 6 to 15 digits and anything between them; numbers with the same digits are one |
//! | SMS | the user receives a code; the example is `133575` | the text; that codes always have six digits |
//! | `verificationId` | given back; the login does not send it | 54 hexadecimal characters, as in the example |
//! | life of a code | nothing | 10 minutes, one use, 5 wrong attempts ([`code_ttl`](MoojoSimBuilder::code_ttl), [`code_attempts`](MoojoSimBuilder::code_attempts)); a newer one ends it ([`new_code_ends_older`](MoojoSimBuilder::new_code_ends_older)) |
//! | a refused code | nothing | 400 ([`wrong_code_status`](MoojoSimBuilder::wrong_code_status)) |
//! | Firebase JWT | `idType` `firebaseJwt` and `id`; the same answer as for a code | opaque: each text is one user, unless [linked](MoojoSim::link_jwt) or [refused](MoojoSim::refuse_jwt) |
//! | token | "a valid token … with a 2-hour expiration period"; the example has 64 hexadecimal characters | that it is refused from the very moment of `expiresAtIso8601` |
//! | several tokens | nothing | a new login leaves the older ones alive ([`new_login_ends_older`](MoojoSimBuilder::new_login_ends_older)) |
//! | user-scoped calls | `x-api-key` and `Authorization: Bearer <token>` | 401 with `WWW-Authenticate` as in RFC 6750 without a live token |
//! | `list-credentials` | the fields of a credential | every user has one, with the values of the documentation's example and a `recipientAddress` of the user's own |
//! | `compute-fit-score` | `{"score":0.8}` | that value, for everybody and any body |
//! | rate limits | nothing | none, but for the fault, which is a 429 with `Retry-After` |
//! | refresh, logout | there are none | there are none |
//! | size of a request | nothing | 413 above 64 KiB |
//!
//! # The simulator's own
//!
//! Answers to user-scoped calls and logins carry `x-sim-user: <publicUserId>`: whose token it was.
//! These pages never fail and are not recorded; they ask for no key, so keep the simulator on a
//! loopback address:
//!
//! - `GET /` and `GET /sim/phone`: the messages as a phone would show them, `?phone=` for one number;
//! - `GET /sim/inbox`: the same as JSON, `{"messages":[{"to","code","text","at","verificationId"}]}`;
//! - `GET /sim/requests`: the requests so far, without their secrets and bodies;
//! - `POST /sim/revoke` with `{"token":"…"}` or `{"phone":"…"}`: gives `{"revoked":<how many>}`;
//! - `POST /sim/faults` with, for example,
//!   `{"kind":"rateLimited","seconds":30,"route":"/user/authenticate","times":2}`, and
//!   `DELETE /sim/faults`. The kinds are those of [`FaultKind`] and [`Malformed`] with a small first
//!   letter; times are `millis` for delays and `seconds` elsewhere. `"always":true` and `"skip":1`
//!   are as in [`Fault`].
//!
//! Everything is kept in memory, codes and tokens in plain text. Nothing in here is fit for real
//! people's data.

mod api;
mod builder;
mod control;
mod error;
mod fault;
mod moojo;
mod record;
mod server;
mod settings;
mod sim;
mod sms;
mod time;
mod token;

pub use builder::MoojoSimBuilder;
pub use error::SimError;
pub use fault::{Fault, FaultKind, InjectedFault, Malformed};
pub use record::RecordedRequest;
pub use sim::MoojoSim;
pub use sms::SmsMessage;
pub use token::IssuedToken;
