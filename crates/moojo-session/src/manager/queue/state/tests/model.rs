//! The open requests against lists that are scanned for everything.

use proptest::prelude::*;

use super::super::entry::MAX_PURPOSES;
use super::*;

/// What a request is, said as simply as can be: everything is looked for in lists.
#[derive(Default)]
struct Model {
    now: Moment,
    opened: usize,
    requests: Vec<Request>,
    /// Calls that wait, in whatever state their request is.
    calls: Vec<Call>,
    claims: Vec<(u8, u64, usize)>,
}

struct Request {
    user: u8,
    /// The how many-th request that was opened.
    number: usize,
    lapses: Moment,
    needed: Option<i64>,
    handed_out: u32,
    status: Is,
    /// The last request of this user that was declined, of those that some may still wait for.
    declined: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Is {
    Open,
    Claimed { by: u64, until: Moment },
    Held { until: Moment },
    Declined { until: Moment },
}

struct Call {
    user: u8,
    purpose: Option<u8>,
    place: Place,
    /// The number of its request.
    number: usize,
}

impl Model {
    fn waiting(&self, number: usize) -> usize {
        self.calls.iter().filter(|call| call.number == number).count()
    }

    fn find(&mut self, user: u8) -> Option<&mut Request> {
        self.requests.iter_mut().find(|request| request.user == user)
    }

    fn settle(&mut self) {
        let now = self.now;
        let counts: Vec<_> = self.requests.iter().map(|r| self.waiting(r.number)).collect();
        let mut counts = counts.into_iter();
        self.requests.retain_mut(|request| {
            let nobody_waits = counts.next() == Some(0);
            let unwanted = nobody_waits && request.lapses <= now;
            match request.status {
                Is::Open => !unwanted,
                Is::Claimed { until, .. } | Is::Held { until } if until <= now => {
                    request.status = Is::Open;
                    !unwanted
                }
                Is::Declined { until } => now < until || !nobody_waits,
                Is::Claimed { .. } | Is::Held { .. } => true,
            }
        });
    }

    /// For a call that waits, one that no call waits for goes if there is no room: whichever.
    fn make_way(&mut self, of: u8, real: &Requests) {
        if self.requests.len() < MAX || self.find(of).is_some() {
            return;
        }
        let unawaited = |r: &&Request| r.status == Is::Open && self.waiting(r.number) == 0;
        let could_go: Vec<_> = self.requests.iter().filter(unawaited).map(|r| r.user).collect();
        let is_gone = |user: u8| !real.has(&super::user(user));
        assert!(self.requests.iter().all(|r| !is_gone(r.user) || could_go.contains(&r.user)));
        self.requests.retain(|request| !is_gone(request.user));
        assert_eq!(self.requests.len(), MAX - usize::from(!could_go.is_empty()));
    }

    /// The number of the request that is open after it, or `None` if it is refused.
    fn want(&mut self, user: u8, needed: Option<i64>) -> Result<usize, bool> {
        let (now, full) = (self.now, self.requests.len() >= MAX);
        let mut declined = None;
        match self.find(user) {
            Some(request) => match request.status {
                Is::Declined { until } if now < until => return Err(true),
                Is::Declined { .. } => declined = request.declined,
                _ => {
                    request.lapses = now + LIFE;
                    request.needed = request.needed.max(needed);
                    return Ok(request.number);
                }
            },
            None if full => return Err(false),
            None => {}
        }
        self.requests.retain(|request| request.user != user);
        self.opened += 1;
        let (number, lapses) = (self.opened, now + LIFE);
        let (handed_out, status) = (0, Is::Open);
        self.requests.push(Request { user, number, lapses, needed, handed_out, status, declined });
        Ok(number)
    }

