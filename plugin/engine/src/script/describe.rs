//! The list of functions as people and programs want it: docs/scripting.md, definitions for editors, JSON for a viewer's help.

use super::library::{Entry, Room};
use rhai::Engine;
use serde_json::{Value, json};

/// The sections of docs/scripting.md.
pub fn markdown(rooms: &[Room]) -> String {
    let mut text = String::new();
    for room in rooms {
        text.push_str(&format!("## {}\n\n", room.title));
        if !room.intro.is_empty() {
            text.push_str(&format!("{}\n\n", room.intro));
        }
        text.push_str("| function | what it does | example |\n|---|---|---|\n");
        for entry in &room.entries {
            let cell = |text: &str| text.replace('|', "\\|");
            let keys = entry
                .parameters
                .iter()
                .find(|p| !p.keys.is_empty())
                .map(|p| format!(" Options: `{}`.", p.keys.join("`, `")));
            let returns = entry.returns.as_ref().map(|kind| format!(" → {kind}")).unwrap_or_default();
            text.push_str(&format!(
                "| `{}`{returns} | {}{} | `{}` |\n",
                cell(&entry.call()),
                cell(entry.doc),
                keys.unwrap_or_default() + entry.shapes().as_str(),
                cell(entry.example)
            ));
        }
        text.push('\n');
    }
    text
}

/// The same for programs.
pub fn json(rooms: &[Room]) -> Value {
    let parameter = |p: &super::library::Parameter| json!({"name": p.name, "type": if p.keys.is_empty() { p.kind.as_str() } else { "Map" }, "keys": p.keys, "optional": p.optional});
    let entry = |entry: &Entry| {
        json!({
            "name": entry.name,
            "call": entry.call(),
            "receiver": entry.receiver().map(|receiver| receiver.kind.clone()),
            "property": entry.property,
            "parameters": entry.parameters.iter().map(parameter).collect::<Vec<_>>(),
            "returns": entry.returns,
            "shape": entry.shape,
            "doc": entry.doc,
            "example": entry.example,
        })
    };
    let room = |room: &Room| {
        json!({
            "title": room.title,
            "intro": room.intro,
            "functions": room.entries.iter().map(entry).collect::<Vec<_>>(),
        })
    };
    Value::Array(rooms.iter().map(room).collect())
}

/// Definition files for the Rhai language server: name and text of each.
pub fn definitions(engine: &Engine, rooms: &[Room]) -> Vec<(String, String)> {
    let mut ours = "module static;\n".to_owned();
    for entry in rooms.iter().flat_map(|room| &room.entries) {
        let get = if entry.property { "get " } else { "" };
        let returns = entry.returns.as_deref().unwrap_or("()");
        let (least, all) = (entry.parameters.iter().filter(|p| !p.optional).count(), entry.parameters.len());
        for count in least..=all {
            let one = |p: &super::library::Parameter| {
                format!("{}: {}", p.name, if p.keys.is_empty() { p.kind.as_str() } else { "Map" })
            };
            let parameters: Vec<String> = entry.parameters[..count].iter().map(one).collect();
            ours.push_str(&format!("\n/// {}\n///\n/// Example: `{}`\n", entry.doc, entry.example));
            ours.push_str(&format!("fn {get}{}({}) -> {returns};\n", entry.name, parameters.join(", ")));
        }
    }
    let rhai = engine.definitions();
    vec![
        ("sam_octa2.d.rhai".to_owned(), ours),
        ("__builtin__.d.rhai".to_owned(), rhai.builtin_functions()),
        ("__builtin-operators__.d.rhai".to_owned(), rhai.builtin_functions_operators()),
    ]
}
