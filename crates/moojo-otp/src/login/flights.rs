//! Calls that are under way, and those who wait for them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::Instrument;

use crate::sync::{Mutex, spawn};

/// One task for each key, whose outcome all who ask for the key meanwhile get. The task runs to its
/// end whether they wait or not. Clones are the same.
pub(super) struct Flights<K, T> {
    under_way: UnderWay<K, T>,
    limit: usize,
}

type UnderWay<K, T> = Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>;

/// Why there is no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoOutcome {
    /// So many tasks are under way as may be.
    Full,
    /// The task panicked, or its runtime was shut down.
    Lost,
}

impl<K, T> Flights<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new(limit: usize) -> Self {
        Self { under_way: UnderWay::default(), limit }
    }

    /// The outcome of the task under `key`, which is `task` if there is none yet.
    pub(super) async fn join<F>(&self, key: K, task: impl FnOnce() -> F) -> Result<T, NoOutcome>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut outcome = self.board(key, task)?;
        let outcome = outcome.wait_for(Option::is_some).await.map_err(|_| NoOutcome::Lost)?;
        outcome.clone().ok_or(NoOutcome::Lost)
    }

    fn board<F>(
        &self,
        key: K,
        task: impl FnOnce() -> F,
    ) -> Result<watch::Receiver<Option<T>>, NoOutcome>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = watch::channel(None);
        {
            let mut under_way = self.under_way.lock();
            if let Some(receiver) = under_way.get(&key) {
                return Ok(receiver.clone());
            }
            if under_way.len() >= self.limit {
                return Err(NoOutcome::Full);
            }
            under_way.insert(key.clone(), receiver.clone());
        }
        // From here on it is removed whatever happens, if only because there is no runtime.
        let landing = Landing { under_way: Arc::clone(&self.under_way), key };
        let task = task();
        let task = async move {
            let _landing = landing;
            let outcome = task.await;
            // Nobody may be left to take it.
            let _ = sender.send(Some(outcome));
        };
        spawn(task.in_current_span());
        Ok(receiver)
    }
}

/// Takes a task off the list when it ends, in whatever way.
struct Landing<K: Hash + Eq, T> {
    under_way: UnderWay<K, T>,
    key: K,
}

impl<K: Hash + Eq, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.key);
    }
}

impl<K, T> Clone for Flights<K, T> {
    fn clone(&self) -> Self {
        Self { under_way: Arc::clone(&self.under_way), limit: self.limit }
    }
}

#[cfg(all(test, shuttle))]
mod models;

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::future::{pending, ready};

    use tokio::sync::oneshot;

    use super::*;

    /// Lets the other tasks run until they wait.
    async fn turns() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn rule_9_all_who_ask_meanwhile_get_one_outcome() {
        let flights = Flights::new(1);
        let (go, gone) = oneshot::channel::<()>();
        let first = tokio::spawn({
            let flights = flights.clone();
            async move {
                let task = || async move {
                    gone.await.ok();
                    1
                };
                flights.join("a", task).await
            }
        });
        turns().await;
        let second = flights.join("a", || ready(2));
        go.send(()).unwrap();
        assert_eq!(second.await, Ok(1));
        assert_eq!(first.await.unwrap(), Ok(1));
        // A new one once it is over.
        assert_eq!(flights.join("a", || ready(3)).await, Ok(3));
    }

    #[tokio::test]
    async fn rule_12_there_is_a_limit() {
        let flights = Flights::new(1);
        flights.board("a", pending::<u8>).unwrap();
        assert_eq!(flights.join("b", || ready(1)).await, Err(NoOutcome::Full));
    }

    #[tokio::test]
    async fn rule_10_a_task_that_panics_leaves_nothing_behind() {
        let flights = Flights::<_, u8>::new(1);
        let lost = flights.join("a", || async { panic!("on purpose") }).await;
        assert_eq!(lost, Err(NoOutcome::Lost));
        turns().await;
        assert_eq!(flights.join("a", || ready(1)).await, Ok(1));
    }

    #[test]
    fn rule_10_without_a_runtime_nothing_is_left_behind() {
        let flights = Flights::<_, u8>::new(1);
        let board = std::panic::AssertUnwindSafe(|| flights.board("a", || ready(1)));
        assert!(std::panic::catch_unwind(board).is_err());
        assert!(flights.under_way.lock().is_empty());
    }
}
