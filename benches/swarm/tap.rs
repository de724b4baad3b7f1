//! A unix socket before the engine's that notes when update calls are sent.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

/// The times of the update calls that pass, as their first bytes are seen.
pub struct Tap {
    pub updates: mpsc::Receiver<Instant>,
}

impl Tap {
    pub fn start(listen: &Path, engine: PathBuf) -> Self {
        let listener = UnixListener::bind(listen).expect("the workspace is ours");
        let (send, updates) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (engine, send) = (engine.clone(), send.clone());
                std::thread::spawn(move || pass(stream, &engine, &send).ok());
            }
        });
        Self { updates }
    }
}

fn pass(mut client: UnixStream, engine: &Path, send: &mpsc::Sender<Instant>) -> io::Result<()> {
    let mut engine = UnixStream::connect(engine)?;
    let (mut answers, mut back) = (engine.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        io::copy(&mut answers, &mut back).ok();
        back.shutdown(Shutdown::Both).ok();
    });
    let mut buffer = [0; 64 * 1024];
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return engine.shutdown(Shutdown::Write);
        }
        let line = buffer[..count].split(|byte| *byte == b'\r').next().unwrap_or_default();
        if line.starts_with(b"POST ") && line.windows(8).any(|part| part == b"/update?") {
            send.send(Instant::now()).ok();
        }
        engine.write_all(&buffer[..count])?;
    }
}
