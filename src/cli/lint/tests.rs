use std::sync::{Arc, Mutex};

use std::collections::BTreeMap;

use super::*;
use crate::config::{Config, Flags, Sources};
use crate::report::Style;

/// What a command wrote.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const GOOD: &str = "[services.web]\nimage = \"r.example.com/web\"\n";
const BAD: &str = "[services.web]\nimge = \"r.example.com/web\"\n";
const THROUGH_TEMPLATE: &str = "template = \"saas\"\n";

/// A directory with these files.
fn fleet(files: &[(&str, &str)]) -> tempfile::TempDir {
    let fleet = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = fleet.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    fleet
}

/// Exit status and output, the directory's own name taken out.
fn lint(fleet: &Path, paths: &[&str], json: bool) -> (u8, String) {
    let page = Page::default();
    let config = Config { specs_dir: fleet.to_owned(), ..Config::default() };
    let mut ctx = Context {
        config,
        sources: Sources::new(None, [], Flags::default()),
        env: BTreeMap::new(),
        out: Box::new(page.clone()),
        json,
        style: Style::default(),
        progress: super::super::progress::Mode::Quiet,
    };
    let args = Args { paths: paths.iter().map(|path| fleet.join(path)).collect() };
    let status = run(&mut ctx, &args).unwrap_or_else(|error| panic!("{error:#}"));
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    (status, text.replace(&format!("{}/", fleet.display()), ""))
}

/// The files that diagnostics name.
fn files(fleet: &Path, paths: &[&str]) -> Vec<String> {
    let (_, text) = lint(fleet, paths, true);
    let report: LintReport = serde_json::from_str(&text).unwrap();
    report.diagnostics.into_iter().map(|found| found.file).collect()
}

#[test]
fn valid_specs_are_clean() {
    let fleet = fleet(&[("acme.toml", GOOD), ("eu/globex.toml", GOOD), ("README.md", "no spec")]);
    assert_eq!(lint(fleet.path(), &[], false), (0, "2 files: no errors.\n".into()));
    assert_eq!(lint(fleet.path(), &["eu"], false), (0, "1 file: no errors.\n".into()));
    assert_eq!(lint(fleet.path(), &["eu/globex.toml"], false), (0, "1 file: no errors.\n".into()));
}

#[test]
fn mistakes_are_underlined_with_their_place_and_mend() {
    let fleet = fleet(&[("acme.toml", BAD), ("globex.toml", GOOD)]);
    let (status, text) = lint(fleet.path(), &[], false);
    assert_eq!(status, 1);
    assert!(text.contains("acme.toml:2:1\n") && text.contains("2 | imge = "), "{text}");
    assert!(text.contains("`image`") && text.contains("^^^^"), "{text}");
    assert!(text.lines().last().is_some_and(|last| last.starts_with("2 files: ")), "{text}");
}

#[test]
fn the_json_names_every_mistake() {
    let fleet = fleet(&[("acme.toml", BAD)]);
    let (status, text) = lint(fleet.path(), &[], true);
    assert_eq!(status, 1);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["files"], 1);
    let found = &report["diagnostics"][0];
    for key in ["severity", "file", "line", "column", "key", "message", "help"] {
        assert!(found.get(key).is_some(), "{key} is not in {found}");
    }
    let unknown = report["diagnostics"].as_array().unwrap().iter().find(|found| found["line"] == 2).unwrap();
    assert_eq!((&unknown["severity"], &unknown["column"]), (&"error".into(), &1.into()));
    assert_eq!(unknown["file"], "acme.toml");
}

#[test]
fn a_file_is_checked_with_its_template_and_others_are_left_out() {
    let fleet = fleet(&[
        ("acme.toml", THROUGH_TEMPLATE),
        ("eu/globex.toml", THROUGH_TEMPLATE),
        ("initech.toml", BAD),
        ("templates/saas.toml", BAD),
        ("templates/other.toml", BAD),
    ]);
    let in_template =
        |files: Vec<String>| !files.is_empty() && files.iter().all(|file| file == "templates/saas.toml");
    let found = files(fleet.path(), &["acme.toml"]);
    assert!(in_template(found.clone()), "{found:?}");
    assert_eq!(files(fleet.path(), &["acme.toml", "eu/globex.toml"]), found, "told once");
    let found = files(fleet.path(), &["templates/saas.toml"]);
    assert!(in_template(found.clone()), "{found:?}");
    assert_eq!(lint(fleet.path(), &["acme.toml"], false).0, 1);
}

#[test]
fn a_file_elsewhere_is_checked_in_its_own_folder() {
    let specs = fleet(&[]);
    let other = fleet(&[("fleet/acme.toml", THROUGH_TEMPLATE), ("fleet/templates/saas.toml", GOOD)]);
    let path = |file: &str| other.path().join("fleet").join(file);
    let of = |file: &str| place(&path(file), specs.path());
    assert_eq!(of("acme.toml"), (other.path().join("fleet"), "acme.toml".into()));
    assert_eq!(of("templates/saas.toml"), (other.path().join("fleet"), "templates/saas.toml".into()));
    assert_eq!(place(Path::new("acme.toml"), specs.path()), (".".into(), "acme.toml".into()));
    assert_eq!(place(Path::new("templates/x.toml"), specs.path()), (".".into(), "templates/x.toml".into()));
    assert_eq!(lint(specs.path(), &[path("acme.toml").to_str().unwrap()], false).0, 0);
}

#[test]
fn what_cannot_be_read_is_never_clean() {
    let broken = fleet(&[("acme.toml", GOOD)]);
    std::fs::write(broken.path().join("globex.toml"), b"\xff\xfe").unwrap();
    let (status, text) = lint(broken.path(), &[], false);
    assert_eq!(status, 1, "not UTF-8, so no valid spec: {text}");
    assert!(text.contains("globex.toml"), "{text}");
    assert_eq!(lint(broken.path(), &["acme.toml"], false).0, 0, "the other file is fine");

    for (path, part) in [("nowhere.toml", "cannot read"), ("../x", "cannot read")] {
        let error = roots(&[broken.path().join("none").join(path)], broken.path()).expect_err(path);
        assert!(error.to_string().contains(part), "{error}");
    }
    std::fs::write(broken.path().join("README.md"), "").unwrap();
    let error = roots(&[broken.path().join("README.md")], broken.path()).expect_err("no spec");
    assert!(error.to_string().ends_with("is no spec; specs are *.toml files"), "{error}");
}

#[test]
fn what_a_newcomer_takes_for_a_spec_is_named() {
    let empty = fleet(&[]);
    let (status, text) = lint(empty.path(), &[], false);
    assert_eq!(status, 0);
    assert!(text.contains("there are no specs here") && text.contains("skep import --stack NAME"), "{text}");
    let compose = fleet(&[("acme.yml", "services: {}\n"), ("globex.toml", GOOD)]);
    let (status, text) = lint(compose.path(), &[], false);
    assert_eq!(status, 0);
    assert!(text.contains("this is no spec") && text.contains("skep import acme.yml > acme.toml"), "{text}");
    assert!(!text.contains("no specs here"), "{text}");
    let (_, text) = lint(compose.path(), &["globex.toml"], false);
    assert!(!text.contains("acme.yml"), "{text}");
}
