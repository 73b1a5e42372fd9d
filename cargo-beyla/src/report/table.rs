//! Columns without borders.

use comfy_table::CellAlignment;

use super::colors::{Paint, TextStyle};

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
        self.laid_out(Paint { color: false })
            .column_max_content_widths()
            .iter()
            .map(|width| GAP + usize::from(*width))
            .sum()
    }

    /// The column of the terminal in which a column of the table begins, and the one behind its end.
    pub(super) fn place(&self, column: usize) -> (usize, usize) {
        let widths = self.laid_out(Paint { color: false }).column_max_content_widths();
        let ends = widths.iter().scan(0, |end, width| {
            *end += GAP + usize::from(*width);
            Some((*end - usize::from(*width), *end))
        });
        ends.take(column + 1).last().unwrap_or_default()
    }

    /// Writes the table, indented by one gap, without spaces at the end of a line.
    pub(super) fn render(&self, paint: Paint, out: &mut String) {
        // The header has nothing beneath it.
        let none = Vec::new();
        let beneath = std::iter::once(&none).chain(&self.beneath).chain(std::iter::repeat(&none));
        for (row, beneath) in self.laid_out(paint).lines().zip(beneath) {
            let lines = std::iter::once(row).chain(beneath.iter().map(|line| line.paint(paint)));
            for line in lines {
                out.push_str(line.trim_end());
                out.push('\n');
            }
        }
    }

    fn laid_out(&self, paint: Paint) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(self.columns.iter().map(|(_, header)| Cell::new(TextStyle::Faint, header).paint(paint)));
        table.add_rows(self.rows.iter().map(|row| row.iter().map(|cell| cell.paint(paint))));
        for (column, (align, _)) in table.column_iter_mut().zip(&self.columns) {
            column.set_padding((GAP as u16, 0));
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        table
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