    /// The request that is claimed by `claim`.
    fn claimed(&mut self, user: u8, claim: u64) -> Option<&mut Request> {
        let is = |r: &Request| matches!(r.status, Is::Claimed { by, .. } if by == claim);
        self.find(user).filter(|request| is(request))
    }
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Want(u8, Option<i64>),
    Join(u8, Option<u8>),
    /// A call that waits wakes up, finds nothing and joins again.
    Again(usize),
    Leave(usize),
    Close(u8, i64),
    Claim(Option<u8>, u64),
    HandOut(usize, u64),
    Renew(usize, u64),
    Release(usize, u64),
    Decline(usize, u64),
    Finish(usize, i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let users = 0..5_u8;
    let which = 0..64_usize;
    let spans = prop_oneof![Just(0), 1..30_u64, 80..130_u64];
    let needs = prop::option::of(0..4_i64);
    let step = prop_oneof![
        4 => spans.clone().prop_map(Step::Pass),
        2 => (users.clone(), needs).prop_map(|(user, needed)| Step::Want(user, needed)),
        6 => (users.clone(), prop::option::of(0..12_u8)).prop_map(|(user, p)| Step::Join(user, p)),
        3 => which.clone().prop_map(Step::Again),
        3 => which.clone().prop_map(Step::Leave),
        1 => (users.clone(), 0..4_i64).prop_map(|(user, end)| Step::Close(user, end)),
        4 => (prop::option::of(users), spans.clone()).prop_map(|(u, lease)| Step::Claim(u, lease)),
        2 => (which.clone(), spans.clone()).prop_map(|(claim, lease)| Step::HandOut(claim, lease)),
        1 => (which.clone(), spans.clone()).prop_map(|(claim, lease)| Step::Renew(claim, lease)),
        2 => (which.clone(), spans.clone()).prop_map(|(claim, after)| Step::Release(claim, after)),
        2 => (which.clone(), spans).prop_map(|(claim, time)| Step::Decline(claim, time)),
        1 => (which, 0..4_i64).prop_map(|(claim, end)| Step::Finish(claim, end)),
    ];
    prop::collection::vec(step, 0..150)
}

/// One step of both; what they answer has to be the same.
fn run(step: Step, real: &mut Requests, model: &mut Model) {
    let pick = |which: usize, of: usize| (of > 0).then(|| which % of);
    match step {
        Step::Pass(time) => model.now += time,
        Step::Want(of, needed) => {
            let expected = model.want(of, needed);
            let got = real.want_of(&user(of), needed, model.now);
            assert_eq!(got.is_ok(), expected.is_ok());
            if let Err(refused) = got {
                assert_eq!(matches!(refused, Refused::Declined(_)), expected == Err(true));
            }
        }
        Step::Join(of, what) => {
            let got = real.join_of(&user(of), what.map(purpose).as_ref(), None, model.now);
            model.make_way(of, real);
            let expected = model.want(of, None);
            match (expected, got) {
                (Ok(number), Ok(place)) => {
                    model.calls.push(Call { user: of, purpose: what, place, number });
                }
                (Err(declined), Err(refused)) => {
                    assert_eq!(matches!(refused, Refused::Declined(_)), declined);
                }
                _ => panic!("one is refused, the other is not"),
            }
        }
        Step::Again(which) => {
            let Some(at) = pick(which, model.calls.len()) else { return };
            let call = model.calls.swap_remove(at);
            let Call { user: of, purpose: what, place, number } = call;
            model.calls.push(Call { ..call });
            let was = model.find(of).and_then(|request| request.declined);
            let got = real.join_of(&user(of), what.map(purpose).as_ref(), Some(place), model.now);
            let expected = match was {
                Some(declined) if number <= declined => Err(true),
                _ => {
                    model.make_way(of, real);
                    model.want(of, None)
                }
            };
            match (expected, got) {
                (Ok(number), Ok(place)) => {
                    let call = model.calls.last_mut().unwrap();
                    (call.number, call.place) = (number, place);
                }
                // It ends with that.
                (Err(declined), Err(refused)) => {
                    assert_eq!(matches!(refused, Refused::Declined(_)), declined);
                    model.calls.pop();
                    real.leave(&user(of), place, what.map(purpose).as_ref(), model.now);
                }
                _ => panic!("one is refused, the other is not"),
            }
        }
        Step::Leave(which) => {
            let Some(at) = pick(which, model.calls.len()) else { return };
            let call = model.calls.swap_remove(at);
            let purpose = call.purpose.map(purpose);
            real.leave(&user(call.user), call.place, purpose.as_ref(), model.now);
        }
        Step::Close(of, end) => {
            let is = |r: &Request| r.user == of && r.needed.is_none_or(|needed| needed <= end);
            let expected = model.requests.iter().any(is);
            model.requests.retain(|request| !is(request));
            assert_eq!(real.close(&user(of), came(end)), expected);
        }
        Step::Claim(of, lease) => {
            let until = model.now + lease;
            let open = model.requests.iter_mut().filter(|request| match request.status {
                Is::Open => true,
                Is::Held { .. } => of.is_some(),
                _ => false,
            });
            let mine = open.filter(|request| of.is_none_or(|of| request.user == of));
            let expected = mine.min_by_key(|request| (request.handed_out, request.number));
            let got = real.claim(of.map(user).as_ref(), until, model.now);
            assert_eq!(
                got.as_ref().map(|claimed| claimed.request.user.clone()),
                expected.as_ref().map(|request| user(request.user))
            );
            if let (Some(request), Some(Claimed { claim, .. })) = (expected, got) {
                request.status = Is::Claimed { by: claim, until };
                model.claims.push((request.user, claim, request.number));
            }
        }
        Step::HandOut(which, lease) => {
            let Some(at) = pick(which, model.claims.len()) else { return };
            let ((of, claim, _), now) = (model.claims[at], model.now);
            let expected = model.claimed(of, claim).map(|request| {
                request.handed_out += 1;
                request.status = Is::Claimed { by: claim, until: now + lease };
                request.handed_out
            });
            let got = real.hand_out(&user(of), claim, now + lease, now);
            assert_eq!(got.map(|request| request.handed_out), expected);
        }
        Step::Renew(which, lease) => {
            let Some(at) = pick(which, model.claims.len()) else { return };
            let ((of, claim, _), now) = (model.claims[at], model.now);
            let expected = model.claimed(of, claim).map(|request| {
                request.status = Is::Claimed { by: claim, until: now + lease };
            });
            assert_eq!(real.renew(&user(of), claim, now + lease, now), expected.is_some());
        }
        Step::Release(which, after) => {
            let Some(at) = pick(which, model.claims.len()) else { return };
            let ((of, claim, _), now) = (model.claims[at], model.now);
            let expected = model.claimed(of, claim).map(|request| {
                request.status = Is::Held { until: now + after };
            });
            assert_eq!(real.release(&user(of), claim, now + after, now), expected.is_some());
        }
        Step::Decline(which, time) => {
            let Some(at) = pick(which, model.claims.len()) else { return };
            let ((of, claim, _), now) = (model.claims[at], model.now);
            let expected = model.claimed(of, claim).map(|request| {
                request.status = Is::Declined { until: now + time };
                request.declined = Some(request.number);
            });
            assert_eq!(real.decline_of(&user(of), claim, now + time, now), expected.is_some());
        }
        Step::Finish(which, end) => {
            let Some(at) = pick(which, model.claims.len()) else { return };
            let (of, claim, number) = model.claims[at];
            let needed = model.claimed(of, claim).map(|request| request.needed);
            let expected = needed.is_some_and(|needed| needed.is_none_or(|needed| needed <= end));
            if expected {
                model.requests.retain(|request| request.number != number);
            }
            assert_eq!(real.finish(&user(of), claim, came(end)), expected);
        }
    }
}

/// That they hold the same.
fn compare(real: &mut Requests, model: &mut Model) {
    model.settle();
    let is_open = |request: &&Request| !matches!(request.status, Is::Declined { .. });
    let mut open: Vec<&Request> = model.requests.iter().filter(is_open).collect();
    open.sort_by_key(|request| request.user);
    let listed = real.list(None, usize::MAX, model.now);
    assert_eq!(listed.len(), open.len());
    assert_eq!(real.len(model.now), open.len());
    for (snapshot, request) in listed.iter().zip(open) {
        assert_eq!(snapshot.user, user(request.user));
        assert_eq!(snapshot.waiting, model.waiting(request.number));
        assert_eq!(snapshot.needed_end, request.needed);
        assert_eq!(snapshot.handed_out, request.handed_out);
        let of_request = |call: &&Call| call.number == request.number;
        let calls: Vec<_> = model.calls.iter().filter(of_request).collect();
        let told = |call: &&&Call| call.place.told;
        let expected: BTreeSet<_> =
            calls.iter().filter(told).map(|call| purpose(call.purpose.unwrap())).collect();
        let shown: BTreeSet<_> = snapshot.purposes.iter().cloned().collect();
        assert_eq!(shown.len(), snapshot.purposes.len());
        assert_eq!(shown, expected);
    }
    assert_eq!(real.total(), model.requests.len());
    for request in &model.requests {
        let entry = &real.entries[&user(request.user)];
        let same = match (&entry.status, request.status) {
            (Status::Open, Is::Open) => true,
            (Status::Claimed { claim, .. }, Is::Claimed { by, until }) => {
                *claim == by && entry.timer == until
            }
            (Status::Held, Is::Held { until }) => entry.timer == until,
            (Status::Declined { until }, Is::Declined { until: other }) => *until == other,
            _ => false,
        };
        assert!(same, "user {} is to be {:?}", request.user, request.status);
        // Nothing that time changes is forgotten.
        assert!(entry.timer > model.now);
    }
    real.check();
}

impl Requests {
    /// That the indexes say what the entries say.
    fn check(&self) {
        let timers: BTreeSet<_> =
            self.entries.iter().map(|(user, entry)| (entry.timer, user.clone())).collect();
        assert_eq!(self.timers, timers);
        let is_open = |entry: &Entry| matches!(entry.status, Status::Open);
        let open = self.entries.iter().filter(|(_, entry)| is_open(entry));
        let open: BTreeMap<_, _> = open
            .map(|(user, entry)| ((entry.handed_out, entry.generation), user.clone()))
            .collect();
        assert_eq!(self.open, open);
        assert!(self.entries.len() <= self.max);
        for entry in self.entries.values() {
            assert!(entry.purposes.len() <= MAX_PURPOSES);
            let told: usize = entry.purposes.iter().map(|(_, calls)| calls).sum();
            assert!(told <= entry.waiting && entry.purposes.iter().all(|(_, calls)| *calls > 0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn rule_12_it_holds_what_a_simple_model_of_it_holds(steps in steps()) {
        let (mut real, mut model) = (requests(), Model::default());
        for step in steps {
            run(step, &mut real, &mut model);
            compare(&mut real, &mut model);
        }
        // Once everybody has gone and enough time has passed, nothing is left.
        for call in std::mem::take(&mut model.calls) {
            let purpose = call.purpose.map(purpose);
            real.leave(&user(call.user), call.place, purpose.as_ref(), model.now);
        }
        model.now += 2 * LIFE;
        prop_assert_eq!(real.len(model.now), 0);
        prop_assert_eq!(real.total(), 0);
        prop_assert_eq!(real.next_look(), None);
    }
}
