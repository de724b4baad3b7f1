//! Lists that were answered since the state last changed: a controller at rest asks for the same ones for ever.

use std::collections::HashMap;

use bytes::Bytes;

/// Answers kept at most, and the bytes of each.
const KEPT_MAX: usize = 64;
const BYTES_MAX: usize = 1 << 20;

/// Answers by what was asked, all of the same state.
#[derive(Default)]
pub(super) struct Lists {
    change: u64,
    texts: HashMap<String, Bytes>,
}

impl Lists {
    /// The answer to `asked` in the state after so many changes, if it is known.
    pub fn get(&self, change: u64, asked: &str) -> Option<Bytes> {
        self.texts.get(asked).filter(|_| self.change == change).cloned()
    }

    /// Keeps an answer; those of an earlier state go.
    pub fn keep(&mut self, change: u64, asked: &str, text: &Bytes) {
        if change > self.change {
            *self = Self { change, texts: HashMap::new() };
        }
        if change == self.change && self.texts.len() < KEPT_MAX && text.len() <= BYTES_MAX {
            self.texts.insert(asked.to_owned(), text.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_one_state() {
        let mut lists = Lists::default();
        let (old, new) = (Bytes::from_static(b"[]"), Bytes::from_static(b"[1]"));
        lists.keep(3, "/services", &old);
        assert_eq!(lists.get(3, "/services"), Some(old.clone()));
        assert_eq!((lists.get(4, "/services"), lists.get(3, "/tasks")), (None, None));
        lists.keep(4, "/tasks", &new);
        assert_eq!((lists.get(4, "/services"), lists.get(4, "/tasks")), (None, Some(new)));
        lists.keep(3, "/services", &old);
        assert_eq!(lists.get(4, "/services"), None, "that is from before");
    }

    #[test]
    fn they_are_bounded() {
        let mut lists = Lists::default();
        lists.keep(1, "/big", &vec![b' '; BYTES_MAX + 1].into());
        assert_eq!(lists.get(1, "/big"), None);
        (0..100).for_each(|at| lists.keep(1, &at.to_string(), &Bytes::new()));
        assert_eq!(lists.texts.len(), KEPT_MAX);
    }
}
