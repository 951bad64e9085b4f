//! Counts what a live session takes of memory, with the share of each part.
//!
//! `cargo run --profile bench -p moojo-benches --bin memory` prints it; with `-- --write` it goes
//! into `docs/performance.md`.
#![allow(clippy::print_stdout)]

use std::{env, fs, io};

use moojo_benches::login::{log_all_in, runtime};
use moojo_benches::memory::{Count, Shares};
use moojo_benches::report::{self, Table};
use moojo_benches::workload::{Ids, Users};

/// Hash tables grow by leaps: at some of these numbers they have just done so, at others they are full.
const COUNTS: [usize; 4] = [100_000, 250_000, 500_000, 1_000_000];

const COUNT: Count = |code| allocation_counter::measure(code).bytes_current;

fn main() -> io::Result<()> {
    // Before anything else: later the process has freed memory to fill.
    let resident = resident_growth(1_000_000);
    let shares = COUNTS.map(|count| Shares::of(&Users::new(Ids::Short, count), COUNT));
    let mut text = table(&shares);
    if let Some(bytes) = resident {
        text += &format!(
            "\nWhat the system counts as resident grows by {:.0} bytes a session at 1,000,000: \
             with the allocator's own, and with what lies idle between blocks.\n",
            bytes / 1e6
        );
    }
    if env::args().any(|argument| argument == "--write") {
        return report::write_section("memory", &text);
    }
    println!("{text}");
    Ok(())
}

fn table(shares: &[Shares; COUNTS.len()]) -> String {
    let mut table = Table::new(["bytes a session", "100,000", "250,000", "500,000", "1,000,000"]);
    let mut row = |title: &str, share: fn(&Shares) -> i64| {
        let [a, b, c, d] = shares.map(|at| format!("{:.0}", at.per_session(share(&at))));
        table.row([title.to_owned(), a, b, c, d]);
    };
    row("token, a finished header value", |at| at.tokens);
    row("record: id, times, public texts", |at| at.records);
    row("store: moka's entries, table, timers", |at| at.store);
    row("slots", |at| at.slots);
    row("table of the slots", |at| at.table);
    row("an empty manager and store", |at| at.empty);
    row("**all, counted as a whole**", |at| at.all);
    table.into_text()
}

/// How many bytes the process grows by, on systems that tell it.
fn resident_growth(users: usize) -> Option<f64> {
    let before = resident()?;
    let runtime = runtime();
    let manager = log_all_in(&Users::new(Ids::Short, users), &runtime);
    let after = resident()?;
    drop(manager);
    Some(after - before)
}

fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0)
}
