//! Whole tasks, panics, cancelling: what needs neither a volume nor a model.

use super::expect::{CancelAfter, expect_code};
use super::interfaces::{self, Interface};
use super::loading::strings;
use super::{Case, Check, skip};
use anyhow::{Context, ensure};
use sam_octa2_abi::raw::HostStruct;
use sam_octa2_abi::{CancelToken, HostObserver, Plugin};
use serde_json::{Value, json};
use std::ffi::{c_char, c_void};
use std::ptr::null;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

pub const CHECKS: &[Check] = &[
    Check { name: "echo", title: "text crosses both ways unchanged", level: 2, needs: &["selftest-layout"], run: echo },
    Check { name: "panic", title: "a panic becomes an error", level: 2, needs: &["selftest-layout"], run: panic },
    Check {
        name: "panic-interfaces",
        title: "also through both interfaces",
        level: 2,
        needs: &["system-layout"],
        run: panic_doors,
    },
    Check {
        name: "unknown-task",
        title: "an unknown task is an error",
        level: 2,
        needs: &["task-layout"],
        run: unknown_task,
    },
    Check {
        name: "garbage",
        title: "requests that make no sense are errors",
        level: 2,
        needs: &["task-layout"],
        run: garbage,
    },
    Check {
        name: "garbage-interfaces",
        title: "also through both interfaces",
        level: 2,
        needs: &["system-layout"],
        run: garbage_doors,
    },
    Check { name: "cancel", title: "long work can be cancelled", level: 2, needs: &["selftest-layout"], run: cancel },
    Check {
        name: "cancel-script",
        title: "a script can be cancelled",
        level: 2,
        needs: &["task-layout"],
        run: cancel_script,
    },
    Check {
        name: "cancel-callback",
        title: "progress that answers no stops the work",
        level: 2,
        needs: &["system-layout"],
        run: cancel_callback,
    },
    Check {
        name: "cancel-token",
        title: "a token stops the work from another thread",
        level: 2,
        needs: &["system-layout"],
        run: cancel_token,
    },
    Check {
        name: "late-calls",
        title: "nothing is called after the call has returned",
        level: 2,
        needs: &["system-layout"],
        run: late_calls,
    },
];

fn echo(case: &Case) -> anyhow::Result<String> {
    let plugin = case.plugin()?;
    for text in ["", "a", "µm — 網膜\0\n\"", &"long ".repeat(1 << 18)] {
        let back = plugin.selftest_echo(text)?;
        ensure!(back == text, "{} bytes went in, {} other bytes came out", text.len(), back.len());
    }
    Ok(String::new())
}

fn panic(case: &Case) -> anyhow::Result<String> {
    let plugin = case.plugin()?;
    for _ in 0..3 {
        expect_code(plugin.selftest_panic(&mut ()), "panic")?;
        ensure!(plugin.selftest_echo("alive")? == "alive", "the plugin is not usable afterwards");
    }
    Ok(String::new())
}

fn panic_doors(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        for _ in 0..3 {
            expect_code(interface.api.selftest("panic", &mut ()), "panic")?;
            interface.api.capabilities().context("the plugin is not usable afterwards")?;
        }
        expect_code(interface.api.selftest("no such test", &mut ()), "invalid_argument")
    })
}

fn unknown_task(case: &Case) -> anyhow::Result<String> {
    let plugin = case.plugin()?;
    for name in ["", "no such task", "info\0"] {
        expect_code(plugin.task(name, "{}", &mut ()), "not_found").with_context(|| format!("task {name:?}"))?;
    }
    Ok(String::new())
}

