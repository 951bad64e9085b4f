use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use moojo_session::{ApiKey, Clock, Origin, SystemClock, redacted_url};
use tokio::sync::Semaphore;

use super::{Inner, MoojoClient, PhoneFormat};
use crate::answer::Endpoint;
use crate::classify::{Classify, DefaultClassifier};
use crate::error::ConfigError;
#[cfg(feature = "reqwest")]
use crate::transport::Settings;
use crate::transport::Transport;

#[cfg(feature = "reqwest")]
mod reqwest;

/// Settings of a [`MoojoClient`]; from [`MoojoClient::builder`].
#[derive(Clone)]
#[must_use]
pub struct MoojoClientBuilder {
    api_key: ApiKey,
    base: Base,
    insecure_allowed: bool,
    timeout: Duration,
    user_agent: String,
    #[cfg(feature = "reqwest")]
    reqwest: Settings,
    max_body_bytes: usize,
    retries: u32,
    phone_format: PhoneFormat,
    max_in_flight: usize,
    clock: Arc<dyn Clock>,
    classifier: Arc<dyn Classify>,
    transport: Option<Arc<dyn Transport>>,
}

/// A base URL, without a slash at its end.
#[derive(Debug, Clone)]
struct Base {
    url: String,
    origin: Origin,
    #[cfg(feature = "reqwest")]
    plain: bool,
}

impl MoojoClientBuilder {
    pub(super) fn new(api_key: ApiKey) -> Self {
        Self {
            api_key,
            base: Base::read(MoojoClient::DEFAULT_BASE_URL).expect("a URL of the right form"),
            insecure_allowed: false,
            timeout: Duration::from_secs(10),
            user_agent: concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")).to_owned(),
            #[cfg(feature = "reqwest")]
            reqwest: Settings::default(),
            max_body_bytes: 64 * 1024,
            retries: 2,
            phone_format: PhoneFormat::E164,
            max_in_flight: 256,
            clock: Arc::new(SystemClock),
            classifier: Arc::new(DefaultClassifier),
            transport: None,
        }
    }

    /// Where Moojo is: scheme, host, perhaps a port and a path that goes before each call's own.
    /// Default: [`MoojoClient::DEFAULT_BASE_URL`].
    ///
    /// # Errors
    /// [`ConfigError::BaseUrl`] if it is no such URL, or has a user name, a query or a fragment.
    /// Whether it is encrypted is looked at by [`build`](Self::build).
    pub fn base_url(mut self, url: &str) -> Result<Self, ConfigError> {
        self.base = Base::read(url)?;
        Ok(self)
    }

    /// Lets the base URL be plain http although it is not on this machine. Everyone on the way can
    /// then read keys, codes and tokens.
    pub fn allow_insecure_base_url(mut self) -> Self {
        self.insecure_allowed = true;
        self
    }

    /// How long a call may take, all its attempts together. Default: 10 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What the client calls itself. Default: `moojo-otp/` and its version.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// How many bytes of an answer are read before it is given up. Default: 64 KiB.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// How often a call is made again when it is certain that nothing was sent. Default: twice,
    /// after 0.2 and 0.4 seconds.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How many calls may be made at once, each over a connection of its own. One more waits for its
    /// turn; if that takes as long as a whole [call may](Self::timeout), it was not sent.
    /// Default: 256; at least 1.
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        self.max_in_flight = calls;
        self
    }

    /// How phone numbers are written in the requests. Default: in E.164.
    pub fn phone_format(mut self, format: PhoneFormat) -> Self {
        self.phone_format = format;
        self
    }

    /// The clock to time calls and to reckon the end of tokens by. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What tells what an answer means. Default: [`DefaultClassifier`].
    pub fn classifier(mut self, classifier: impl Classify) -> Self {
        self.classifier = Arc::new(classifier);
        self
    }

    /// What sends the requests. Default: reqwest, with the feature of that name; without it a
    /// transport has to be given. The connect timeout, the proxy and the root certificates are then
    /// the transport's own business.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is no good or the HTTP client cannot be made. On a machine
    /// without any CA certificates it cannot be for https, unless
    /// one is given. Without the feature `reqwest`, [`ConfigError::NoTransport`] if no
    /// [transport](Self::transport) is.
    pub fn build(mut self) -> Result<MoojoClient, ConfigError> {
        if self.base.origin.is_insecure() && !self.insecure_allowed {
            return Err(ConfigError::InsecureBaseUrl { origin: self.base.origin });
        }
        let user_agent =
            HeaderValue::from_str(&self.user_agent).map_err(|_| ConfigError::UserAgent)?;
        let transport = match self.transport.take() {
            Some(transport) => transport,
            None => self.default_transport()?,
        };
        Ok(MoojoClient(Arc::new(Inner {
            api_key: self.api_key,
            send_uri: self.base.uri_of(Endpoint::SendVerificationCode)?,
            authenticate_uri: self.base.uri_of(Endpoint::AuthenticateWithCode)?,
            user_agent,
            transport,
            classifier: self.classifier,
            clock: self.clock,
            timeout: self.timeout,
            retries: self.retries,
            max_body_bytes: self.max_body_bytes,
            phone_format: self.phone_format,
            in_flight: Semaphore::new(self.max_in_flight.clamp(1, Semaphore::MAX_PERMITS)),
        })))
    }

    #[cfg(not(feature = "reqwest"))]
    fn default_transport(&self) -> Result<Arc<dyn Transport>, ConfigError> {
        Err(ConfigError::NoTransport)
    }
}

