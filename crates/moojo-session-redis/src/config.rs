//! Settings of a store, and what can be wrong with them.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use zeroize::Zeroizing;

use crate::RedisStore;
use crate::client::Client;
use crate::keys::Keys;
use crate::node::{Access, Limits};

mod url;

/// Settings of a [`RedisStore`]; from [`RedisStore::builder`], [`RedisStore::cluster`] or
/// [`RedisStore::sentinel`].
#[must_use]
pub struct RedisStoreBuilder {
    urls: Vec<Zeroizing<String>>,
    kind: Kind,
    prefix: String,
    limits: Limits,
    ca_certificates: Option<Vec<u8>>,
    may_evict: bool,
}

/// What the URLs lead to.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Single,
    Cluster,
    /// The servers are sentinels, which know where the master of this name is.
    Sentinel(String),
}

/// The longest time limit, so that it can be added to a moment.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl RedisStoreBuilder {
    pub(crate) fn new(urls: impl IntoIterator<Item = impl Into<String>>, kind: Kind) -> Self {
        Self {
            urls: urls.into_iter().map(|url| Zeroizing::new(url.into())).collect(),
            kind,
            prefix: "moojo".to_owned(),
            limits: Limits {
                connect: Duration::from_secs(2),
                operation: Duration::from_secs(3),
                connections: 1,
            },
            ca_certificates: None,
            may_evict: false,
        }
    }

    /// What the names of all keys begin with: one for each tenant of a Redis. Letters, digits and
    /// `._:-`, at most 128. `moojo` unless set.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a connection may take to be made, with TLS and login. 2 seconds unless set.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.limits.connect = limit.min(LONGEST);
        self
    }

    /// How long a call may take, with all that is done for it. 3 seconds unless set, which is less
    /// than the limit of a `SessionManager`.
    pub fn operation_timeout(mut self, limit: Duration) -> Self {
        self.limits.operation = limit.min(LONGEST);
        self
    }

    /// How many connections there are to each server, besides that of the change feed. Calls share
    /// them: each carries many at once, and one is enough for most. 1 unless set.
    pub fn connections(mut self, count: usize) -> Self {
        self.limits.connections = count.max(1);
        self
    }

    /// Certificates of authorities in PEM, which are believed in place of the system's. For
    /// `rediss://`, and with the feature `tls`.
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificates = Some(pem.into());
        self
    }

    /// Lets the server drop sessions, logins under way and counts when its memory is full:
    /// [`check`](RedisStore::check) does not refuse it for its `maxmemory-policy`. Whoever's session was
    /// dropped has to log in again. Default: such a server is refused.
    pub fn allow_eviction(mut self) -> Self {
        self.may_evict = true;
        self
    }

    /// Makes the store. It connects when it is first used, and by itself whenever it has to.
    ///
    /// # Errors
    /// [`RedisConfigError`] if a setting is not usable. No error tells of a server.
    pub fn build(self) -> Result<RedisStore, RedisConfigError> {
        let mut infos = Vec::new();
        for url in &self.urls {
            let info = connection_info(url, self.ca_certificates.as_deref())?;
            if matches!(info.addr(), ConnectionAddr::Unix(_)) && !matches!(self.kind, Kind::Single)
            {
                return Err(RedisConfigError::SocketOfSeveral);
            }
            if info.redis_settings().db() != 0 && matches!(self.kind, Kind::Cluster) {
                return Err(RedisConfigError::DatabaseInCluster);
            }
            infos.push(info);
        }
        let first = infos.first().ok_or(RedisConfigError::NoUrl)?;
        let keys = Keys::new(&self.prefix, first.redis_settings().db())?;
        let access = Access { info: first.clone(), limits: self.limits };
        let addresses = infos.iter().map(|info| info.addr().clone()).collect();
        Ok(RedisStore::new(Client::new(access, addresses, self.kind), keys, self.may_evict))
    }
}

/// The URLs are not shown: there may be a password in them.
impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("kind", &self.kind)
            .field("prefix", &self.prefix)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn connection_info(url: &str, ca: Option<&[u8]>) -> Result<ConnectionInfo, RedisConfigError> {
    let scheme = url::check(url)?;
    let is_tls = matches!(scheme.as_str(), "rediss" | "valkeys");
    if is_tls && !cfg!(feature = "tls") {
        return Err(RedisConfigError::TlsNotEnabled);
    }
    // The redis crate's error is not passed on: it may quote the URL.
    let info = url.into_connection_info().map_err(|_| RedisConfigError::InvalidUrl)?;
    if let ConnectionAddr::TcpTls { insecure: true, .. } = info.addr() {
        return Err(RedisConfigError::InsecureTls);
    }
    // Both kinds of connections, for calls and for the feed, speak the older protocol, in which
    // nothing comes that was not asked for.
    let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    // A connection that is given up takes with it what the network has not delivered yet: a save that
    // timed out does not arrive after a newer one.
    let tcp = info.tcp_settings().clone().set_nodelay(true).set_linger_time(Duration::ZERO);
    let info = info.set_redis_settings(login).set_tcp_settings(tcp);
    match ca {
        Some(_) if !is_tls => Err(RedisConfigError::CertificatesWithoutTls),
        _ if is_tls => with_tls(info, ca),
        _ => Ok(info),
    }
}

