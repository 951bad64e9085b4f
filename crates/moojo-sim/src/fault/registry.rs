//! Which faults are in force, and which of them a request meets.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Fault, FaultKind};

/// The faults in force, oldest first.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Arc<Entry>>>);

/// What is to go wrong with one request.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) delay: Option<Delay>,
    pub(crate) skew: TimeDelta,
    /// One of the kinds that change the answer.
    pub(crate) outcome: Option<FaultKind>,
}

pub(crate) enum Delay {
    Before(Duration),
    After(Duration),
    Until(Arc<Entry>),
}

/// A fault in force.
pub(crate) struct Entry {
    fault: Fault,
    counts: Mutex<Counts>,
    removed: watch::Sender<bool>,
}

#[derive(Default)]
struct Counts {
    seen: u64,
    hits: u64,
}

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) -> Arc<Entry> {
        let entry =
            Arc::new(Entry { fault, counts: Mutex::default(), removed: watch::Sender::new(false) });
        let mut entries = self.0.lock();
        entries.retain(|entry| !entry.is_removed());
        entries.push(Arc::clone(&entry));
        entry
    }

    pub(crate) fn clear(&self) {
        for entry in self.0.lock().drain(..) {
            entry.remove();
        }
    }

    /// What this request meets; uses up the faults that take part.
    pub(crate) fn plan(&self, path: &str) -> Plan {
        let mut plan = Plan::default();
        let mut skewed = false;
        // Under one lock, so that concurrent requests share out a limited number exactly.
        let entries = self.0.lock();
        for entry in entries.iter().filter(|entry| entry.matches(path)) {
            let free = match entry.fault.kind {
                FaultKind::Latency(_) | FaultKind::SlowAnswer(_) | FaultKind::Freeze => {
                    plan.delay.is_none()
                }
                FaultKind::WrongDate(_) => !skewed,
                _ => plan.outcome.is_none(),
            };
            if !entry.take(free) {
                continue;
            }
            match &entry.fault.kind {
                FaultKind::Latency(time) => plan.delay = Some(Delay::Before(*time)),
                FaultKind::SlowAnswer(time) => plan.delay = Some(Delay::After(*time)),
                FaultKind::Freeze => plan.delay = Some(Delay::Until(Arc::clone(entry))),
                FaultKind::WrongDate(by) => {
                    plan.skew = *by;
                    skewed = true;
                }
                other => plan.outcome = Some(other.clone()),
            }
        }
        plan
    }
}

impl Entry {
    pub(crate) fn fault(&self) -> &Fault {
        &self.fault
    }

    pub(crate) fn hits(&self) -> u64 {
        self.counts.lock().hits
    }

    pub(crate) fn remove(&self) {
        self.removed.send_replace(true);
    }

    /// Ends when the fault is removed.
    pub(crate) async fn removed(&self) {
        // The other outcome, a closed channel, cannot be: `self` holds its sender.
        let _ = self.removed.subscribe().wait_for(|removed| *removed).await;
    }

    fn is_removed(&self) -> bool {
        *self.removed.borrow()
    }

    fn matches(&self, path: &str) -> bool {
        !self.is_removed() && self.fault.route.as_ref().is_none_or(|route| route == path)
    }

    /// Counts one matching request; says whether the fault hits it, which it can only if `free`.
    fn take(&self, free: bool) -> bool {
        let mut counts = self.counts.lock();
        counts.seen += 1;
        let due = counts.seen > self.fault.skip;
        let left = self.fault.times.is_none_or(|times| counts.hits < times);
        let hit = free && due && left;
        counts.hits += u64::from(hit);
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(faults: &Faults, path: &str, requests: usize) -> Vec<Option<u16>> {
        let next = |_| match faults.plan(path).outcome {
            Some(FaultKind::Status(status)) => Some(status),
            _ => None,
        };
        (0..requests).map(next).collect()
    }

    #[test]
    fn skips_first_and_hits_as_often_as_told() {
        let faults = Faults::default();
        let entry = faults.inject(Fault::on("/a").skip(1).times(2).kind(FaultKind::Status(503)));
        assert_eq!(statuses(&faults, "/b", 2), [None, None]);
        assert_eq!(statuses(&faults, "/a", 4), [None, Some(503), Some(503), None]);
        assert_eq!(entry.hits(), 2);
    }

    #[test]
    fn the_oldest_of_a_class_goes_first_and_the_next_one_waits_for_its_turn() {
        let faults = Faults::default();
        faults.inject(Fault::any().kind(FaultKind::Status(500)));
        faults.inject(Fault::any().kind(FaultKind::Status(502)));
        assert_eq!(statuses(&faults, "/a", 3), [Some(500), Some(502), None]);
    }

    #[test]
    fn a_delay_a_wrong_date_and_an_outcome_take_part_together() {
        let faults = Faults::default();
        faults.inject(Fault::any().kind(FaultKind::AnswerLost));
        faults.inject(Fault::any().kind(FaultKind::WrongDate(TimeDelta::hours(1))));
        faults.inject(Fault::any().kind(FaultKind::Latency(Duration::from_secs(1))));
        let plan = faults.plan("/a");
        assert!(matches!(plan.delay, Some(Delay::Before(_))));
        assert_eq!(plan.skew, TimeDelta::hours(1));
        assert_eq!(plan.outcome, Some(FaultKind::AnswerLost));
    }

    #[test]
    fn a_removed_fault_hits_no_more() {
        let faults = Faults::default();
        let entry = faults.inject(Fault::any().always());
        assert_eq!(statuses(&faults, "/a", 1), [Some(500)]);
        entry.remove();
        assert_eq!(statuses(&faults, "/a", 1), [None]);
        faults.inject(Fault::any().always());
        faults.clear();
        assert_eq!(statuses(&faults, "/a", 1), [None]);
    }
}
