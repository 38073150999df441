//! `plugin check`: does a library keep the rules of the interface? Each check runs in a process of its own, so that a plugin which
//! crashes or hangs fails that check and nothing else.

use crate::{find, output};
use anyhow::{Context, anyhow, bail, ensure};
use sam_octa2_abi::{Extension, Flow, HostObserver, Plugin, PluginError, SelfTest1, Task1, check_library_file};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A check: its name, what it needs to be true first, and what it does. The text of success is shown.
struct Check {
    name: &'static str,
    title: &'static str,
    needs: Option<&'static str>,
    run: fn(&Path) -> anyhow::Result<String>,
}

const CHECKS: [Check; 13] = [
    Check { name: "file", title: "is a whole shared library", needs: None, run: file },
    Check { name: "load", title: "loads, and its root is the one of this interface", needs: Some("file"), run: load },
    Check { name: "manifest", title: "manifest says who it is", needs: Some("load"), run: manifest },
    Check {
        name: "task-layout",
        title: "extension sam_octa2.task/1 is laid out as expected",
        needs: Some("load"),
        run: task_layout,
    },
    Check {
        name: "selftest-layout",
        title: "extension sam_octa2.selftest/1 is laid out as expected",
        needs: Some("load"),
        run: selftest_layout,
    },
    Check { name: "consistent", title: "manifest agrees with what is there", needs: Some("manifest"), run: consistent },
    Check { name: "unknown-id", title: "unknown extension ids give nothing", needs: Some("load"), run: unknown_id },
    Check { name: "echo", title: "text crosses both ways unchanged", needs: Some("selftest-layout"), run: echo },
    Check { name: "panic", title: "a panic becomes an error", needs: Some("selftest-layout"), run: panic },
    Check { name: "unknown-task", title: "an unknown task is an error", needs: Some("task-layout"), run: unknown_task },
    Check {
        name: "garbage",
        title: "requests that make no sense are errors",
        needs: Some("task-layout"),
        run: garbage,
    },
    Check { name: "cancel", title: "long work can be cancelled", needs: Some("selftest-layout"), run: cancel },
    Check { name: "cancel-script", title: "a script can be cancelled", needs: Some("task-layout"), run: cancel_script },
];

/// A check may take this long; loading libtorch from a cold disk is the slowest part.
const LIMIT: Duration = Duration::from_secs(60);

enum Outcome {
    Passed(String),
    Failed(String),
    Skipped(String),
}

/// Runs every check and prints what came out.
pub fn all(file: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut done: Vec<(&Check, Outcome)> = Vec::new();
    for check in &CHECKS {
        let passed =
            |name| done.iter().any(|(check, outcome)| check.name == name && matches!(outcome, Outcome::Passed(_)));
        let outcome = match check.needs {
            Some(needed) if !passed(needed) => Outcome::Skipped(format!("needs `{needed}`")),
            _ => in_a_child(file, check.name)?,
        };
        if !as_json {
            output::line(&describe(check, &outcome))?;
        }
        done.push((check, outcome));
    }
    let failed = done.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_))).count();
    if as_json {
        let checks: Vec<Value> = done.iter().map(|(check, outcome)| report(check, outcome)).collect();
        let all = json!({"plugin": file.to_string_lossy(), "passed": failed == 0, "checks": checks});
        output::line(&serde_json::to_string_pretty(&all)?)?;
    } else {
        let passed = done.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Passed(_))).count();
        let skipped = done.len() - passed - failed;
        output::line(&format!("{}: {passed} passed, {failed} failed, {skipped} skipped", file.display()))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn describe(check: &Check, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed(note) if note.is_empty() => format!("✓ {}", check.title),
        Outcome::Passed(note) => format!("✓ {} ({note})", check.title),
        Outcome::Failed(reason) => format!("✗ {}: {reason}", check.title),
        Outcome::Skipped(reason) => format!("- {}: skipped, {reason}", check.title),
    }
}

fn report(check: &Check, outcome: &Outcome) -> Value {
    let (status, message) = match outcome {
        Outcome::Passed(note) => ("passed", note),
        Outcome::Failed(reason) => ("failed", reason),
        Outcome::Skipped(reason) => ("skipped", reason),
    };
    json!({"name": check.name, "title": check.title, "status": status, "message": message})
}

/// Runs one check in this process, which was started for it: the verdict is the last line of stdout and the exit code.
pub fn one_in_this_process(file: &Path, name: &str) -> ExitCode {
    let verdict = match CHECKS.iter().find(|check| check.name == name) {
        Some(check) => (check.run)(file),
        None => Err(anyhow!("there is no check `{name}`")),
    };
    let (code, text) = match verdict {
        Ok(note) => (ExitCode::SUCCESS, note),
        Err(error) => (ExitCode::FAILURE, format!("{error:#}")),
    };
    let _ = output::line(&format!("{VERDICT}{}", text.replace('\n', " ")));
    code
}

