//! Columns without borders.

use super::colors::{Paint, Role};
use super::text;

/// Columns between two cells.
pub(super) const GAP: usize = 2;

/// On which side a column is even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Pieces of text, one after the other, each in its own colour.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell(Vec<(Role, String)>);

impl Cell {
    /// A cell of one colour.
    pub(super) fn new(role: Role, text: impl Into<String>) -> Self {
        Self(vec![(role, text.into())])
    }

    /// A cell in no colour.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::new(Role::Plain, text)
    }

    /// Adds another piece.
    pub(super) fn and(mut self, role: Role, text: impl Into<String>) -> Self {
        self.0.push((role, text.into()));
        self
    }

    fn width(&self) -> usize {
        self.0.iter().map(|(_, piece)| text::width(piece)).sum()
    }

    fn paint(&self, paint: Paint) -> String {
        self.0.iter().map(|(role, piece)| paint.paint(*role, piece)).collect()
    }
}

/// A table: a header, and rows of as many cells.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    columns: Vec<(Align, String)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Adds a column with a cell for each row.
    pub(super) fn column(&mut self, align: Align, header: impl Into<String>, cells: impl IntoIterator<Item = Cell>) {
        let first = self.columns.is_empty();
        self.columns.push((align, header.into()));
        for (index, cell) in cells.into_iter().enumerate() {
            if first {
                self.rows.push(Vec::new());
            }
            if let Some(row) = self.rows.get_mut(index) {
                row.push(cell);
            }
        }
    }

    /// How many columns of the terminal the table takes, with a gap at its left.
    pub(super) fn width(&self) -> usize {
        self.widths().iter().map(|width| GAP + width).sum()
    }

    fn widths(&self) -> Vec<usize> {
        let cells = |index: usize| self.rows.iter().filter_map(move |row| row.get(index));
        self.columns
            .iter()
            .enumerate()
            .map(|(index, (_, header))| cells(index).map(Cell::width).max().unwrap_or(0).max(text::width(header)))
            .collect()
    }

    /// Writes the table, indented by one gap, without spaces at the end of a line.
    pub(super) fn render(&self, paint: Paint, out: &mut String) {
        let widths = self.widths();
        let header: Vec<Cell> = self.columns.iter().map(|(_, header)| Cell::new(Role::Faint, header)).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut blank = 0;
            for ((cell, (align, _)), width) in row.iter().zip(&self.columns).zip(&widths) {
                let padding = width.saturating_sub(cell.width());
                let (before, after) = match align {
                    Align::Left => (0, padding),
                    Align::Right => (padding, 0),
                };
                // Blanks are held back until something follows them.
                blank += GAP + before;
                if cell.width() > 0 {
                    out.extend(std::iter::repeat_n(' ', blank));
                    out.push_str(&cell.paint(paint));
                    blank = after;
                } else {
                    blank += after;
                }
            }
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_even_and_lines_end_where_their_text_does() {
        let mut table = Table::default();
        table.column(Align::Right, "n", ["1", "200"].map(Cell::plain));
        table.column(Align::Left, "method", ["GET", "PUT"].map(Cell::plain));
        table.column(Align::Left, "", ["", "x"].map(Cell::plain));
        let mut out = String::new();
        table.render(Paint { color: false }, &mut out);
        assert_eq!(out, "    n  method\n    1  GET\n  200  PUT     x\n");
        assert_eq!(table.width(), 16);
    }

    #[test]
    fn colours_take_no_room() {
        let mut table = Table::default();
        table.column(Align::Right, "time", [Cell::new(Role::Error, "1").and(Role::Plain, "2")]);
        let mut out = String::new();
        table.render(Paint { color: true }, &mut out);
        assert_eq!(out, "  \x1b[2mtime\x1b[0m\n    \x1b[31m1\x1b[0m2\n");
    }
}
