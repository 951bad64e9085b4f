//! Encrypted connections.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::ConfigError;

/// What makes connections encrypted, if they are to be. The server's certificate and its name are
/// always checked.
pub(crate) fn connector(
    config: &Config,
    ca_certificates: Option<&[u8]>,
) -> Result<Option<MakeRustlsConnect>, ConfigError> {
    if config.get_ssl_mode() == SslMode::Disable {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    match ca_certificates {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate.map_err(no_certificates)?).map_err(no_certificates)?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            // One that cannot be read is one less that is trusted.
            roots.add_parsable_certificates(system.certs);
        }
    }
    if roots.is_empty() {
        let place = if ca_certificates.is_some() { "what was given" } else { "the system" };
        return Err(no_certificates(format!("{place} has none")));
    }
    // Named here: what the process has as its default provider, or whether it has one, is not ours.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(no_certificates)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(tls)))
}

fn no_certificates(reason: impl ToString) -> ConfigError {
    ConfigError::NoCertificates { reason: reason.to_string() }
}
