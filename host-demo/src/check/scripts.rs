//! Scripts: values both ways, errors with their places, limits, functions of the host.

use super::expect::{expect_code, json_of, same};
use super::interfaces::{self, Interface};
use super::lender::{Lender, second_slice};
use super::volumes::lend;
use super::{Case, Check};
use anyhow::{Context, ensure};
use sam_octa2_abi::{HostObserver, PluginError, Script, Severity};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const NEEDS: &[&str] = &["system-layout", "script-layout"];

pub const CHECKS: &[Check] = &[
    Check { name: "script-values", title: "values cross both ways unchanged", level: 2, needs: NEEDS, run: values },
    Check { name: "script-error", title: "an error has file, line and column", level: 2, needs: NEEDS, run: error },
    Check { name: "script-limits", title: "runaway scripts are stopped", level: 2, needs: NEEDS, run: limits },
    Check {
        name: "script-sandbox",
        title: "a script reads no files as modules and evaluates no text",
        level: 2,
        needs: NEEDS,
        run: sandbox,
    },
    Check { name: "functions", title: "functions of the host are called", level: 2, needs: NEEDS, run: functions },
    Check {
        name: "function-release",
        title: "functions of the host are released exactly once",
        level: 2,
        needs: NEEDS,
        run: function_release,
    },
    Check { name: "script-busy", title: "a run within a run gets busy", level: 2, needs: NEEDS, run: busy },
    Check { name: "script-volume", title: "volumes go to scripts and back", level: 2, needs: NEEDS, run: volume },
    Check { name: "script-log", title: "what a script prints goes to the host", level: 2, needs: NEEDS, run: log },
];

/// Runs a text.
fn run(script: &Script, text: &str, args: Value) -> Result<String, PluginError> {
    script.run(&json!({"source": text, "args": args}).to_string(), &mut ())
}

/// The last value of a text.
fn result(script: &Script, text: &str, args: Value) -> anyhow::Result<Value> {
    let reply = run(script, text, args).with_context(|| text.to_owned())?;
    Ok(json_of(&reply)?["result"].clone())
}

fn values(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let script = interface.api.script()?;
        let all = json!({
            "text": "µm — 網膜 \"x\" \\ \n 🙂", "empty": "", "whole": 9_007_199_254_740_993_i64, "least": i64::MIN,
            "fraction": 0.1, "truth": true, "nothing": null, "list": [1, [2, "三"], {}], "map": {"schlüssel": {"a": []}},
            "long": "é".repeat(100_000)
        });
        same("a value", result(&script, "arg(\"all\")", json!({"all": all}))?, all.clone())?;
        same("text of a script", result(&script, "\"網\" + \"膜\".len()", json!({}))?, json!("網1"))?;
        same("nothing", result(&script, "let a = 1;", json!({}))?, Value::Null)?;
        for request in ["{}", "[]", "{\"source\": 5}", "{\"source\": \"1\", \"surplus\": 1}", ""] {
            expect_code(script.run(request, &mut ()), "invalid_argument").with_context(|| request.to_owned())?;
        }
        Ok(())
    })
}

/// What the detail of a script's error says.
fn detail(result: Result<String, PluginError>) -> anyhow::Result<Value> {
    let detail = result.as_ref().err().map(|error| error.detail_json.to_string()).unwrap_or_default();
    expect_code(result, "script")?;
    json_of(&detail)
}

fn error(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let script = interface.api.script()?;
        let wrong = [
            ("let x = 1;\nlet = 2;", 2, "syntax"),
            ("let x = 1;\n\n  throw \"網膜\";", 3, "thrown"),
            ("// µ\nlet a = [1];\na[5]", 3, "runtime"),
            ("fn f() {\n  nothing_of_this_name(1)\n}\nf()", 2, "runtime"),
            ("let v = 0;\n\"網膜\"; open_volume(\"/no/such/file\")", 2, "thrown"),
        ];
        for (text, line, kind) in wrong {
            let response = detail(run(&script, text, json!({}))).with_context(|| text.to_owned())?;
            same("line", &response["line"], &json!(line)).with_context(|| text.to_owned())?;
            ensure!(response["column"].as_u64().is_some_and(|column| column > 0), "no column for {text:?}: {response}");
            same("kind", &response["kind"], &json!(kind)).with_context(|| text.to_owned())?;
        }
        same("the next run", result(&script, "6 * 7", json!({}))?, json!(42))
    })
}

