//! Loads that go to a server together.
//!
//! What it costs to hand something to a connection and to take its answer is paid once for all
//! commands that go in one piece. So loads that arrive while others are under way wait for each other.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value, cmd};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::{Node, Packet};
use crate::error::Failure;

/// How many loads go in one piece.
const BATCH: usize = 64;
/// How many batches of a connection are under way at once. Loads that arrive when there are so many
/// wait until one of them is answered.
const RUNS: usize = 4;
/// How many loads wait. Beyond that they go alone, and wait for the connection itself.
const WAITING: usize = 4096;

/// The loads that wait for a connection, and the tasks that send them.
#[derive(Default)]
pub(super) struct Loads(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Load>,
    runs: Vec<Run>,
    last_run: u64,
}

struct Load {
    get: Cmd,
    by: Instant,
    answer: oneshot::Sender<Result<Value, Failure>>,
}

/// A task that sends one batch after the other, until nobody waits.
struct Run {
    number: u64,
    /// When its batch is over, at the latest. If it is there after that, its runtime stands still.
    until: Instant,
}

impl Node {
    /// The answer to a `GET` that goes with others, unless there are none or too many.
    pub(crate) fn get_with_others(
        self: &Arc<Self>,
        key: &str,
        by: Instant,
    ) -> Option<impl Future<Output = Result<Value, Failure>> + use<>> {
        let number = self.next_lane();
        let lane = &self.lanes[number];
        let mut state = lane.loads.0.lock();
        let is_alone = state.runs.is_empty() && !lane.is_busy();
        if is_alone || state.waiting.len() >= WAITING {
            return None;
        }
        let mut get = cmd("GET");
        get.arg(key);
        let (answer, answered) = oneshot::channel();
        state.waiting.push_back(Load { get, by, answer });
        let run = state.begin_run(by);
        // A runtime that ends drops the task here, which then takes the lock.
        drop(state);
        if let Some(run) = run {
            tokio::spawn(Sender { node: Arc::clone(self), lane: number, run }.send_all());
        }
        Some(async move {
            match timeout_at(by, answered).await {
                Ok(answer) => answer.unwrap_or(Err(Failure::Dropped)),
                Err(_) => Err(Failure::TimedOut),
            }
        })
    }
}

/// Who sends the batches of a run, in a task of its own: it depends on no caller.
struct Sender {
    node: Arc<Node>,
    lane: usize,
    run: u64,
}

impl Sender {
    fn loads(&self) -> &Loads {
        &self.node.lanes[self.lane].loads
    }

    async fn send_all(self) {
        loop {
            // Those who are about to ask come along.
            yield_now().await;
            let Some(batch) = self.loads().0.lock().next_batch(self.run) else { return };
            self.send(batch).await;
        }
    }

    async fn send(&self, batch: Batch) {
        let mut gets = Pipeline::with_capacity(batch.loads.len());
        let mut answers = Vec::with_capacity(batch.loads.len());
        for load in batch.loads {
            gets.add_command(load.get);
            answers.push(load.answer);
        }
        let lane = &self.node.lanes[self.lane];
        let failure = match lane.send(&self.node, &Packet::Each(gets), batch.by).await {
            Ok(Value::Array(values)) => {
                for (answer, value) in answers.into_iter().zip(values) {
                    // An error says that the caller has left.
                    let _ = answer.send(value.extract_error().map_err(Failure::from));
                }
                return;
            }
            Ok(_) => Failure::Answer,
            Err(failure) => failure,
        };
        for answer in answers {
            let _ = answer.send(Err(failure.clone()));
        }
    }
}

/// The end of a run, and perhaps not its own: its runtime may end.
impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.loads().0.lock();
        state.runs.retain(|run| run.number != self.run);
        // Nobody would send those who wait. They fail at once rather than when their time is over.
        let lost = state.runs.is_empty().then(|| std::mem::take(&mut state.waiting));
        drop(state);
        drop(lost);
    }
}

struct Batch {
    loads: Vec<Load>,
    by: Instant,
}

impl State {
    fn begin_run(&mut self, by: Instant) -> Option<u64> {
        if self.runs.len() >= RUNS {
            let now = Instant::now();
            self.runs.retain(|run| run.until >= now);
        }
        (self.runs.len() < RUNS).then(|| {
            self.last_run += 1;
            self.runs.push(Run { number: self.last_run, until: by });
            self.last_run
        })
    }

