//! One value as typed, in the file or the environment, read as what a key wants.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::from_dir_of;

/// A value before it is read.
pub(super) enum Raw<'a> {
    /// From the environment or a flag: always text.
    Text(&'a str),
    /// From a file, whose directory relative paths are meant from.
    Toml { value: &'a DeValue<'a>, file: &'a Path },
}

/// Shown of a value in an error: enough to know it again.
const SHOWN_CHARS_MAX: usize = 60;

impl Raw<'_> {
    pub(super) fn text(&self) -> Result<String, String> {
        let text = match self {
            Self::Text(text) => text,
            Self::Toml { value, .. } => match value.as_str() {
                Some(text) => text,
                None => return Err(self.wanted("text in quotes")),
            },
        };
        if text.is_empty() { Err("is empty".into()) } else { Ok(text.to_owned()) }
    }

    pub(super) fn path(&self) -> Result<PathBuf, String> {
        let text = self.text()?;
        Ok(match self {
            Self::Text(_) => PathBuf::from(text),
            Self::Toml { file, .. } => from_dir_of(file, &text),
        })
    }

    pub(super) fn flag(&self) -> Result<bool, String> {
        let read = match self {
            Self::Text("true" | "1") => Some(true),
            Self::Text("false" | "0") => Some(false),
            Self::Text(_) => None,
            Self::Toml { value, .. } => value.as_bool(),
        };
        read.ok_or_else(|| self.wanted("true or false"))
    }

    /// Several texts: an array in a file, else words with commas between.
    pub(super) fn list(&self, most: usize) -> Result<Vec<String>, String> {
        let wanted = || self.wanted("an array of texts in quotes");
        let list: Vec<String> = match self {
            Self::Text(text) => text.split(',').map(|word| word.trim().to_owned()).collect(),
            Self::Toml { value, .. } => {
                let texts = value.as_array().ok_or_else(wanted)?.iter();
                let text = |one: &toml::Spanned<DeValue<'_>>| one.get_ref().as_str().map(str::to_owned);
                texts.map(text).collect::<Option<_>>().ok_or_else(wanted)?
            }
        };
        match list.len() {
            number if number > most => Err(format!("names {number}; the most is {most}")),
            _ => Ok(list),
        }
    }

    pub(super) fn count(&self, least: usize, most: usize) -> Result<usize, String> {
        let range = format!("a whole number from {least} to {most}");
        let wanted = || match self {
            Self::Toml { value, .. } if value.as_integer().is_some() => {
                let number = value.as_integer().map(|number| number.as_str()).unwrap_or_default();
                format!("is {}, not {range}", crate::text::printable(number, SHOWN_CHARS_MAX))
            }
            _ => self.wanted(&range),
        };
        let read = match self {
            Self::Text(text) => text.parse().ok(),
            Self::Toml { value, .. } => value.as_integer().and_then(|number| {
                usize::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
            }),
        };
        read.filter(|count| (least..=most).contains(count)).ok_or_else(wanted)
    }

    /// A duration in words, such as `90s` or `1h 30m`.
    pub(super) fn duration(&self, least: Duration, most: Duration) -> Result<Duration, String> {
        let text = match self {
            Self::Toml { value, .. } if value.as_str().is_none() => {
                return Err(self.wanted("a duration in quotes, such as \"60s\" or \"5m\""));
            }
            _ => self.text()?,
        };
        let read = humantime::parse_duration(&text)
            .map_err(|_| self.wanted("a duration with its unit, such as \"60s\", \"5m\" or \"1h 30m\""))?;
        if read < least {
            return Err(format!("is {text}; the least is {}", humantime::format_duration(least)));
        }
        if read > most {
            return Err(format!("is {text}; the most is {}", humantime::format_duration(most)));
        }
        Ok(read)
    }

    /// A size in bytes, such as `64MiB`.
    pub(super) fn size(&self, least: u64, most: u64) -> Result<u64, String> {
        let text = match self {
            Self::Toml { value, .. } if value.as_str().is_none() => {
                return Err(self.wanted("a size in quotes, such as \"64MiB\""));
            }
            _ => self.text()?,
        };
        let read = parse_size(&text).ok_or_else(|| self.wanted("a size with its unit, such as \"64MiB\""))?;
        if read < least {
            return Err(format!("is {text}; the least is {}", show_size(least)));
        }
        if read > most {
            return Err(format!("is {text}; the most is {}", show_size(most)));
        }
        Ok(read)
    }

    fn wanted(&self, what: &str) -> String {
        match self {
            Self::Text(text) => format!("is `{}`, not {what}", crate::text::printable(text, SHOWN_CHARS_MAX)),
            Self::Toml { value, .. } => match value.as_str() {
                Some(text) => format!("is \"{}\", not {what}", crate::text::printable(text, SHOWN_CHARS_MAX)),
                None => format!("is {} {}, not {what}", article(value.type_str()), value.type_str()),
            },
        }
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// Units of 1024 (`KiB`, `MiB`, `GiB`) and of 1000 (`kB`, `MB`, `GB`); no unit is bytes.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn show_size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}
