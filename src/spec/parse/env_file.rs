//! `env_file`: lines `KEY=VALUE`, as the docker CLI reads them.

use std::collections::BTreeMap;

use super::reader::{Context, Item};
use super::report::join_index;
use super::secrets::read_file;
use super::volumes::one_or_more;

/// Bytes of one file. What Linux takes as an environment is less.
const BYTES_MAX: usize = 1 << 20;

/// The variables of all the files, later ones over earlier ones.
pub(super) fn read_env_files(
    cx: &mut Context<'_>,
    item: &Item<'_>,
    service: &str,
) -> BTreeMap<String, Option<String>> {
    let mut out = BTreeMap::new();
    for (index, item) in one_or_more(cx, item).into_iter().enumerate() {
        let key = ["services", service, "env_file", &join_index("", index)];
        let Some(bytes) = read_file(cx, &item, &key, BYTES_MAX) else { continue };
        let Ok(text) = std::str::from_utf8(bytes.reveal()) else {
            item.error(cx, "the file is not UTF-8", "save it with that encoding");
            continue;
        };
        for (number, line) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
            match variable(line) {
                Ok(Some((name, value))) => drop(out.insert(name.to_owned(), Some(value.to_owned()))),
                Ok(None) => {}
                // What the line holds may be a secret.
                Err((message, help)) => item.error(cx, format!("line {number} of the file: {message}"), help),
            }
        }
    }
    out
}

/// Of one line; `None`: it is blank or a comment. The value is taken as it stands, quotes and
/// blanks included.
fn variable(line: &str) -> Result<Option<(&str, &str)>, (String, &'static str)> {
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let Some((name, value)) = line.split_once('=') else {
        return Err(("no `=`".into(), "write `KEY=VALUE`; nothing is taken from skep's own environment"));
    };
    if name.is_empty() {
        return Err(("no name before the `=`".into(), "write `KEY=VALUE`"));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        // What is no name may be a password, or an address with one in it, which plans would show.
        let message = "what stands before the `=` is not a variable name".into();
        return Err((message, "write `KEY=VALUE`; before the `=` letters, digits, `_`, `.` and `-`"));
    }
    if value.contains('\0') {
        return Err(("a NUL character".into(), "no environment can hold it"));
    }
    Ok(Some((name, value)))
}

#[cfg(test)]
mod tests {
    use super::variable;

    #[test]
    fn lines_read_as_the_docker_cli_reads_them() {
        for (line, expect) in [
            ("A=1", Some(("A", "1"))),
            ("  A=1", Some(("A", "1"))),
            ("A= x # y ", Some(("A", " x # y "))),
            ("A=\"quoted\"", Some(("A", "\"quoted\""))),
            ("A=b=c", Some(("A", "b=c"))),
            ("A=", Some(("A", ""))),
            ("spring.data-source_1=x", Some(("spring.data-source_1", "x"))),
            ("", None),
            ("   ", None),
            ("# A=1", None),
        ] {
            assert_eq!(variable(line).unwrap(), expect, "{line:?}");
        }
        for line in ["A", "=1", "A B=1", "A =1", "export A=1", "A=\0", "A\0=1", "postgres://u:pw@h?x=1"] {
            assert!(variable(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn what_a_faulty_line_holds_is_not_told() {
        for line in [
            "DB_URL: postgres://hunter2@db/x?a=1",
            "postgres://u:hunter2@h?x=1",
            "hunter2 =1",
            "=hunter2",
            "hunter2",
            "A=hunter2\0",
        ] {
            let (message, help) = variable(line).unwrap_err();
            assert!(!message.contains("hunter2") && !help.contains("hunter2"), "{message}: {help}");
        }
    }
}
