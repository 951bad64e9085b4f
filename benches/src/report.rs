//! Tables for people, and their places in `docs/performance.md`.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

/// The file that the tables are written to.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance.md");

const END: &str = "<!-- /table -->";

/// A table in Markdown. The first column is text, the others are numbers.
#[derive(Debug)]
pub struct Table {
    text: String,
}

impl Table {
    /// A table with these columns.
    pub fn new<const N: usize>(columns: [&str; N]) -> Self {
        let mut table = Self { text: String::new() };
        table.row(columns.map(str::to_owned));
        table
            .row(std::array::from_fn::<_, N, _>(|i| if i == 0 { "---" } else { "--:" }.to_owned()));
        table
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    /// The Markdown.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// Puts `text` between `<!-- table:name -->` and `<!-- /table -->` in `docs/performance.md`.
///
/// # Errors
/// If the file cannot be read or written, or does not have the two marks.
pub fn write_section(name: &str, text: &str) -> io::Result<()> {
    let path = Path::new(DOCUMENT);
    let document = fs::read_to_string(path)?;
    match replace_section(&document, name, text) {
        Some(document) => fs::write(path, document),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, format!("no place for {name}"))),
    }
}

fn replace_section(document: &str, name: &str, text: &str) -> Option<String> {
    let start = format!("<!-- table:{name} -->");
    let from = document.find(&start)? + start.len();
    let to = from + document[from..].find(END)?;
    Some(format!("{}\n{}\n{}", &document[..from], text.trim_end(), &document[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let document =
            "a\n<!-- table:x -->\nold\n<!-- /table -->\nb\n<!-- table:y -->\n<!-- /table -->\n";
        assert_eq!(
            replace_section(document, "x", "new\n").as_deref(),
            Some(
                "a\n<!-- table:x -->\nnew\n<!-- /table -->\nb\n<!-- table:y -->\n<!-- /table -->\n"
            )
        );
        assert_eq!(replace_section(document, "z", ""), None);
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(["what", "ns"]);
        table.row(["a".to_owned(), "1".to_owned()]);
        assert_eq!(table.into_text(), "| what | ns |\n| --- | --: |\n| a | 1 |\n");
    }
}
