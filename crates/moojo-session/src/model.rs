//! What model checks need: shuttle's locks and tasks behind the faces of parking_lot's and tokio's.
//!
//! It exists with `--cfg shuttle` only, and works within [`explore`] only.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use shuttle::future::JoinHandle;
use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

/// How many schedules of each kind are tried, unless the environment's `MODEL_ITERATIONS` says
/// otherwise.
const ITERATIONS: usize = 10_000;

/// How often the schedules of the second kind change their mind, plus one.
const PCT_DEPTH: usize = 3;

/// Runs a model under many schedules: at random, and by PCT, which finds what takes few but unlikely
/// turns. The seed is the same each time; `SHUTTLE_RANDOM_SEED` sets another.
///
/// # Panics
/// If the model does, or if all of its tasks wait for each other. The schedule is printed.
pub fn explore(model: impl Fn() + Clone + Send + Sync + 'static) {
    let iterations = std::env::var("MODEL_ITERATIONS").ok().and_then(|number| number.parse().ok());
    let iterations = iterations.unwrap_or(ITERATIONS);
    run(RandomScheduler::new_from_seed(9, iterations), model.clone());
    run(PctScheduler::new_from_seed(9, PCT_DEPTH, iterations), model);
}

fn run(scheduler: impl Scheduler + 'static, model: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(model);
}

/// As parking_lot's.
#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A mutex that is free.
    pub fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    /// Waits for it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        Guard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// What is in it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As parking_lot's.
#[derive(Debug, Default)]
pub struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// A lock that is free.
    pub fn new(value: T) -> Self {
        Self(shuttle::sync::RwLock::new(value))
    }

    /// Waits for it.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        Guard(Some(self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Waits for it.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        Guard(Some(self.0.write().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// As parking_lot's.
pub type MutexGuard<'a, T> = Guard<shuttle::sync::MutexGuard<'a, T>>;
/// As parking_lot's.
pub type RwLockReadGuard<'a, T> = Guard<shuttle::sync::RwLockReadGuard<'a, T>>;
/// As parking_lot's.
pub type RwLockWriteGuard<'a, T> = Guard<shuttle::sync::RwLockWriteGuard<'a, T>>;

/// One of shuttle's, after whose end others may come in: shuttle lets them in only before.
#[derive(Debug)]
pub struct Guard<G>(Option<G>);

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        self.0.as_deref().expect("there until it is dropped")
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        self.0.as_deref_mut().expect("there until it is dropped")
    }
}

impl<G> Drop for Guard<G> {
    fn drop(&mut self) {
        self.0 = None;
        shuttle::sync::atomic::AtomicBool::new(false).load(Ordering::Relaxed);
    }
}

/// A time limit below a second is over whenever shuttle says so; a longer one never is.
///
/// # Errors
/// [`Elapsed`].
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut future = pin!(future);
    let mut timer = pin!(some_turns());
    let can_elapse = limit < Duration::from_secs(1);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
        Poll::Pending if can_elapse => timer.as_mut().poll(cx).map(|()| {
            ELAPSED.set(ELAPSED.get() + 1);
            Err(Elapsed)
        }),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// How many time limits were over since this was last called.
pub fn take_elapsed() -> usize {
    ELAPSED.take()
}

/// Sleeps for as long as shuttle likes.
pub async fn sleep(_: Duration) {
    some_turns().await;
}

async fn some_turns() {
    for _ in 0..shuttle::rand::thread_rng().gen_range(1..12) {
        shuttle::future::yield_now().await;
    }
}

/// The time was over.
#[derive(Debug, thiserror::Error)]
#[error("the time was over")]
pub struct Elapsed;

/// As tokio's, with [`be_lost`] in the place of a panic or the end of the runtime.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    shuttle::future::spawn(Task(Some(Box::pin(future))))
}

struct Task(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

thread_local! {
    static LOST: Cell<bool> = const { Cell::new(false) };
    static ELAPSED: Cell<usize> = const { Cell::new(0) };
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(future) = &mut self.0 else { return Poll::Ready(()) };
        let poll = future.as_mut().poll(cx);
        // Nothing else has run since it was set.
        if LOST.take() {
            self.0 = None;
            return Poll::Ready(());
        }
        poll
    }
}

/// Ends the task of [`spawn`] that polls it: what the task was at work on is dropped here.
pub async fn be_lost() -> Infallible {
    poll_fn(|_| {
        LOST.set(true);
        Poll::Pending
    })
    .await
}
