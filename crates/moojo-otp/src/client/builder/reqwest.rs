//! What can be set of the default transport.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::MoojoClientBuilder;
use crate::error::ConfigError;
use crate::transport::{ReqwestTransport, Transport};

/// Settings of the default transport, with the feature `reqwest`.
impl MoojoClientBuilder {
    /// How long connecting may take, the TLS handshake counted. If it takes longer, nothing was
    /// sent, and it may be tried again. Default: 5 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.reqwest.connect_timeout = timeout;
        self
    }

    /// The proxy to go through, such as `http://name:password@proxy:3128`. Default: what the
    /// environment says (`HTTPS_PROXY`); for a plain http base URL, none.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.reqwest.proxy = Some(Zeroizing::new(url.into()));
        self
    }

    /// One more root certificate to trust, or several, in PEM, beside those of the machine.
    pub fn root_certificate_pem(mut self, pem: &[u8]) -> Self {
        self.reqwest.root_certificates.push(pem.to_vec());
        self
    }

    pub(super) fn default_transport(&self) -> Result<Arc<dyn Transport>, ConfigError> {
        Ok(Arc::new(ReqwestTransport::new(&self.reqwest, self.base.plain)?))
    }
}
