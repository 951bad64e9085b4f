//! What errors and logs show.

/// A URL as an error may show it: `…` stands for a user name and a password, and for a query or a
/// fragment. Of a text without `://` nothing is shown: it may be a key in the wrong place.
///
/// ```
/// use moojo_session::redacted_url;
///
/// assert_eq!(redacted_url("redis://app:secret@cache:6379/1"), "redis://…@cache:6379/1");
/// assert_eq!(redacted_url("https://api.moojo.id/v1?key=secret"), "https://api.moojo.id/v1?…");
/// assert_eq!(redacted_url("secret"), "… without ://");
/// ```
pub fn redacted_url(url: &str) -> String {
    let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        return "… without ://".to_owned();
    };
    let (name, rest) = match rest.rsplit_once('@') {
        // A password that is not encoded, or an `@` in a path or query: nobody knows what is what.
        Some((name, _)) if name.contains(['/', '?', '#']) => return format!("{scheme}://…"),
        Some((_, rest)) => ("…@", rest),
        None => ("", rest),
    };
    let end = rest.find(['?', '#']).map(|at| at + 1);
    let (rest, query) = end.map_or((rest, ""), |end| (&rest[..end], "…"));
    format!("{scheme}://{name}{rest}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_13_no_credentials_of_a_url_are_shown() {
        for url in [
            "https://planted@a.example",
            "https://user:planted@a.example:1/x",
            "https://user:planted@/planted?@a.example",
            "https://a.example?planted",
            "https://a.example/x#planted@planted?planted",
            "https://a.example/?planted@x#planted",
            "planted",
            "planted@a.example",
            "user:planted@a.example://x",
            "//planted@a.example",
            "",
        ] {
            assert!(!redacted_url(url).contains("planted"), "{url}: {}", redacted_url(url));
        }
        assert_eq!(redacted_url("https://a.example:8443/x"), "https://a.example:8443/x");
    }
}
