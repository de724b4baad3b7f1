use std::io::Write;

use audit::{audit, audited};
use explain::explained;
use plan::plan;
use status::status;

use super::*;

mod audit;
mod compose;
mod doctor;
mod explain;
mod plan;
mod status;

const ASCII: Style = Style { color: false, unicode: false };

fn text(render: impl Fn(&mut dyn Write) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    render(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn image(version: &str, fill: char) -> ImageReport {
    let digest = format!("sha256:{}", fill.to_string().repeat(64));
    ImageReport { tag: Some(version.into()), version: Some(version.into()), digest: Some(digest) }
}

#[test]
fn colours_wrap_and_never_change_the_text() {
    let color = Style { color: true, unicode: true };
    let strip = |text: String| {
        let mut plain = text;
        for code in ["0", "32", "36", "33", "1;31", "1", "2"] {
            plain = plain.replace(&format!("\u{1b}[{code}m"), "");
        }
        plain
    };
    for (colored, plain) in [
        (text(|out| plan().render(out, &color)), text(|out| plan().render(out, &Style::PLAIN))),
        (text(|out| status().render(out, &color)), text(|out| status().render(out, &Style::PLAIN))),
        (text(|out| audit().render(out, &color)), text(|out| audit().render(out, &Style::PLAIN))),
        (text(|out| explained().render(out, &color)), text(|out| explained().render(out, &Style::PLAIN))),
    ] {
        assert_ne!(colored, plain);
        assert_eq!(strip(colored), plain);
    }
}

proptest::proptest! {
    #[test]
    fn foreign_text_never_reaches_the_terminal_raw(foreign in "(?s).{0,60}") {
        let mut plan = plan();
        for customer in &mut plan.customers {
            customer.customer.clone_from(&foreign);
            for step in &mut customer.steps {
                step.name.clone_from(&foreign);
                step.reason.clone_from(&foreign);
                step.to = Some(ImageReport { tag: Some(foreign.clone()), version: None, digest: Some(foreign.clone()) });
                step.outcome = Some(Outcome { state: OutcomeState::Failed, message: foreign.clone() });
            }
            for waiting in &mut customer.waiting {
                waiting.reason.clone_from(&foreign);
                waiting.message.clone_from(&foreign);
            }
        }
        let audit = AuditReport { services: vec![audited(&foreign, &foreign, Some(&foreign), Verdict::Behind, &foreign)] };
        let tag = RejectedTag { tag: foreign.clone(), reason: foreign.clone(), message: foreign.clone() };
        let explained = ExplainReport { rejected: vec![tag], candidates: vec![foreign.clone()], chosen: None, message: Some(foreign.clone()), ..explained() };
        let mut status = status();
        status.customers[0].services[0].message.clone_from(&foreign);
        status.customers[0].services[0].running[0].tag = Some(foreign.clone());
        let shown = text(|out| {
            plan.render(out, &Style::PLAIN)?;
            audit.render(out, &Style::PLAIN)?;
            explained.render(out, &Style::PLAIN)?;
            status.render(out, &Style::PLAIN)
        });
        proptest::prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    }
}