/// What tells the verdict from anything that a plugin may print.
const VERDICT: &str = "verdict: ";

fn in_a_child(file: &Path, name: &str) -> anyhow::Result<Outcome> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let mut child = Command::new(program)
        .args(["plugin", "run-check"])
        .arg(file)
        .arg(name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start a process for a check")?;
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.map(|mut stdout| stdout.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let Some(status) = wait(&mut child)? else {
        return Ok(Outcome::Failed(format!("did not come back within {} s", LIMIT.as_secs())));
    };
    let stdout = reader.join().unwrap_or_default();
    let verdict = stdout.lines().rev().find_map(|line| line.strip_prefix(VERDICT));
    Ok(match (verdict, status.code()) {
        (Some(note), Some(0)) => Outcome::Passed(note.to_owned()),
        (Some(reason), Some(1)) => Outcome::Failed(reason.to_owned()),
        (None, Some(code)) => Outcome::Failed(format!("ended the process (exit code {code})")),
        (verdict, _) => {
            let when = if verdict.is_some() { " after the check was done" } else { "" };
            Outcome::Failed(format!("crashed ({}){when}", crash(status)))
        }
    })
}

/// The child's end, or nothing if it had to be killed.
fn wait(child: &mut Child) -> anyhow::Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn crash(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            4 => " SIGILL",
            6 => " SIGABRT",
            7 => " SIGBUS",
            8 => " SIGFPE",
            9 => " SIGKILL",
            11 => " SIGSEGV",
            _ => "",
        };
        return format!("signal {signal}{name}");
    }
    status.to_string()
}

fn file(path: &Path) -> anyhow::Result<String> {
    check_library_file(path)?;
    Ok(String::new())
}

fn load(path: &Path) -> anyhow::Result<String> {
    let start = Instant::now();
    find::load(Some(path))?;
    Ok(format!("{} ms", start.elapsed().as_millis()))
}

fn manifest(path: &Path) -> anyhow::Result<String> {
    let manifest = parsed_manifest(&find::load(Some(path))?)?;
    let field = |name: &str| manifest[name].as_str().with_context(|| format!("`{name}` is missing or no text"));
    for name in ["extensions", "tasks"] {
        strings(&manifest[name]).with_context(|| format!("`{name}` is missing or no list of text"))?;
    }
    Ok(format!("{} {}, interface {}", field("name")?, field("version")?, field("abi")?))
}

fn task_layout(path: &Path) -> anyhow::Result<String> {
    find::load(Some(path))?.extension::<Task1>()?;
    Ok(String::new())
}

fn selftest_layout(path: &Path) -> anyhow::Result<String> {
    find::load(Some(path))?.extension::<SelfTest1>()?;
    Ok(String::new())
}

fn consistent(path: &Path) -> anyhow::Result<String> {
    let plugin = find::load(Some(path))?;
    let manifest = parsed_manifest(&plugin)?;
    let extensions = strings(&manifest["extensions"]).unwrap_or_default();
    for id in &extensions {
        ensure!(plugin.has_extension(id), "`{id}` is in the manifest, but the plugin does not have it");
    }
    for id in [Task1::ID, SelfTest1::ID] {
        ensure!(extensions.contains(&id) || !plugin.has_extension(id), "`{id}` is there, but not in the manifest");
    }
    let tasks: Value = serde_json::from_str(&plugin.tasks_json()?).context("the list of tasks is not JSON")?;
    ensure!(tasks == manifest["tasks"], "tasks: the manifest says {}, the extension {tasks}", manifest["tasks"]);
    Ok(format!("{} extensions, {} tasks", extensions.len(), tasks.as_array().map_or(0, Vec::len)))
}

fn unknown_id(path: &Path) -> anyhow::Result<String> {
    let plugin = find::load(Some(path))?;
    let ids = [
        "",
        "nonsense",
        "sam_octa2.task",
        "sam_octa2.task/",
        "sam_octa2.task/1x",
        "sam_octa2.task/1\0",
        "sam_octa2.task/999999",
    ];
    for id in ids.map(str::to_owned).into_iter().chain(["x".repeat(1 << 20)]) {
        ensure!(!plugin.has_extension(&id), "there is an extension under the id {:?}", id.get(..40).unwrap_or(&id));
    }
    Ok(String::new())
}

