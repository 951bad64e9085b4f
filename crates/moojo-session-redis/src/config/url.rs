//! What is wrong with a URL: the redis crate says it in texts that may quote the URL.

use redis::IntoConnectionInfo;

use super::RedisConfigError;

const SCHEMES: [&str; 7] =
    ["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix", "valkey+unix"];

/// A URL whose parts the redis crate has read.
pub(super) struct Parts<U> {
    url: U,
    scheme: String,
}

/// Reads a URL, and looks at what somebody may have got wrong in it.
pub(super) fn read(url: &str) -> Result<Parts<impl IntoConnectionInfo + use<>>, RedisConfigError> {
    let (scheme, _) = url.split_once("://").ok_or(RedisConfigError::InvalidUrl)?;
    let scheme = scheme.to_ascii_lowercase();
    if !SCHEMES.contains(&scheme.as_str()) {
        return Err(RedisConfigError::InvalidScheme);
    }
    let url = redis::parse_redis_url(url).ok_or(RedisConfigError::InvalidUrl)?;
    let database = if scheme.ends_with("unix") {
        if url.host_str().is_some() || url.path().len() < 2 {
            return Err(RedisConfigError::InvalidSocket);
        }
        let named = url.query_pairs().find(|(name, _)| name == "db");
        named.map(|(_, database)| database.into_owned())
    } else {
        if matches!(url.host_str(), None | Some("" | "0.0.0.0" | "[::]")) {
            return Err(RedisConfigError::NoHost);
        }
        let named = url.path().trim_matches('/');
        (!named.is_empty()).then(|| named.to_owned())
    };
    let is_number = |text: String| text.parse::<u32>().is_ok();
    if database.is_some_and(|text| !is_number(text)) {
        return Err(RedisConfigError::InvalidDatabase);
    }
    Ok(Parts { url, scheme })
}

impl<U: IntoConnectionInfo> Parts<U> {
    pub(super) fn scheme(&self) -> &str {
        &self.scheme
    }

    pub(super) fn into_connection_info(self) -> redis::RedisResult<redis::ConnectionInfo> {
        self.url.into_connection_info()
    }
}
