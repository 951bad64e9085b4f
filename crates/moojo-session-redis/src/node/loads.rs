//! Loads that go to a server together.
//!
//! What it costs to hand something to a connection and to take its answer is paid once for all
//! commands that go in one piece. So loads that arrive while others are under way wait for each other.
//!
//! They wait for no runtime but their own: loads of another one are in a queue of their own. So the
//! task that sends them can keep their time limits as well, with one timer for all.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use redis::{Cmd, Pipeline, Value};
use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::{Node, Packet};
use crate::error::Failure;

/// How many loads go in one piece.
const BATCH: usize = 64;
/// How many batches of a queue are under way at once. Loads that arrive when there are so many wait
/// until one of them is answered.
const RUNS: usize = 4;
/// How many loads wait in a queue. Beyond that they go alone, and wait for the connection itself.
const WAITING: usize = 4096;

/// The loads that wait for a connection: a queue for each runtime that has some under way.
#[derive(Default)]
pub(super) struct Loads(Mutex<Vec<Queue>>);

struct Queue {
    runtime: Id,
    waiting: VecDeque<Load>,
    /// The tasks that send them. Each sends one batch after the other, until nobody waits.
    runs: usize,
}

struct Load {
    key: String,
    caller: Caller,
}

struct Caller {
    by: Instant,
    answer: oneshot::Sender<Result<Value, Failure>>,
}

impl Node {
    /// The answer to a `GET` that goes with others, unless there are none or too many.
    pub(crate) fn get_with_others(
        self: &Arc<Self>,
        key: &str,
        by: Instant,
    ) -> Option<impl Future<Output = Result<Value, Failure>> + use<'_>> {
        let number = self.next_lane();
        let lane = &self.lanes[number];
        let runtime = Handle::current();
        let mut queues = lane.loads.0.lock();
        let queue = match queues.iter_mut().find(|queue| queue.runtime == runtime.id()) {
            Some(queue) if queue.waiting.len() >= WAITING => return None,
            Some(queue) => queue,
            None if lane.is_busy() => {
                queues.push(Queue { runtime: runtime.id(), waiting: VecDeque::new(), runs: 0 });
                queues.last_mut()?
            }
            None => return None,
        };
        let (answer, answered) = oneshot::channel();
        queue.waiting.push_back(Load { key: key.to_owned(), caller: Caller { by, answer } });
        let begins = queue.runs < RUNS;
        queue.runs += usize::from(begins);
        // A runtime that ends drops the task here, which then takes the lock.
        drop(queues);
        if begins {
            let (node, lane) = (Arc::clone(self), number);
            runtime.spawn(Sender { node, lane, runtime: runtime.id(), is_over: false }.send_all());
        }
        Some(async move { answered.await.unwrap_or_else(|_| Err(self.dropped())) })
    }
}

impl Caller {
    fn tell(self, answer: Result<Value, Failure>) {
        // An error says that the caller has left.
        let _ = self.answer.send(answer);
    }
}

/// Who sends the batches of a run, in a task of its own: it depends on no caller.
struct Sender {
    node: Arc<Node>,
    lane: usize,
    runtime: Id,
    is_over: bool,
}

impl Sender {
    async fn send_all(mut self) {
        loop {
            // Those who are about to ask come along.
            yield_now().await;
            let Some(batch) = self.next_batch() else { return };
            self.send(batch).await;
        }
    }

    fn queues(&self) -> MutexGuard<'_, Vec<Queue>> {
        self.node.lanes[self.lane].loads.0.lock()
    }

    /// What goes next. Without anything the run is over.
    fn next_batch(&mut self) -> Option<Vec<Load>> {
        let mut queues = self.queues();
        let queue = queues.iter_mut().find(|queue| queue.runtime == self.runtime)?;
        let mut batch = Vec::with_capacity(queue.waiting.len().min(BATCH));
        while batch.len() < BATCH
            && let Some(load) = queue.waiting.pop_front()
        {
            // What a caller who has left has asked for is not sent.
            if !load.caller.answer.is_closed() {
                batch.push(load);
            }
        }
        if batch.is_empty() {
            end_run(&mut queues, self.runtime);
            drop(queues);
            self.is_over = true;
            return None;
        }
        Some(batch)
    }

    async fn send(&self, batch: Vec<Load>) {
        let mut gets = Pipeline::with_capacity(batch.len());
        let mut callers = VecDeque::with_capacity(batch.len());
        let now = Instant::now();
        for Load { key, caller } in batch {
            if caller.by <= now {
                caller.tell(Err(self.node.timed_out()));
                continue;
            }
            let mut get = Cmd::with_capacity(2, "GET".len() + key.len());
            get.arg("GET").arg(key);
            gets.add_command(get);
            callers.push_back(caller);
        }
        let Some(last) = callers.back().map(|caller| caller.by) else { return };
        let packet = Packet::Each(gets);
        let mut sending = pin!(self.node.lanes[self.lane].send(&self.node, &packet, last));
        let mut overdue = 0;
        let outcome = loop {
            // All have the same limit: who came first is the first to be overdue.
            let first = callers.front().map_or(last, |caller| caller.by);
            match timeout_at(first, &mut sending).await {
                Ok(outcome) => break outcome,
                Err(_) => overdue += 1,
            }
            if let Some(caller) = callers.pop_front() {
                caller.tell(Err(self.node.timed_out()));
            }
        };
        let failure = match outcome {
            Ok(Value::Array(values)) => {
                for (caller, value) in callers.into_iter().zip(values.into_iter().skip(overdue)) {
                    caller.tell(value.extract_error().map_err(|error| self.node.failure(error)));
                }
                return;
            }
            Ok(_) => Failure::Answer,
            Err(failure) => failure,
        };
        for caller in callers {
            caller.tell(Err(failure.clone()));
        }
    }
}