impl Base {
    fn read(url: &str) -> Result<Self, ConfigError> {
        let refused = || ConfigError::BaseUrl { url: redacted_url(url) };
        let uri: Uri = url.parse().map_err(|_| refused())?;
        // A fragment is dropped when a URI is parsed.
        if uri.query().is_some() || url.contains(['#', '?']) {
            return Err(refused());
        }
        // None for a user name too.
        let origin = Origin::of(&uri).ok_or_else(refused)?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            origin,
            #[cfg(feature = "reqwest")]
            plain: uri.scheme_str() == Some("http"),
        })
    }

    fn uri_of(&self, endpoint: Endpoint) -> Result<Uri, ConfigError> {
        let uri = format!("{}{}", self.url, endpoint.path());
        uri.parse().map_err(|_| ConfigError::BaseUrl { url: redacted_url(&uri) })
    }
}

impl fmt::Debug for MoojoClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("MoojoClientBuilder");
        debug
            .field("base_url", &self.base.url)
            .field("timeout", &self.timeout)
            .field("user_agent", &self.user_agent)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("retries", &self.retries)
            .field("phone_format", &self.phone_format);
        #[cfg(feature = "reqwest")]
        debug.field("connect_timeout", &self.reqwest.connect_timeout);
        debug.finish_non_exhaustive()
    }
}

#[cfg(all(test, not(feature = "reqwest")))]
mod tests_without_reqwest {
    use super::*;

    #[test]
    fn a_client_needs_a_transport() {
        let builder = MoojoClient::builder(ApiKey::new("key").unwrap());
        assert!(matches!(builder.build(), Err(ConfigError::NoTransport)));
    }
}

#[cfg(all(test, feature = "reqwest"))]
mod tests {
    use super::*;

    fn builder() -> MoojoClientBuilder {
        MoojoClient::builder(ApiKey::new("planted").unwrap())
    }

    fn send_uri(base: &str) -> Result<String, ConfigError> {
        Ok(builder().base_url(base)?.build()?.0.send_uri.to_string())
    }

    #[test]
    fn a_path_goes_before_the_calls_own() {
        let path = "send-verification-code";
        for (base, uri) in [
            ("http://127.0.0.1:8080", format!("http://127.0.0.1:8080/{path}")),
            ("http://127.0.0.1:8080/", format!("http://127.0.0.1:8080/{path}")),
            ("http://localhost/moojo/v1/", format!("http://localhost/moojo/v1/{path}")),
        ] {
            assert_eq!(send_uri(base).unwrap(), uri);
        }
    }

    #[test]
    fn rule_2_a_base_url_is_encrypted_or_local() {
        for bad in [
            "",
            "api.moojo.id",
            "/x",
            "ftp://api.moojo.id",
            "https://key@api.moojo.id",
            "https://a:b@api.moojo.id",
            "https://api.moojo.id?x=1",
            "https://api.moojo.id#x",
        ] {
            let refused = builder().base_url(bad).unwrap_err();
            assert!(matches!(refused, ConfigError::BaseUrl { .. }), "{bad}");
        }
        let insecure = || builder().base_url("http://api.moojo.id").unwrap();
        assert!(matches!(insecure().build(), Err(ConfigError::InsecureBaseUrl { .. })));
        assert!(insecure().allow_insecure_base_url().build().is_ok());
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = builder().base_url("https://user:planted@api.moojo.id/v1").unwrap_err();
        assert_eq!(format!("{refused:?}"), r#"BaseUrl { url: "https://…@api.moojo.id/v1" }"#);
        let local = || builder().base_url("http://127.0.0.1:1").unwrap();
        assert!(matches!(local().user_agent("a\nb").build(), Err(ConfigError::UserAgent)));
        assert!(matches!(local().proxy("").build(), Err(ConfigError::Proxy)));
        let pem = local().root_certificate_pem(b"no certificate");
        assert!(matches!(pem.build(), Err(ConfigError::RootCertificate)));
    }

    #[test]
    fn rule_13_debug_shows_no_key_and_no_proxy_password() {
        let builder = builder()
            .base_url("http://127.0.0.1:1")
            .unwrap()
            .proxy("http://name:planted@127.0.0.1:2");
        assert!(!format!("{builder:?}").contains("planted"));
        let shown = format!("{:?}", builder.build().unwrap());
        assert!(!shown.contains("planted"), "{shown}");
        let error = self::builder().proxy("http://name:planted@[").build().unwrap_err();
        assert!(!format!("{error:?} {error}").contains("planted"));
    }
}
