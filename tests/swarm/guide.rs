//! The commands of `docs/guides` are run as they stand, and say what the guide says that they say.

use std::path::Path;
use std::process::Command;

use crate::bed::{Bed, Image, Workspace};

/// Stands for a registry that the reader has.
const REGISTRY: &str = "registry.example.com";

/// A fenced block of a guide.
#[derive(Debug)]
struct Block {
    /// What stands after the fence.
    info: String,
    text: String,
    line: usize,
}

fn blocks(guide: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in guide.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(info), false) => {
                blocks.push(Block { info: info.to_owned(), text: String::new(), line: number + 1 });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let block = blocks.last_mut().unwrap();
                block.text += line;
                block.text.push('\n');
            }
            (None, false) => {}
        }
    }
    blocks
}

/// Whether a line is as the guide shows it, where `…` stands for anything.
fn is_like(line: &str, shown: &str) -> bool {
    let mut rest = line.trim();
    let mut parts = shown.trim().split('…');
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    let mut last = first;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = part;
    }
    rest.is_empty() || last.is_empty()
}

fn script(ws: &Workspace<'_>, text: &str) -> Command {
    let mut command = ws.command(Path::new("/bin/bash"));
    command.current_dir(ws.dir.join("guide"));
    command.args(["-euo", "pipefail", "-c", text]);
    let skep = Path::new(env!("CARGO_BIN_EXE_skep")).parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{skep}:/usr/bin:{path}"));
    command.env("DOCKER_HOST", ws.bed.node(0).host());
    command.env("SKEP_CONFIG", ws.dir.join("skep.toml"));
    command
}

fn follow(ws: &Workspace<'_>, guide: &str) {
    std::fs::create_dir_all(ws.dir.join("guide")).unwrap();
    let guide = guide.replace(REGISTRY, ws.bed.registry.open.address);
    let (mut said, mut scripts) = (String::new(), 0);
    for block in blocks(&guide) {
        let words: Vec<&str> = block.info.split_whitespace().collect();
        match words.as_slice() {
            ["sh", rest @ ..] => {
                let status = rest.first().and_then(|word| word.strip_prefix("exit=")).unwrap_or("0");
                let ran = ws.spawn(&mut script(ws, &block.text)).wait(crate::bed::SOON * 2);
                let ended = ran.status.map(|status| status.to_string());
                assert_eq!(ended.as_deref(), Some(status), "line {}: {}\n{ran:?}", block.line, block.text);
                (said, scripts) = (ran.stdout, scripts + 1);
            }
            [] => {
                let mut lines = said.lines();
                for shown in block.text.lines().filter(|line| !line.trim().is_empty()) {
                    let found = lines.any(|line| is_like(line, shown));
                    assert!(found, "line {}: {shown}\nis not in what it says:\n{said}", block.line);
                }
            }
            _ => {}
        }
    }
    assert!(scripts > 5, "the guide has commands");
}

/// `docs/guides/from-docker-stack.md`.
pub fn from_docker_stack(bed: &Bed) {
    let ws = bed.workspace();
    for tag in ["1.2.3", "1.10.0", "2.0.0-rc.1"] {
        bed.push("shop/web", tag, &Image::says(&format!("web {tag}")));
    }
    bed.push("shop/db", "16.3.0", &Image::says("db 16.3.0"));
    follow(&ws, include_str!("../../docs/guides/from-docker-stack.md"));
    bed.wait_says("shop_web", 2, "web 1.10.0");
    bed.wait_says("shop_db", 1, "db 16.3.0");
    ws.docker(&["stack", "rm", "shop"]).ok();
}
