//! What is said of a step, and of what somebody else changed.

use serde_json::Value;

use crate::plan::{Cause, Change, ImageView};

pub(super) fn describe(
    key: &str,
    cause: Cause,
    from: Option<&ImageView>,
    to: &ImageView,
    changes: &[Change],
) -> String {
    let was = from.map(ImageView::short).unwrap_or_default();
    let now = to.short();
    let fields: Vec<&str> = changes.iter().map(|change| change.field.as_str()).take(8).collect();
    let fields = fields.join(", ");
    let image = if from.is_some_and(|from| from == to) { String::new() } else { format!("{was} -> {now}") };
    match cause {
        Cause::Adoption if image.is_empty() => format!("{key} adopted at {now}"),
        Cause::Adoption if was == now => format!("{key} adopted, {now} pinned to its digest"),
        Cause::Adoption => format!("{key} adopted, {image}"),
        Cause::TagMoved => format!("{key} {now} has new content, pulling it again"),
        Cause::Drift if was == now && !image.is_empty() => {
            let fields = if fields.is_empty() { String::new() } else { format!(", {fields}") };
            format!("{key} put back: {now} by its digest{fields}")
        }
        Cause::Version if was == now => format!("{key} {now} pinned to its digest"),
        Cause::Version if fields.is_empty() => format!("{key} {image}"),
        Cause::Version => format!("{key} {image}; {fields}"),
        Cause::Drift if fields.is_empty() => format!("{key} put back: {image}"),
        Cause::Drift => format!("{key} put back: {}", put_back(changes)),
        _ => format!("{key}: {fields}"),
    }
}

/// Fields that are told of one by one.
const TOLD_MAX: usize = 16;
/// Characters of a value in a message.
const VALUE_CHARS_MAX: usize = 120;

/// What somebody else changed: each field, what it is and what skep made it.
pub fn told(drift: &[Change]) -> String {
    let one = |drift: &Change| format!("{} is {}, not {}", drift.field, value(&drift.to), value(&drift.from));
    drift.iter().take(TOLD_MAX).map(one).collect::<Vec<_>>().join("; ")
}

fn put_back(changes: &[Change]) -> String {
    let one = |change: &Change| format!("{} {} -> {}", change.field, value(&change.from), value(&change.to));
    changes.iter().take(TOLD_MAX).map(one).collect::<Vec<_>>().join("; ")
}

fn value(value: &Value) -> String {
    crate::text::printable(&value.to_string(), VALUE_CHARS_MAX)
}