fn limits(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let script = interface.api.script()?;
        let runaway = [
            ("loop {}", json!({"operations": 100_000})),
            ("loop { try { loop {} } catch {} }", json!({"operations": 100_000})),
            ("fn f(x) { f(x + 1) } f(0)", json!({})),
            ("fn f(x) { f(x + 1) + 1 } f(0)", json!({"call_depth": 20})),
            ("let s = \"x\"; loop { s += s; }", json!({})),
            ("let s = \"x\"; s.pad(1000000000, \"y\"); s", json!({})),
            ("let a = []; a.pad(1000000000, 1); a", json!({})),
            ("let a = [1]; loop { a += a; }", json!({})),
            ("let m = #{}; for i in 0..100000000 { m[`${i}`] = i; }", json!({"operations": 1_000_000})),
            ("let b = blob(4000000000, 1); b", json!({})),
        ];
        for (text, limits) in runaway {
            let request = json!({"source": text, "limits": limits}).to_string();
            let response = detail(script.run(&request, &mut ())).with_context(|| text.to_owned())?;
            same("kind", &response["kind"], &json!("limit")).with_context(|| format!("{text}: {response}"))?;
        }
        let deep = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
        detail(run(&script, &deep, json!({}))).context("10 000 brackets")?;
        same("the next run", result(&script, "6 * 7", json!({}))?, json!(42))
    })
}

fn sandbox(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let script = interface.api.script()?;
        for text in
            ["import \"/etc/passwd\" as p;", "eval(\"1\")", "import \"../../etc/hosts\" as p; p::x", "system(\"id\")"]
        {
            detail(run(&script, text, json!({}))).with_context(|| text.to_owned())?;
        }
        Ok(())
    })
}

/// A function that is told about.
fn declare(name: &str) -> String {
    json!({"name": name, "doc": "für Prüfungen", "parameters": [{"name": "a", "optional": true}]}).to_string()
}

fn functions(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let script = interface.api.script()?;
        let received: Arc<Mutex<Vec<String>>> = Arc::default();
        let hearing = received.clone();
        script.add_function(&declare("ask"), move |arguments| {
            hearing.lock().unwrap_or_else(PoisonError::into_inner).push(arguments.to_owned());
            Ok(r#"{"antwort": [1, 2.5, "網膜", true, null]}"#.to_owned())
        })?;
        script.add_function(&declare("fails"), |_| Err("die Tür ist zu".to_owned()))?;
        script.add_function(&declare("nonsense"), |_| Ok("{".to_owned()))?;
        let text = "let a = viewer::ask(#{x: [1, \"é\"]}); viewer::ask(); a.antwort[2] + a.antwort[0]";
        same("an answer", result(&script, text, json!({}))?, json!("網膜1"))?;
        let received = received.lock().unwrap_or_else(PoisonError::into_inner).clone();
        same("arguments", received, vec![r#"[{"x":[1,"é"]}]"#.to_owned(), "[]".to_owned()])?;
        let failed = run(&script, "let x = 1;\nviewer::fails()", json!({}));
        let message = failed.as_ref().err().map(|error| error.message.to_string()).unwrap_or_default();
        same("line", &detail(failed)?["line"], &json!(2))?;
        ensure!(message.contains("die Tür ist zu"), "the host's sentence is lost: {message}");
        let caught = "let c = \"\"; try { viewer::fails() } catch (e) { c = e.code } c";
        same("a caught error", result(&script, caught, json!({}))?, json!("host"))?;
        for wrong in ["viewer::nonsense()", "viewer::unknown()", "viewer::ask(1, 2, 3)"] {
            detail(run(&script, wrong, json!({}))).context(wrong)?;
        }
        Ok(())
    })
}

/// Counts when it goes.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Adds a function that counts its releases.
fn add(script: &Script, declaration: &str, count: &Arc<AtomicUsize>) -> Result<(), PluginError> {
    let dropped = Dropped(count.clone());
    script.add_function(declaration, move |_| {
        let _ = &dropped;
        Ok("1".to_owned())
    })
}

fn function_release(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let (script, count) = (interface.api.script()?, Arc::new(AtomicUsize::new(0)));
        add(&script, r#"{"name": "one"}"#, &count)?;
        let refused = [
            r#"{"name": "one"}"#,
            "{",
            "{}",
            r#"{"name": "not a name"}"#,
            r#"{"name": ""}"#,
            r#"{"name": "while"}"#,
            r#"{"name": "x", "surplus": 1}"#,
            r#"{"name": "x", "parameters": [{"name": "a", "optional": true}, {"name": "b"}]}"#,
        ];
        for (at, declaration) in refused.iter().enumerate() {
            expect_code(add(&script, declaration, &count), "invalid_argument").context(*declaration)?;
            same("releases", count.load(Ordering::SeqCst), at + 1).context(*declaration)?;
        }
        same("the function", result(&script, "viewer::one()", json!({}))?, json!(1))?;
        same("releases before the engine is freed", count.load(Ordering::SeqCst), refused.len())?;
        drop(script);
        same("releases in the end", count.load(Ordering::SeqCst), refused.len() + 1)
    })
}

