//! What is wrong with a URL: the redis crate says it in texts that may quote the URL.

use super::RedisConfigError;

const SCHEMES: [&str; 7] =
    ["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix", "valkey+unix"];

/// Looks at what somebody may have got wrong in a URL. Gives its scheme.
pub(super) fn check(url: &str) -> Result<String, RedisConfigError> {
    let (scheme, _) = url.split_once("://").ok_or(RedisConfigError::InvalidUrl)?;
    let scheme = scheme.to_ascii_lowercase();
    if !SCHEMES.contains(&scheme.as_str()) {
        return Err(RedisConfigError::InvalidScheme);
    }
    let url = redis::parse_redis_url(url).ok_or(RedisConfigError::InvalidUrl)?;
    // A password with a `#` in it, of which the rest would be passed over. (`#insecure` is seen to later.)
    if url.fragment().is_some_and(|fragment| fragment != "insecure") {
        return Err(RedisConfigError::InvalidUrl);
    }
    let in_query = |wanted| {
        url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    };
    let (user, password, database) = if scheme.ends_with("unix") {
        check_socket(url.host_str(), url.path())?;
        (in_query("user").is_some(), in_query("pass").is_some(), in_query("db"))
    } else {
        check_host(url.host_str(), url.query())?;
        // The redis crate passes over `?db=` here.
        if in_query("db").is_some() {
            return Err(RedisConfigError::InvalidDatabase);
        }
        let path = url.path().trim_matches('/');
        let database = (!path.is_empty()).then(|| path.to_owned());
        (!url.username().is_empty(), url.password().is_some(), database)
    };
    // The redis crate logs in with a password or not at all.
    if user && !password {
        return Err(RedisConfigError::UserWithoutPassword);
    }
    if database.is_some_and(|text| text.parse::<u32>().is_err()) {
        return Err(RedisConfigError::InvalidDatabase);
    }
    Ok(scheme)
}

fn check_socket(host: Option<&str>, path: &str) -> Result<(), RedisConfigError> {
    // The rest of a URL that was escaped as a whole: a password may be in it, and paths are shown.
    let is_escaped = path.to_ascii_lowercase().contains("%3f");
    if host.is_some() || path.len() < 2 || is_escaped {
        return Err(RedisConfigError::InvalidSocket);
    }
    Ok(())
}

fn check_host(host: Option<&str>, query: Option<&str>) -> Result<(), RedisConfigError> {
    let host = host.unwrap_or_default();
    if matches!(host, "" | "0.0.0.0" | "[::]") {
        return Err(RedisConfigError::NoHost);
    }
    // A login that was escaped with its `:` and `@`: it would be taken for the host's name, which
    // errors show.
    if host.contains('%') {
        return Err(RedisConfigError::InvalidUrl);
    }
    // A password with a `?` in it: what is taken for the host would be a part of the login.
    if query.is_some_and(|query| query.contains('@')) {
        return Err(RedisConfigError::InvalidUrl);
    }
    Ok(())
}
