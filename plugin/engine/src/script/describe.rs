//! The list of functions as people and programs want it: docs/scripting.md, definitions for editors, JSON for a viewer's help.

use super::library::{Entry, Section};
use rhai::Engine;
use serde_json::{Value, json};

/// The sections of docs/scripting.md.
pub fn markdown(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        text.push_str(&format!("## {}\n\n", section.title));
        if !section.intro.is_empty() {
            text.push_str(&format!("{}\n\n", section.intro));
        }
        text.push_str("| function | what it does | example |\n|---|---|---|\n");
        for entry in &section.entries {
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
pub fn json(sections: &[Section]) -> Value {
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
    let section = |section: &Section| {
        json!({
            "title": section.title,
            "intro": section.intro,
            "functions": section.entries.iter().map(entry).collect::<Vec<_>>(),
        })
    };
    Value::Array(sections.iter().map(section).collect())
}

/// Definition files for the Rhai language server: name and text of each.
pub fn definitions(engine: &Engine, sections: &[Section]) -> Vec<(String, String)> {
    let mut ours = "module static;\n".to_owned();
    for entry in sections.iter().flat_map(|section| &section.entries) {
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
