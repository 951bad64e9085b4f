//! Makes the table of `docs/performance.md` from criterion's output.
//!
//! `cargo run -p moojo-benches --bin table` prints it; with `-- --write` it goes into the document.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use moojo_benches::report::{self, Table};
use moojo_benches::subject::Kind;

/// Criterion's groups, and what to call them.
const GROUPS: [(&str, &str); 6] = [
    ("1000000-zipf", "1,000,000 users, Zipf 0.99"),
    ("1000000-uniform", "1,000,000 users, uniform"),
    ("1000000-zipf-uuid", "1,000,000 users, Zipf 0.99, ids of 36 characters"),
    ("100000-zipf", "100,000 users, Zipf 0.99"),
    ("100000-uniform", "100,000 users, uniform"),
    ("1-uniform", "1 user"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let write = env::args().any(|argument| argument == "--write");
    let directory = criterion_directory()?;
    let mut text = String::new();
    for (group, title) in GROUPS {
        text += &format!("### {title}\n\n{}\n", table(&directory.join(group))?);
    }
    if write {
        report::write_section("hot-path", &text)?;
    } else {
        println!("{text}");
    }
    Ok(())
}

/// Where `cargo bench` left its results: beside the folder that this program was built into,
/// unless `CRITERION_HOME` says otherwise.
fn criterion_directory() -> io::Result<PathBuf> {
    if let Some(home) = env::var_os("CRITERION_HOME") {
        return Ok(home.into());
    }
    let program = env::current_exe()?;
    let target = program.ancestors().nth(2).expect("built into a folder of the target folder");
    Ok(target.join("criterion"))
}

fn table(group: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let papaya = net_nanos(group, Kind::Papaya)?.unwrap_or(f64::NAN);
    let moka = net_nanos(group, Kind::Moka)?.unwrap_or(f64::NAN);
    let mut table = Table::new(["", "ns a request", "above bare", "to papaya", "to moka"]);
    for kind in Kind::ALL {
        let net = net_nanos(group, kind)?;
        table.row([
            kind.title().to_owned(),
            format!("{:.0}", median_nanos(group, kind)?),
            net.map(|net| format!("{net:.0}")).unwrap_or_default(),
            net.map(|net| format!("{:.2}", net / papaya)).unwrap_or_default(),
            net.map(|net| format!("{:.2}", net / moka)).unwrap_or_default(),
        ]);
    }
    Ok(table.into_text())
}

/// The cost above the bare service with the same request.
fn net_nanos(group: &Path, kind: Kind) -> Result<Option<f64>, Box<dyn std::error::Error>> {
    let Some(bare) = kind.bare() else { return Ok(None) };
    Ok(Some(median_nanos(group, kind)? - median_nanos(group, bare)?))
}

fn median_nanos(group: &Path, kind: Kind) -> Result<f64, Box<dyn std::error::Error>> {
    let path = group.join(kind.name()).join("new/estimates.json");
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}; run cargo bench first", path.display()))?;
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    let median = estimates["median"]["point_estimate"].as_f64();
    Ok(median.ok_or_else(|| format!("{}: no median", path.display()))?)
}
