//! What holds of every answer to a list call. `crate::fuzz` gives the bytes.

use serde::de::IgnoredAny;
use serde_json::{Value, from_slice};

use super::list::{List, each};
use super::look::{Answers, Look, Scope};

/// The first byte says in pieces of how many bytes the rest comes.
pub fn fuzz(data: &[u8]) {
    let Some((&length, text)) = data.split_first() else { return };
    let cut = |length: usize| {
        let mut list = List::default();
        text.chunks(length.max(1)).for_each(|piece| list.push(piece));
        list.finish()
    };
    let elements = cut(text.len());
    assert_eq!(elements.as_ref().ok(), cut(length.into()).as_ref().ok(), "however it comes");
    let elements = elements.and_then(|elements| {
        each(&elements, |_: IgnoredAny, _| ())?;
        Ok(elements)
    });
    let is_list = from_slice::<Option<Vec<IgnoredAny>>>(text).is_ok();
    assert_eq!(elements.is_ok(), is_list);
    let Ok(elements) = elements else { return };
    if let Ok(values) = from_slice::<Vec<Value>>(text) {
        let each_alone: Vec<Value> = elements.iter().filter_map(|text| from_slice(text).ok()).collect();
        assert_eq!(each_alone, values);
    }
    let answers = Answers {
        services: elements.clone(),
        tasks: [elements.clone(), elements.clone()],
        nodes: elements.clone(),
        networks: [elements.clone(), elements.clone()],
        secrets: elements.clone(),
        configs: elements,
        ..Answers::default()
    };
    if let Ok(look) = Look::read(Scope::Whole, answers) {
        drop((look.whole(), look.of("a")));
    }
}
