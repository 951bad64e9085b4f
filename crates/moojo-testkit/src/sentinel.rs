use std::io;

use tempfile::TempDir;

use crate::patience::comes_to_be;
use crate::redis::say_to;
use crate::{Process, free_port};

/// A Redis Sentinel with a folder of its own.
#[derive(Debug)]
pub struct Sentinel {
    port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Sentinel {
    /// One that watches the server on port `master` under the name `mymaster`, and replaces it by a
    /// replica after a second.
    ///
    /// # Panics
    /// If there is no such program, or it does not come up.
    pub fn start(master: u16) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let settings = folder.path().join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\n\
             sentinel monitor mymaster 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds mymaster 1000\n\
             sentinel failover-timeout mymaster 3000\n",
            folder.path().display()
        );
        std::fs::write(&settings, text).expect("there is room");
        let args = [settings.to_str().expect("a plain name"), "--sentinel"];
        let process = Process::start("redis-server", &args, &folder.path().join("log"));
        assert!(comes_to_be(|| say_to(port, "PING").is_ok()), "the sentinel does not come up");
        Self { port, _process: process, _folder: folder }
    }

    /// What it says to a command.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub fn say(&self, command: &str) -> io::Result<String> {
        say_to(self.port, command)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}
