//! The grid of cells: what should be seen, and what has been drawn.

use alloc::vec;
use alloc::vec::Vec;

/// One cell: a printable ASCII symbol, and whether the cursor stands on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell(u8);

const CURSOR: u8 = 0x80;
const BLANK: Cell = Cell(b' ');
/// No picture yet; equal to no cell that can be wanted.
const NEVER_DRAWN: Cell = Cell(0);

impl Cell {
    pub(crate) fn symbol(self) -> u8 {
        self.0 & !CURSOR
    }

    pub(crate) fn is_cursor(self) -> bool {
        self.0 & CURSOR != 0
    }
}

/// The cells, row by row. `wanted` is a ring: the row shown first is `first_row`.
pub(crate) struct Grid {
    columns: usize,
    rows: usize,
    wanted: Vec<Cell>,
    drawn: Vec<Cell>,
    first_row: usize,
    column: usize,
    row: usize,
    /// Where the search for stale cells goes on, and how many in a row were found fresh.
    scan: usize,
    fresh_run: usize,
}

impl Grid {
    pub(crate) fn new(columns: usize, rows: usize) -> Self {
        let count = columns * rows;
        Self {
            columns,
            rows,
            wanted: vec![BLANK; count],
            drawn: vec![NEVER_DRAWN; count],
            first_row: 0,
            column: 0,
            row: 0,
            scan: 0,
            fresh_run: 0,
        }
    }

    fn index(&self, column: usize, row: usize) -> usize {
        let ring_row = self.first_row + row;
        let ring_row = if ring_row >= self.rows {
            ring_row - self.rows
        } else {
            ring_row
        };
        ring_row * self.columns + column
    }

    /// Puts a symbol at the cursor and moves on.
    pub(crate) fn put(&mut self, symbol: u8) {
        if self.column >= self.columns {
            self.new_line();
        }
        let at = self.index(self.column, self.row);
        if let Some(cell) = self.wanted.get_mut(at) {
            *cell = Cell(symbol);
            self.column += 1;
            self.fresh_run = 0;
        }
    }

    /// Moves to the start of the next line, scrolling at the bottom.
    pub(crate) fn new_line(&mut self) {
        self.column = 0;
        self.fresh_run = 0;
        if self.row + 1 < self.rows {
            self.row += 1;
            return;
        }
        if self.rows == 0 {
            return;
        }
        // The oldest row becomes the newest.
        let oldest = self.first_row * self.columns;
        if let Some(cells) = self.wanted.get_mut(oldest..oldest + self.columns) {
            cells.fill(BLANK);
        }
        self.first_row = (self.first_row + 1) % self.rows;
    }

    pub(crate) fn carriage_return(&mut self) {
        self.column = 0;
        self.fresh_run = 0;
    }

    pub(crate) fn back(&mut self) {
        self.column = self.column.saturating_sub(1);
        self.fresh_run = 0;
    }

    pub(crate) fn tab(&mut self) {
        for _ in self.column % 8..8 {
            self.put(b' ');
        }
    }

    /// What should be seen at a place on the screen.
    fn wanted_at(&self, column: usize, row: usize) -> Cell {
        let cell = self
            .wanted
            .get(self.index(column, row))
            .copied()
            .unwrap_or(BLANK);
        if (column, row) == (self.column, self.row) {
            Cell(cell.0 | CURSOR)
        } else {
            cell
        }
    }

    /// Whether a cell may be out of date. True may be wrong, false is not.
    pub(crate) fn has_stale(&self) -> bool {
        self.fresh_run < self.drawn.len()
    }

    /// Finds the next cell whose picture is out of date, and takes it as drawn. Looks at `looks` cells at most, and
    /// counts them down.
    pub(crate) fn next_stale(&mut self, looks: &mut usize) -> Option<(usize, usize, Cell)> {
        while self.has_stale() {
            *looks = looks.checked_sub(1)?;
            let at = self.scan;
            self.scan = if at + 1 >= self.drawn.len() {
                0
            } else {
                at + 1
            };
            self.fresh_run += 1;
            let (column, row) = (at % self.columns, at / self.columns);
            let wanted = self.wanted_at(column, row);
            let drawn = self.drawn.get_mut(at)?;
            if *drawn != wanted {
                *drawn = wanted;
                return Some((column, row, wanted));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    fn lines(grid: &Grid) -> Vec<String> {
        (0..grid.rows)
            .map(|row| {
                (0..grid.columns)
                    .map(|column| char::from(grid.wanted_at(column, row).symbol()))
                    .collect()
            })
            .collect()
    }

    fn typed(text: &str) -> Grid {
        let mut grid = Grid::new(4, 2);
        for byte in text.bytes() {
            match byte {
                b'\n' => grid.new_line(),
                byte => grid.put(byte),
            }
        }
        grid
    }

    #[test]
    fn long_lines_wrap_and_the_top_scrolls_away() {
        assert_eq!(lines(&typed("abcdef")), ["abcd", "ef  "]);
        assert_eq!(lines(&typed("a\nb\nc")), ["b   ", "c   "]);
    }

    #[test]
    fn scrolling_redraws_only_cells_that_changed() {
        let mut grid = typed("a\na");
        while grid.next_stale(&mut 100).is_some() {}
        grid.new_line();
        grid.put(b'a');
        // Both rows start with an a again, and the cursor stands where it stood.
        assert_eq!(grid.next_stale(&mut 100), None);
    }
}
