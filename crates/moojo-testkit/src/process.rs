use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A program of another, which is killed when this value goes, or this process.
#[derive(Debug)]
pub struct Process {
    /// A shell that holds the program. It kills it as soon as nobody holds the other end of its
    /// standard input, however this process ends.
    shell: Child,
    pid: Pid,
}

/// Starts the program in the arguments, says its process id, and kills it at the end of the input. It
/// waits until it is gone, and with it its port.
const HOLD: &str = r#"log=$1; shift; "$@" >>"$log" 2>&1 </dev/null & echo $!; read -r _; kill -9 $! 2>/dev/null; wait"#;

impl Process {
    /// Starts `program`, which writes what it says to `log`.
    ///
    /// # Panics
    /// If there is no shell. A program that is missing says so in the log.
    pub fn start(program: &str, args: &[&str], log: &Path) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", HOLD, "sh"])
            .arg(log)
            .arg(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let output = shell.stdout.take().expect("it is piped");
        let mut pid = String::new();
        BufReader::new(output).read_line(&mut pid).expect("the shell says the process id");
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw).expect("a process id");
        Self { shell, pid }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(self) {}

    /// Stops it where it stands (SIGSTOP): it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        let _ = kill_process(self.pid, Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) {
        let _ = kill_process(self.pid, Signal::CONT);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill_process(self.pid, Signal::KILL);
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A port that nobody listens on at this moment. It is below those that the system gives to outgoing
/// connections, one of which could take it while the server is down.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    free_port_where(|_| true)
}

/// As [`free_port`], one that is good for the caller, too.
pub(crate) fn free_port_where(is_good: impl Fn(u16) -> bool) -> u16 {
    let mut ports = std::iter::repeat_with(|| fastrand::u16(10_000..32_000)).take(10_000);
    ports.find(|port| is_free(*port) && is_good(*port)).expect("a free port")
}

/// Whether nobody listens there.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
