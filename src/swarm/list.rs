//! A JSON array, cut into its elements as its text comes: in one piece, that of a large Swarm would
//! need room that grows by doubling, and that an allocator does not easily use again.

use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};

/// What stands in place of a list is kept no longer than this: it may only be `null`, and what is white.
const OTHER_BYTES_MAX: usize = 64;
/// Many times what a Swarm can hold. Each takes more room here than it may take in the text.
const ELEMENTS_MAX: usize = 4 << 20;

/// The elements of a list, each as it came.
pub(super) type Texts = Vec<Box<[u8]>>;

/// The text of each element that has come. What an element is made of is not looked at, only
/// where it ends: who reads it finds out.
#[derive(Debug, Default)]
pub(super) struct List {
    elements: Texts,
    /// What has come of the next element, or what stands in place of a list.
    open: Vec<u8>,
    at: At,
    /// Lists and objects that are open within the element.
    depth: usize,
}

/// Where in the text the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    /// In the list, and in no string.
    List,
    String,
    /// After a backslash in a string.
    Escape,
    End,
    /// In something that follows the list.
    Beyond,
    /// In something that is no list.
    Other,
    /// Behind an element that is nothing, or one too many.
    Broken,
}

impl List {
    /// Takes what has come next.
    pub(super) fn push(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            // Most of the text is in strings.
            if self.at == At::String && !ends_plain(byte) {
                let plain = rest.iter().take_while(|byte| !ends_plain(**byte)).count();
                self.open.extend_from_slice(&rest[..plain]);
                rest = &rest[plain..];
            } else {
                self.at = self.next(byte);
                rest = after;
            }
        }
    }

    /// Takes one byte.
    fn next(&mut self, byte: u8) -> At {
        match self.at {
            At::String | At::Escape => {
                self.open.push(byte);
                match (self.at, byte) {
                    (At::String, b'"') => At::List,
                    (At::String, b'\\') => At::Escape,
                    _ => At::String,
                }
            }
            At::List => self.between(byte),
            At::Start | At::End if is_white(byte) => self.at,
            At::Start if byte == b'[' => At::List,
            At::Start | At::Other if self.open.len() < OTHER_BYTES_MAX => {
                self.open.push(byte);
                At::Other
            }
            At::Start | At::Other | At::End | At::Beyond => At::Beyond,
            At::Broken => At::Broken,
        }
    }

    /// Whether what stands in place of a list is `null`.
    fn is_null(&self) -> bool {
        self.open.strip_prefix(b"null").is_some_and(|rest| rest.iter().all(|byte| is_white(*byte)))
    }

    /// Takes a byte of the list that is in no string.
    fn between(&mut self, byte: u8) -> At {
        match byte {
            b',' if self.depth == 0 => return self.close(At::List),
            b']' if self.depth == 0 && self.open.is_empty() && self.elements.is_empty() => return At::End,
            b']' if self.depth == 0 => return self.close(At::End),
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b'"' => {
                self.open.push(byte);
                return At::String;
            }
            _ if is_white(byte) && self.open.is_empty() => return At::List,
            _ => {}
        }
        self.open.push(byte);
        At::List
    }

    /// The element has ended.
    fn close(&mut self, then: At) -> At {
        if self.open.is_empty() || self.elements.len() == ELEMENTS_MAX {
            return At::Broken;
        }
        self.elements.push(self.open.as_slice().into());
        self.open.clear();
        then
    }

    /// The texts of all elements. `null` has none, as Go writes a list that was never made.
    ///
    /// # Errors
    /// When what came is no whole list: it must not be taken for a shorter one.
    pub(super) fn finish(self) -> serde_json::Result<Texts> {
        let wrong = |message: &str| Err(serde_json::Error::custom(message));
        match self.at {
            At::End => Ok(self.elements),
            At::Other if self.is_null() => Ok(Vec::new()),
            At::Start => wrong("expected a list, and there is nothing"),
            At::Other => wrong("expected a list"),
            At::Beyond => wrong("something follows the list"),
            At::Broken => wrong("an element is missing, or there are too many"),
            At::List | At::String | At::Escape => wrong("the list is broken off"),
        }
    }
}

/// Whether a string does not simply go on with it.
fn ends_plain(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Gives `take` what it wants of each element, and which it is; an element that is something
/// else is passed over.
///
/// # Errors
/// When an element is no JSON.
pub(super) fn each<'a, T: Deserialize<'a>>(
    elements: &'a [Box<[u8]>],
    mut take: impl FnMut(T, usize),
) -> serde_json::Result<()> {
    for (at, text) in elements.iter().enumerate() {
        match serde_json::from_slice(text) {
            Ok(element) => take(element, at),
            Err(error) if error.is_data() => drop(serde_json::from_slice::<IgnoredAny>(text)?),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
