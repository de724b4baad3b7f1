//! Aligned columns without borders, as `docker` and `kubectl` print them.

use std::io::{self, Write};

use super::{Style, Tone};

pub(super) struct Table {
    headers: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

pub(super) struct Cell {
    /// Already fit to print.
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }

    pub(super) fn tone(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl Table {
    pub(super) fn new(headers: &'static [&'static str]) -> Self {
        Self { headers, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn write(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        let header: Vec<Cell> = self.headers.iter().map(|name| Cell::tone(*name, Tone::Strong)).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).chain(&header[column..=column]);
            cells.map(Cell::width).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        std::iter::once(&header).chain(&self.rows).try_for_each(|row| write_row(row, &widths, out, style))
    }
}

fn write_row(row: &[Cell], widths: &[usize], out: &mut dyn Write, style: &Style) -> io::Result<()> {
    let shown = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
    for (at, (cell, width)) in row.iter().zip(widths).take(shown).enumerate() {
        write!(out, "{}", style.paint(cell.tone, &cell.text))?;
        if at + 1 < shown {
            let padding = width.saturating_sub(cell.width()) + 2;
            write!(out, "{:padding$}", "")?;
        }
    }
    writeln!(out)
}