#[cfg(feature = "tls")]
fn with_tls(info: ConnectionInfo, ca: Option<&[u8]>) -> Result<ConnectionInfo, RedisConfigError> {
    use rustls::RootCertStore;
    use rustls::crypto::{CryptoProvider, aws_lc_rs};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    // The redis crate passes over what it cannot read, and would then trust nobody.
    if let Some(pem) = ca {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
            added.ok_or(RedisConfigError::InvalidCertificates)?;
        }
        if roots.is_empty() {
            return Err(RedisConfigError::InvalidCertificates);
        }
    }
    // The redis crate takes the process's provider, and panics if it cannot tell which that is.
    if CryptoProvider::get_default().is_none() {
        let _ = aws_lc_rs::default_provider().install_default();
    }
    let certificates =
        redis::TlsCertificates { client_tls: None, root_cert: ca.map(<[u8]>::to_vec) };
    let client = redis::Client::build_with_tls(info, certificates)
        .map_err(|_| RedisConfigError::InvalidCertificates)?;
    Ok(client.get_connection_info().clone())
}

#[cfg(not(feature = "tls"))]
fn with_tls(_: ConnectionInfo, _: Option<&[u8]>) -> Result<ConnectionInfo, RedisConfigError> {
    Err(RedisConfigError::TlsNotEnabled)
}

