//! What can go wrong between us and Redis, told without anything that was sent.

use moojo_session::StoreError;
use redis::{ConnectionAddr, ErrorKind, RedisError, ServerErrorKind};

/// A call that failed.
///
/// The text of a server's error is never passed on: Redis quotes the arguments of a command that it
/// does not know, and they hold tokens (rule 13).
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no connection to these servers, so nothing was sent.
    #[error("no connection to {to}: {why}")]
    Unreachable { to: String, why: String },
    /// The connection to the server at this address ended before the answer came.
    #[error("the connection to Redis at {0} ended before the answer came")]
    Dropped(String),
    /// The server at this address has not answered.
    #[error("Redis at {0} did not answer in time")]
    TimedOut(String),
    /// Redis does not take the login. It says `WRONGPASS` to a user that it does not know, too.
    #[error(
        "Redis refused the user name or the password of the URL: they are wrong, the user is off, or \
         there is a password where the server has none"
    )]
    Login,
    #[error("a sentinel wants a login (NOAUTH), and sentinels are reached without one")]
    SentinelLogin,
    #[error(
        "Redis refused the database of the URL: a server has those below its setting `databases`, \
         which is 16 unless set, and a node of a cluster has 0 only"
    )]
    Database,
    /// Redis said no. The code is the first word of what it said.
    #[error("Redis answered {}", explained(.0))]
    Code(String),
    /// The slot is elsewhere.
    #[error("the keys are on another node of the cluster")]
    Moved { to: String },
    /// The key is elsewhere, this once.
    #[error("the key is on its way to another node of the cluster")]
    Ask { to: String },
    #[error("the answer of Redis is not of the kind that was asked for")]
    Answer,
}

impl Failure {
    /// There is no connection to the server at this address.
    pub(crate) fn unreachable(at: &ConnectionAddr, why: impl Into<String>) -> Self {
        Self::Unreachable { to: format!("Redis at {at}"), why: why.into() }
    }

    /// What the redis crate says of a connection to this address.
    pub(crate) fn of(error: RedisError, at: &ConnectionAddr) -> Self {
        match error.kind() {
            ErrorKind::Io | ErrorKind::Parse if error.is_timeout() => {
                Self::TimedOut(at.to_string())
            }
            ErrorKind::Io | ErrorKind::Parse => Self::Dropped(at.to_string()),
            ErrorKind::Server(ServerErrorKind::Moved) if error.redirect_node().is_some() => {
                Self::Moved { to: redirect(&error) }
            }
            ErrorKind::Server(ServerErrorKind::Ask) if error.redirect_node().is_some() => {
                Self::Ask { to: redirect(&error) }
            }
            ErrorKind::AuthenticationFailed => Self::Login,
            // One command, or the first of several that failed.
            ErrorKind::Server(_) | ErrorKind::Extension => {
                match error.clone().into_server_errors().as_deref() {
                    Some([(_, first), ..]) => Self::Code(code(first.code(), first.details())),
                    _ => select_failed(error.detail().unwrap_or_default()),
                }
            }
            _ => Self::Answer,
        }
    }

    /// Of the failures of two servers, the one that is to be told: what a server said, which somebody can
    /// see to, rather than that another cannot be reached.
    pub(crate) fn or(self, later: Self) -> Self {
        match self {
            Self::Login | Self::SentinelLogin | Self::Database | Self::Code(_) => self,
            _ => later,
        }
    }

    pub(crate) fn is_no_script(&self) -> bool {
        matches!(self, Self::Code(code) if code == "NOSCRIPT")
    }

    /// Whether the connection that it came from is not to be used again: it is broken, owes an
    /// answer, or leads to a server that is no longer in charge.
    pub(crate) fn spoils_connection(&self) -> bool {
        match self {
            Self::Dropped(_) | Self::TimedOut(_) | Self::Answer => true,
            Self::Code(code) => code == "READONLY" || code == "MASTERDOWN",
            _ => false,
        }
    }

    /// Whether another node of the cluster may be in charge by now.
    pub(crate) fn doubts_topology(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Dropped(_)
            | Self::TimedOut(_)
            | Self::Moved { .. } => true,
            Self::Code(code) => ["CLUSTERDOWN", "READONLY", "MASTERDOWN"].contains(&code.as_str()),
            _ => false,
        }
    }
}

fn redirect(error: &RedisError) -> String {
    error.redirect_node().map_or_else(String::new, |(address, _)| address.to_owned())
}

/// Why a server refused the `SELECT` of a new connection, by its text: the redis crate drops the code.
fn select_failed(detail: &str) -> Failure {
    let says = |texts: &[&str]| texts.iter().any(|text| detail.contains(text));
    if says(&["Authentication required"]) {
        Failure::Code("NOAUTH".to_owned())
    } else if says(&["no permissions"]) {
        Failure::Code("NOPERM".to_owned())
    } else if says(&["out of range", "invalid DB index", "cluster mode"]) {
        Failure::Database
    } else {
        Failure::Code("ERR".to_owned())
    }
}

/// A code with what it means to who has set the server up.
fn explained(code: &str) -> String {
    let meaning = match code {
        "NOAUTH" => "it wants a login, and was given none",
        "NOPERM" => {
            "its user has no right to a command, or not with keys or channels of this prefix; Redis' \
             `ACL LOG` names it"
        }
        "READONLY" => "it is a replica",
        "OOM" => "it has come to its `maxmemory`",
        "MISCONF" => "it cannot write to its disk",
        _ => return code.to_owned(),
    };
    format!("{code}: {meaning}")
}

