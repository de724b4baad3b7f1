//! The rules once more, written naively and apart from the code under test: text cut by
//! hand, requirements as plain bounds, the choice as the maximum of a filter.

use std::cmp::Ordering;

/// A version by SemVer 2.0.0, numbers as text of any length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naive {
    pub numbers: Vec<String>,
    pub pre: Vec<String>,
}

fn is_number(text: &str) -> bool {
    text == "0" || (!text.is_empty() && !text.starts_with('0') && text.chars().all(|c| c.is_ascii_digit()))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Reads a tag with the default pattern.
pub(super) fn read(tag: &str) -> Option<Naive> {
    if tag.chars().count() > 128 || tag.contains('+') {
        return None;
    }
    let mut rest = tag.strip_prefix('v').unwrap_or(tag).to_owned();
    if let Some(at) = rest.find('_') {
        if !rest[at + 1..].split('.').all(is_identifier) {
            return None;
        }
        rest.truncate(at);
    }
    let mut pre = Vec::new();
    if let Some(at) = rest.find('-') {
        pre = rest[at + 1..].split('.').map(str::to_owned).collect();
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        if !pre.iter().all(|id| is_identifier(id) && (!digits(id) || is_number(id))) {
            return None;
        }
        rest.truncate(at);
    }
    let numbers: Vec<String> = rest.split('.').map(str::to_owned).collect();
    let fits = |text: &String| is_number(text) && by_number(text, &u64::MAX.to_string()).is_le();
    (numbers.len() == 3 && numbers.iter().all(fits)).then_some(Naive { numbers, pre })
}

fn by_number(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then(a.cmp(b))
}

/// Section 11, sentence by sentence.
pub(super) fn precedence(a: &Naive, b: &Naive) -> Ordering {
    for (x, y) in a.numbers.iter().zip(&b.numbers) {
        if x != y {
            return by_number(x, y);
        }
    }
    match (a.pre.is_empty(), b.pre.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    for (x, y) in a.pre.iter().zip(&b.pre) {
        let order = match (is_number(x), is_number(y)) {
            (true, true) => by_number(x, y),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => x.cmp(y),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.pre.len().cmp(&b.pre.len())
}

/// A comparator as written: `^1.4`, one to three numbers, a pre-release only after three.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub op: &'static str,
    pub numbers: Vec<u64>,
    pub pre: String,
}

impl Written {
    pub fn text(&self) -> String {
        let numbers = self.numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
        let pre = if self.pre.is_empty() { String::new() } else { format!("-{}", self.pre) };
        match self.op {
            "*" => format!("{numbers}.*"),
            op => format!("{op}{numbers}{pre}"),
        }
    }

    /// The lowest version it names, and the release after the last that begins with its
    /// first `kept` numbers.
    fn ends(&self, kept: usize) -> (Naive, Naive) {
        let filled = |numbers: &[u64]| -> Vec<String> {
            numbers.iter().chain(&[0, 0, 0]).take(3).map(u64::to_string).collect()
        };
        let pre = self.pre.split('.').filter(|id| !id.is_empty()).map(str::to_owned).collect();
        let mut next = self.numbers[..kept].to_vec();
        *next.last_mut().unwrap() += 1;
        (Naive { numbers: filled(&self.numbers), pre }, Naive { numbers: filled(&next), pre: Vec::new() })
    }

    pub fn holds(&self, v: &Naive) -> bool {
        let given = self.numbers.len();
        let (low, next) = self.ends(given);
        let from = |bound: &Naive| precedence(v, bound).is_ge();
        let before = |bound: &Naive| {
            let of_the_bound = bound.pre.is_empty() && v.numbers == bound.numbers;
            precedence(v, bound).is_lt() && !of_the_bound
        };
        let is_low = precedence(v, &low).is_eq();
        match (self.op, given) {
            ("=", 3) => is_low,
            ("=" | "*", _) => from(&low) && before(&next),
            (">", 3) => from(&low) && !is_low,
            (">", _) => from(&next),
            (">=", _) => from(&low),
            ("<", _) => before(&low),
            ("<=", 3) => before(&low) || is_low,
            ("<=", _) => before(&next),
            ("~", _) => from(&low) && before(&self.ends(given.min(2)).1),
            ("^" | "", _) => {
                let kept = self.numbers.iter().position(|n| *n > 0).map_or(given, |at| at + 1);
                from(&low) && before(&self.ends(kept).1)
            }
            other => panic!("{other:?}"),
        }
    }
}