/// What is wrong with the settings of a [`RedisStoreBuilder`]. No URL is shown: there may be a
/// password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConfigError {
    /// There is no URL.
    #[error("there is no URL of a Redis server")]
    NoUrl,
    /// A URL cannot be read.
    #[error(
        "a Redis URL cannot be read: it looks like redis://[[user]:password@]host[:port][/database], \
         and what is special in the user and the password is written as %XX"
    )]
    InvalidUrl,
    /// A URL begins with something else.
    #[error(
        "a Redis URL begins with redis:// (or valkey://), with rediss:// (or valkeys://) for TLS, or \
         with unix:// for a socket of this machine"
    )]
    InvalidScheme,
    /// A URL has no host, or one that stands for any.
    #[error("a Redis URL names no host to connect to; 0.0.0.0 and [::] are none")]
    NoHost,
    /// A `unix://` URL has no absolute path.
    #[error(
        "the path of a socket follows on unix://, from the root on, as in unix:///run/redis.sock"
    )]
    InvalidSocket,
    /// A `unix://` URL of a cluster or a sentinel.
    #[error("the nodes of a cluster and sentinels have hosts and ports: unix:// is for one server")]
    SocketOfSeveral,
    /// A URL has a user and no password, as in `redis://name@host`.
    #[error(
        "a Redis URL names a user and no password: a login is redis://user:password@host, a password \
         alone is redis://:password@host, and a user who needs none takes any"
    )]
    UserWithoutPassword,
    /// A URL's database is no number. Whether the server has it is found out when it is used.
    #[error(
        "the database in a Redis URL is a number from 0 on, as in redis://host/0 or \
         unix:///run/redis.sock?db=0; a server has 16 unless set otherwise"
    )]
    InvalidDatabase,
    /// A `rediss://` URL, without the feature `tls`.
    #[error("rediss:// needs the feature `tls` of moojo-session-redis")]
    TlsNotEnabled,
    /// A URL that ends in `#insecure`.
    #[error("TLS that believes any certificate (#insecure) is not supported")]
    InsecureTls,
    /// The certificates are not PEM, or there is none.
    #[error("the CA certificates cannot be read: they have to be in PEM")]
    InvalidCertificates,
    /// Certificates were given, and a URL is not `rediss://`.
    #[error("CA certificates were given, but a URL does not ask for TLS (rediss://)")]
    CertificatesWithoutTls,
    /// The prefix is empty, too long, or has other characters.
    #[error("a key prefix has 1 to 128 letters, digits or `._:-`")]
    InvalidPrefix,
    /// A URL of a cluster names a database.
    #[error("a URL of a Redis Cluster names a database, and a cluster has 0 only")]
    DatabaseInCluster,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> RedisConfigError {
        RedisStore::builder(url).build().unwrap_err()
    }

    #[test]
    fn bad_settings_are_named() {
        for (url, expected) in [
            ("", RedisConfigError::InvalidUrl),
            ("redis", RedisConfigError::InvalidUrl),
            ("h:6379", RedisConfigError::InvalidUrl),
            ("redis://h:x", RedisConfigError::InvalidUrl),
            ("redis://h:99999", RedisConfigError::InvalidUrl),
            ("redis://h?protocol=9", RedisConfigError::InvalidUrl),
            ("http://h", RedisConfigError::InvalidScheme),
            ("redis+tls://h", RedisConfigError::InvalidScheme),
            ("redis://", RedisConfigError::NoHost),
            ("redis:///1", RedisConfigError::NoHost),
            ("redis://0.0.0.0", RedisConfigError::NoHost),
            ("redis://[::]:1", RedisConfigError::NoHost),
            ("redis://h/one", RedisConfigError::InvalidDatabase),
            ("redis://h/-1", RedisConfigError::InvalidDatabase),
            ("redis://h/1/2", RedisConfigError::InvalidDatabase),
            ("redis://h/99999999999", RedisConfigError::InvalidDatabase),
            ("redis://h?db=3", RedisConfigError::InvalidDatabase),
            ("redis://:p@ss#w@h", RedisConfigError::InvalidUrl),
            ("redis://user:1?w@h", RedisConfigError::InvalidUrl),
            ("redis://user%3Apassword%40h:1", RedisConfigError::InvalidUrl),
            ("redis://password%40h", RedisConfigError::InvalidUrl),
            ("unix:///run/redis.sock%3Fpass=password", RedisConfigError::InvalidSocket),
            ("redis://user@h", RedisConfigError::UserWithoutPassword),
            ("redis://user:@h/1", RedisConfigError::UserWithoutPassword),
            ("unix:///run/redis.sock?user=u", RedisConfigError::UserWithoutPassword),
            ("unix:///run/redis.sock?db=one", RedisConfigError::InvalidDatabase),
            ("unix://run/redis.sock", RedisConfigError::InvalidSocket),
            ("unix://", RedisConfigError::InvalidSocket),
        ] {
            assert_eq!(error(url), expected, "{url}");
        }
        for url in ["unix:///run/redis.sock", "redis://u:p%40@h:1/15", "valkey://h", "REDIS://h/"] {
            assert!(RedisStore::builder(url).build().is_ok(), "{url}");
        }
        let none: [&str; 0] = [];
        assert_eq!(RedisStore::cluster(none).build().unwrap_err(), RedisConfigError::NoUrl);
        let database = RedisStore::cluster(["redis://h", "redis://h/1"]).build().unwrap_err();
        assert_eq!(database, RedisConfigError::DatabaseInCluster);
        let sockets = ["unix:///run/redis.sock"];
        let error = RedisStore::cluster(sockets).build().unwrap_err();
        assert_eq!(error, RedisConfigError::SocketOfSeveral);
        let error = RedisStore::sentinel(sockets, "mymaster").build().unwrap_err();
        assert_eq!(error, RedisConfigError::SocketOfSeveral);
        let prefix = RedisStore::builder("redis://h").prefix("a{b").build().unwrap_err();
        assert_eq!(prefix, RedisConfigError::InvalidPrefix);
        let pem = RedisStore::builder("redis://h").ca_certificates("x").build().unwrap_err();
        assert_eq!(pem, RedisConfigError::CertificatesWithoutTls);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_believes_only_certificates() {
        assert_eq!(error("rediss://h/#insecure"), RedisConfigError::InsecureTls);
        let pem = RedisStore::builder("rediss://h").ca_certificates("x").build().unwrap_err();
        assert_eq!(pem, RedisConfigError::InvalidCertificates);
        assert!(RedisStore::builder("rediss://h").build().is_ok());
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_is_a_feature() {
        assert_eq!(error("rediss://h"), RedisConfigError::TlsNotEnabled);
    }

    #[test]
    fn rule_13_no_password_is_shown() {
        for url in [
            "redis://user:planted@h:x",
            "planted://user:planted@h",
            "redis://:planted@",
            "redis://:planted@h/planted",
            "redis://planted@h",
            "unix://planted?pass=planted",
            "redis://user%3Aplanted%40h:1",
            "rediss://%3Aplanted%40h",
            "unix:///run/redis.sock%3fpass=planted",
        ] {
            let error = error(url);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("planted"), "{url}: {shown}");
        }
        let builder = RedisStore::builder("redis://user:planted@h");
        let shown = format!("{builder:?}");
        let shown = format!("{shown} {:?}", builder.build());
        assert!(!shown.contains("planted"), "{shown}");
    }
}
