//! Model checks of [`Flights`]; `scripts/model` runs them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use moojo_session::model::{be_lost, explore};
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::rand::{Rng, thread_rng};

use super::*;

type Outcome = Result<usize, NoOutcome>;

/// Flights of whom it is known what they do.
#[derive(Clone)]
struct World {
    flights: Flights<&'static str, usize>,
    tasks: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    /// Not one of shuttle's: nobody comes in between.
    outcomes: Arc<std::sync::Mutex<Vec<watch::Receiver<Option<usize>>>>>,
}

impl World {
    fn new(limit: usize) -> Self {
        Self {
            flights: Flights::new(limit),
            tasks: Arc::default(),
            running: Arc::default(),
            outcomes: Arc::default(),
        }
    }

    /// A task that gives its number. No other is under way meanwhile.
    async fn task(self) -> usize {
        assert_eq!(self.running.fetch_add(1, Ordering::Relaxed), 0, "two at once");
        yield_now().await;
        yield_now().await;
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.tasks.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A call, and how many tasks had ended when it began.
    async fn call(self) -> (usize, Outcome) {
        let before = self.tasks.load(Ordering::Relaxed);
        let task = || {
            // Whoever waits for an earlier one has its outcome.
            let own = self.flights.under_way.lock().get("a").cloned();
            let outcomes = self.outcomes.lock().unwrap();
            let is_own = |outcome| own.as_ref().is_some_and(|own| own.same_channel(outcome));
            assert!(outcomes.iter().all(|one| one.borrow().is_some() || is_own(one)));
            self.clone().task()
        };
        let mut outcome = match self.flights.board("a", task) {
            Ok(outcome) => outcome,
            Err(refused) => return (before, Err(refused)),
        };
        self.outcomes.lock().unwrap().push(outcome.clone());
        let outcome = outcome.wait_for(Option::is_some).await.map(|outcome| *outcome);
        (before, outcome.map(Option::unwrap).map_err(|_| NoOutcome::Lost))
    }

    /// Waits for all tasks to be taken off the list.
    async fn landed(&self) {
        while !self.flights.under_way.lock().is_empty() {
            yield_now().await;
        }
    }
}

fn model<F: Future<Output = ()>>(model: impl Fn() -> F + Clone + Send + Sync + 'static) {
    explore(move || block_on(model()));
}

#[test]
fn rule_9_one_task_at_a_time_whose_outcome_all_share() {
    model(async || {
        let world = World::new(1);
        let calls = [(); 3].map(|()| spawn(world.clone().call()));
        for call in calls {
            let (_, outcome) = call.await.unwrap();
            // A call gets the outcome of a task that was there, or of one of its own.
            assert!((1..=world.tasks.load(Ordering::Relaxed)).contains(&outcome.unwrap()));
        }
        world.landed().await;
        // A task for each call at most, and a new one once all have landed.
        let before = world.tasks.load(Ordering::Relaxed);
        assert!(before <= 3);
        assert_eq!(world.clone().call().await, (before, Ok(before + 1)));
    });
}

#[test]
fn rule_9_the_outcome_does_not_depend_on_any_caller_staying() {
    model(async || {
        let world = World::new(1);
        let leaves = spawn(world.clone().call());
        let stays = spawn(world.clone().call());
        leaves.abort();
        stays.await.unwrap().1.unwrap();
        world.landed().await;
        assert!((1..=2).contains(&world.tasks.load(Ordering::Relaxed)));
        assert_eq!(world.running.load(Ordering::Relaxed), 0);
    });
}

/// The first task ends without an outcome, as with its runtime.
#[test]
fn rule_10_a_task_that_is_lost_leaves_nothing_behind() {
    async fn lost(turns: usize) -> Infallible {
        for _ in 0..turns {
            yield_now().await;
        }
        be_lost().await
    }

    model(async || {
        let flights = Flights::<_, usize>::new(1);
        let call = |flights: Flights<_, _>| async move {
            let turns = thread_rng().gen_range(0..3);
            flights.join("a", || async move { match lost(turns).await {} }).await
        };
        let calls = [(); 3].map(|()| spawn(call(flights.clone())));
        for call in calls {
            assert_eq!(call.await.unwrap(), Err(NoOutcome::Lost));
        }
        while !flights.under_way.lock().is_empty() {
            yield_now().await;
        }
        assert_eq!(flights.join("a", || std::future::ready(1)).await, Ok(1));
    });
}

#[test]
fn rule_12_there_are_never_more_than_the_limit() {
    model(async || {
        let flights = Flights::<_, ()>::new(1);
        let running = Arc::new(AtomicUsize::new(0));
        let calls = ["a", "b"].map(|key| {
            let (flights, running) = (flights.clone(), running.clone());
            spawn(async move {
                let task = || async move {
                    assert_eq!(running.fetch_add(1, Ordering::Relaxed), 0);
                    yield_now().await;
                    running.fetch_sub(1, Ordering::Relaxed);
                };
                flights.join(key, task).await
            })
        });
        for call in calls {
            let outcome = call.await.unwrap();
            assert!(matches!(outcome, Ok(()) | Err(NoOutcome::Full)));
        }
    });
}
