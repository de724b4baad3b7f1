//! `/services/{id}/logs` and `/tasks/{id}/logs`: what containers say, which they say once, when
//! they start. A log is not followed: it ends with what was said so far.

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;

use super::Call;
use super::answer::{Answer, Refusal, with_type};
use super::{services, tasks};
use crate::sim::engine::state::{State, Task};

/// The first byte of a frame of standard output.
const STDOUT: u8 = 1;

pub(super) fn of_service(call: &Call<'_>, id: &str) -> Answer {
    check(call)?;
    call.engine.read(|state| {
        let service = services::find(state, id)?.object.id.clone();
        let mut tasks: Vec<&Task> = state.tasks.values().filter(|task| task.service == service).collect();
        tasks.sort_by_key(|task| task.object.created);
        Ok(answer(call, state, &tasks))
    })
}

pub(super) fn of_task(call: &Call<'_>, id: &str) -> Answer {
    check(call)?;
    call.engine.read(|state| Ok(answer(call, state, &[tasks::find(state, id)?])))
}

fn check(call: &Call<'_>) -> Result<(), Refusal> {
    if call.query.flag("stdout") || call.query.flag("stderr") {
        return Ok(());
    }
    Err(Refusal::server("Bad parameters: you must choose at least one stream"))
}

fn answer(call: &Call<'_>, state: &State, tasks: &[&Task]) -> crate::sim::handler::Response {
    let mut frames = BytesMut::new();
    if call.query.flag("stdout") {
        for task in tasks.iter().filter(|task| task.state >= crate::sim::engine::state::TaskState::Running) {
            said(call, state, task, &mut frames);
        }
    }
    let frames: Bytes = frames.freeze();
    let mut response = with_type(StatusCode::OK, frames, "application/octet-stream");
    response.headers_mut().remove(http::header::CONTENT_TYPE);
    response
}

fn said(call: &Call<'_>, state: &State, task: &Task, frames: &mut BytesMut) {
    let Some(image) = &task.image else { return };
    for line in image.says.lines() {
        let mut text = String::new();
        if call.query.flag("timestamps") {
            text.push_str(&format!("{:.9} ", task.object.updated));
        }
        if call.query.flag("details") {
            let node = task.node.as_deref().unwrap_or_default();
            let service = state.services.get(&task.service).map_or("", |service| &service.object.id);
            let id = &task.object.id;
            text.push_str(&format!(
                "com.docker.swarm.node.id={node},com.docker.swarm.service.id={service},\
                 com.docker.swarm.task.id={id} "
            ));
        }
        text.push_str(line);
        text.push('\n');
        frames.put_slice(&[STDOUT, 0, 0, 0]);
        frames.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        frames.put_slice(text.as_bytes());
    }
}
