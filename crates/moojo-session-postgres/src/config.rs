//! Where the server is and whether the way to it is encrypted.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::names::Names;

/// Why there is no store with these settings. It never shows the URL, in which the password is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URL cannot be read.
    #[error(
        "the database URL cannot be read: is each option known, and is what is special in the user \
         and the password written as %XX?"
    )]
    Url,
    /// The URL says not where the server is.
    #[error("the database URL names no host")]
    NoHost,
    /// The schema's name is not possible.
    #[error(
        "a schema is named with 1 to {} ASCII letters, digits, `_` and `-`, and not `pg_…`",
        Names::MAX_BYTES
    )]
    Schema,
    /// [`connections`](crate::PostgresStoreBuilder::connections) is 0.
    #[error("a store needs a connection to write by")]
    NoConnections,
    /// A time limit is 0.
    #[error("a time limit of 0 leaves no time")]
    NoTime,
    /// The connection is to be encrypted, and this crate was built without that.
    #[error(
        "the connection is to be encrypted: build moojo-session-postgres with its feature `tls`, or \
         say `sslmode=disable` in the URL if the network is trusted"
    )]
    TlsMissing,
    /// No certificate was found by which the server could be trusted.
    #[error("there is no CA certificate: {reason}")]
    NoCertificates {
        /// What was wrong.
        reason: String,
    },
}

/// How long a silent connection is left alone, until the kernel asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Reads the URL, and fills in what it leaves open.
///
/// Tokens go over the connection. So it is encrypted and the server's certificate checked, unless
/// the server is on this machine or the URL says `sslmode=disable`.
pub(crate) fn read(url: &str, connect_timeout: Duration) -> Result<Config, ConfigError> {
    // Its error can hold parts of a password that was not escaped.
    let mut config: Config = checked_as_required(url).parse().map_err(|_| ConfigError::Url)?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(ConfigError::NoHost);
    }
    if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(name) if name.contains('@'))) {
        // The end of a password that was not escaped.
        return Err(ConfigError::Url);
    }
    if config.get_ssl_mode() == SslMode::Prefer {
        let mode = if is_local(&config) { SslMode::Disable } else { SslMode::Require };
        config.ssl_mode(mode);
    }
    if config.get_ssl_mode() != SslMode::Disable && !cfg!(feature = "tls") {
        return Err(ConfigError::TlsMissing);
    }
    if config.get_application_name().is_none() {
        config.application_name("moojo-session");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(connect_timeout);
    }
    config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE / 3).keepalives_retries(3);
    Ok(config)
}

/// libpq's names for a certificate that is checked, which `require` always does here.
fn checked_as_required(url: &str) -> String {
    let Some((place, options)) = url.rsplit_once('?') else { return url.to_owned() };
    let options = options.split('&').map(|option| match option {
        "sslmode=verify-full" | "sslmode=verify-ca" => "sslmode=require",
        other => other,
    });
    format!("{place}?{}", options.collect::<Vec<_>>().join("&"))
}

/// Whether every server is on this machine.
fn is_local(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(|address| address.is_loopback());
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Result<SslMode, ConfigError> {
        read(url, Duration::from_secs(1)).map(|config| config.get_ssl_mode())
    }

    #[test]
    fn rule_13_only_this_machine_is_spoken_to_in_the_clear() {
        for local in ["postgres://u@localhost/d", "postgres://u@127.0.0.1", "host=/run user=u"] {
            assert_eq!(mode(local), Ok(SslMode::Disable), "{local}");
        }
        let remote = [
            "postgres://u@db.example/d",
            "postgres://u@localhost,db.example/d",
            "host=db.example user=u",
            "host=localhost hostaddr=10.0.0.1 user=u",
            "postgres://u@db.example/d?sslmode=prefer",
            "postgres://u@localhost/d?sslmode=require",
            "postgres://u@db.example/d?sslmode=verify-full&connect_timeout=2",
        ];
        let encrypted =
            if cfg!(feature = "tls") { Ok(SslMode::Require) } else { Err(ConfigError::TlsMissing) };
        for remote in remote {
            assert_eq!(mode(remote), encrypted, "{remote}");
        }
        assert_eq!(mode("postgres://u@db.example?sslmode=disable"), Ok(SslMode::Disable));
    }

    #[test]
    fn rule_13_errors_show_no_password() {
        for url in [
            "postgres://u:planted@h:x/d",
            "postgres://u:p@planted@h/d",
            "host=h password=a planted",
            "host=h planted=1",
        ] {
            let error = mode(url).unwrap_err();
            assert_eq!(error, ConfigError::Url);
            assert!(!format!("{error} {error:?}").contains("planted"));
        }
        assert_eq!(mode("user=u"), Err(ConfigError::NoHost));
    }
}
