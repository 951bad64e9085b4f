use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::getuid;
use tempfile::TempDir;

/// A small disk, in memory, which goes with this value.
#[derive(Debug)]
pub struct Disk(TempDir);

impl Disk {
    /// A new one of so many MiB, that belongs to this user. `None` where this process may not mount
    /// one: that takes root, or `sudo` that asks for no password, and more than some containers give.
    ///
    /// # Panics
    /// If there is no room for a temporary folder; and where `CI` is set, if it may not mount one: no
    /// test is left out there without a word.
    pub fn mount(mebibytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let user = getuid().as_raw();
        let options = format!("size={mebibytes}m,mode=700,uid={user}");
        let is_mounted = as_root(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs"], folder.path());
        let is_ci = std::env::var_os("CI").is_some();
        assert!(is_mounted || !is_ci, "no disk can be mounted, which a test needs");
        is_mounted.then(|| Self(folder))
    }

    /// Its topmost folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room on it.
    ///
    /// # Panics
    /// If it cannot be written to for another reason.
    pub fn fill_up(&self) {
        let mut filler = File::create(self.filler()).expect("a name takes no room");
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    /// Gives the room back that [`fill_up`](Self::fill_up) took.
    ///
    /// # Panics
    /// If it took none.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("the filler is there");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        as_root(&["umount", "-l"], self.path());
    }
}

/// Runs a command on `path`, as this user or else through `sudo`. Whether one of them could.
fn as_root(command: &[&str], path: &Path) -> bool {
    let through_sudo = [&["sudo", "-n"], command].concat();
    [command, &through_sudo].into_iter().any(|command| {
        let done = Command::new(command[0]).args(&command[1..]).arg(path).output();
        done.is_ok_and(|output| output.status.success())
    })
}
