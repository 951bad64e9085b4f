//! The client of Moojo's HTTP API.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri};
use moojo_session::{ApiKey, Clock};
use tokio::sync::Semaphore;

use crate::answer::Endpoint;
use crate::classify::Classify;
use crate::code::{FirebaseJwt, VerificationCode};
use crate::error::MoojoError;
use crate::phone::PhoneNumber;
use crate::transport::Transport;

mod answers;
mod body;
mod builder;
mod call;
mod time;

pub use answers::{Authentication, CodeSent};
pub use builder::MoojoClientBuilder;

/// Calls Moojo's HTTP API. Clones are the same client.
///
/// # What every call promises
///
/// - It ends within the [timeout](MoojoClientBuilder::timeout).
/// - It is made again only where it is certain that Moojo received nothing
///   ([`TransportError::NotSent`](crate::TransportError::NotSent)), and only a
///   [few times](MoojoClientBuilder::retries): no SMS is sent twice, no code used up twice.
/// - No redirect is followed: the key goes to the base URL and nowhere else.
/// - An answer that is not as documented is a [`MoojoError`], never a panic.
/// - Dropping the future gives the call up. Moojo may carry it out all the same.
///
/// The calls need a tokio runtime with its timer enabled, and its I/O too unless there is another
/// [`Transport`].
///
/// ```no_run
/// use moojo_otp::{MoojoClient, PhoneNumber, VerificationCode};
/// use moojo_session::{ApiKey, UserId};
///
/// # async fn main_() -> Result<(), Box<dyn std::error::Error>> {
/// let key = std::env::var("MOOJO_API_KEY").map_err(|_| "MOOJO_API_KEY is not set")?;
/// let moojo = MoojoClient::builder(ApiKey::new(key)?).build()?;
/// let phone: PhoneNumber = "+1(555)987-6543".parse()?;
/// moojo.send_verification_code(&phone).await?;
/// let code = VerificationCode::new("133575")?;
/// let session = moojo.authenticate(&phone, &code).await?.into_session(UserId::new("alice")?);
/// # Ok(())
/// # }
/// ```
///
/// [`LoginFlow`](crate::LoginFlow) keeps count of what was sent and tried; this does not.
#[derive(Clone)]
pub struct MoojoClient(Arc<Inner>);

struct Inner {
    api_key: ApiKey,
    send_uri: Uri,
    authenticate_uri: Uri,
    user_agent: HeaderValue,
    transport: Arc<dyn Transport>,
    classifier: Arc<dyn Classify>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    retries: u32,
    max_body_bytes: usize,
    phone_format: PhoneFormat,
    in_flight: Semaphore,
}

/// How a phone number is written in the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PhoneFormat {
    /// In E.164: `+15559876543`.
    #[default]
    E164,
    /// As the person typed it, as Moojo's documented example does: `+1(555)987-6543`.
    AsTyped,
}

impl MoojoClient {
    /// Where Moojo is, unless [set](MoojoClientBuilder::base_url).
    pub const DEFAULT_BASE_URL: &str = "https://api.moojo.id";

    /// Starts a client that identifies its owner by `api_key`.
    pub fn builder(api_key: ApiKey) -> MoojoClientBuilder {
        MoojoClientBuilder::new(api_key)
    }

    /// Has Moojo send an SMS with a code to `phone`.
    ///
    /// # Errors
    /// [`MoojoError`]. If it [may have worked](MoojoError::may_have_worked), the SMS may arrive.
    pub async fn send_verification_code(
        &self,
        phone: &PhoneNumber,
    ) -> Result<CodeSent, MoojoError> {
        let body = body::send(self.0.written(phone));
        let answer = self.0.call(Endpoint::SendVerificationCode, body).await?;
        CodeSent::read(&answer)
    }

    /// Logs the owner of `phone` in with the code of an SMS.
    ///
    /// # Errors
    /// [`MoojoError`]; a wrong code is [`MoojoError::Refused`]. If it
    /// [may have worked](MoojoError::may_have_worked), the code may be used up.
    pub async fn authenticate(
        &self,
        phone: &PhoneNumber,
        code: &VerificationCode,
    ) -> Result<Authentication, MoojoError> {
        let body = body::authenticate(self.0.written(phone), code);
        let answer = self.0.call(Endpoint::AuthenticateWithCode, body).await?;
        Authentication::read(answer, self.0.clock.now())
    }

    /// Logs somebody in who has a JWT of Firebase.
    ///
    /// # Errors
    /// [`MoojoError`]; a JWT that is not accepted is [`MoojoError::Refused`].
    pub async fn authenticate_with_jwt(
        &self,
        jwt: &FirebaseJwt,
    ) -> Result<Authentication, MoojoError> {
        let body = body::authenticate_with_jwt(jwt);
        let answer = self.0.call(Endpoint::AuthenticateWithJwt, body).await?;
        Authentication::read(answer, self.0.clock.now())
    }

    /// How phone numbers are written in the requests.
    pub fn phone_format(&self) -> PhoneFormat {
        self.0.phone_format
    }
}

impl Inner {
    fn written<'a>(&self, phone: &'a PhoneNumber) -> &'a str {
        match self.phone_format {
            PhoneFormat::E164 => phone.e164(),
            PhoneFormat::AsTyped => phone.as_typed(),
        }
    }

    fn request(&self, endpoint: Endpoint, body: Bytes) -> Request<Bytes> {
        let uri = match endpoint {
            Endpoint::SendVerificationCode => &self.send_uri,
            Endpoint::AuthenticateWithCode | Endpoint::AuthenticateWithJwt => {
                &self.authenticate_uri
            }
        };
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-api-key", self.api_key.header_value().clone());
        headers.insert(http::header::USER_AGENT, self.user_agent.clone());
        request
    }
}

impl fmt::Debug for MoojoClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the transport: what one of the caller's own shows is not known.
        f.debug_struct("MoojoClient")
            .field("authenticate_uri", &self.0.authenticate_uri)
            .field("timeout", &self.0.timeout)
            .finish_non_exhaustive()
    }
}
