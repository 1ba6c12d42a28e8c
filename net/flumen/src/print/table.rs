//! Tables for people: a line of titles, then rows, columns two spaces apart. Words stand left, numbers right. Pure.

use std::fmt;

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table being filled.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Columns by title.
    pub(crate) fn new(columns: &[(&'static str, Side)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// A row, with a cell for each column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells.into());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.chain([self.columns[column].0.chars().count()]).max().unwrap_or(0)
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, (_, side)), width) in cells.zip(&self.columns).zip(widths) {
            let pad = " ".repeat(width - cell.chars().count());
            match side {
                Side::Left => line.extend([cell, &pad]),
                Side::Right => line.extend([&pad, cell]),
            }
            line.push_str("  ");
        }
        line.truncate(line.trim_end().len());
        line
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| self.width(column)).collect();
        writeln!(f, "{}", self.line(self.columns.iter().map(|(title, _)| *title), &widths))?;
        for row in &self.rows {
            writeln!(f, "{}", self.line(row.iter().map(String::as_str), &widths))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_titles_without_spaces_at_the_end() {
        let mut table = Table::new(&[("TOPIC", Side::Left), ("BYTES", Side::Right), ("STATE", Side::Left)]);
        table.row(["a".to_owned(), "1,234,567".to_owned(), "healthy".to_owned()]);
        table.row(["größer".to_owned(), "5".to_owned(), String::new()]);
        let wanted = "TOPIC       BYTES  STATE\na       1,234,567  healthy\ngrößer          5\n";
        assert_eq!(table.to_string(), wanted);
    }

    #[test]
    fn an_empty_table_is_its_titles() {
        assert_eq!(Table::new(&[("A", Side::Left), ("B", Side::Right)]).to_string(), "A  B\n");
    }
}
