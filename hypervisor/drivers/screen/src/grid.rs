//! The grid of cells: what should be seen, and what has been drawn.

use crate::packed::{Look, Looks, Packed};
use alloc::vec;
use alloc::vec::Vec;
use terminal::Attributes;

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) symbol: char,
    pub(crate) attributes: Attributes,
    pub(crate) is_cursor: bool,
}

/// No picture yet; equal to no cell that can be wanted.
const NEVER_DRAWN: char = '\0';

/// The cells, row by row.
pub(crate) struct Grid {
    columns: usize,
    rows: usize,
    wanted: Vec<Packed>,
    /// Which row of `wanted` is seen in each row: rows move without their cells.
    order: Vec<usize>,
    /// Contents of the main screen while the alternate one is seen.
    main: Option<Vec<Packed>>,
    looks: Looks,
    drawn: Vec<Packed>,
    /// The cursor; past the last column when the next symbol goes to the next line.
    column: usize,
    row: usize,
    saved: (usize, usize),
    /// The first and the last row that scroll.
    region: (usize, usize),
    pub(crate) attributes: Attributes,
    pub(crate) is_cursor_hidden: bool,
    pub(crate) is_wrap_off: bool,
    pub(crate) is_inserting: bool,
    /// A row below the others that takes no text: the status line.
    status: Vec<Packed>,
    /// Where the search for stale cells goes on, and how many in a row were found fresh.
    scan: usize,
    fresh_run: usize,
}