/// The code of an error. Before Redis 7, that of a command in a script stands inside the text:
/// `ERR Error running script (call to f_…): @user_script:2: @user_script: 2: -OOM command not …`.
fn code(outer: &str, detail: Option<&str>) -> String {
    let inner = detail.and_then(|detail| detail.split_once(": -")).map(|(_, inner)| inner);
    let inner = inner.and_then(|inner| inner.split(' ').next()).filter(|word| is_code(word));
    match detail {
        _ if outer != "ERR" && is_code(outer) => outer.to_owned(),
        Some(detail) if detail.contains("max number of clients") => "MAXCLIENTS".to_owned(),
        // What a user may not do inside of a script has no code of its own.
        Some(detail) if IN_SCRIPT.iter().any(|text| detail.contains(text)) => "NOPERM".to_owned(),
        _ => inner.unwrap_or("ERR").to_owned(),
    }
}

/// How Redis says that the user of a script may not run a command in it, or use its key or channel.
const IN_SCRIPT: [&str; 3] =
    ["executing the script can't", "can't access at least one of the keys", "can't publish to"];

/// Whether a word is a code of Redis and not, by some mishap, data.
fn is_code(word: &str) -> bool {
    (2..=20).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase())
}

/// Codes of a server that cannot at the moment, and may later.
const PASSING: &[&str] = &[
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MAXCLIENTS",
    "MOVED",
    "NOREPLICAS",
    "NOSCRIPT",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
];

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::TimedOut(_) => Self::timed_out(failure),
            Failure::Login | Failure::SentinelLogin | Failure::Database => Self::refused(failure),
            Failure::Code(code) if !PASSING.contains(&code.as_str()) => Self::refused(failure),
            _ => Self::unavailable(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use moojo_session::StoreErrorKind;

    use super::*;

    fn server(line: &str) -> Failure {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        Failure::of(value.extract_error().unwrap_err(), &address())
    }

    fn address() -> ConnectionAddr {
        ConnectionAddr::Tcp("redis.internal".to_owned(), 6379)
    }

    #[test]
    fn a_right_that_a_script_lacks_is_told_as_one() {
        for line in [
            "ERR The user executing the script can't run this command or subcommand script: f_1",
            "ERR The user executing the script can't access at least one of the keys mentioned",
            "ERR The user executing the script can't publish to the channel mentioned",
        ] {
            assert!(server(line).to_string().contains("NOPERM"), "{line}");
        }
    }

    #[test]
    fn kinds_say_what_can_be_done() {
        for (line, kind) in [
            ("LOADING Redis is loading the dataset in memory", StoreErrorKind::Unavailable),
            ("READONLY You can't write against a read only replica.", StoreErrorKind::Unavailable),
            ("CLUSTERDOWN The cluster is down", StoreErrorKind::Unavailable),
            ("NOREPLICAS Not enough good replicas to write.", StoreErrorKind::Unavailable),
            ("ERR max number of clients reached", StoreErrorKind::Unavailable),
            ("NOAUTH Authentication required.", StoreErrorKind::Refused),
            ("NOPERM this user has no permissions", StoreErrorKind::Refused),
            ("OOM command not allowed when used memory > 'maxmemory'.", StoreErrorKind::Refused),
            ("MISCONF Redis is configured to save RDB snapshots", StoreErrorKind::Refused),
            ("WRONGTYPE Operation against a key", StoreErrorKind::Refused),
            (
                "ERR Error running script (call to f_1): @user_script:2: @user_script: 2: -READONLY \
                 You can't write against a read only replica.",
                StoreErrorKind::Unavailable,
            ),
            (
                "ERR Error running script (call to f_1): @user_script:2: @user_script: 2: -OOM command",
                StoreErrorKind::Refused,
            ),
        ] {
            assert_eq!(StoreError::from(server(line)).kind(), kind, "{line}");
        }
    }

    #[test]
    fn rule_13_what_a_server_says_is_not_repeated() {
        let failure = server("ERR unknown command 'EVALSHA', with args beginning with: 'planted'");
        assert_eq!(failure.to_string(), "Redis answered ERR");
        assert!(!format!("{failure:?}").contains("planted"));
        assert_eq!(server("planted token").to_string(), "Redis answered ERR");
    }

    #[test]
    fn what_a_server_says_to_select_has_a_meaning() {
        assert!(matches!(select_failed("DB index is out of range"), Failure::Database));
        assert!(matches!(
            select_failed("SELECT is not allowed in cluster mode"),
            Failure::Database
        ));
        for (detail, code) in [
            ("Authentication required.", "NOAUTH"),
            ("this user has no permissions to run the 'select' command", "NOPERM"),
            ("planted", "ERR"),
        ] {
            let failure = select_failed(detail);
            assert!(matches!(&failure, Failure::Code(found) if found == code), "{failure}");
            assert!(!failure.to_string().contains("planted"));
        }
    }

    #[test]
    fn what_a_server_said_counts_more_than_that_another_is_away() {
        let away = || Failure::unreachable(&address(), "refused");
        let dropped = || Failure::Dropped(address().to_string());
        assert!(matches!(away().or(Failure::Login), Failure::Login));
        assert!(matches!(Failure::Login.or(away()), Failure::Login));
        assert!(matches!(dropped().or(away()), Failure::Unreachable { .. }));
    }

    #[test]
    fn redirections_say_where() {
        assert!(
            matches!(server("MOVED 3999 127.0.0.1:6381"), Failure::Moved { to } if to == "127.0.0.1:6381")
        );
        assert!(matches!(server("ASK 3999 :6381"), Failure::Ask { to } if to == ":6381"));
    }
}
