//! Where a token may go: scheme, host and effective port.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;

use crate::shown::redacted_url;

/// An origin after [RFC 6454](https://www.rfc-editor.org/rfc/rfc6454#section-4): scheme, host and
/// effective port. Two are equal if all three are; hosts are compared without regard to case.
///
/// ```
/// use moojo_session::Origin;
///
/// let origin: Origin = "https://API.moojo.id".parse()?;
/// assert_eq!(origin, "https://api.moojo.id:443/".parse()?);
/// assert_ne!(origin, "https://api.moojo.id:8443".parse()?);
/// assert!("https://api.moojo.id/user".parse::<Origin>().is_err());
/// # Ok::<(), moojo_session::InvalidOrigin>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    /// In lower case.
    host: Box<str>,
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

/// An origin as it stands in a URI, not copied yet.
struct Parts<'a> {
    scheme: Scheme,
    host: &'a str,
    port: u16,
}

impl Origin {
    /// The origin to which a request for `uri` goes. `None` if that is no http or https origin, or
    /// if the URI carries a user name, which some clients make an `Authorization` header of.
    pub fn of(uri: &Uri) -> Option<Self> {
        let Parts { scheme, host, port } = Parts::of(uri)?;
        Some(Self { scheme, host: host.to_ascii_lowercase().into(), port })
    }

    /// Whether `uri` has this origin.
    pub fn is_of(&self, uri: &Uri) -> bool {
        self.is_spelled_in(uri) || self.is_meant_by(uri)
    }

    /// Whether `uri` has this host letter for letter and no port, with the scheme whose default
    /// port this is. Nearly every request is like that, and no URI is taken apart to see it.
    fn is_spelled_in(&self, uri: &Uri) -> bool {
        uri.authority().is_some_and(|authority| authority.as_str() == &*self.host)
            && uri.scheme_str() == Some(self.scheme.as_str())
            && self.port == self.scheme.default_port()
    }

    fn is_meant_by(&self, uri: &Uri) -> bool {
        Parts::of(uri).is_some_and(|parts| {
            parts.scheme == self.scheme
                && parts.port == self.port
                && parts.host.eq_ignore_ascii_case(&self.host)
        })
    }

    /// Whether what is sent there can be read on the way: http, and not to this very machine
    /// (`localhost`, `127.0.0.0/8`, `[::1]`).
    pub fn is_insecure(&self) -> bool {
        self.scheme == Scheme::Http && !is_loopback(&self.host)
    }
}

impl<'a> Parts<'a> {
    fn of(uri: &'a Uri) -> Option<Self> {
        let scheme = match uri.scheme_str()? {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host();
        if host.is_empty() {
            return None;
        }
        Some(Self { scheme, host, port: port(authority, scheme)? })
    }
}

/// The effective port. `None` for one that is no number of 16 bits, which [`Authority::port`]
/// would pass over, and if a user name stands before the host.
fn port(authority: &Authority, scheme: Scheme) -> Option<u16> {
    match authority.as_str().strip_prefix(authority.host())? {
        "" | ":" => Some(scheme.default_port()),
        given => given.strip_prefix(':')?.parse().ok(),
    }
}

fn is_loopback(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || v6.and_then(|ip| ip.parse::<Ipv6Addr>().ok()).is_some_and(|ip| ip.is_loopback())
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let not_an_origin = || InvalidOrigin::NotAnOrigin { origin: redacted_url(text) };
        let uri: Uri = text.parse().map_err(|_| not_an_origin())?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(InvalidOrigin::HasPath { origin: redacted_url(text) });
        }
        Self::of(&uri).ok_or_else(not_an_origin)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

/// Why a text is no origin that a token may go to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOrigin {
    /// It is not of the form `https://host` or `https://host:port`.
    #[error("an allowed origin has the form https://host or https://host:port, not {origin:?}")]
    NotAnOrigin {
        /// The text, as [`redacted_url`] shows it.
        origin: String,
    },
    /// It goes on after the port: an origin is allowed as a whole.
    #[error("an allowed origin has no path and no query, as {origin:?} has")]
    HasPath {
        /// The text, as [`redacted_url`] shows it.
        origin: String,
    },
    /// It is `http` to another machine, where everyone on the way can read the token.
    #[error("{origin} is not encrypted: use https, a loopback address, or allow_insecure_origin")]
    Insecure {
        /// The origin.
        origin: Origin,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn rule_2_scheme_host_and_effective_port_must_all_be_the_same() {
        let allowed = origin("https://api.moojo.id");
        for same in
            ["https://api.moojo.id/user?q=1", "https://API.MOOJO.ID:443", "https://api.moojo.id:/x"]
        {
            assert!(allowed.is_of(&same.parse().unwrap()), "{same}");
        }
        for other in [
            "http://api.moojo.id/",
            "http://api.moojo.id:443/",
            "https://api.moojo.id:8443/",
            "https://moojo.id/",
            "https://api.moojo.id.evil.example/",
            "https://evil.example/api.moojo.id",
            "https://api.moojo.id@evil.example/",
            "https://user:pass@api.moojo.id/",
            "https://api.moojo.id./",
            "https://api.moojo.id:99999/",
            "/user/vault/list-credentials",
            "ftp://api.moojo.id/",
        ] {
            assert!(!other.parse::<Uri>().is_ok_and(|uri| allowed.is_of(&uri)), "{other}");
        }
    }

    #[test]
    fn rule_2_http_is_insecure_but_for_loopback() {
        for safe in
            ["https://a.example", "http://localhost:1", "http://127.9.9.9", "http://[::1]:8080"]
        {
            assert!(!origin(safe).is_insecure(), "{safe}");
        }
        for insecure in
            ["http://a.example", "http://10.0.0.1", "http://localhost.evil.example", "http://[::2]"]
        {
            assert!(origin(insecure).is_insecure(), "{insecure}");
        }
    }

    #[test]
    fn text_and_back() {
        assert_eq!(origin("https://A.example:443").to_string(), "https://a.example");
        assert_eq!(origin("http://[::1]:8080").to_string(), "http://[::1]:8080");
        for bad in ["", "a.example", "https://", "https://u@a.example", "https://a.example:x"] {
            let origin = redacted_url(bad);
            let refused = Err(InvalidOrigin::NotAnOrigin { origin });
            assert_eq!(bad.parse::<Origin>(), refused, "{bad}");
        }
    }

    #[test]
    fn a_refused_text_is_named() {
        let refused = |text: &str| text.parse::<Origin>().unwrap_err();
        let path = refused("https://a.example/v1?x");
        assert_eq!(format!("{path:?}"), r#"HasPath { origin: "https://a.example/v1?…" }"#);
        assert_eq!(
            refused("https://key@a.example").to_string(),
            "an allowed origin has the form https://host or https://host:port, \
             not \"https://…@a.example\""
        );
    }
}
