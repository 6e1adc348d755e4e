//! The table of results: a Markdown text that is its own memory, so that a run of a part keeps what earlier runs found.

use std::process::Command;

use anyhow::{Context, Result};

use super::rows::{COLUMNS, ROWS, Row};

/// Where the table of the last runs on this machine lies, below `target/`.
const LAST: &str = "compat.md";
/// Where the table is for everybody to see.
const SUPPORT: &str = "hypervisor/SUPPORT.md";
const BEGIN: &str = "<!-- compat: written by `cargo xtask test --all`; what stands between these two lines is not edited by hand -->";
const END: &str = "<!-- compat: end -->";

/// What is known of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    /// There is no such test.
    None,
    /// Never run.
    Open,
    /// How it ended, and on which day: `YYYY-MM-DD`.
    Done { is_good: bool, day: String },
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Self::None => "–".to_owned(),
            Self::Open => "not run".to_owned(),
            Self::Done { is_good, day } => {
                format!("{} {day}", if *is_good { "ok" } else { "FAIL" })
            }
        }
    }

    /// Reads a cell that was run; anything else is nothing.
    fn read(text: &str) -> Option<Self> {
        let (word, day) = text.trim().split_once(' ')?;
        let is_good = match word {
            "ok" => true,
            "FAIL" => false,
            _ => return None,
        };
        let is_day = day.len() == 10
            && day
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-');
        is_day.then(|| Self::Done {
            is_good,
            day: day.to_owned(),
        })
    }
}

/// A line: what it is about, and its cells.
#[derive(Clone, Debug)]
struct Line {
    row: &'static Row,
    host: String,
    bed: &'static str,
    cells: [Cell; COLUMNS.len()],
}

/// The whole table.
#[derive(Clone, Debug)]
struct Table(Vec<Line>);

impl Table {
    /// All that is planned, nothing run.
    fn planned() -> Self {
        let mut lines = Vec::new();
        for row in ROWS {
            for place in row.places {
                lines.push(Line {
                    row,
                    host: place.host(),
                    bed: place.bed.name,
                    cells: COLUMNS.map(|cpus| match place.has(cpus) {
                        true => Cell::Open,
                        false => Cell::None,
                    }),
                });
            }
        }
        Self(lines)
    }

    /// Takes over the cells of an earlier table that are newer, or as new.
    fn take(&mut self, text: &str) {
        for found in text.lines().filter(|line| line.starts_with('|')) {
            let words: Vec<&str> = found.trim_matches('|').split('|').map(str::trim).collect();
            let (Some(head), Some(cells)) = (words.get(..3), words.get(3..)) else {
                continue;
            };
            for line in &mut self.0 {
                if line.head() == head {
                    for (cell, text) in line.cells.iter_mut().zip(cells) {
                        cell.renew(Cell::read(text));
                    }
                }
            }
        }
    }

    /// Notes how a test ended; `false` if it is none of the table.
    fn note(&mut self, test: &str, is_good: bool, day: &str) -> bool {
        for line in &mut self.0 {
            for (cell, cpus) in line.cells.iter_mut().zip(COLUMNS) {
                if *cell != Cell::None && test == format!("{}/{}", line.bed, line.row.test(cpus)) {
                    let day = day.to_owned();
                    cell.renew(Some(Cell::Done { is_good, day }));
                    return true;
                }
            }
        }
        false
    }

    fn text(&self) -> String {
        let mut text = String::from("| guest | started by | host |");
        for cpus in COLUMNS {
            text += &format!(" {cpus} vCPU{} |", if cpus == 1 { "" } else { "s" });
        }
        text += "\n|---|---|---|";
        text += &"---|".repeat(COLUMNS.len());
        text.push('\n');
        for line in &self.0 {
            text += &format!("| {} |", line.head().join(" | "));
            for cell in &line.cells {
                text += &format!(" {} |", cell.text());
            }
            text.push('\n');
        }
        text
    }
}

