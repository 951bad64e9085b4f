use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::Process;
use crate::patience::comes_to_be;
use crate::process::{free_port_where, is_free};

/// A Redis server with a folder of its own. Debian's package has the program.
#[derive(Debug)]
pub struct Redis {
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    process: Option<Process>,
}

impl Redis {
    /// A server that keeps nothing over a restart.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server that has written a change to disk before it acknowledges it.
    pub fn start_durable() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// A server with these arguments besides the usual ones.
    ///
    /// # Panics
    /// If there is no such program, or it does not come up.
    pub fn start_with(settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| setting.to_string()).collect();
        let folder = tempfile::tempdir().expect("a folder for the server");
        let mut redis = Self { folder, port: port_with_bus(), settings, process: None };
        // Somebody else may have taken the port meanwhile.
        if redis.try_start().is_err() {
            redis.port = port_with_bus();
            redis.restart();
        }
        redis
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port and with the same data, and waits until it answers.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn restart(&mut self) {
        if let Err(said) = self.try_start() {
            panic!("redis-server does not come up: {said}");
        }
    }

    /// Says what the server said if it does not come up.
    fn try_start(&mut self) -> Result<(), String> {
        self.kill();
        let folder = self.folder.path().to_str().expect("a folder with a plain name");
        let port = self.port.to_string();
        let usual = ["--bind", "127.0.0.1", "--port", &port, "--dir", folder, "--save", ""];
        let its = self.settings.iter().map(String::as_str);
        let args: Vec<_> = usual.into_iter().chain(its).collect();
        let log = self.folder.path().join("log");
        self.process = Some(Process::start("redis-server", &args, &log));
        if comes_to_be(|| self.is_up()) {
            return Ok(());
        }
        Err(std::fs::read_to_string(&log).unwrap_or_default())
    }

    /// Stops it where it stands: it keeps its connections, takes new ones and answers nothing.
    pub fn freeze(&self) {
        self.process.as_ref().expect("it runs").freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.as_ref().expect("it runs").thaw();
    }

    /// What the server says to a command, as it says it; everything of it that comes at once.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub fn say(&self, command: &str) -> io::Result<String> {
        say_to(self.port, command)
    }

    /// Whether it answers, has loaded its data, and is not somebody else's on the same port.
    fn is_up(&self) -> bool {
        let folder = self.folder.path().to_string_lossy();
        self.say("CONFIG GET dir").is_ok_and(|answer| answer.contains(&*folder))
            && self.say("DBSIZE").is_ok_and(|answer| answer.starts_with(':'))
    }
}

/// What the server on this port of this machine says to a command.
pub(crate) fn say_to(port: u16, command: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = vec![0; 64 * 1024];
    let read = connection.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}

/// A free port. The nodes of a cluster talk on another one, 10,000 above it: before Redis 7 it
/// cannot be chosen.
fn port_with_bus() -> u16 {
    free_port_where(|port| port < 22_000 && is_free(port + 10_000))
}

/// A Redis Cluster: three masters, and a replica of each.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Three masters and three replicas. A master that is gone for two seconds is replaced.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start() -> Self {
        let nodes: Vec<_> = (0..6)
            .map(|_| {
                let timing = ["--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0"];
                Redis::start_with(&[&["--cluster-enabled", "yes"], &timing[..]].concat())
            })
            .collect();
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port()));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .expect("redis-cli runs");
        let said = String::from_utf8_lossy(&created.stdout);
        assert!(created.status.success(), "the cluster is not made: {said}");
        let cluster = Self { nodes };
        assert!(comes_to_be(|| cluster.is_up()), "the cluster does not come up");
        cluster
    }

    /// The first three are the masters at the start.
    pub fn nodes(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }

    /// A URL of each node.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// Whether every node takes the cluster for complete, and every replica is in step.
    fn is_up(&self) -> bool {
        let says = |node: &Redis, command, text| {
            node.say(command).is_ok_and(|answer| answer.contains(text))
        };
        self.nodes.iter().all(|node| says(node, "CLUSTER INFO", "cluster_state:ok"))
            && self.nodes.iter().all(|node| {
                says(node, "INFO replication", "role:master")
                    || says(node, "INFO replication", "master_link_status:up")
            })
    }
}
