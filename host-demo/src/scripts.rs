//! What can be done with scripts besides running them: looking them over, asking what they take, listing what they can use.

use crate::cli::Bounds;
use crate::output;
use anyhow::{Context, bail};
use sam_octa2_abi::Plugin;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// `host-demo check`: one line for each problem; an error if there is any.
pub fn check(plugin: &Plugin, scripts: &[PathBuf], library: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    let (mut reports, mut problems) = (Vec::new(), 0);
    for script in scripts {
        let report = look_over(plugin, script, library);
        let found = match &report {
            Ok(reply) => reply["report"]["problems"].as_array().map_or(0, Vec::len),
            Err(_) => 1,
        };
        problems += found;
        match report {
            Ok(reply) if !as_json && found > 0 => output::line(reply["text"].as_str().unwrap_or_default())?,
            Ok(reply) => reports.push(json!({"path": script.to_string_lossy(), "report": reply["report"]})),
            Err(error) if as_json => {
                reports.push(json!({"path": script.to_string_lossy(), "error": format!("{error:#}")}));
            }
            Err(error) => output::line(&format!("{error:#}"))?,
        }
    }
    if as_json {
        output::line(&serde_json::to_string_pretty(&reports)?)?;
    }
    match problems {
        0 => Ok(()),
        1 => bail!("1 problem"),
        _ => bail!("{problems} problems"),
    }
}

/// `host-demo run SCRIPT --about`: the script's head and its arguments.
pub fn about(plugin: &Plugin, script: &Path, library: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    let reply = look_over(plugin, script, library)?;
    let report = &reply["report"];
    if as_json {
        let both = json!({"about": report["about"], "arguments": report["arguments"]});
        return Ok(output::line(&serde_json::to_string_pretty(&both)?)?);
    }
    output::line(report["about"].as_str().unwrap_or_default())?;
    let arguments = report["arguments"].as_array().cloned().unwrap_or_default();
    if !arguments.is_empty() {
        output::line("\nArguments that the script reads (--set NAME=VALUE):")?;
    }
    for argument in arguments {
        let name = argument["name"].as_str().unwrap_or_default();
        output::line(&match (&argument["default"], argument["required"].as_bool()) {
            (_, Some(true)) => format!("  {name}  (must be given)"),
            (Value::Null, _) => format!("  {name}  (has a default)"),
            (default, _) => format!("  {name}  (default: {default})"),
        })?;
    }
    Ok(())
}

/// `host-demo reference`
pub fn reference(plugin: &Plugin, definitions: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    let form = match definitions {
        Some(_) => "definitions",
        None if as_json => "json",
        None => "markdown",
    };
    let reply = plugin.task("reference", &json!({"form": form}).to_string(), &mut ())?;
    let reply: Value = serde_json::from_str(&reply).context("the plugin's reply is not JSON")?;
    match (definitions, &reply["report"]) {
        (Some(folder), Value::Object(files)) => {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            for (name, text) in files {
                let path = folder.join(name);
                std::fs::write(&path, text.as_str().unwrap_or_default()).with_context(|| path.display().to_string())?;
                output::line(&path.display().to_string())?;
            }
            Ok(())
        }
        (_, Value::String(markdown)) => Ok(output::line(markdown.trim_end())?),
        (_, report) => Ok(output::line(&serde_json::to_string_pretty(report)?)?),
    }
}

/// The fields `roots`, `library` and `limits` of a script's request.
pub fn bounds(bounds: &Bounds, own: Option<&Path>, set: &[(String, String)]) -> anyhow::Result<Value> {
    let mut limits: Map<String, Value> = bounds.limits.iter().map(|(name, n)| (name.clone(), json!(n))).collect();
    let megabytes = |mb: u64| json!(mb.saturating_mul(1 << 20));
    let named = [
        ("seconds", bounds.max_seconds.map(|seconds| json!(seconds))),
        ("operations", bounds.max_operations.map(|operations| json!(operations))),
        ("memory_bytes", bounds.max_memory.map(megabytes)),
        ("disk_bytes", bounds.max_disk.map(megabytes)),
    ];
    limits.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(json!({"roots": roots(own, set, &bounds.allow)?, "library": bounds.library, "limits": limits}))
}

/// Where a script may read and write: the current folder, what the user named with `--set` (a file that is not there yet: its folder)
/// and `--allow`; to read also its own folder, the weights, and the folder in which a pattern of `--set` begins.
pub fn roots(own: Option<&Path>, set: &[(String, String)], allow: &[PathBuf]) -> anyhow::Result<Value> {
    let here = std::env::current_dir().context("the current folder cannot be told")?;
    let mut write = vec![here];
    write.extend(allow.iter().cloned());
    let mut read = Vec::new();
    for value in set.iter().map(|(_, value)| Path::new(value)).filter(|path| path.components().count() > 1) {
        match (value.is_file(), pattern_folder(value)) {
            (true, _) => read.push(value.to_path_buf()), // an input: not to be written over
            (false, Some(folder)) => read.push(folder),
            (false, None) => write.push(value.to_path_buf()),
        }
    }
    read.extend(own.map(Path::to_path_buf));
    read.extend(std::env::var_os("SAM_OCTA2_WEIGHTS").map(PathBuf::from));
    let text = |paths: Vec<PathBuf>| paths.iter().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>();
    Ok(json!({"read": text(read), "write": text(write)}))
}

/// Where a pattern such as `scans/*.nii.gz` begins; `None`: it is no pattern, or one that begins anywhere.
fn pattern_folder(value: &Path) -> Option<PathBuf> {
    let like = |part: &std::path::Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let before: PathBuf = value.components().take_while(|part| !like(part)).collect();
    (!value.exists() && value.components().any(|part| like(&part)) && before.file_name().is_some()).then_some(before)
}

fn look_over(plugin: &Plugin, script: &Path, library: Option<&Path>) -> anyhow::Result<Value> {
    let path = script.to_str().with_context(|| format!("{}: the name is not UTF-8", script.display()))?;
    let reply = plugin.task("check", &json!({"path": path, "library": library}).to_string(), &mut ())?;
    serde_json::from_str(&reply).context("the plugin's reply is not JSON")
}
