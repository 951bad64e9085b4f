use super::*;
use crate::reauth::DeclineReason;

mod model;

const LIFE: u64 = 100;
const MAX: usize = 3;

fn user(n: u8) -> UserId {
    UserId::new(format!("user-{n}")).unwrap()
}

fn purpose(n: u8) -> Purpose {
    Purpose::new(format!("purpose {n}")).unwrap()
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// A session from before all requests.
fn came(end: i64) -> Came {
    Came { issued: time(-1), end }
}

fn signal(user: &UserId) -> ReauthRequired {
    ReauthRequired::new(user.clone(), ReauthReason::Missing, time(0))
}

fn requests() -> Requests {
    Requests::new(MAX, LIFE)
}

impl Requests {
    fn want_of(
        &mut self,
        user: &UserId,
        needed: Option<i64>,
        now: Moment,
    ) -> Result<bool, Refused> {
        self.want(&Want::new(&signal(user), needed), now).map(|(_, new)| new)
    }

    fn join_of(
        &mut self,
        user: &UserId,
        purpose: Option<&Purpose>,
        place: Option<Place>,
        now: Moment,
    ) -> Result<Place, Refused> {
        self.join(&Want::new(&signal(user), None), purpose, place, now).map(|(place, _)| place)
    }

    fn decline_of(&mut self, user: &UserId, claim: u64, until: Moment, now: Moment) -> bool {
        let reason = (DeclineReason::NotNow, time(0));
        self.decline(user, claim, reason, until, now).is_some()
    }
}

#[test]
fn a_purpose_that_was_not_told_takes_none_away_that_is() {
    let (mut requests, alice) = (requests(), user(0));
    let join = |requests: &mut Requests, n| {
        requests.join_of(&alice, Some(&purpose(n)), None, 0).ok().unwrap()
    };
    let first: Vec<_> = (0..8).map(|n| join(&mut requests, n)).collect();
    let ninth = join(&mut requests, 8);
    requests.leave(&alice, first[0], Some(&purpose(0)), 0);
    let tenth = join(&mut requests, 8);
    requests.leave(&alice, ninth, Some(&purpose(8)), 0);
    let purposes = requests.list(None, 1, 0).remove(0).purposes;
    assert!(purposes.contains(&purpose(8)), "one more waits for it: {purposes:?}");
    requests.leave(&alice, tenth, Some(&purpose(8)), 0);
    assert_eq!(requests.list(None, 1, 0).remove(0).purposes.len(), 7);
}

#[test]
fn whoever_looks_sees_no_request_whose_life_is_over() {
    let (mut requests, alice) = (requests(), user(0));
    requests.want_of(&alice, None, 0).ok().unwrap();
    assert_eq!(requests.list(None, 9, LIFE - 1).len(), 1);
    assert_eq!(requests.list(None, 9, LIFE).len(), 0);
    requests.want_of(&alice, None, LIFE).ok().unwrap();
    assert_eq!(requests.len(2 * LIFE - 1), 1);
    assert_eq!(requests.len(2 * LIFE), 0);
}

#[test]
fn a_claim_that_ends_brings_no_request_back_that_nobody_wants() {
    let (mut requests, alice) = (requests(), user(0));
    requests.want_of(&alice, None, 0).ok().unwrap();
    let claimed = requests.claim(None, LIFE + 5, 1).unwrap();
    assert!(requests.look(&alice, claimed.claim, LIFE + 4).is_some(), "the lease runs");
    assert!(requests.claim(None, 1000, LIFE + 5).is_none(), "nobody has wanted it for its life");
    assert_eq!(requests.total(), 0);
}

#[test]
fn a_session_that_was_found_ends_no_claim_that_needs_more_by_now() {
    let (mut requests, alice) = (requests(), user(0));
    requests.want_of(&alice, None, 0).ok().unwrap();
    let claimed = requests.claim(None, 50, 0).unwrap();
    requests.want_of(&alice, Some(10), 1).ok().unwrap();
    assert!(!requests.finish(&alice, claimed.claim, came(9)));
    assert!(requests.finish(&alice, claimed.claim, came(10)));
}

#[test]
fn a_login_since_it_was_opened_answers_a_request_that_needs_more() {
    let (mut requests, alice) = (requests(), user(0));
    requests.want_of(&alice, Some(10), 1).ok().unwrap();
    assert!(!requests.close(&alice, came(9)));
    assert!(requests.close(&alice, Came { issued: time(0), end: 9 }));
}

#[test]
fn moments_at_the_end_of_time_are_no_trouble() {
    let (mut requests, alice) = (Requests::new(1, u64::MAX / 2), user(0));
    requests.want_of(&alice, None, u64::MAX - 1).ok().unwrap();
    let claimed = requests.claim(None, u64::MAX, u64::MAX - 1).unwrap();
    assert!(requests.decline_of(&alice, claimed.claim, u64::MAX, u64::MAX - 1));
    assert!(matches!(requests.want_of(&alice, None, u64::MAX - 1), Err(Refused::Declined(_))));
}
