//! State and time in, tasks out. Orders and words are those of Docker 20.10.24.

mod dirty;
mod global;
mod images;
mod jobs;
mod many;
mod nodes;
mod placement;
mod properties;
mod replicated;
mod restarts;
mod rollback;
mod updates;
mod world;
