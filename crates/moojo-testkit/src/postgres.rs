use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::patience::{PATIENCE, PAUSE, comes_to_be};
use crate::{Disk, Process, free_port};

/// A PostgreSQL server on a free port, in a folder of its own that goes with it.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    owner: Option<Owner>,
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    process: Option<Process>,
}

/// The user that the server runs as where the tests run as root, which it refuses to.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Makes an empty database server and starts it, with settings such as `fsync=on`.
    ///
    /// Unless set otherwise nothing is synced to the disk, so it starts and commits quickly.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    pub async fn start(settings: &[&str]) -> Self {
        Self::start_with(settings, &[]).await
    }

    /// The same with files in its data folder, each with a name and a text, for the settings to name.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    pub async fn start_with(settings: &[&str], files: &[(&str, &str)]) -> Self {
        let programs = programs();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let owner = rustix::process::getuid().is_root().then(Owner::find);
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).expect("our folder");
        let defaults = [
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=32MB",
            "max_connections=100",
            "max_wal_size=128MB",
        ];
        let settings = defaults.iter().chain(settings).map(|&setting| setting.to_owned()).collect();
        let mut server = Self { programs, owner, folder, port: 0, settings, process: None };
        server.own(server.folder.path());
        server.make();
        for (name, text) in files {
            server.give(name, text);
        }
        let deadline = Instant::now() + PATIENCE;
        // A port that was free may be taken by the time that the server gets to it.
        loop {
            server.port = free_port();
            if server.runs(deadline).await {
                return server;
            }
        }
    }

    /// The port that it listens on, whether it runs or not.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where to connect to, as the owner of everything.
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// The same through a proxy on this port.
    pub fn url_through(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres")
    }

    /// `kill -9` of the server and all its processes at once, as when the power fails.
    pub fn kill(&mut self) {
        let Some(process) = self.process.take() else { return };
        // The first one stands still, so that it starts no further ones meanwhile.
        process.freeze();
        let children = children(process.pid());
        for &child in &children {
            let _ = kill_process(child, Signal::KILL);
        }
        process.kill();
        // A new server does not start while an old process holds the shared memory.
        let have_ended = comes_to_be(|| !children.iter().any(|&child| is_alive(child)));
        assert!(have_ended, "processes of the server do not end");
    }

    /// Starts it again after a [`kill`](Self::kill), on the same port and data, and waits until it
    /// takes connections.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        // Some connection may have the port for a while, as its own.
        while !self.runs(deadline).await {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Starts it and waits until it takes connections; or says that it has ended.
    async fn runs(&mut self, deadline: Instant) -> bool {
        let state = self.data().join("postmaster.pid");
        let _ = std::fs::remove_file(&state);
        let program = self.programs.join("postgres");
        let (data, port) = (self.data(), self.port.to_string());
        let mut args = vec![text(&program).to_owned()];
        args.extend(["-D".to_owned(), text(&data).to_owned(), "-p".to_owned(), port]);
        args.extend(self.settings.iter().flat_map(|it| ["-c".to_owned(), it.clone()]));
        let args = self.as_owner(args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let process = Process::start(args[0], &args[1..], &self.log());
        loop {
            // The eighth line says how far it has come. Who answers on the port could be another.
            let state = std::fs::read_to_string(&state).unwrap_or_default();
            let state = state.lines().nth(7).unwrap_or_default().trim();
            if matches!(state, "ready" | "standby") {
                self.process = Some(process);
                return true;
            }
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {}", self.said());
            if !is_alive(process.pid()) {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Stops the server and all its processes where they stand (SIGSTOP): connections stay open,
    /// and nothing is answered.
    pub fn freeze(&self) {
        let Some(process) = &self.process else { return };
        process.freeze();
        for child in children(process.pid()) {
            let _ = kill_process(child, Signal::STOP);
        }
    }

    /// Lets them go on (SIGCONT).
    pub fn thaw(&self) {
        let Some(process) = &self.process else { return };
        for child in children(process.pid()) {
            let _ = kill_process(child, Signal::CONT);
        }
        process.thaw();
    }

    /// Puts the write-ahead log on a disk of its own. The server starts anew with it.
    ///
    /// # Panics
    /// If the disk has no room for it, or the server does not start.
    pub async fn move_wal_to(&mut self, disk: &Disk) {
        self.kill();
        let (old, new) = (self.data().join("pg_wal"), disk.path().join("pg_wal"));
        let copied = Command::new("cp").arg("-a").args([&old, &new]).status();
        assert!(copied.is_ok_and(|status| status.success()), "the disk has no room for the log");
        self.own(disk.path());
        std::fs::remove_dir_all(&old).expect("it is ours");
        symlink(&new, &old).expect("its name is free");
        self.restart().await;
    }

    /// Gives a file or a folder to the user that the server runs as.
    ///
    /// # Panics
    /// If it is not there.
    pub fn own(&self, path: &Path) {
        if let Some(Owner { uid, gid }) = self.owner {
            chown(path, Some(uid), Some(gid)).expect("root gives files away");
        }
    }

    /// What it has written to its log.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn make(&self) {
        let (program, data) = (self.programs.join("initdb"), self.data());
        let mut args = vec![text(&program).to_owned()];
        let options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"];
        args.extend(options.map(str::to_owned));
        args.extend(["--no-sync".to_owned(), "-D".to_owned(), text(&data).to_owned()]);
        let args = self.as_owner(args);
        let made = Command::new(&args[0])
            .args(&args[1..])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("initdb can be started");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb fails: {said}");
    }

    /// Puts a file into the data folder that nobody but the server reads.
    fn give(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        std::fs::write(&path, text).expect("there is room");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our file");
        self.own(&path);
    }

    /// The command as the user that the server runs as.
    fn as_owner(&self, command: Vec<String>) -> Vec<String> {
        let Some(Owner { uid, gid }) = self.owner else { return command };
        let become_owner = [
            "setpriv".to_owned(),
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            "--clear-groups".to_owned(),
        ];
        become_owner.into_iter().chain(command).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Owner {
    /// Debian's `postgres`, or else `nobody`.
    fn find() -> Self {
        let users = std::fs::read_to_string("/etc/passwd").expect("there are users");
        let named = |name: &str| {
            let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
            let user = fields.into_iter().find(|fields| fields.len() > 3 && fields[0] == name)?;
            Some(Self { uid: user[2].parse().ok()?, gid: user[3].parse().ok()? })
        };
        named("postgres").or_else(|| named("nobody")).expect("a user that is not root")
    }
}

/// The folder of PostgreSQL's programs: that of the path, or Debian's latest.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    versions.sort_by_key(|bin| {
        let version = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        std::cmp::Reverse(version.and_then(|version| version.parse::<u32>().ok()))
    });
    folders.extend(versions);
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
    };
    folders.into_iter().find(has_all).expect("PostgreSQL is installed: scripts/servers")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder's name is text")
}

/// The processes that `parent` started. Each makes a process group of its own, so there is none to
/// send a signal to.
fn children(parent: Pid) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child =
        |pid: &i32| stat(*pid).is_some_and(|(_, of)| of == parent.as_raw_nonzero().get());
    pids.filter(is_child).filter_map(Pid::from_raw).collect()
}

fn is_alive(pid: Pid) -> bool {
    stat(pid.as_raw_nonzero().get()).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// A process's state and its parent.
fn stat(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before them is in parentheses, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
