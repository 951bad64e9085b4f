//! Counts the allocations of one request through each subject.
//!
//! `cargo run -p moojo-benches --bin allocations` prints them; with `-- --write` they go into
//! `docs/performance.md`.
#![allow(clippy::print_stdout)]

use std::{env, io};

use moojo_benches::report::{self, Table};
use moojo_benches::subject::{Kind, Subject, Subjects};
use moojo_benches::workload::{Ids, Users};

const REQUESTS: usize = 1000;

fn main() -> io::Result<()> {
    let users = Users::new(Ids::Short, 100);
    let subjects = Subjects::new(&users);
    let mut table = Table::new(["", "allocations a request", "above bare"]);
    for kind in Kind::ALL {
        let count = |kind| allocations(subjects.make(kind).as_mut());
        let all = count(kind);
        let net = kind.bare().map(|bare| shown(all - count(bare)));
        table.row([kind.title().to_owned(), shown(all), net.unwrap_or_default()]);
    }
    let text = table.into_text();
    if env::args().any(|argument| argument == "--write") {
        return report::write_section("allocations", &text);
    }
    println!("{text}");
    Ok(())
}

fn allocations(subject: &mut dyn Subject) -> f64 {
    let users: Vec<u32> = (0..100).cycle().take(REQUESTS).collect();
    let counted = allocation_counter::measure(|| subject.run(&users));
    counted.count_total as f64 / REQUESTS as f64
}

/// Moka's housekeeping now and then makes it no whole number.
fn shown(count: f64) -> String {
    format!("{count:.1}").trim_end_matches(".0").to_owned()
}