fn busy(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let script = Arc::new(interface.api.script()?);
        let weak = Arc::downgrade(&script);
        script.add_function(&declare("again"), move |_| {
            let Some(script) = weak.upgrade() else { return Err("no engine".to_owned()) };
            let inner = script.run("{\"source\": \"1\"}", &mut ());
            Ok(json!(inner.err().map(|error| error.code.to_string())).to_string())
        })?;
        same("a run within a run", result(&script, "viewer::again()", json!({}))?, json!("busy"))?;
        // an engine of its own is free
        let other = interface.api.script()?;
        script.add_function(&declare("other"), move |_| {
            other.run("{\"source\": \"6 * 7\"}", &mut ()).map_err(|error| error.message.to_string())
        })?;
        same("a run in another engine", result(&script, "viewer::other()", json!({}))?, json!({"result": 42}))
    })
}

fn volume(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let (script, lender) = (interface.api.script()?, Lender::read_only()?);
        let id = script.share_volume(&lend(interface, &lender.plain())?)?;
        let text = "let v = arg(\"v\"); #{v: v, frames: v.frames}";
        let response = result(&script, text, json!({"v": {"handle": id}}))?;
        same("slices", &response["frames"], &json!(3))?;
        let back = script.volume(response["v"]["handle"].as_u64().context("no handle came back")?)?;
        let slice = back.frame(1)?;
        same("a slice", slice.values::<u16>().map(<[u16]>::to_vec), Some(second_slice()))?;
        unknown_handles(interface, &script, id)?;
        drop((script, slice, back));
        same("releases", lender.releases(), 1)
    })
}

fn unknown_handles(interface: &Interface, script: &Script, id: u64) -> anyhow::Result<()> {
    expect_code(script.volume(9999), "invalid_argument").context("a handle that nobody gave")?;
    expect_code(script.labels(id), "invalid_argument").context("a volume as labels")?;
    expect_code(interface.api.script()?.volume(id), "invalid_argument").context("a handle of another engine")?;
    detail(run(script, "arg(\"v\")", json!({"v": {"handle": 9999}})))
        .context("an argument that nobody gave")
        .map(|_| ())
}

#[derive(Default)]
struct Log(Vec<String>);

impl HostObserver for Log {
    fn log(&mut self, severity: Severity, message: &str) {
        self.0.push(format!("{} {message}", severity.number()));
    }
}

fn log(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let (script, mut log) = (interface.api.script()?, Log::default());
        script.run(&json!({"source": "print(\"網膜\"); debug(3)"}).to_string(), &mut log)?;
        same("lines", log.0.len(), 2)?;
        same("what was printed", log.0[0].as_str(), "16 網膜")?;
        ensure!(log.0[1].starts_with("1 ") && log.0[1].ends_with('3'), "what was debugged: {:?}", log.0[1]);
        Ok(())
    })
}
