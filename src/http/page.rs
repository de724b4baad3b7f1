//! `/`: how everything stands, as a page without scripts.

use std::fmt::Write;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};

use super::Served;
use crate::events::{self, Filter};
use crate::report::{ServiceStatus, StatusReport};
use crate::text::printable;

const EVENTS_SHOWN: usize = 30;
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"30\">\
<title>skep</title><style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse;margin-bottom:2em}\
td,th{text-align:left;padding:.2em .8em;border-bottom:1px solid #ccc}.InSync{color:#060}.Stalled,.Unknown,.Warning{color:#a00}\
.Progressing,.Drifted,.Suspended{color:#850}</style><h1>skep</h1>";

pub(super) async fn page(State(served): State<Served>) -> Response {
    let report = served.api.board.report(None);
    let dir = served.api.events.clone();
    let recent = crate::blocking::run(move || {
        let filter = Filter { last: Some(EVENTS_SHOWN), ..Filter::default() };
        events::read(&dir, &filter).map(|lines| lines.filter_map(Result::ok).map(|line| line.head).collect())
    });
    let recent: Vec<events::Head> = recent.await.and_then(|read| read).unwrap_or_default();
    let mut text = HEAD.to_owned();
    customers(&mut text, &report);
    text.push_str("<h2>Events</h2><table><tr><th>Time<th>Type<th>Reason<th>Service<th>Message</tr>");
    for head in recent.iter().rev() {
        let time = head.time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default();
        let object = [head.customer.as_deref(), head.service.as_deref()].into_iter().flatten();
        let object = object.collect::<Vec<_>>().join("/");
        row(&mut text, &head.kind, &[&time, &head.kind, &head.reason, &object, &head.message]);
    }
    text.push_str("</table></html>\n");
    ([(header::CONTENT_SECURITY_POLICY, POLICY), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], Html(text))
        .into_response()
}

fn customers(text: &mut String, report: &StatusReport) {
    text.push_str(
        "<table><tr><th>Customer<th>Service<th>State<th>Desired<th>Running<th>Tasks<th>Message</tr>",
    );
    for customer in &report.customers {
        for condition in &customer.conditions {
            let kind = format!("{:?}", condition.kind);
            row(text, &kind, &[&customer.customer, "", &condition.reason, "", "", "", &condition.message]);
        }
        for service in &customer.services {
            let ServiceStatus { service: key, desired, running, tasks, state, message, .. } = service;
            let desired = desired.as_ref().and_then(|image| image.tag.as_deref()).unwrap_or("-");
            let running: Vec<&str> = running.iter().filter_map(|image| image.tag.as_deref()).collect();
            let state = format!("{state:?}");
            let cells =
                [&customer.customer, key, &state, desired, &running.join(", "), &tasks.to_string(), message];
            row(text, &state, &cells);
        }
    }
    text.push_str("</table>");
}

/// `class` is a word of ours or of the log; it is escaped like all else.
fn row(text: &mut String, class: &str, cells: &[&str]) {
    let _ = write!(text, "<tr class=\"{}\">", escaped(class));
    for cell in cells {
        let _ = write!(text, "<td>{}", escaped(cell));
    }
    text.push_str("</tr>\n");
}

/// Foreign text, with no sign left that means something in HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for c in printable(text, 500).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_text() {
        let mut text = String::new();
        row(&mut text, "a\" onclick=\"x", &["<script>alert('1')</script>&\u{1b}[0m"]);
        assert_eq!(
            text,
            "<tr class=\"a&quot; onclick=&quot;x\"><td>&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;\\u{1b}[0m</tr>\n"
        );
    }
}
