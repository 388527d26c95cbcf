//! Tables for people: columns lined up, numbers to the right, readable as Markdown.

/// Rows below a head.
#[derive(Debug, Clone, Default)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Table {
        Table { head: head.iter().map(|&cell| cell.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty, cells without a column are dropped.
    pub fn row(&mut self, mut cells: Vec<String>) {
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }

    /// The table as text, one line a row.
    pub fn to_text(&self) -> String {
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| lines().map(|row| row[column].chars().count()).max().unwrap_or(0).max(2))
            .collect();
        let numeric: Vec<bool> = (0..self.head.len())
            .map(|column| !self.rows.is_empty() && self.rows.iter().all(|row| is_number(&row[column])))
            .collect();
        let mut text = String::new();
        for (number, row) in lines().enumerate() {
            let cells = row.iter().zip(&widths).zip(&numeric).map(|((cell, &width), &right)| {
                let blanks = " ".repeat(width - cell.chars().count());
                if right { format!("{blanks}{cell}") } else { format!("{cell}{blanks}") }
            });
            text += &format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
            if number == 0 {
                let rules = widths.iter().zip(&numeric).map(|(&width, &right)| {
                    if right { format!("{}:", "-".repeat(width - 1)) } else { "-".repeat(width) }
                });
                text += &format!("| {} |\n", rules.collect::<Vec<_>>().join(" | "));
            }
        }
        text
    }
}

fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell == "-" || cell.starts_with(|first: char| first.is_ascii_digit() || first == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_stand_to_the_right() {
        let mut table = Table::new(&["name", "ms"]);
        table.row(vec!["W1".into(), "5.0".into()]);
        table.row(vec!["größer".into(), "123.0".into(), "dropped".into()]);
        table.row(vec!["none".into()]);
        let expected = "\
| name   |    ms |
| ------ | ----: |
| W1     |   5.0 |
| größer | 123.0 |
| none   |       |
";
        assert_eq!(table.to_text(), expected);
    }

    #[test]
    fn a_table_without_rows_has_its_head() {
        assert_eq!(Table::new(&["a"]).to_text(), "| a  |\n| -- |\n");
    }
}