fn tasks(plugin: &Plugin) -> anyhow::Result<Vec<String>> {
    let tasks: Value = serde_json::from_str(&plugin.tasks_json()?)?;
    let names = strings(&tasks).context("the list of tasks is no list of text")?;
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// Requests that no task understands.
fn nonsense() -> Vec<String> {
    let short = ["", "{", "not JSON", "[1, 2]", "null", "{\"input\": 5, \"path\": 5, \"weights_dirs\": 5}", "\"網膜\""];
    short.iter().map(ToString::to_string).chain(["[".repeat(100_000)]).collect()
}

fn refuses(task: &str, request: &str, result: Result<String, sam_octa2_abi::PluginError>) -> anyhow::Result<()> {
    let shown = request.get(..40).unwrap_or(request);
    expect_code(result, "invalid_argument").with_context(|| format!("task `{task}`, request {shown:?}"))
}

fn garbage(case: &Case) -> anyhow::Result<String> {
    let plugin = case.plugin()?;
    for task in tasks(&plugin)? {
        for request in nonsense() {
            refuses(&task, &request, plugin.task(&task, &request, &mut ()))?;
        }
    }
    Ok(String::new())
}

fn garbage_doors(case: &Case) -> anyhow::Result<String> {
    let Ok(tasks) = tasks(&case.plugin()?) else { return skip("the plugin lists no tasks") };
    interfaces::each(case, |interface| {
        expect_code(interface.api.task("no such task", "{}", &mut ()), "not_found")?;
        tasks.iter().try_for_each(|task| {
            nonsense().iter().try_for_each(|request| refuses(task, request, interface.api.task(task, request, &mut ())))
        })
    })
}

/// What was cancelled has ended after a few steps more; how long they take is the machine's affair.
fn at_once(host: &CancelAfter) -> anyhow::Result<()> {
    const MOST: usize = 20;
    ensure!(host.asked_again <= MOST, "it went on for {} steps", host.asked_again);
    Ok(())
}

fn cancel(case: &Case) -> anyhow::Result<String> {
    let plugin = case.plugin()?;
    plugin.selftest_sleep(1, &mut ())?; // the engine is open from here on
    let mut host = CancelAfter::steps(3);
    expect_code(plugin.selftest_sleep(20_000, &mut host), "cancelled")?;
    at_once(&host)?;
    plugin.selftest_sleep(10, &mut ()).context("not usable afterwards")?;
    Ok(String::new())
}

fn cancel_script(case: &Case) -> anyhow::Result<String> {
    let plugin = case.plugin()?;
    let _ = plugin.task("models", "{}", &mut ());
    let script = std::env::temp_dir().join(format!("sam_octa2-check-{}.rhai", std::process::id()));
    std::fs::write(&script, "loop { try { sleep(0.001) } catch {} }").with_context(|| script.display().to_string())?;
    let request = json!({"path": script.to_string_lossy()}).to_string();
    let mut host = CancelAfter::steps(10);
    let result = plugin.task("script", &request, &mut host);
    let _ = std::fs::remove_file(&script);
    expect_code(result, "cancelled")?;
    at_once(&host)?;
    Ok(String::new())
}

fn cancel_callback(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        interface.api.start()?;
        for steps in [1, 2, 7] {
            let mut host = CancelAfter::steps(steps);
            expect_code(interface.api.selftest("sleep", &mut host), "cancelled")?;
            at_once(&host)?;
        }
        Ok(())
    })
}

/// Listens to nothing, but may be stopped.
struct WithToken(CancelToken);

impl HostObserver for WithToken {
    fn cancel_token(&self) -> Option<CancelToken> {
        Some(self.0.clone())
    }
}

fn cancel_token(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        interface.api.start()?;
        let token = CancelToken::new();
        let result = std::thread::scope(|threads| {
            threads.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                token.trigger();
            });
            interface.api.selftest("sleep", &mut WithToken(token.clone()))
        });
        expect_code(result, "cancelled")?;
        // triggered before the call begins
        expect_code(interface.api.selftest("sleep", &mut WithToken(token.clone())), "cancelled")?;
        the_plugins_token(interface)
    })
}

/// The token that C hosts get from the plugin.
fn the_plugins_token(interface: &Interface) -> anyhow::Result<()> {
    let system = &interface.tables.system;
    // Safety: a token used as the header says: it outlives the call and is freed once.
    let status = unsafe {
        let cancel = (system.cancel_new)();
        ensure!(!cancel.is_null(), "cancel_new gives null");
        (system.cancel_trigger)(cancel);
        let host = HostStruct {
            size: size_of::<HostStruct>(),
            context: std::ptr::null_mut(),
            progress: None,
            log: None,
            cancel,
        };
        let status = (system.selftest)(c"sleep".as_ptr(), &raw const host, std::ptr::null_mut());
        (system.cancel_free)(cancel);
        status
    };
    ensure!(status == -1, "a call with a token of the plugin's own returns {status}");
    Ok(())
}

/// Hears whether it is called when nobody should.
#[derive(Default)]
struct Late {
    over: AtomicBool,
    received: AtomicUsize,
    late: AtomicUsize,
}

unsafe extern "C" fn receive(context: *mut c_void, _: *const c_char, _: u64, _: u64) -> i32 {
    // Safety: `late_calls` gave it, and it lives for ever.
    let late = unsafe { &*context.cast::<Late>() };
    if late.over.load(Ordering::SeqCst) {
        late.late.fetch_add(1, Ordering::SeqCst);
    }
    i32::from(late.received.fetch_add(1, Ordering::SeqCst) >= 5)
}

fn late_calls(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let late: &'static Late = Box::leak(Box::default());
        let context = std::ptr::from_ref(late).cast_mut().cast();
        let host =
            HostStruct { size: size_of::<HostStruct>(), context, progress: Some(receive), log: None, cancel: null() };
        // Safety: struct and context outlive the call.
        unsafe { (interface.tables.system.selftest)(c"sleep".as_ptr(), &raw const host, std::ptr::null_mut()) };
        late.over.store(true, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(200));
        let (received, calls) = (late.received.load(Ordering::SeqCst), late.late.load(Ordering::SeqCst));
        ensure!(received > 5, "progress was called {received} times only");
        ensure!(calls == 0, "progress was called {calls} times after the call had returned");
        Ok(())
    })
}
