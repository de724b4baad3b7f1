use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Cut in pieces of so many bytes.
fn cut(text: &[u8], length: usize) -> serde_json::Result<Texts> {
    let mut list = List::default();
    text.chunks(length).for_each(|piece| list.push(piece));
    list.finish()
}

/// How many elements there are, however the text comes.
fn count(text: &str) -> Result<usize, String> {
    let count = |length| -> serde_json::Result<usize> {
        let elements = cut(text.as_bytes(), length)?;
        let mut count = 0;
        each(&elements, |_: Value, _| count += 1)?;
        Ok(count)
    };
    let count = |length| count(length).map_err(|error| error.to_string());
    let whole = count(text.len().max(1));
    for length in 1..text.len() {
        assert_eq!(count(length), whole, "{text} in pieces of {length}");
    }
    whole
}

#[test]
fn a_list_is_read_piece_by_piece() {
    assert_eq!(count(r#"[{"a": [1, 2]}, 3, null]"#), Ok(3));
    assert_eq!(count("\n[ 1 ,\t\"a]\" , {} ]\n"), Ok(3));
    assert_eq!(count(r#"["\\", "\"],[", [[], [","]]]"#), Ok(3));
    for none in ["null", " null\n", "[]", " [ ] "] {
        assert_eq!(count(none), Ok(0), "{none:?}");
    }
}

#[test]
fn what_is_no_whole_list_is_no_answer() {
    let bad = [
        "{}",
        "\"text\"",
        "[1, 2",
        "[1] 2",
        "[1] [",
        "[1,]",
        "<html>",
        "7",
        "[1}",
        "[",
        "[{\"a\": 1",
        "[{\"a\": 1]",
        "[{]}]",
        "[,1]",
        "[,]",
        "[1 2]",
        "[\"a]",
        "[\"a\\",
        "nul",
        "null null",
        "null\u{c}",
        "",
        " \n",
    ];
    for bad in bad {
        assert!(count(bad).is_err(), "{bad}");
    }
    let far = format!("null{}[{{}}]", " ".repeat(100));
    assert!(count(&far).is_err(), "{far}");
    let no_text = [b"[{\"a\": \"\xff\"}, 1]".as_slice(), b"[1, \"\xff\"]"];
    for bad in no_text {
        let elements = cut(bad, 4).unwrap();
        assert!(each(&elements, |_: Value, _| ()).is_err(), "it is not left out");
    }
}

#[test]
fn elements_of_another_kind_are_passed_over() {
    let elements = cut(br#"["a", 7, {"b": "c"}, "d"]"#, 3).unwrap();
    let mut found = Vec::new();
    each(&elements, |text: String, at| found.push((text, at))).unwrap();
    assert_eq!(found, [("a".to_owned(), 0), ("d".to_owned(), 3)]);
}

/// Values, with all that a string may hold.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        r#"[\\",\[\]{} a]{0,6}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_elements_are_those_of_the_list(
        values in prop::collection::vec(value(), 0..6),
        is_pretty: bool,
        length in 1_usize..40,
    ) {
        let list = Value::from(values.clone());
        let text = if is_pretty { format!("{list:#}") } else { list.to_string() };
        let elements = cut(text.as_bytes(), length).unwrap();
        let mut found = Vec::new();
        each(&elements, |value: Value, _| found.push(value)).unwrap();
        prop_assert_eq!(found, values);
    }

    /// What is no JSON list is refused, here or by who reads the elements; what is one is not.
    #[test]
    fn it_takes_what_is_a_list(text in r#"([ \[\]{}",:0a\\]|null){0,12}"#, length in 1_usize..8) {
        let is_list = match serde_json::from_str::<Value>(&text) {
            Ok(value) => value.is_array() || value.is_null(),
            Err(_) => false,
        };
        let found = cut(text.as_bytes(), length);
        let found = found.and_then(|elements| each(&elements, |_: Value, _| ()));
        prop_assert_eq!(found.is_ok(), is_list, "{}", text);
    }
}
