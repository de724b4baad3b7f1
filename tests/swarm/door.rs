//! A door before an engine: everything passes, and a test may do something right before a call goes through.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope};

/// A request's first line stands in so many bytes.
const LINE_MAX: usize = 4096;

/// Runs `body` while a socket at `door` leads to the engine. `before` is handed the first line of each call, and what
/// it does is done before the engine hears of that call.
///
/// # Panics
/// When the socket cannot be made.
pub fn with_door(engine: &Path, door: &Path, before: &(dyn Fn(&str) + Sync), body: impl FnOnce()) {
    let listener = UnixListener::bind(door).unwrap_or_else(|e| panic!("{}: {e}", door.display()));
    let closed = AtomicBool::new(false);
    thread::scope(|scope| {
        let (listener, closed) = (&listener, &closed);
        scope.spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                scope.spawn(move || serve(scope, caller, engine, before));
            }
        });
        // A body that panics must not leave the scope waiting for callers.
        let close = Close { door, closed };
        body();
        drop(close);
    });
}

struct Close<'a> {
    door: &'a Path,
    closed: &'a AtomicBool,
}

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        UnixStream::connect(self.door).ok();
    }
}

/// One connection, on which skep makes one call.
fn serve<'scope>(
    scope: &'scope Scope<'scope, '_>,
    mut caller: UnixStream,
    engine: &Path,
    before: &(dyn Fn(&str) + Sync),
) {
    let Ok(mut engine) = UnixStream::connect(engine) else { return };
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\n") && head.len() < LINE_MAX && matches!(caller.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    before(String::from_utf8_lossy(&head).trim_end());
    if engine.write_all(&head).is_err() {
        return;
    }
    let (Ok(mut from), Ok(mut to)) = (caller.try_clone(), engine.try_clone()) else { return };
    scope.spawn(move || {
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Both).ok();
    });
    io::copy(&mut engine, &mut caller).ok();
    caller.shutdown(Shutdown::Both).ok();
}
