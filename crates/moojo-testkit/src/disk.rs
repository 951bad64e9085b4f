use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A small disk, in memory, which goes with this value.
#[derive(Debug)]
pub struct Disk(TempDir);

impl Disk {
    /// A new one of so many MiB, that belongs to this user. `None` where this process may not mount
    /// one: that takes root, and more than some containers give it.
    ///
    /// # Panics
    /// If there is no room for a temporary folder.
    pub fn mount(mebibytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=700"), "tmpfs"])
            .arg(folder.path())
            .output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder))
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
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}
