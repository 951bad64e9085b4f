use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Level;
use tracing::subscriber::{DefaultGuard, set_default, set_global_default};
use tracing_subscriber::fmt::MakeWriter;

/// What is logged at `INFO` and above, as lines.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The log of this thread, as long as the guard lives: for a test whose runtime has no other.
    pub fn of_thread() -> (Self, DefaultGuard) {
        let log = Self::default();
        let guard = set_default(log.subscriber());
        (log, guard)
    }

    /// The log of all threads, for the only test of a program.
    ///
    /// # Panics
    /// If there is one already.
    pub fn of_process() -> Self {
        let log = Self::default();
        set_global_default(log.subscriber()).expect("the only test of its program");
        log
    }

    /// The lines in which all of this stands.
    pub fn lines_with(&self, texts: &[&str]) -> Vec<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        let has_all = |line: &&str| texts.iter().all(|text| line.contains(text));
        text.lines().filter(has_all).map(str::to_owned).collect()
    }

    fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + use<> {
        let subscriber = tracing_subscriber::fmt().with_max_level(Level::INFO).with_ansi(false);
        subscriber.with_writer(self.clone()).finish()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
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
