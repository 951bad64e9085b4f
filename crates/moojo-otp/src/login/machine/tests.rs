//! Every transition of a login, as tables.

use chrono::TimeDelta;

use super::*;
use crate::answer::Reply;
use crate::transport::TransportError;

const POLICY: Policy = Policy {
    resend_cooldown: Duration::from_secs(30),
    code_life: Duration::from_secs(600),
    attempts_per_code: 2,
};

const HERE: &str = "+15559876543";
const THERE: &str = "+15559876544";

/// So many seconds into the login.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn begin(before: Option<&Challenge>, to: &str, seconds: i64) -> Result<Sending, Refusal> {
    let (user, phone) = (UserId::new("alice").unwrap(), to.parse().unwrap());
    let wish = Wish { user: &user, phone: &phone, address: to };
    POLICY.begin_send(before.cloned(), &wish, at(seconds))
}

/// A first send, at the time 0.
fn first() -> Sending {
    begin(None, HERE, 0).unwrap()
}

fn sent() -> Challenge {
    first().record().sent()
}

fn done() -> Challenge {
    sent().attempted().redeemed(SessionId::random())
}

fn refused() -> Challenge {
    first().record().refused(at(30))
}

fn state(record: Option<&Challenge>, seconds: i64) -> State {
    State::of(record, at(seconds), &POLICY)
}

