//! When a token ends, by the clock of this machine.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use moojo_session::Session;

use crate::error::Malformation;

/// The end of a token by the local clock.
///
/// `date` is the server's time, with its fraction of a second cut off, at some moment between
/// `sent_at` and `received_at`. If the local clock may have shown the same at that moment, no skew
/// is to be seen, and the end is as given. Else the server's clock is at most `date + 1 s - sent_at`
/// ahead of the local one, and by taking that much off the end, the result is early by up to a
/// second and the time that the call took, and never late.
///
/// A `date` that is wildly wrong must not make a token immortal: the correction never goes beyond
/// the documented life of a token, nor beyond what the server says, whichever is later.
///
/// Without `date` the server's end is taken as it is; without an end, the documented life is
/// counted from the moment at which the request was sent.
pub(super) fn local_end(
    server_end: Option<DateTime<Utc>>,
    date: Option<DateTime<Utc>>,
    sent_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let documented = sent_at.checked_add_signed(Session::DOCUMENTED_LIFE)?;
    let Some(server_end) = server_end else { return Some(documented) };
    let Some(date) = date else { return Some(server_end) };
    let date_end = date.checked_add_signed(TimeDelta::seconds(1))?;
    if date <= received_at && sent_at < date_end {
        return Some(server_end);
    }
    let life = server_end - date_end;
    Some(sent_at.checked_add_signed(life)?.min(server_end.max(documented)))
}

/// Reads `expiresAtIso8601`.
pub(super) fn read_end(text: &str) -> Result<DateTime<Utc>, Malformation> {
    let text = text.trim();
    match DateTime::parse_from_rfc3339(text) {
        Ok(end) => Ok(end.to_utc()),
        Err(_) if text.parse::<NaiveDateTime>().is_ok() => Err(Malformation::ExpiryWithoutZone),
        Err(_) => Err(Malformation::BadExpiry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn rule_4_without_a_date_the_end_is_as_given() {
        let end = at("2025-02-16T15:12:52.555Z");
        assert_eq!(local_end(Some(end), None, at("2025-02-16T13:12:52Z"), end), Some(end));
    }

    #[test]
    fn rule_4_without_an_end_it_is_two_hours_from_the_request() {
        let sent = at("2025-02-16T13:12:52.100Z");
        let date = Some(at("2020-01-01T00:00:00Z"));
        assert_eq!(local_end(None, date, sent, sent), Some(at("2025-02-16T15:12:52.100Z")));
    }

    #[test]
    fn rule_4_a_skew_is_taken_off() {
        // The server is an hour ahead, or the local clock an hour behind: the end is two hours
        // from now by either.
        let sent = at("2025-02-16T12:12:52.700Z");
        let date = Some(at("2025-02-16T13:12:52Z"));
        let end = Some(at("2025-02-16T15:12:52.555Z"));
        assert_eq!(local_end(end, date, sent, sent), Some(at("2025-02-16T14:12:52.255Z")));
        // An hour behind.
        let sent = at("2025-02-16T14:12:52.700Z");
        assert_eq!(local_end(end, date, sent, sent), Some(at("2025-02-16T16:12:52.255Z")));
    }

    #[test]
    fn rule_4_without_a_skew_to_be_seen_the_end_is_as_given() {
        let end = at("2025-02-16T15:12:52.555Z");
        let date = Some(at("2025-02-16T13:12:52Z"));
        for (sent, received) in [
            ("2025-02-16T13:12:52.555Z", "2025-02-16T13:12:52.555Z"),
            ("2025-02-16T13:12:52.999Z", "2025-02-16T13:12:54Z"),
            ("2025-02-16T13:12:51Z", "2025-02-16T13:12:52Z"),
        ] {
            assert_eq!(local_end(Some(end), date, at(sent), at(received)), Some(end));
        }
    }

    #[test]
    fn rule_4_a_skew_makes_no_end_late() {
        // All fractions of a second that `Date` may have cut off, and all latencies.
        let issued = at("2025-02-16T13:12:52Z");
        for server_ms in (0..1000).step_by(37) {
            for (to, back) in [(0, 0), (5, 5), (900, 10), (10, 9000)] {
                for skew in [-86_400_000, -1500, 0, 3, 3_600_000] {
                    let server = issued + TimeDelta::milliseconds(server_ms);
                    let server_end = server + Session::DOCUMENTED_LIFE;
                    let local = server + TimeDelta::milliseconds(skew);
                    let truth = server_end + TimeDelta::milliseconds(skew);
                    let sent = local - TimeDelta::milliseconds(to);
                    let received = local + TimeDelta::milliseconds(back);
                    let end = local_end(Some(server_end), Some(issued), sent, received).unwrap();
                    // What the header and the time of the call leave open: below any margin.
                    let open = TimeDelta::milliseconds(1000 + to + back);
                    assert!((end - truth).abs() <= open, "{end} {truth}");
                    assert!(end <= truth || end == server_end, "{end} {truth}");
                }
            }
        }
    }

    #[test]
    fn rule_4_a_wild_date_makes_no_token_immortal() {
        let sent = at("2025-02-16T13:12:52Z");
        let end = at("2025-02-16T15:12:52Z");
        let wild = Some(DateTime::UNIX_EPOCH);
        assert_eq!(local_end(Some(end), wild, sent, sent), Some(end));
        let past = at("1970-01-01T02:00:00Z");
        assert_eq!(local_end(Some(past), wild, sent, sent), Some(at("2025-02-16T15:12:51Z")));
    }

    #[test]
    fn the_ends_of_time_are_no_panic() {
        let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        for a in [first, last] {
            for b in [first, last] {
                for c in [first, last] {
                    let _ = local_end(Some(a), Some(b), c, c);
                }
            }
        }
    }

    #[test]
    fn ends_are_read() {
        let end = at("2025-02-16T15:12:52.555Z");
        for text in ["2025-02-16T15:12:52.555Z", " 2025-02-16T16:12:52.555+01:00 "] {
            assert_eq!(read_end(text), Ok(end));
        }
        assert_eq!(read_end("2025-02-16T15:12:52.555"), Err(Malformation::ExpiryWithoutZone));
        for bad in ["", "soon", "1739718772", "2025-02-30T15:12:52Z", "16 Feb 2025"] {
            assert_eq!(read_end(bad), Err(Malformation::BadExpiry), "{bad}");
        }
    }
}
