//! Columns without borders.

use super::colors::{Paint, TextStyle};
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
pub(super) struct Cell(Vec<(TextStyle, String)>);

impl Cell {
    /// A cell of one colour.
    pub(super) fn new(role: TextStyle, text: impl Into<String>) -> Self {
        Self(vec![(role, text.into())])
    }

    /// A cell in no colour.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::new(TextStyle::Plain, text)
    }

    /// Adds another piece.
    pub(super) fn and(mut self, role: TextStyle, text: impl Into<String>) -> Self {
        self.0.push((role, text.into()));
        self
    }

    fn paint(&self, paint: Paint) -> String {
        self.0.iter().map(|(role, piece)| paint.paint(*role, piece)).collect()
    }

    /// Columns of the terminal that its text takes.
    fn width(&self) -> usize {
        self.0.iter().map(|(_, piece)| text::width(piece)).sum()
    }
}

/// A table: a header, and rows of as many cells.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    columns: Vec<(Align, String)>,
    rows: Vec<Vec<Cell>>,
    beneath: Vec<Vec<Cell>>,
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

    /// Sets the lines that follow each row; they keep to no column.
    pub(super) fn beneath(&mut self, lines: impl IntoIterator<Item = Vec<Cell>>) {
        self.beneath = lines.into_iter().collect();
    }

    /// How many columns of the terminal the table takes, with a gap at its left.
    pub(super) fn width(&self) -> usize {
        self.widths().map(|width| GAP + width).sum()
    }

    /// The column of the terminal in which a column of the table begins, and the one behind its end.
    pub(super) fn place(&self, column: usize) -> (usize, usize) {
        let ends = self.widths().scan(0, |end, width| {
            *end += GAP + width;
            Some((*end - width, *end))
        });
        ends.take(column + 1).last().unwrap_or_default()
    }

    /// Writes the table, indented by one gap, without spaces at the end of a line.
    pub(super) fn render(&self, paint: Paint, out: &mut String) {
        let widths: Vec<usize> = self.widths().collect();
        let header: Vec<Cell> = self.columns.iter().map(|(_, header)| Cell::new(TextStyle::Faint, header)).collect();
        // The header has nothing beneath it.
        let none = Vec::new();
        let beneath = std::iter::once(&none).chain(&self.beneath).chain(std::iter::repeat(&none));
        for (row, beneath) in std::iter::once(&header).chain(&self.rows).zip(beneath) {
            let lines = std::iter::once(self.line(row, &widths, paint));
            for line in lines.chain(beneath.iter().map(|line| line.paint(paint))) {
                out.push_str(line.trim_end());
                out.push('\n');
            }
        }
    }

    /// The cells of a row, each as wide as its column.
    fn line(&self, row: &[Cell], widths: &[usize], paint: Paint) -> String {
        let mut line = String::new();
        for ((cell, (align, _)), width) in row.iter().zip(&self.columns).zip(widths) {
            let room = width - cell.width();
            let (before, behind) = if *align == Align::Right { (room, 0) } else { (0, room) };
            line.extend(std::iter::repeat_n(' ', GAP + before));
            line.push_str(&cell.paint(paint));
            line.extend(std::iter::repeat_n(' ', behind));
        }
        line
    }

    /// How wide each column is.
    fn widths(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().enumerate().map(|(place, (_, header))| {
            let cells = self.rows.iter().filter_map(move |row| row.get(place));
            cells.map(Cell::width).fold(text::width(header), usize::max)
        })
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
        assert_eq!([table.place(0), table.place(1)], [(2, 5), (7, 13)]);
    }

    #[test]
    fn lines_beneath_a_row_follow_it() {
        let mut table = Table::default();
        table.column(Align::Right, "n", ["1", "200"].map(Cell::plain));
        table.beneath([vec![Cell::plain("    why one"), Cell::plain("    and how")], Vec::new()]);
        let mut out = String::new();
        table.render(Paint { color: false }, &mut out);
        assert_eq!(out, "    n\n    1\n    why one\n    and how\n  200\n");
        assert_eq!(table.width(), 5);
    }

    #[test]
    fn colours_take_no_room() {
        let mut table = Table::default();
        table.column(Align::Right, "time", [Cell::new(TextStyle::Error, "1").and(TextStyle::Plain, "2")]);
        let mut out = String::new();
        table.render(Paint { color: true }, &mut out);
        assert_eq!(out, "  \x1b[2mtime\x1b[0m\n    \x1b[31m1\x1b[0m2\n");
    }
}
