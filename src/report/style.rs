//! Colours and glyphs.

use crate::text::printable;

/// How text may look where it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    pub color: bool,
    /// Glyphs beyond ASCII may be used.
    pub unicode: bool,
}

/// What a colour is to say; never the only thing that says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Good,
    Change,
    Warn,
    Bad,
    Strong,
    Dim,
}

impl Tone {
    /// SGR parameters (ECMA-48): the eight base colours, which every theme keeps readable.
    fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Good => "32",
            Self::Change => "36",
            Self::Warn => "33",
            Self::Bad => "1;31",
            Self::Strong => "1",
            Self::Dim => "2",
        }
    }
}

impl Style {
    /// No colours, all glyphs.
    pub const PLAIN: Self = Self { color: false, unicode: true };

    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.color || tone == Tone::Plain || text.is_empty() {
            return text.to_owned();
        }
        format!("\u{1b}[{}m{text}\u{1b}[0m", tone.sgr())
    }

    /// Foreign text, made fit to print in at most `max` characters.
    pub fn text(&self, text: &str, max: usize) -> String {
        let shown = printable(text, max);
        if self.unicode { shown } else { shown.replace('…', "...") }
    }

    pub fn arrow(&self) -> &'static str {
        self.glyph("→", "->")
    }

    /// One of two glyphs for the same.
    pub fn glyph(&self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }
}
