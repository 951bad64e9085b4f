//! What is counted on the way.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use moojo_session::ReauthQueue;
use moojo_sim::MoojoSim;

use super::Plan;

#[derive(Debug, Default)]
pub(super) struct Count(AtomicUsize);

impl Count {
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n, Ordering::SeqCst);
    }

    pub(super) fn subtract(&self, n: usize) {
        self.0.fetch_sub(n, Ordering::SeqCst);
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// What the agents note.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) tasks: usize,
    pub(super) finished: Count,
    pub(super) given_up: Count,
    /// Tasks whose person has said "not now".
    pub(super) put_aside: Count,
    pub(super) begun: Count,
    pub(super) answered: Count,
    /// Those answered after a wait for the person.
    pub(super) resumed: Count,
    pub(super) declined: Count,
    pub(super) past_deadline: Count,
    pub(super) revoked: Count,
    bad_ends: Count,
    /// Why calls were lost, of the first few.
    why_lost: Mutex<Vec<String>>,
}

impl Tally {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { tasks: plan.users * plan.agents_each, ..Self::default() }
    }

    pub(super) fn under_way(&self) -> usize {
        self.lost().saturating_sub(self.bad_ends.get())
    }

    /// The calls that have not ended as a call should; at the end, when none is under way.
    pub(super) fn lost(&self) -> usize {
        let ended = self.answered.get() + self.declined.get() + self.past_deadline.get();
        self.begun.get().saturating_sub(ended)
    }

    pub(super) fn note_lost(&self, why: String) {
        self.bad_ends.add(1);
        let mut lost = self.why_lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.len() < 3 {
            lost.push(why);
        }
    }

    pub(super) fn why_lost(&self) -> Vec<String> {
        self.why_lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How many calls wait, and for how many people.
pub(super) fn waiting(queue: &ReauthQueue) -> (usize, usize) {
    let requests = queue.list(None, usize::MAX);
    let calls = requests.iter().map(|request| request.waiting());
    (calls.clone().sum(), calls.filter(|calls| *calls > 0).count())
}

/// How it goes at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) time: Duration,
    pub(crate) tasks: usize,
    pub(crate) finished: usize,
    pub(crate) given_up: usize,
    pub(crate) put_aside: usize,
    pub(crate) answered: usize,
    pub(crate) resumed: usize,
    pub(crate) declined: usize,
    pub(crate) past_deadline: usize,
    pub(crate) waiting_calls: usize,
    pub(crate) waiting_people: usize,
    pub(crate) codes_sent: usize,
}

impl Snapshot {
    pub(super) fn new(tally: &Tally, queue: &ReauthQueue, sim: &MoojoSim, time: Duration) -> Self {
        let (waiting_calls, waiting_people) = waiting(queue);
        Self {
            time,
            tasks: tally.tasks,
            finished: tally.finished.get(),
            given_up: tally.given_up.get(),
            put_aside: tally.put_aside.get(),
            answered: tally.answered.get(),
            resumed: tally.resumed.get(),
            declined: tally.declined.get(),
            past_deadline: tally.past_deadline.get(),
            waiting_calls,
            waiting_people,
            codes_sent: sim.sms_count(),
        }
    }
}

impl Snapshot {
    /// Stands above the rows.
    pub(crate) const HEADER: [&str; 4] = [
        "aside: tasks put aside until their person may be asked again; late: calls past their deadline",
        "",
        "         |           tasks            |               calls                |    waiting     | codes",
        "    time | finished   aside  given up | answered  resumed  declined   late | calls   people |  sent",
    ];

    /// The time that went by, in hours and minutes.
    pub(crate) fn clock_time(&self) -> String {
        clock_time(self.time)
    }
}

/// One row.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, answered) = (self.clock_time(), grouped(self.answered));
        write!(f, "{time:>8} |{:>9}{:>8}{:>10}", self.finished, self.put_aside, self.given_up)?;
        write!(f, " |{answered:>9}{:>9}", self.resumed)?;
        write!(f, "{:>10}{:>7}", self.declined, self.past_deadline)?;
        write!(f, " |{:>6}{:>9}", self.waiting_calls, self.waiting_people)?;
        write!(f, " |{:>6}", self.codes_sent)
    }
}

/// Hours and minutes.
pub(super) fn clock_time(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    format!("{}:{:02}", minutes / 60, minutes % 60)
}

/// With commas between the thousands.
pub(crate) fn grouped(number: usize) -> String {
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{},{:03}", grouped(thousands), number % 1000),
    }
}