fn echo(path: &Path) -> anyhow::Result<String> {
    let plugin = find::load(Some(path))?;
    for text in ["", "a", "µm — 網膜\0\n\"", &"long ".repeat(1 << 18)] {
        let back = plugin.selftest_echo(text)?;
        ensure!(back == text, "{} bytes went in, {} other bytes came out", text.len(), back.len());
    }
    Ok(String::new())
}

fn panic(path: &Path) -> anyhow::Result<String> {
    let plugin = find::load(Some(path))?;
    for _ in 0..3 {
        expect_code(plugin.selftest_panic(&mut ()), "panic")?;
        ensure!(plugin.selftest_echo("alive")? == "alive", "the plugin is not usable afterwards");
    }
    Ok(String::new())
}

fn unknown_task(path: &Path) -> anyhow::Result<String> {
    let plugin = find::load(Some(path))?;
    for name in ["", "no such task", "info\0"] {
        expect_code(plugin.task(name, "{}", &mut ()), "not_found").with_context(|| format!("task {name:?}"))?;
    }
    Ok(String::new())
}

fn garbage(path: &Path) -> anyhow::Result<String> {
    let plugin = find::load(Some(path))?;
    let tasks: Value = serde_json::from_str(&plugin.tasks_json()?)?;
    let deep = "[".repeat(100_000);
    for task in strings(&tasks).context("the list of tasks is no list of text")? {
        for request in
            ["", "{", "not JSON", "[1, 2]", "null", "{\"input\": 5, \"path\": 5, \"weights_dirs\": 5}", &deep]
        {
            let shown = request.get(..40).unwrap_or(request);
            expect_code(plugin.task(task, request, &mut ()), "invalid_argument")
                .with_context(|| format!("task `{task}`, request {shown:?}"))?;
        }
    }
    Ok(String::new())
}

fn cancel(path: &Path) -> anyhow::Result<String> {
    let plugin = find::load(Some(path))?;
    let start = Instant::now();
    expect_code(plugin.selftest_sleep(20_000, &mut CancelAfter::steps(3)), "cancelled")?;
    ensure!(start.elapsed() < Duration::from_secs(5), "it took {:.1} s", start.elapsed().as_secs_f64());
    plugin.selftest_sleep(10, &mut ()).context("not usable afterwards")?;
    Ok(String::new())
}

fn cancel_script(path: &Path) -> anyhow::Result<String> {
    let plugin = find::load(Some(path))?;
    let script = std::env::temp_dir().join(format!("sam_octa2-check-{}.rhai", std::process::id()));
    std::fs::write(&script, "loop { try { sleep(0.001) } catch {} }").with_context(|| script.display().to_string())?;
    let request = json!({"path": script.to_string_lossy()}).to_string();
    let start = Instant::now();
    let result = plugin.task("script", &request, &mut CancelAfter::steps(10));
    let _ = std::fs::remove_file(&script);
    expect_code(result, "cancelled")?;
    ensure!(start.elapsed() < Duration::from_secs(5), "it took {:.1} s", start.elapsed().as_secs_f64());
    Ok(String::new())
}

/// Cancels when it was called so many times.
struct CancelAfter {
    calls_left: usize,
}

impl CancelAfter {
    fn steps(calls_left: usize) -> Self {
        Self { calls_left }
    }
}

impl HostObserver for CancelAfter {
    fn progress(&mut self, _: &str, _: u64, _: u64) -> Flow {
        if self.is_cancelled() { Flow::CANCEL } else { Flow::CONTINUE }
    }

    fn is_cancelled(&mut self) -> bool {
        self.calls_left = self.calls_left.saturating_sub(1);
        self.calls_left == 0
    }
}

/// The call must have failed in this way, with a text for people and well-formed detail.
fn expect_code<T>(result: Result<T, PluginError>, code: &str) -> anyhow::Result<()> {
    let Err(error) = result else { bail!("no error, but `{code}` was expected") };
    ensure!(error.code == code, "expected the error `{code}`, got `{}`: {}", error.code, error.message);
    ensure!(!error.message.trim().is_empty(), "the error `{code}` has no text");
    ensure!(
        serde_json::from_str::<Value>(&error.detail_json).is_ok_and(|detail| detail.is_object()),
        "the detail of the error `{code}` is not a JSON object"
    );
    Ok(())
}

fn parsed_manifest(plugin: &Plugin) -> anyhow::Result<Value> {
    serde_json::from_str(&plugin.manifest_json()).context("the manifest is not JSON")
}

fn strings(list: &Value) -> Option<Vec<&str>> {
    list.as_array()?.iter().map(Value::as_str).collect()
}
