//! What the guide to scaling says of the log is what the code says to the log.

use std::fs;
use std::path::{Path, PathBuf};

/// Every `what` of a line, from the code of all crates.
fn names(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            // Not those of the documentation.
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                let Some((_, rest)) = line.split_once("StoreLog::new(\"") else { continue };
                found.extend(rest.split_once('"').map(|(name, _)| name.to_owned()));
            }
        }
    }
}

#[test]
fn the_guide_has_every_name_of_the_log_and_no_other() {
    let crates = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates"));
    let mut said = Vec::new();
    for entry in fs::read_dir(crates).unwrap() {
        names(&entry.unwrap().path().join("src"), &mut said);
    }
    said.sort();
    said.dedup();
    assert!(said.len() >= 10, "{said:?}");

    let guide = include_str!("../../docs/scaling.md");
    let (_, table) = guide.split_once("| `what` |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    let mut listed: Vec<_> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    listed.sort();
    assert_eq!(listed, said);
}
