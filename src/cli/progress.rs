//! What is going on while a command waits, on stderr: live lines on a terminal, else a line
//! at each change of state.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::text::printable;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Lines that change in place.
    Live,
    /// A line at each change.
    Lines,
    Quiet,
}

impl Mode {
    pub(super) fn detect(quiet: bool, dumb: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal() && !dumb) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Live,
            (false, false) => Self::Lines,
        }
    }
}

/// More live lines than this push everything else off the screen; the rest is told when it
/// ends.
const LIVE_LINES_MAX: usize = 16;
const TICK: Duration = Duration::from_millis(120);
/// A line must not wrap into a second one that cannot be taken back.
const LINE_CHARS_MAX: usize = 300;

/// Shared by all that is under way; cheap to clone.
#[derive(Clone)]
pub struct Progress {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    view: View,
    /// What was last told of each key.
    told: BTreeMap<String, String>,
}

enum View {
    Live { lines: MultiProgress, bars: BTreeMap<String, ProgressBar> },
    Lines(Box<dyn Write + Send>),
    Quiet,
}

impl Progress {
    pub fn new(mode: Mode) -> Self {
        Self::with_view(match mode {
            Mode::Live => View::Live { lines: MultiProgress::new(), bars: BTreeMap::new() },
            Mode::Lines => View::Lines(Box::new(std::io::stderr())),
            Mode::Quiet => View::Quiet,
        })
    }

    fn with_view(view: View) -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { view, told: BTreeMap::new() })) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whatever a panicking thread left is good enough to show.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `key` (a service) is now at `text`, such as `1/2 tasks on 1.10.0`.
    pub fn update(&self, key: &str, text: &str) {
        let line = line(key, text);
        let mut inner = self.lock();
        if inner.told.get(key) != Some(&line) {
            inner.view.update(key, &line);
            inner.told.insert(key.to_owned(), line);
        }
    }

    /// `key` has come to its end, well or not.
    pub fn finish(&self, key: &str, ok: bool, text: &str) {
        let line = format!("{} {}", if ok { "ok  " } else { "FAIL" }, line(key, text));
        let mut inner = self.lock();
        inner.told.remove(key);
        inner.view.finish(key, &line);
    }

    /// A line of its own, above what changes.
    pub fn println(&self, text: &str) {
        self.lock().view.println(&printable(text, LINE_CHARS_MAX));
    }
}

fn line(key: &str, text: &str) -> String {
    format!("{} {}", printable(key, 128), printable(text, LINE_CHARS_MAX))
}

impl View {
    fn update(&mut self, key: &str, line: &str) {
        match self {
            Self::Live { lines, bars } => {
                if bars.len() >= LIVE_LINES_MAX && !bars.contains_key(key) {
                    return;
                }
                let bar = bars.entry(key.to_owned()).or_insert_with(|| spinner(lines));
                bar.set_message(line.to_owned());
            }
            Self::Lines(_) => self.println(line),
            Self::Quiet => {}
        }
    }

    fn finish(&mut self, key: &str, line: &str) {
        if let Self::Live { bars, .. } = self
            && let Some(bar) = bars.remove(key)
        {
            bar.finish_and_clear();
        }
        self.println(line);
    }

    /// Progress that cannot be shown is no reason to stop what is under way.
    fn println(&mut self, line: &str) {
        match self {
            Self::Live { lines, .. } => drop(lines.println(line)),
            Self::Lines(out) => drop(writeln!(out, "{line}")),
            Self::Quiet => {}
        }
    }
}

fn spinner(lines: &MultiProgress) -> ProgressBar {
    let bar = lines.add(ProgressBar::new_spinner());
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is constant and valid");
    bar.set_style(style.tick_chars("|/-\\ "));
    bar.enable_steady_tick(TICK);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written, shared with the view that writes it.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_at_changes_only() {
        let page = Page::default();
        let progress = Progress::with_view(View::Lines(Box::new(page.clone())));
        progress.update("acme_frontend", "0/2 tasks on 1.10.0");
        progress.update("acme_frontend", "0/2 tasks on 1.10.0");
        progress.update("acme_db", "waiting\u{1b}[2J");
        progress.update("acme_frontend", "1/2 tasks on 1.10.0");
        progress.finish("acme_frontend", true, "2/2 tasks on 1.10.0");
        progress.finish("acme_db", false, "no suitable node");
        progress.println("one failed");
        insta::assert_snapshot!(String::from_utf8(page.0.lock().unwrap().clone()).unwrap(), @r"
        acme_frontend 0/2 tasks on 1.10.0
        acme_db waiting\u{1b}[2J
        acme_frontend 1/2 tasks on 1.10.0
        ok   acme_frontend 2/2 tasks on 1.10.0
        FAIL acme_db no suitable node
        one failed
        ");
    }

    #[test]
    fn live_lines_are_bounded_and_go_when_they_end() {
        let lines = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        let progress = Progress::with_view(View::Live { lines, bars: BTreeMap::new() });
        for service in 0..100 {
            progress.update(&format!("acme_{service}"), "0/1 tasks");
        }
        let live = |progress: &Progress| match &progress.lock().view {
            View::Live { bars, .. } => bars.len(),
            _ => panic!("a live view"),
        };
        assert_eq!(live(&progress), LIVE_LINES_MAX);
        (0..100).for_each(|service| progress.finish(&format!("acme_{service}"), true, "1/1 tasks"));
        assert_eq!(live(&progress), 0);
    }

    #[test]
    fn quiet_is_quiet() {
        assert_eq!(Mode::detect(true, false), Mode::Quiet);
        let progress = Progress::new(Mode::Quiet);
        progress.update("a", "b");
        progress.finish("a", false, "c");
    }
}
