//! What was done to a session, as JSON for hosts and scripts.

use sam_octa2_core::session::{HistoryInfo, Step};
use serde_json::{Value, json};

/// A step with a text to be read.
pub fn step(step: &Step) -> Value {
    let mut reply = json!(step);
    reply["text"] = step.to_string().into();
    reply
}

/// `{"done": [...], "undo": n, "undone": [...], "record": [...]}`
pub fn steps(history: &HistoryInfo<'_>) -> Value {
    let all = |steps: &[&Step]| steps.iter().copied().map(step).collect::<Vec<_>>();
    json!({
        "done": all(&history.done),
        "undo": history.undo,
        "undone": all(&history.undone),
        "record": history.record.iter().map(step).collect::<Vec<_>>(),
    })
}
