//! This program as another process.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{crash, locked, read_only, threads};

/// Starts this program again, to do what `part` says to the file at `path`.
pub(crate) fn start(part: &str, path: &Path) -> Child {
    command(part, path).spawn().unwrap()
}

pub(crate) fn command(part: &str, path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "child::part", "--nocapture"])
        .env("MOOJO_SQLITE_PART", part)
        .env("MOOJO_SQLITE_PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// What a child says to its parent.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // One write: a line is there wholly or not.
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What the child says, line by line, until it ends.
pub(crate) fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    std::iter::from_fn(move || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        // The last one may be cut.
        line.ends_with('\n').then(|| line.trim_end().to_owned())
    })
}

/// Not a test, but what a child does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part() {
    let Ok(part) = env::var("MOOJO_SQLITE_PART") else { return };
    let path = env::var("MOOJO_SQLITE_PATH").unwrap();
    let path = Path::new(&path);
    match part.as_str() {
        "save" => crash::save_until_killed(path).await,
        "lock" => locked::hold_lock(path),
        "read only" => read_only::in_a_file_that_cannot_be_written().await,
        "threads" => threads::end_with_the_store(path).await,
        other => panic!("no part is called {other}"),
    }
}
