use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use zeroize::Zeroizing;

use super::{Transport, TransportError};
use crate::error::ConfigError;

/// The default [`Transport`].
#[derive(Debug)]
pub(crate) struct ReqwestTransport(reqwest::Client);

/// What can be set of it.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) connect_timeout: Duration,
    // May have a password in it.
    pub(crate) proxy: Option<Zeroizing<String>>,
    pub(crate) root_certificates: Vec<Vec<u8>>,
}

impl Default for Settings {
    fn default() -> Self {
        let connect_timeout = Duration::from_secs(5);
        Self { connect_timeout, proxy: None, root_certificates: Vec::new() }
    }
}

impl ReqwestTransport {
    /// How long a connection is kept for the next call. Short: the longer one is idle, the likelier
    /// it is that the server closes it just when a request goes out, of which nobody then knows
    /// whether it arrived.
    const IDLE: Duration = Duration::from_secs(10);

    /// `plain` says that the base URL is plain http.
    pub(crate) fn new(settings: &Settings, plain: bool) -> Result<Self, ConfigError> {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            // One request at a time needs no more, and the log of HTTP/2 is a talkative one.
            .http1_only()
            .pool_idle_timeout(Self::IDLE)
            .connect_timeout(settings.connect_timeout);
        if let Some(proxy) = &settings.proxy {
            // Without the source, which may show the URL and the password in it.
            let proxy = reqwest::Proxy::all(proxy.as_str()).map_err(|_| ConfigError::Proxy)?;
            builder = builder.proxy(proxy);
        } else if plain {
            // This very machine, or one that was explicitly chosen: not what the environment's
            // proxies are for.
            builder = builder.no_proxy();
        }
        builder = tls(builder, settings, plain)?;
        let client =
            builder.build().map_err(|error| ConfigError::transport(error.without_url()))?;
        Ok(Self(client))
    }
}

#[cfg(feature = "rustls")]
fn tls(
    builder: reqwest::ClientBuilder,
    settings: &Settings,
    plain: bool,
) -> Result<reqwest::ClientBuilder, ConfigError> {
    let mut certificates = Vec::new();
    for pem in &settings.root_certificates {
        let bundle =
            reqwest::Certificate::from_pem_bundle(pem).map_err(|_| ConfigError::RootCertificate)?;
        if bundle.is_empty() {
            return Err(ConfigError::RootCertificate);
        }
        certificates.extend(bundle);
    }
    let builder = builder.tls_backend_rustls();
    if plain && settings.proxy.is_none() {
        // No TLS will be spoken: do not ask for the machine's certificates, which a bare container
        // does not have.
        return Ok(builder.tls_certs_only(certificates));
    }
    Ok(builder.tls_certs_merge(certificates))
}

#[cfg(not(feature = "rustls"))]
fn tls(
    builder: reqwest::ClientBuilder,
    settings: &Settings,
    _: bool,
) -> Result<reqwest::ClientBuilder, ConfigError> {
    match settings.root_certificates.as_slice() {
        [] => Ok(builder),
        _ => Err(ConfigError::RootCertificate),
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(
        &self,
        request: Request<Bytes>,
        max_body_bytes: usize,
    ) -> Result<Response<Bytes>, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(failed)?;
        let mut answer = self.0.execute(request).await.map_err(failed)?;

        let status = answer.status();
        let too_large = || TransportError::BodyTooLarge { limit: max_body_bytes, status };
        let announced = answer.content_length().unwrap_or_default();
        if announced > max_body_bytes as u64 {
            return Err(too_large());
        }
        // A token may come in it: what is read is overwritten when it goes.
        let mut body = Zeroizing::new(Vec::with_capacity(max_body_bytes.min(4096)));
        while let Some(chunk) = answer.chunk().await.map_err(interrupted)? {
            if chunk.len() > max_body_bytes - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }

        let mut response = Response::new(Bytes::from_owner(body));
        *response.status_mut() = status;
        *response.version_mut() = answer.version();
        std::mem::swap(response.headers_mut(), answer.headers_mut());
        Ok(response)
    }
}

fn failed(error: reqwest::Error) -> TransportError {
    // A connector's error means that there was no connection for the request to go out on.
    if error.is_connect() || error.is_builder() {
        return TransportError::not_sent(error.without_url());
    }
    interrupted(error)
}

fn interrupted(error: reqwest::Error) -> TransportError {
    TransportError::unknown(error.without_url())
}