impl Line {
    fn head(&self) -> [String; 3] {
        [
            format!("`{}`", self.row.guest),
            self.row.way.to_owned(),
            format!("{} (`{}`)", self.host, self.bed),
        ]
    }
}

impl Cell {
    fn renew(&mut self, other: Option<Self>) {
        let Some(Self::Done { day: new, .. }) = &other else {
            return;
        };
        let is_newer = match self {
            Self::None => false,
            Self::Open => true,
            // Days of this form sort as text.
            Self::Done { day, .. } => new >= day,
        };
        if is_newer && let Some(other) = other {
            *self = other;
        }
    }
}

/// Notes in `target/compat.md` how a test ended, if it is one of the table's.
///
/// # Errors
/// The file cannot be written.
pub fn note(test: &str, is_good: bool) -> Result<()> {
    let day = xtask::command::output(Command::new("date").args(["-u", "+%F"]))?;
    let mut table = last()?;
    if table.note(test, is_good, day.trim()) {
        let path = xtask::paths::target(LAST)?;
        std::fs::write(&path, table.text())
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Brings what `target/compat.md` holds to `hypervisor/SUPPORT.md`.
///
/// # Errors
/// A file cannot be read or written, or `SUPPORT.md` has lost the two lines that the table stands between.
pub fn bring_to_support() -> Result<()> {
    let path = xtask::paths::root().join(SUPPORT);
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    std::fs::write(&path, replaced(&text, &last()?)?)
        .with_context(|| format!("writing {}", path.display()))
}

/// What the last runs on this machine found.
fn last() -> Result<Table> {
    let mut table = Table::planned();
    if let Ok(text) = std::fs::read_to_string(xtask::paths::target(LAST)?) {
        table.take(&text);
    }
    Ok(table)
}

/// The text with its table brought up to date.
fn replaced(text: &str, table: &Table) -> Result<String> {
    let lost = || format!("{SUPPORT} has no line `{BEGIN}` or `{END}`");
    let (before, rest) = text.split_once(BEGIN).with_context(lost)?;
    let (old, after) = rest.split_once(END).with_context(lost)?;
    let mut newer = Table::planned();
    newer.take(old);
    newer.take(&table.text());
    Ok(format!("{before}{BEGIN}\n\n{}\n{END}{after}", newer.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_itself() {
        let mut table = Table::planned();
        assert!(table.note("qemu/compat/gnumach/1", false, "2026-11-22"));
        assert!(!table.note("qemu/guest/cpuid", true, "2026-11-22"));
        let text = table.text();
        assert!(text.contains(
            "| `gnumach` | Multiboot 1, ELF64 | AMD-V, 1 CPU (`qemu`) | FAIL 2026-11-22 | – |"
        ));
        let mut other = Table::planned();
        other.take(&text);
        assert_eq!(other.text(), text);
    }

    #[test]
    fn a_part_keeps_the_rest_and_the_newer_word_counts() {
        let mut old = Table::planned();
        old.note("qemu/compat/gnumach/1", false, "2026-11-22");
        old.note("qemu/compat/debian/1", true, "2026-11-22");
        let page = format!("# x\n{BEGIN}\n\n{}\n{END}\nrest\n", old.text());
        let mut new = Table::planned();
        new.note("qemu/compat/gnumach/1", true, "2026-12-01");
        let page = replaced(&page, &new).unwrap();
        assert!(page.contains("| ok 2026-12-01 |") && page.contains("| ok 2026-11-22 |"));
        assert!(!page.contains("FAIL") && page.starts_with("# x\n") && page.ends_with("\nrest\n"));
        // An old run that is noted later does not win.
        assert_eq!(replaced(&page, &old).unwrap(), page);
    }

    #[test]
    fn the_page_has_a_place_for_it() {
        let page = xtask::paths::root().join(SUPPORT);
        let text = std::fs::read_to_string(page).unwrap();
        replaced(&text, &Table::planned()).unwrap();
    }
}