impl Grid {
    /// So many columns and rows, one of which is the status line where there are several.
    pub(crate) fn new(columns: usize, rows: usize) -> Self {
        let has_status = rows > 1;
        let text_rows = rows - usize::from(has_status);
        let blank = Packed::new(' ', Look::default());
        let never = Packed::new(NEVER_DRAWN, Look::default());
        Self {
            columns,
            rows: text_rows,
            wanted: vec![blank; columns * text_rows],
            order: (0..text_rows).collect(),
            main: None,
            looks: Looks::new(),
            drawn: vec![never; columns * rows],
            column: 0,
            row: 0,
            saved: (0, 0),
            region: (0, text_rows.saturating_sub(1)),
            attributes: Attributes::default(),
            is_cursor_hidden: false,
            is_wrap_off: false,
            is_inserting: false,
            status: vec![blank; if has_status { columns } else { 0 }],
            scan: 0,
            fresh_run: 0,
        }
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    fn touch(&mut self) {
        self.fresh_run = 0;
    }

    /// The cells of a row.
    fn row_mut(&mut self, row: usize) -> &mut [Packed] {
        self.touch();
        let Some(at) = self.order.get(row).map(|at| at * self.columns) else {
            return &mut [];
        };
        self.wanted
            .get_mut(at..at + self.columns)
            .unwrap_or_default()
    }

    /// Puts a symbol at the cursor and moves on.
    pub(crate) fn put(&mut self, symbol: char) {
        if self.column >= self.columns {
            if self.is_wrap_off {
                self.column = self.columns.saturating_sub(1);
            } else {
                self.column = 0;
                self.line_feed();
            }
        }
        if self.is_inserting {
            self.insert_cells(1);
        }
        let cell = Packed::new(symbol, self.look(self.attributes));
        let (column, row) = (self.column, self.row);
        if let Some(place) = self.row_mut(row).get_mut(column) {
            *place = cell;
            self.column += 1;
        }
    }

    /// The number of a look.
    fn look(&mut self, attributes: Attributes) -> Look {
        if let Some(look) = self.looks.find(attributes) {
            return look;
        }
        if self.looks.is_sweep_due() {
            let shown = self.wanted.iter().chain(&self.drawn).chain(&self.status);
            let cells = shown.chain(self.main.iter().flatten());
            self.looks.sweep(cells.copied());
        }
        self.looks.add(attributes).unwrap_or_default()
    }

    /// One row down, scrolling at the bottom of the region.
    pub(crate) fn line_feed(&mut self) {
        self.touch();
        if self.row == self.region.1 {
            self.scroll_up(self.region.0, 1);
        } else if self.row + 1 < self.rows {
            self.row += 1;
        }
    }

    /// One row up, scrolling at the top of the region.
    pub(crate) fn reverse_feed(&mut self) {
        self.touch();
        if self.row == self.region.0 {
            self.scroll_down(self.region.0, 1);
        } else {
            self.row = self.row.saturating_sub(1);
        }
    }

    /// The rows from `top` to the end of the region move up; blank ones come in at the bottom.
    pub(crate) fn scroll_up(&mut self, top: usize, count: usize) {
        let bottom = self.region.1;
        let Some(rows) = self.order.get_mut(top..=bottom) else {
            return;
        };
        let count = count.min(rows.len());
        rows.rotate_left(count);
        for row in bottom + 1 - count..=bottom {
            self.erase_row(row, 0, usize::MAX);
        }
    }

    /// The rows from `top` to the end of the region move down; blank ones come in at the top.
    pub(crate) fn scroll_down(&mut self, top: usize, count: usize) {
        let bottom = self.region.1;
        let Some(rows) = self.order.get_mut(top..=bottom) else {
            return;
        };
        let count = count.min(rows.len());
        rows.rotate_right(count);
        for row in top..top + count {
            self.erase_row(row, 0, usize::MAX);
        }
    }

    pub(crate) fn region(&self) -> (usize, usize) {
        self.region
    }

    /// Sets the first and the last row that scroll; the cursor goes home.
    pub(crate) fn set_region(&mut self, top: usize, bottom: usize) {
        let last = self.rows.saturating_sub(1);
        let bottom = bottom.min(last);
        if top < bottom || self.rows <= 1 {
            self.region = (top.min(bottom), bottom);
            self.go(0, 0);
        }
    }

    pub(crate) fn column(&self) -> usize {
        self.column.min(self.columns.saturating_sub(1))
    }

    pub(crate) fn row(&self) -> usize {
        self.row
    }

    /// Moves the cursor, as far as there are cells.
    pub(crate) fn go(&mut self, column: usize, row: usize) {
        self.touch();
        self.column = column.min(self.columns.saturating_sub(1));
        self.row = row.min(self.rows.saturating_sub(1));
    }

    pub(crate) fn save_cursor(&mut self) {
        self.saved = (self.column, self.row);
    }

    pub(crate) fn restore_cursor(&mut self) {
        let (column, row) = self.saved;
        self.go(column, row);
    }

    /// Erases the cells of a row from one column to before another.
    pub(crate) fn erase_row(&mut self, row: usize, from: usize, to: usize) {
        // Erased cells take the colour of the paper and nothing else.
        let blank = Attributes {
            paper: self.attributes.paper,
            ..Attributes::default()
        };
        let blank = Packed::new(' ', self.look(blank));
        let cells = self.row_mut(row);
        let to = to.min(cells.len());
        if let Some(cells) = cells.get_mut(from..to) {
            cells.fill(blank);
        }
    }

    /// Erases whole rows from one to before another.
    pub(crate) fn erase_rows(&mut self, from: usize, to: usize) {
        for row in from..to.min(self.rows) {
            self.erase_row(row, 0, usize::MAX);
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Makes room for so many cells at the cursor; what is pushed out at the end is lost.
    pub(crate) fn insert_cells(&mut self, count: usize) {
        let (column, row) = (self.column(), self.row);
        if let Some(cells) = self.row_mut(row).get_mut(column..) {
            let count = count.min(cells.len());
            cells.rotate_right(count);
        }
        self.erase_row(row, column, column.saturating_add(count));
    }

    /// Takes out so many cells at the cursor; blank ones come in at the end.
    pub(crate) fn delete_cells(&mut self, count: usize) {
        let (column, row) = (self.column(), self.row);
        let mut first_blank = self.columns;
        if let Some(cells) = self.row_mut(row).get_mut(column..) {
            let count = count.min(cells.len());
            cells.rotate_left(count);
            first_blank -= count;
        }
        self.erase_row(row, first_blank, usize::MAX);
    }

    /// Changes to the alternate screen, which begins empty, or back to what the main one showed.
    pub(crate) fn set_alternate(&mut self, is_alternate: bool) {
        if is_alternate == self.main.is_some() {
            return;
        }
        if is_alternate {
            self.save_cursor();
            let rows = self.order.iter().flat_map(|row| {
                let at = row * self.columns;
                self.wanted.get(at..at + self.columns).unwrap_or_default()
            });
            self.main = Some(rows.copied().collect());
            self.erase_rows(0, self.rows);
        } else if let Some(main) = self.main.take() {
            self.wanted = main;
            self.order = (0..self.rows).collect();
            self.restore_cursor();
        }
        self.touch();
    }

    /// Writes the status line.
    pub(crate) fn set_status(&mut self, text: &str, attributes: Attributes) {
        let look = self.look(attributes);
        let mut symbols = text.chars();
        let mut is_new = false;
        for place in &mut self.status {
            let cell = Packed::new(symbols.next().unwrap_or(' '), look);
            is_new |= *place != cell;
            *place = cell;
        }
        if is_new {
            self.touch();
        }
    }

    /// Returns the cell that should be seen at a place on the screen.
    fn wanted_at(&self, column: usize, row: usize) -> Packed {
        let cell = match self.order.get(row) {
            Some(at) => self.wanted.get(at * self.columns + column),
            None => self.status.get(column),
        };
        let cell = cell.copied();
        let cell = cell.unwrap_or(Packed::new(' ', Look::default()));
        let is_here = (column, row) == (self.column(), self.row);
        cell.with_cursor(!self.is_cursor_hidden && is_here)
    }

    /// Returns whether a cell may be out of date. True may be wrong, false is not.
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
                let cell = Cell {
                    symbol: wanted.symbol(),
                    attributes: self.looks.attributes(wanted.look()),
                    is_cursor: wanted.is_cursor(),
                };
                return Some((column, row, cell));
            }
        }
        None
    }

    #[cfg(test)]
    pub(crate) fn lines(&self) -> Vec<alloc::string::String> {
        (0..self.rows + usize::from(!self.status.is_empty()))
            .map(|row| {
                (0..self.columns)
                    .map(|column| self.wanted_at(column, row).symbol())
                    .collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
