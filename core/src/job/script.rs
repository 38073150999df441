//! A session written down as a Rhai script: what was done, in order, with the settings and the fingerprints of volume and model. Running it
//! (`host-demo run`) does the same calls again, so that on the same machine it gives the same labels, bit for bit. The functions it calls are
//! those of docs/scripting.md.

use super::InputRequest;
use crate::Result;
use crate::intensity::{Intensity, Windows};
use crate::io::{self, Counts, Rle};
use crate::loader::LoadedModel;
use crate::session::{Compat, Overlap, PromptStep, PropertyChange, Session, Settings, Step};
use std::path::Path;
use tch::Kind;

/// The session as a script. `input`: how its volume was opened; `None`: it was not opened from a file.
///
/// Reads the whole volume once and makes the labels once, for their fingerprints. Errors: a lazy volume or a temporary file that cannot be
/// read.
pub fn script(session: &Session, input: Option<&InputRequest>, model: &LoadedModel) -> Result<String> {
    let volume = session.volume();
    let adapter = model.request.adapter.as_ref();
    let mut arguments = vec![
        ("input", input.map(|input| absolute(&input.input)), "the volume"),
        ("model", Some(named(&model.request.model)), "the model"),
        ("config", Some(model.request.model_config.as_deref().map(named).unwrap_or_default()), "its configuration"),
        ("device", Some(model.device()), "where to compute"),
        ("precision", Some(model.precision().to_owned()), "how exactly to compute"),
        ("window", Some(window(session)), "values that the model sees as 0 and 1"),
        ("differs", Some("error".to_owned()), "what another volume or model is: `error`, or `warn` to go on"),
        ("out", Some(String::new()), "label file to write"),
    ];
    if let Some(adapter) = adapter {
        arguments.insert(3, ("adapter", Some(absolute(adapter)), "what fine-tuning has learnt for it"));
    }
    let argument = |name: &str| match arguments.iter().find(|(known, ..)| *known == name) {
        Some((_, Some(default), _)) => format!("arg({}, {})", literal(name), literal(default)),
        _ => format!("arg({})", literal(name)),
    };
    let mut text = head(session, &arguments);
    text.push_str(SAME);
    text.push_str(&format!("let input = {}; // a path, or a volume of the viewer\n", argument("input")));
    let open = format!("open_volume(input{})", opened(input));
    text.push_str(&format!("let volume = if type_of(input) == \"string\" {{ {open} }} else {{ input }};\n"));
    text.push_str(&format!("same(\"volume\", volume.fingerprint, \"{}\");\n", volume.fingerprint(0..volume.frames)?));
    let [config, device, precision] = ["config", "device", "precision"].map(argument);
    let adapter = adapter.map(|_| format!("adapter: {}, ", argument("adapter"))).unwrap_or_default();
    text.push_str(&format!(
        "let model = load_model({}, #{{config: {config}, {adapter}device: {device}, precision: {precision}}});\n",
        argument("model"),
    ));
    text.push_str(&format!("same(\"model\", model.fingerprint, \"{}\");\n", session.model().fingerprint()));
    text.push_str(&format!(
        "let session = new_session(volume, model, #{{window: {}{}}}); // window asked for: {}\n\n",
        argument("window"),
        chosen(session.settings()),
        session.settings().intensity,
    ));
    session.history().record.iter().for_each(|step| text.push_str(&format!("{}\n", call(step))));
    match session.labels() {
        Ok(labels) => text.push_str(&format!("\nlet recorded = \"{}\";\n{END}", labels.fingerprint())),
        // what was done is worth more than what it gave
        Err(error) if session.settings().overlap == Overlap::Forbid => {
            text.push_str(&format!("\n// no labels: {error}\n()\n"))
        }
        Err(error) => return Err(error),
    }
    Ok(text)
}

/// Writes [`script`] to a file. Errors: the file of the volume or the model, a file that cannot be written.
pub fn write_script(path: &Path, session: &Session, input: Option<&InputRequest>, model: &LoadedModel) -> Result<()> {
    if let Some(input) = input {
        io::check_output(&input.input, path)?;
    }
    io::check_output(&model.path, path)?;
    io::write_text(path, &script(session, input, model)?)
}

const SAME: &str = r#"
fn same(what, found, recorded) {
    if found == recorded {
        return;
    }
    let text = `the ${what} is not the one of the record: its fingerprint is ${found}, not ${recorded}`;
    if arg("differs", "error") != "warn" {
        throw `${text}; --set differs=warn goes on all the same`;
    }
    print(`warning: ${text}`);
}

"#;

const END: &str = r#"let labels = session.labels();
print(if labels.fingerprint == recorded { "the labels are those of the record" } else { "the labels differ from those of the record" });
let out = arg("out", "");
if out != "" {
    labels.save(out);
    print(out);
}
labels
"#;

