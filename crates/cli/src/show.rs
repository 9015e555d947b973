//! How answers look to people.

use std::fmt::Write;

/// A table whose columns are as wide as their widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

impl Table {
    /// A table with this heading; the columns numbered in `right` hold figures.
    pub fn new(heading: &[&str], right: &'static [usize]) -> Self {
        let heading = heading.iter().map(|&word| word.to_owned()).collect();
        Self {
            rows: vec![heading],
            right,
        }
    }

    /// Adds a row. Control characters are escaped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().map(|cell| escaped(&cell)).collect());
    }

    /// The table; nothing but `empty` when it has no rows.
    pub fn text_or(&self, empty: &str) -> String {
        if self.rows.len() == 1 {
            return format!("{empty}\n");
        }
        self.text()
    }

    /// The table.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let fill = " ".repeat(widths[column] - cell.chars().count());
                let gap = if column == 0 { "" } else { "  " };
                let _ = if self.right.contains(&column) {
                    write!(line, "{gap}{fill}{cell}")
                } else {
                    write!(line, "{gap}{cell}{fill}")
                };
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

/// Text with its control characters escaped: a key may hold what moves a terminal's cursor, and
/// what turns the direction of writing hides as well as that.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Bytes in the unit that fits.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} PiB")
}

/// Bytes, or that they are not known.
pub(crate) fn size_or_unknown(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "?".to_owned(), size)
}

/// A time span in its two largest units.
pub(crate) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} m {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} m", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Whether a zone or disk is in service.
pub(crate) const fn service(on: bool) -> &'static str {
    if on { "in" } else { "out" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_figures_stand_right() {
        let mut table = Table::new(&["NAME", "BYTES", "WHY"], &[1]);
        table.row(["a".to_owned(), "5".to_owned(), String::new()]);
        table.row(["long-name".to_owned(), "12345".to_owned(), "x".to_owned()]);
        let expected = "NAME       BYTES  WHY\na              5\nlong-name  12345  x\n";
        assert_eq!(table.text(), expected);
        assert_eq!(Table::new(&["A"], &[]).text_or("none"), "none\n");
    }

    #[test]
    fn what_moves_a_terminal_is_escaped() {
        assert_eq!(
            escaped("a\u{1b}[2Jb\r\n\u{9b}é\u{202e}"),
            "a\\u{1b}[2Jb\\r\\n\\u{9b}é\\u{202e}"
        );
    }

    #[test]
    fn sizes_and_spans_take_the_unit_that_fits() {
        assert_eq!(
            [0, 1023, 1024, 5 << 40].map(size),
            ["0 B", "1023 B", "1.0 KiB", "5.0 TiB"]
        );
        assert_eq!(size_or_unknown(None), "?");
        assert_eq!(
            [5, 65, 3_700, 90_000].map(span),
            ["5 s", "1 m 5 s", "1 h 1 m", "1 d 1 h"]
        );
    }
}
