//! How a call gets to a thread that may block, and its answer back.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use moojo_session::StoreError;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::error::Failure;

/// A call that waits for its turn. It owns all that it needs: whoever called may be gone.
pub(crate) trait Job: Send {
    /// Whether anybody still waits for the answer. A call that was given up before its turn does
    /// not happen.
    fn is_awaited(&self) -> bool;

    /// Whether it takes much longer than others.
    fn is_long(&self) -> bool;

    /// Does the work. The writer may have to do it again, if a transaction was lost with it.
    fn run(&mut self, db: &Connection) -> Result<(), Failure>;

    /// Ends the call: with what the last run gave, or with this error.
    fn answer(self: Box<Self>, error: Option<StoreError>);
}

/// The calling side of a thread's queue, which has room for so many calls.
#[derive(Debug)]
pub(crate) struct Queue {
    jobs: Sender<Box<dyn Job>>,
    places: Arc<Semaphore>,
    limit: Duration,
}

impl Queue {
    /// A queue with this many places, whose calls take at most this long.
    pub(crate) fn new(places: usize, limit: Duration) -> (Self, Receiver<Box<dyn Job>>) {
        // Not bounded itself: who has a place never waits to send.
        let (jobs, receiver) = crossbeam_channel::unbounded();
        let places = Semaphore::new(places.min(Semaphore::MAX_PERMITS));
        (Self { jobs, places: Arc::new(places), limit }, receiver)
    }

    /// Has `work` done, and waits for what it gives. If the future is dropped, the work is done
    /// wholly or not at all.
    pub(crate) async fn call<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.call_within(self.limit, work, false).await
    }

    /// The same of work that takes ten times as long.
    pub(crate) async fn long_call<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.call_within(self.limit.saturating_mul(10), work, true).await
    }

    async fn call_within<T, F>(
        &self,
        limit: Duration,
        work: F,
        is_long: bool,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let end = Instant::now() + limit.min(LONGEST);
        let place = timeout_at(end, Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| StoreError::unavailable(format!("the queue was full for {limit:?}")))?
            .map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        let call = Call { work, value: None, is_long, reply, _place: place };
        self.jobs.send(Box::new(call)).map_err(|_| gone())?;
        match timeout_at(end, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(StoreError::timed_out(format!("SQLite gave no answer in {limit:?}"))),
        }
    }
}

/// The longest time limit, so that it can be added to a moment.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

fn gone() -> StoreError {
    StoreError::unavailable("the thread that works on the file has ended")
}

struct Call<T, F> {
    work: F,
    value: Option<T>,
    is_long: bool,
    reply: oneshot::Sender<Result<T, StoreError>>,
    /// Its place in the queue, until it is answered.
    _place: OwnedSemaphorePermit,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, Failure> + Send,
{
    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    fn is_long(&self) -> bool {
        self.is_long
    }

    fn run(&mut self, db: &Connection) -> Result<(), Failure> {
        self.value = Some((self.work)(db)?);
        Ok(())
    }

    fn answer(self: Box<Self>, error: Option<StoreError>) {
        let answer = match (error, self.value) {
            (Some(error), _) => Err(error),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(gone()),
        };
        // An error says that nobody waits any more.
        let _ = self.reply.send(answer);
    }
}