type Argument<'a> = (&'a str, Option<String>, &'a str);

/// The comment at the top, as in every script of the gallery.
fn head(session: &Session, arguments: &[Argument]) -> String {
    let steps = session.history().record.len();
    let mut text = format!(
        "// A session, written down: {steps} steps. Running it does the same again and gives the same labels, bit for bit, where volume, model,\n\
         // device and precision are the same.\n//\n// Arguments (--set NAME=VALUE):\n"
    );
    for (name, default, what) in arguments {
        let default = match default.as_deref() {
            None => "must be given".to_owned(),
            Some("") => "default: none".to_owned(),
            Some(default) => format!("default: {}", default.replace(char::is_control, " ")),
        };
        text.push_str(&format!("//   {name:<10} {what} [{default}]\n"));
    }
    text.push_str("//\n// What lies outside of the current folder is named with --set, or granted with --allow.\n");
    text
}

/// Further options of `open_volume`.
fn opened(input: Option<&InputRequest>) -> String {
    let Some(input) = input else { return String::new() };
    let InputRequest {
        input: _, crop, series, uneven, volume, channel, spacing, axis, kind, layers, assume_size, ..
    } = input;
    let InputRequest { columns, slab, projection, subtract, layers_along, .. } = input;
    let text = |key: &str, value: &Option<String>| value.as_ref().map(|value| format!("{key}: {}", literal(value)));
    let options = [
        text("crop", crop),
        text("axis", axis),
        text("series", series),
        uneven.then(|| "uneven: true".to_owned()),
        volume.map(|volume| format!("volume: {volume}")),
        text("channel", channel),
        spacing.map(|[x, y, z]| format!("spacing: [{x}, {y}, {z}]")),
        text("kind", kind),
        layers.as_ref().map(|layers| format!("layers: {}", literal(&layers.to_string_lossy()))),
        text("assume_size", assume_size),
        columns.map(|columns| format!("columns: {columns}")),
        text("slab", slab),
        text("projection", projection),
        // a whole number is no float in a script
        subtract.map(|subtract| format!("subtract: {subtract:?}")),
        text("layers_along", layers_along),
    ];
    let options: Vec<String> = options.into_iter().flatten().collect();
    if options.is_empty() { String::new() } else { format!(", #{{{}}}", options.join(", ")) }
}

/// The window as it applies to this volume, so that it does not hang on what a file recommends.
fn window(session: &Session) -> String {
    match (session.settings().intensity, session.windows()) {
        (Intensity::Auto, _) if session.volume().dtype() == "uint8" => "auto".to_owned(),
        (_, Windows::Volume(window)) => format!("{},{}", window.low, window.high),
        (intensity, Windows::Slices { .. }) => intensity.to_string(),
    }
}

/// Further options of `new_session`, where they are not the usual ones.
fn chosen(settings: &Settings) -> String {
    let usual = Settings::default();
    let mut text = String::new();
    if settings.compat == Compat::Reference {
        text.push_str(", compat: \"reference\"");
    }
    if settings.overlap != usual.overlap {
        text.push_str(&format!(", overlap: \"{}\"", settings.overlap));
    }
    if let Some(kind) = settings.memory_kind {
        let precision = match kind {
            Kind::BFloat16 => "bf16",
            Kind::Half => "f16",
            _ => "f32",
        };
        text.push_str(&format!(", memory_precision: \"{precision}\""));
    }
    let budgets = [
        ("feature_cache_bytes", settings.feature_cache_bytes, usual.feature_cache_bytes),
        ("state_bytes", settings.state_bytes, usual.state_bytes),
        ("history_bytes", settings.history_bytes, usual.history_bytes),
    ];
    for (name, bytes, _) in budgets.into_iter().filter(|(_, bytes, usual)| bytes != usual) {
        text.push_str(&format!(", {name}: {bytes}"));
    }
    text
}

/// A step as a script calls it.
fn call(step: &Step) -> String {
    match step {
        Step::Prompt(prompt) => prompted(prompt),
        Step::RemovePrompt { frame, object, index } => format!("session.remove_prompt({frame}, {object}, {index});"),
        Step::Clear { frame, object } => format!("session.clear({frame}, {object});"),
        Step::Remove { object } => format!("session.remove({object});"),
        Step::Reset => "session.reset();".to_owned(),
        Step::SetObject { object, change } => format!("session.set_object({object}, #{{{}}});", properties(change)),
        Step::Propagate { .. } => propagated(step),
        Step::Undo => "session.undo();".to_owned(),
        Step::Redo => "session.redo();".to_owned(),
    }
}

