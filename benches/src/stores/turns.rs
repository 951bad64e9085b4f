//! One turn: as many calls as go in a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

/// What a turn came to.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Calls a second.
    pub rate: f64,
    /// Microseconds of a processor that this process took for a call. A server's are not in it.
    pub micros: f64,
}

impl Turn {
    fn new(calls: usize, begun: (Instant, Duration)) -> Self {
        let (since, before) = begun;
        let calls = calls as f64;
        let rate = calls / since.elapsed().as_secs_f64();
        Self { rate, micros: (process_time() - before).as_secs_f64() * 1e6 / calls }
    }
}

fn begin() -> (Instant, Duration) {
    (Instant::now(), process_time())
}

/// The time of all processors that this process took so far.
pub fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below 10^9"))
}

/// Calls by so many tasks. Each has a future of its own from `task`, which makes one call after the
/// other as long as its [`Calls`] go on, and gives them back. What it needs it has from the start:
/// it would share more than its store otherwise, which costs time. A call that never waits has to let
/// others run, or the time is never over.
pub fn tasks<F>(
    runtime: &Runtime,
    in_flight: usize,
    time: Duration,
    task: impl Fn(Calls) -> F,
) -> Turn
where
    F: Future<Output = Calls> + Send + 'static,
{
    runtime.block_on(async {
        let stop = Arc::new(AtomicBool::new(false));
        let begun = begin();
        let tasks: Vec<_> = (0..in_flight)
            .map(|number| tokio::spawn(task(Calls::new(number, Arc::clone(&stop)))))
            .collect();
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
        let mut made = 0;
        for task in tasks {
            made += task.await.expect("no call panics").made;
        }
        Turn::new(made, begun)
    })
}

/// The same with threads, each of which works on its own value.
pub fn threads<T: Send>(
    time: Duration,
    values: &mut [T],
    call: impl Fn(&mut T, usize) + Sync,
) -> Turn {
    let stop = Arc::new(AtomicBool::new(false));
    let begun = begin();
    let call = &call;
    let made: usize = thread::scope(|scope| {
        let threads: Vec<_> = values
            .iter_mut()
            .enumerate()
            .map(|(number, value)| {
                let mut calls = Calls::new(number, Arc::clone(&stop));
                scope.spawn(move || {
                    for pick in &mut calls {
                        call(value, pick);
                    }
                    calls.made
                })
            })
            .collect();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("no call panics")).sum()
    });
    Turn::new(made, begun)
}

/// Numbers that pick users, in no order that a cache could like, until the time is over. It counts
/// them.
#[derive(Debug)]
pub struct Calls {
    stop: Arc<AtomicBool>,
    made: usize,
    state: u64,
}

impl Calls {
    fn new(number: usize, stop: Arc<AtomicBool>) -> Self {
        let state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { stop, made: 0, state }
    }
}

impl Iterator for Calls {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        self.made += 1;
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        Some((self.state >> 33) as usize)
    }
}