/// The end of a run that was not over: its runtime ends.
impl Drop for Sender {
    fn drop(&mut self) {
        if !self.is_over {
            // Nobody would send those who wait. They fail at once, outside of the lock.
            let lost = end_run(&mut self.queues(), self.runtime);
            drop(lost);
        }
    }
}

/// Gives the queue back if it was its last run.
fn end_run(queues: &mut Vec<Queue>, runtime: Id) -> Option<Queue> {
    let at = queues.iter().position(|queue| queue.runtime == runtime)?;
    queues[at].runs -= 1;
    (queues[at].runs == 0).then(|| queues.swap_remove(at))
}

impl fmt::Debug for Loads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues = self.0.lock();
        let waiting: usize = queues.iter().map(|queue| queue.waiting.len()).sum();
        let runs: usize = queues.iter().map(|queue| queue.runs).sum();
        f.debug_struct("Loads").field("waiting", &waiting).field("runs", &runs).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use redis::IntoConnectionInfo as _;
    use tokio::runtime::Builder;

    use super::super::{Access, Limits};
    use super::*;

    const LATER: Duration = Duration::from_secs(3600);

    fn node() -> Arc<Node> {
        node_at("192.0.2.1")
    }

    fn node_at(server: &str) -> Arc<Node> {
        let limits = Limits { connect: 10 * LATER, operation: LATER, connections: 1 };
        let info = format!("redis://{server}").into_connection_info().unwrap();
        let address = info.addr().clone();
        Arc::new(Node::new(Access { info, limits }, address))
    }

    /// A queue of this runtime with so many runs, none of which sends anything.
    fn queue(node: &Node, runs: usize) {
        let runtime = Handle::current().id();
        let queue = Queue { runtime, waiting: VecDeque::new(), runs };
        node.lanes[0].loads.0.lock().push(queue);
    }

    fn sender(node: &Arc<Node>) -> Sender {
        let node = Arc::clone(node);
        Sender { node, lane: 0, runtime: Handle::current().id(), is_over: false }
    }

    #[tokio::test]
    async fn rule_12_a_batch_is_bounded_and_without_those_who_left() {
        let (node, by) = (node(), Instant::now() + LATER);
        queue(&node, RUNS);
        let mut callers: Vec<_> =
            (0..3 * BATCH).map(|_| node.get_with_others("a", by).unwrap()).collect();
        // More than a batch of callers leave, one after the other.
        callers.drain(10..2 * BATCH);
        let mut sender = sender(&node);
        assert_eq!(sender.next_batch().unwrap().len(), BATCH);
        assert_eq!(sender.next_batch().unwrap().len(), 10);
        assert_eq!(sender.queues()[0].runs, RUNS);
        assert!(sender.next_batch().is_none());
        assert_eq!(sender.queues()[0].runs, RUNS - 1, "it is over");
    }

    #[tokio::test]
    async fn rule_12_so_many_wait_and_no_more() {
        let (node, by) = (node(), Instant::now() + LATER);
        assert!(node.get_with_others("alone", by).is_none());
        queue(&node, RUNS);
        let waiting: Vec<_> = (0..WAITING).map(|_| node.get_with_others("a", by)).collect();
        assert!(waiting.iter().all(Option::is_some));
        assert!(node.get_with_others("one too many", by).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn rule_10_each_load_ends_when_its_own_time_is_over() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let node = node_at(&silent.local_addr().unwrap().to_string());
        let begun = Instant::now();
        queue(&node, RUNS);
        let load = |hour| node.get_with_others("a", begun + hour * LATER).unwrap();
        let loads = [0, 1, 2].map(load);
        tokio::spawn(sender(&node).send_all());
        for (hour, load) in (0..).zip(loads) {
            assert!(load.await.is_err());
            assert_eq!(begun.elapsed().as_secs(), (hour * LATER).as_secs());
        }
    }

    #[test]
    fn loads_fail_with_the_runtime_that_would_send_them() {
        let (node, by) = (node(), Instant::now() + LATER);
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let load = {
            let _entered = runtime.enter();
            queue(&node, 1);
            runtime.spawn(sender(&node).send_all());
            node.get_with_others("a", by)
        };
        drop(runtime);
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let answer = runtime.block_on(load.expect("it goes with others"));
        assert!(matches!(answer, Err(Failure::Dropped(_))), "{answer:?}");
        assert!(node.lanes[0].loads.0.lock().is_empty());
    }

    #[test]
    fn a_runtime_that_stands_still_holds_up_its_own_loads_alone() {
        let (node, by) = (node(), Instant::now() + LATER);
        let [still, other] =
            [(), ()].map(|()| Builder::new_current_thread().enable_time().build().unwrap());
        let entered = still.enter();
        queue(&node, RUNS);
        assert!(node.get_with_others("a", by).is_some());
        drop(entered);
        let _entered = other.enter();
        assert!(node.get_with_others("a", by).is_none(), "it goes alone");
        queue(&node, RUNS);
        let load = node.get_with_others("a", by);
        assert!(load.is_some());
        assert_eq!(sender(&node).next_batch().unwrap().len(), 1);
    }
}