fn propagated(step: &Step) -> String {
    let Step::Propagate { direction, start, max_frames, objects, patience, threshold, slices } = step else {
        return String::new();
    };
    let options = [
        start.map(|start| format!(", start: {start}")),
        max_frames.map(|most| format!(", max_frames: {most}")),
        (!objects.is_empty()).then(|| format!(", objects: {objects:?}")),
        patience.map(|patience| format!(", patience: {patience}")),
        threshold.map(|threshold| format!(", threshold: {threshold:?}")),
    ];
    let options: String = options.into_iter().flatten().collect();
    let stop = slices.map(|slices| format!(", |slice| slice.done < {slices}")).unwrap_or_default();
    format!("session.propagate(#{{direction: \"{direction}\"{options}}}{stop});")
}

fn prompted(prompt: &PromptStep) -> String {
    let PromptStep { frame, object, points, labels, bounds, mask, replace, choice } = prompt;
    let mut marks = Vec::new();
    if !points.is_empty() {
        let points: Vec<String> = points.iter().map(|[x, y]| format!("[{x}, {y}]")).collect();
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        marks.push(format!("points: [{}], labels: [{}]", points.join(", "), labels.join(", ")));
    }
    marks.extend(bounds.map(|[x0, y0, x1, y1]| format!("box: [{x0}, {y0}, {x1}, {y1}]")));
    marks.extend(mask.as_ref().map(|mask| format!("mask: {}", run_lengths(mask))));
    marks.extend(replace.then(|| "replace: true".to_owned()));
    marks.extend(choice.map(|choice| format!("choice: {choice}")));
    format!("session.prompt({frame}, {object}, #{{{}}});", marks.join(", "))
}

fn properties(change: &PropertyChange) -> String {
    let PropertyChange { name, colour, property, visible, locked } = change;
    let texts = [("name", name), ("colour", colour), ("property", property)];
    let texts = texts.into_iter().filter_map(|(key, text)| Some(format!("{key}: {}", literal(text.as_ref()?))));
    let states = [("visible", visible), ("locked", locked)];
    let states = states.into_iter().filter_map(|(key, state)| Some(format!("{key}: {}", (*state)?)));
    texts.chain(states).collect::<Vec<_>>().join(", ")
}

fn run_lengths(Rle { size: [rows, columns], counts }: &Rle) -> String {
    let counts = match counts {
        Counts::Compressed(text) => literal(text),
        Counts::Plain(runs) => format!("{runs:?}"),
    };
    format!("#{{size: [{rows}, {columns}], counts: {counts}}}")
}

/// A path that means the same in every folder.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}

/// A name, or a file that is there as an absolute path.
fn named(name: impl AsRef<str>) -> String {
    let path = Path::new(name.as_ref());
    if path.exists() { absolute(path) } else { name.as_ref().to_owned() }
}

/// Text as a script writes it.
fn literal(text: &str) -> String {
    let mut literal = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => literal.extend(['\\', letter]),
            control if control.is_ascii_control() => literal.push_str(&format!("\\x{:02x}", u32::from(control))),
            letter => literal.push(letter),
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted() {
        assert_eq!(literal("a\"b\\c\nd"), r#""a\"b\\c\x0ad""#);
    }

    #[test]
    fn steps_are_the_calls_of_a_script() {
        let step = |json: &str| call(&serde_json::from_str(json).unwrap());
        assert_eq!(
            step(
                r#"{"op": "prompt", "frame": 3, "object": 1, "points": [[3.3, 7]], "labels": [0], "box": [1, 2, 3.5, 4]}"#
            ),
            "session.prompt(3, 1, #{points: [[3.3, 7]], labels: [0], box: [1, 2, 3.5, 4]});"
        );
        assert_eq!(
            step(
                r#"{"op": "prompt", "frame": 0, "object": 2, "mask": {"size": [2, 3], "counts": "03\\"}, "replace": true}"#
            ),
            r#"session.prompt(0, 2, #{mask: #{size: [2, 3], counts: "03\\"}, replace: true});"#
        );
        assert_eq!(
            step(r#"{"op": "propagate", "direction": "both", "start": 4, "slices": 2}"#),
            "session.propagate(#{direction: \"both\", start: 4}, |slice| slice.done < 2);"
        );
        assert_eq!(
            step(r#"{"op": "propagate", "direction": "forward", "objects": [2, 5], "patience": 3, "threshold": 1.0}"#),
            "session.propagate(#{direction: \"forward\", objects: [2, 5], patience: 3, threshold: 1.0});"
        );
        assert_eq!(
            step(r#"{"op": "remove_prompt", "frame": 1, "object": 2, "index": 0}"#),
            "session.remove_prompt(1, 2, 0);"
        );
        assert_eq!(step(r#"{"op": "redo"}"#), "session.redo();");
        assert_eq!(
            step(r##"{"op": "set_object", "object": 2, "name": "the \"FAZ\"", "colour": "#ff8000", "locked": true}"##),
            r##"session.set_object(2, #{name: "the \"FAZ\"", colour: "#ff8000", locked: true});"##
        );
    }
}
