use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Level;
use tracing::subscriber::{DefaultGuard, set_default};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// All that is logged, as lines: each begins with its level.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The log of this thread, as long as the guard lives: for a test whose runtime has no other.
    pub fn of_thread() -> (Self, DefaultGuard) {
        let log = Self::default();
        let guard = set_default(log.subscriber());
        (log, guard)
    }

    /// The log of all threads, also what goes through the `log` crate: for the only test of a program.
    ///
    /// # Panics
    /// If there is one already.
    pub fn of_process() -> Self {
        let log = Self::default();
        log.subscriber().init();
        log
    }

    /// Adds what was shown in another way.
    pub fn note(&self, text: &str) {
        self.add(text.as_bytes());
    }

    /// All of it.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The lines in which all of this stands.
    pub fn lines_with(&self, texts: &[&str]) -> Vec<String> {
        let has_all = |line: &&str| texts.iter().all(|text| line.contains(text));
        self.text().lines().filter(has_all).map(str::to_owned).collect()
    }

    fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + use<> {
        let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
        // Its microseconds would now and then be what a test looks for.
        subscriber.without_time().with_writer(self.clone()).finish()
    }

    fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