    /// What a run sends next. Without anything the run is over.
    fn next_batch(&mut self, number: u64) -> Option<Batch> {
        let run = self.runs.iter().position(|run| run.number == number)?;
        let mut loads = Vec::with_capacity(self.waiting.len().min(BATCH));
        while loads.len() < BATCH
            && let Some(load) = self.waiting.pop_front()
        {
            // What a caller who has left has asked for is not sent.
            if !load.answer.is_closed() {
                loads.push(load);
            }
        }
        let Some(by) = loads.iter().map(|load| load.by).max() else {
            self.runs.swap_remove(run);
            return None;
        };
        self.runs[run].until = by;
        Some(Batch { loads, by })
    }
}

impl fmt::Debug for Loads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Loads")
            .field("waiting", &state.waiting.len())
            .field("runs", &state.runs.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::IntoConnectionInfo as _;

    use super::super::{Access, Limits};
    use super::*;

    type Answered = oneshot::Receiver<Result<Value, Failure>>;

    fn load(by: Instant) -> (Load, Answered) {
        let (answer, answered) = oneshot::channel();
        (Load { get: cmd("GET"), by, answer }, answered)
    }

    #[tokio::test]
    async fn a_batch_is_bounded_and_has_the_time_of_its_last() {
        let begun = Instant::now();
        let mut state = State::default();
        let run = state.begin_run(begun).unwrap();
        let mut callers = Vec::new();
        for second in 0..3 * BATCH as u64 {
            let (load, answered) = load(begun + Duration::from_secs(second));
            state.waiting.push_back(load);
            // More than a batch of callers leave, one after the other.
            callers.extend((second < 10 || second >= 2 * BATCH as u64).then_some(answered));
        }
        let batch = state.next_batch(run).unwrap();
        assert_eq!(batch.loads.len(), BATCH);
        assert_eq!(batch.by, batch.loads[BATCH - 1].by);
        assert_eq!(batch.by, begun + Duration::from_secs(3 * BATCH as u64 - 11));
        assert_eq!(state.next_batch(run).unwrap().loads.len(), 10);
        assert_eq!(state.runs.len(), 1);
        assert!(state.next_batch(run).is_none());
        assert!(state.runs.is_empty(), "it is over");
        assert_eq!(callers.len(), 10 + BATCH);
    }

    #[tokio::test]
    async fn a_run_that_stands_still_makes_room() {
        let mut state = State::default();
        let (past, later) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
        for _ in 1..RUNS {
            assert!(state.begin_run(later).is_some());
        }
        let stands_still = state.begin_run(past).unwrap();
        assert!(state.begin_run(later).is_some(), "its time is over");
        assert!(state.begin_run(later).is_none(), "the others' is not");
        let (load, _answered) = load(later);
        state.waiting.push_back(load);
        assert!(state.next_batch(stands_still).is_none(), "others send by now");
        assert_eq!(state.waiting.len(), 1);
    }

    fn node() -> Arc<Node> {
        let limit = Duration::from_secs(3600);
        let limits = Limits { connect: limit, operation: limit, connections: 1 };
        let info = "redis://192.0.2.1".into_connection_info().unwrap();
        let address = info.addr().clone();
        Arc::new(Node::new(Access { info, limits }, address))
    }

    #[tokio::test]
    async fn rule_12_so_many_wait_and_no_more() {
        let (node, by) = (node(), Instant::now() + Duration::from_secs(3600));
        assert!(node.get_with_others("alone", by).is_none());
        for _ in 0..RUNS {
            node.lanes[0].loads.0.lock().begin_run(by);
        }
        let waiting: Vec<_> = (0..WAITING).map(|_| node.get_with_others("a", by)).collect();
        assert!(waiting.iter().all(Option::is_some));
        assert!(node.get_with_others("one too many", by).is_none());
    }

    #[test]
    fn loads_fail_with_the_runtime_that_would_send_them() {
        let (node, by) = (node(), Instant::now() + Duration::from_secs(3600));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let run = node.lanes[0].loads.0.lock().begin_run(by).unwrap();
        runtime.spawn(Sender { node: Arc::clone(&node), lane: 0, run }.send_all());
        let load = {
            let _entered = runtime.enter();
            node.get_with_others("a", by)
        };
        drop(runtime);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let answer = runtime.block_on(load.expect("it goes with others"));
        assert!(matches!(answer, Err(Failure::Dropped)), "{answer:?}");
    }
}