fn written(change: Change) -> Challenge {
    match change {
        Change::Write(next) => next,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_means_one_state() {
    let sending = first().record().clone();
    let tried = sent().attempted();
    let resent = begin(Some(&tried), HERE, 30).unwrap().record().clone();
    for (record, seconds, expected) in [
        (None, 0, State::Idle),
        (Some(sending.clone()), 0, State::Sending),
        (Some(sending.attempted()), 0, State::Sending),
        (Some(sent()), 0, State::Sent),
        (Some(tried.clone()), 0, State::Sent),
        (Some(sending.unknown()), 0, State::Unknown),
        (Some(refused()), 0, State::Refused { earlier_code: false }),
        (Some(resent.refused(at(60))), 30, State::Refused { earlier_code: true }),
        (Some(done()), 0, State::Done),
        (Some(tried.attempted()), 0, State::Locked),
        (Some(sending.attempted().attempted()), 0, State::Locked),
        (Some(resent.attempted().refused(at(60))), 30, State::Locked),
        (Some(sent()), 599, State::Sent),
        (Some(sent()), 600, State::Lapsed),
        (Some(done()), 600, State::Lapsed),
    ] {
        assert_eq!(state(record.as_ref(), seconds), expected, "{record:?} at {seconds}");
    }
}

#[test]
fn rule_8_a_send_begins_only_after_the_cooldown_of_the_last_one() {
    let records = [
        first().record().clone(),
        sent(),
        first().record().unknown(),
        refused(),
        done(),
        sent().attempted().attempted(),
    ];
    for record in &records {
        for to in [HERE, THERE] {
            // Until it is over, also by a clock that is behind a little.
            for seconds in [-30, -1, 0, 29] {
                let refusal = begin(Some(record), to, seconds).unwrap_err();
                assert_eq!(refusal, Refusal::TooSoon { retry_at: at(30) }, "{record:?}");
            }
            // When it is over, when the code has lapsed, and when the clock was set back.
            for seconds in [30, 600, -31] {
                let sending = begin(Some(record), to, seconds).unwrap();
                assert_eq!(sending.expected(), Some(record.revision()));
                assert_eq!(state(Some(sending.record()), seconds), State::Sending);
                assert_eq!(sending.record().attempts(), 0);
                assert_eq!(sending.record().expose_address(), to);
                assert_eq!(sending.record().resend_at(), at(seconds + 30));
                assert_eq!(sending.record().lapses_at(), at(seconds + 600));
            }
        }
    }
    assert_eq!(first().expected(), None);
}

#[test]
fn a_refused_send_brings_no_code_back_that_has_lapsed() {
    for to in [HERE, THERE] {
        let sending = begin(Some(&sent()), to, 600).unwrap();
        let outcome = SendOutcome::Refused { resend_at: at(630) };
        let record = written(sending.after(outcome, sending.record(), at(600)));
        assert_eq!(state(Some(&record), 600), State::Refused { earlier_code: false });
    }
}

#[test]
fn rule_8_each_outcome_of_a_first_send_has_one_record() {
    for (outcome, expected) in [
        (SendOutcome::Taken, State::Sent),
        (SendOutcome::Unknown, State::Unknown),
        (SendOutcome::Refused { resend_at: at(45) }, State::Refused { earlier_code: false }),
    ] {
        let sending = first();
        let next = written(sending.after(outcome, sending.record(), at(1)));
        assert_eq!(state(Some(&next), 1), expected, "{outcome:?}");
        let resend_at =
            if let SendOutcome::Refused { resend_at } = outcome { resend_at } else { at(30) };
        assert_eq!(next.resend_at(), resend_at, "{outcome:?}");
    }
    // Only one that was certainly not sent leaves no trace, unless a code was tried meanwhile.
    let sending = first();
    assert_eq!(sending.after(SendOutcome::NotSent, sending.record(), at(1)), Change::Remove);
    let tried = sending.record().attempted();
    let next = written(sending.after(SendOutcome::NotSent, &tried, at(1)));
    assert_eq!((next.attempts(), next.resend_at()), (1, at(1)));
    assert_eq!(state(Some(&next), 1), State::Refused { earlier_code: false });
}

#[test]
fn rule_8_each_outcome_of_a_resend_has_one_record() {
    let refusal = SendOutcome::Refused { resend_at: at(70) };
    let open = State::Refused { earlier_code: true };
    let none = State::Refused { earlier_code: false };
    for (before, to, outcome, expected, attempts) in [
        (sent().attempted(), HERE, SendOutcome::Taken, State::Sent, 0),
        (sent().attempted(), THERE, SendOutcome::Taken, State::Sent, 0),
        (sent().attempted(), HERE, SendOutcome::Unknown, State::Unknown, 0),
        (sent().attempted(), THERE, SendOutcome::Unknown, State::Unknown, 0),
        (sent().attempted(), HERE, refusal, open, 1),
        (sent().attempted(), THERE, refusal, open, 1),
        (sent().attempted(), HERE, SendOutcome::NotSent, State::Sent, 1),
        (sent().attempted(), THERE, SendOutcome::NotSent, State::Sent, 1),
        (refused(), HERE, refusal, none, 0),
        (refused(), THERE, refusal, none, 0),
        // A code that was used stays used.
        (done(), HERE, refusal, none, 0),
        (done(), THERE, refusal, none, 0),
        (done(), HERE, SendOutcome::NotSent, State::Done, 1),
        (done(), THERE, SendOutcome::NotSent, State::Done, 1),
    ] {
        let sending = begin(Some(&before), to, 40).unwrap();
        let next = written(sending.after(outcome, sending.record(), at(41)));
        let found = (state(Some(&next), 41), next.attempts());
        assert_eq!(found, (expected, attempts), "{before:?} to {to}: {outcome:?}");
        // The number is the one that a code is out for.
        let number = if expected == open || outcome == SendOutcome::NotSent { HERE } else { to };
        assert_eq!(next.expose_address(), number, "{before:?} to {to}: {outcome:?}");
        if outcome == refusal {
            assert_eq!(next.resend_at(), at(70));
        }
    }
}

#[test]
fn rule_8_what_is_no_longer_this_sends_is_kept() {
    let sending = first();
    let later = begin(Some(sending.record()), HERE, 30).unwrap();
    let elsewhere = begin(Some(sending.record()), THERE, 30).unwrap();
    for current in [
        later.record().clone(),
        elsewhere.record().clone(),
        sending.record().attempted().redeemed(SessionId::random()),
        sending.record().sent(),
    ] {
        for outcome in [
            SendOutcome::Taken,
            SendOutcome::Unknown,
            SendOutcome::Refused { resend_at: at(60) },
            SendOutcome::NotSent,
        ] {
            let change = sending.after(outcome, &current, at(31));
            assert_eq!(change, Change::Keep, "{current:?}: {outcome:?}");
        }
    }
}

#[test]
fn rule_8_only_an_order_that_certainly_never_went_out_counts_as_none() {
    let reply = || Reply::too_large(http::StatusCode::OK, 1);
    let limited = |seconds| MoojoError::RateLimited {
        retry_after: Some(Duration::from_secs(seconds)),
        reply: reply(),
    };
    let what = crate::error::Malformation::NotSuccess;
    let gone = || TransportError::unknown("gone");
    let refused_until = |seconds| SendOutcome::Refused { resend_at: at(seconds) };
    for (error, outcome, attempt) in [
        (
            MoojoError::NotSent { attempts: 1, source: TransportError::not_sent("down") },
            SendOutcome::NotSent,
            AttemptOutcome::NotMade,
        ),
        (
            MoojoError::OutcomeUnknown { source: gone() },
            SendOutcome::Unknown,
            AttemptOutcome::Unknown,
        ),
        (MoojoError::Server { reply: reply() }, SendOutcome::Unknown, AttemptOutcome::Unknown),
        (
            MoojoError::Malformed { what, reply: reply() },
            SendOutcome::Unknown,
            AttemptOutcome::Unknown,
        ),
        (MoojoError::Refused { reply: reply() }, refused_until(30), AttemptOutcome::Wrong),
        (MoojoError::ApiKeyRefused { reply: reply() }, refused_until(30), AttemptOutcome::Unknown),
        (limited(5), refused_until(30), AttemptOutcome::Unknown),
        (limited(120), refused_until(130), AttemptOutcome::Unknown),
    ] {
        assert_eq!(first().outcome(&error, at(10)), outcome, "{error:?}");
        assert_eq!(AttemptOutcome::of(&error), attempt, "{error:?}");
    }
}

#[test]
fn rule_9_an_attempt_begins_only_where_a_code_may_be_out_and_is_counted() {
    let sending = first().record().clone();
    let earlier = begin(Some(&sent()), HERE, 30).unwrap().record().refused(at(60));
    for record in [sending.clone(), sent(), sending.unknown(), sent().attempted(), earlier] {
        let attempt = POLICY.begin_attempt(Some(&record), at(31)).unwrap();
        assert_eq!(attempt.expected(), record.revision());
        assert_eq!(attempt.record().attempts(), record.attempts() + 1);
        assert_eq!(POLICY.attempts_left(&attempt), 1 - record.attempts());
    }
    let no_code = |seconds| Refusal::NoCode { retry_at: at(seconds) };
    for (record, seconds, refusal) in [
        (None, 5, no_code(5)),
        (Some(refused()), 5, no_code(30)),
        (Some(sent()), 600, no_code(600)),
        (Some(done()), 5, Refusal::Used { retry_at: at(30) }),
        (Some(done()), 50, Refusal::Used { retry_at: at(50) }),
        (Some(sent().attempted().attempted()), 5, Refusal::Locked { retry_at: at(30) }),
    ] {
        let refused = POLICY.begin_attempt(record.as_ref(), at(seconds)).unwrap_err();
        assert_eq!(refused, refusal, "{record:?} at {seconds}");
    }
}

#[test]
fn rule_9_each_outcome_of_an_attempt_has_one_record() {
    let attempt = POLICY.begin_attempt(Some(&sent()), at(1)).unwrap();
    let id = SessionId::random();
    let another = attempt.record().attempted();
    for current in [attempt.record(), &another] {
        let after = |outcome| attempt.after(outcome, current);
        let used = written(after(AttemptOutcome::Accepted(id)));
        assert_eq!(
            (state(Some(&used), 1), used.state()),
            (State::Done, ChallengeState::Redeemed(id))
        );
        let given_back = written(after(AttemptOutcome::NotMade));
        assert_eq!(given_back.attempts(), current.attempts() - 1);
        assert_eq!(after(AttemptOutcome::Wrong), Change::Keep);
        assert_eq!(after(AttemptOutcome::Unknown), Change::Keep);
    }
}

#[test]
fn rule_9_what_is_no_longer_this_attempts_is_kept() {
    let attempt = POLICY.begin_attempt(Some(&sent()), at(1)).unwrap();
    let resent = begin(Some(attempt.record()), HERE, 30).unwrap().record().clone();
    let elsewhere = begin(Some(attempt.record()), THERE, 30).unwrap().record().clone();
    let used = attempt.record().redeemed(SessionId::random());
    for current in [resent, elsewhere, used] {
        for outcome in [AttemptOutcome::Accepted(SessionId::random()), AttemptOutcome::NotMade] {
            assert_eq!(attempt.after(outcome, &current), Change::Keep, "{current:?}: {outcome:?}");
        }
    }
}
