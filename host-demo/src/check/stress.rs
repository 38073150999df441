//! What takes long: random input, cancelling at every step, leaks, times.

use super::expect::{CancelAfter, Noise, expect_code, expect_error};
use super::interfaces::{self, Interface};
use super::lender::Lender;
use super::sessions::{both, click, go_on, logits, new};
use super::volumes::lend;
use super::{Case, Check, skip};
use anyhow::{Context, ensure};
use sam_octa2_abi::PluginError;
use serde_json::json;
use std::time::Instant;

pub const CHECKS: &[Check] = &[
    Check {
        name: "random-text",
        title: "random requests, options and scripts are errors",
        level: 3,
        needs: &["system-layout"],
        run: random_text,
    },
    Check { name: "random-state", title: "random states are errors", level: 3, needs: &["model"], run: random_state },
    Check {
        name: "cancel-anywhere",
        title: "cancelled at every step, a session goes on",
        level: 3,
        needs: &["model"],
        run: cancel_anywhere,
    },
    Check {
        name: "leak",
        title: "thousands of volumes, errors and scripts leave no memory behind",
        level: 3,
        needs: &["system-layout"],
        run: leak,
    },
    Check {
        name: "session-leak",
        title: "100 sessions leave no memory behind",
        level: 3,
        needs: &["model"],
        run: session_leak,
    },
    Check { name: "times", title: "how long things take", level: 3, needs: &["system-layout"], run: times },
];

/// The plugin may accept or refuse, but not fail inside.
fn survives<T>(result: Result<T, PluginError>) -> anyhow::Result<()> {
    match result {
        Ok(_) => Ok(()),
        error => expect_error(error),
    }
}

/// Text that is nearly what it should be.
fn mangled(noise: &mut Noise, good: &str) -> String {
    let mut bytes = good.as_bytes().to_vec();
    for _ in 0..=noise.number() % 4 {
        let at = noise.number() as usize % bytes.len().max(1);
        let byte = (noise.number() >> 40) as u8 & 0x7f;
        match noise.number() % 3 {
            0 => bytes.insert(at, byte),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
        }
    }
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn random_text(case: &Case) -> anyhow::Result<String> {
    const SCRIPT: &str =
        "fn f(a) { let b = #{x: [1, 2.5], y: `t${a}`}; if a > 3 { throw b } b.x[a % 2] + f(a + 1) } f(0)";
    interfaces::each(case, |interface| {
        let (mut noise, script) = (Noise::new(1), interface.api.script()?);
        for _ in 0..400 {
            let text = mangled(&mut noise, SCRIPT);
            let request = json!({"source": text, "limits": {"operations": 20_000}}).to_string();
            survives(script.run(&request, &mut ())).with_context(|| format!("script {text:?}"))?;
            let request =
                mangled(&mut noise, r#"{"source": "6 * 7", "args": {"a": [1, null]}, "limits": {"variables": 9}}"#);
            survives(script.run(&request, &mut ())).with_context(|| format!("request {request:?}"))?;
            let declaration = mangled(&mut noise, r#"{"name": "f", "doc": "d", "parameters": [{"name": "a"}]}"#);
            survives(script.add_function(&declaration, |_| Ok("1".to_owned())))
                .with_context(|| format!("declaration {declaration:?}"))?;
            let request = mangled(&mut noise, r#"{"input": "/no/such/file.nii", "crop": "1,2,3,4", "axis": "y"}"#);
            survives(interface.api.task("info", &request, &mut ())).with_context(|| format!("task {request:?}"))?;
        }
        Ok(())
    })
}

fn random_state(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let (volume, model) = both(case, interface)?;
        let session = interface.api.session(&volume, &model, None, &mut ())?;
        session.prompt(&click(1), &mut ())?;
        let saved = session.save(&mut ())?;
        let good = saved.values::<u8>().context("a state is not bytes")?.to_vec();
        let mut noise = Noise::new(2);
        for round in 0..3 {
            let bad = noise.bytes(1 << 20);
            expect_error(interface.api.restore(&volume, &model, &bad, None, &mut ()))
                .with_context(|| format!("1 MB, {round}"))?;
            // a good beginning, then noise
            let bad = [&good[..64.min(good.len())], &bad].concat();
            expect_error(interface.api.restore(&volume, &model, &bad, None, &mut ()))
                .with_context(|| format!("head, {round}"))?;
        }
        for _ in 0..100 {
            let (mut bad, at) = (good.clone(), noise.number() as usize % good.len());
            bad[at] ^= 1 << (noise.number() % 8);
            expect_error(interface.api.restore(&volume, &model, &bad, None, &mut ()))
                .with_context(|| format!("a bit of byte {at}"))?;
        }
        interface.api.restore(&volume, &model, &good, None, &mut ()).context("the good state afterwards").map(|_| ())
    })
}

fn cancel_anywhere(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let whole = new(case, interface)?;
        whole.prompt(&click(1), &mut ())?;
        whole.propagate(None, &mut go_on, &mut ())?;
        let expected = logits(&whole, 4, 1)?;
        for step in 1.. {
            let session = new(case, interface)?;
            session.prompt(&click(1), &mut ())?;
            let result = session.propagate(None, &mut go_on, &mut CancelAfter::steps(step));
            if result.is_ok() {
                ensure!(step > 1, "progress is never asked");
                break;
            }
            expect_code(result, "cancelled").with_context(|| format!("at call {step}"))?;
            session.propagate(None, &mut go_on, &mut ()).with_context(|| format!("not usable after call {step}"))?;
            ensure!(logits(&session, 4, 1)? == expected, "cancelled at call {step}, it goes on in another way");
        }
        Ok(())
    })
}

/// The memory of this process in bytes.
fn memory() -> anyhow::Result<u64> {
    let Ok(text) = std::fs::read_to_string("/proc/self/statm") else { return skip("no /proc/self/statm here") };
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.context("/proc/self/statm")? * 4096)
}

/// Does it all so often, after a warm-up that may keep what it likes.
fn stays_flat(rounds: usize, limit: u64, mut round: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    (0..rounds / 5).try_for_each(|_| round())?;
    let before = memory()?;
    (0..rounds).try_for_each(|_| round())?;
    let grown = memory()?.saturating_sub(before);
    ensure!(grown < limit, "{rounds} rounds left {} kB behind", grown / 1024);
    Ok(())
}

fn leak(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let lender = Lender::counting()?;
        stays_flat(3000, 4 << 20, || small_round(interface, lender))
    })
}

fn small_round(interface: &Interface, lender: &'static Lender) -> anyhow::Result<()> {
    let volume = lend(interface, &lender.plain())?;
    volume.info()?;
    volume.frame(1)?;
    expect_error(volume.frame(99))?;
    let script = interface.api.script()?;
    script.add_function(r#"{"name": "f"}"#, |_| Ok("[1, 2, 3]".to_owned()))?;
    script.share_volume(&volume)?;
    script.run(r#"{"source": "viewer::f()"}"#, &mut ())?;
    expect_error(script.run(r#"{"source": "throw 1"}"#, &mut ()))
}

fn session_leak(case: &Case) -> anyhow::Result<String> {
    // through one interface: behind both are the same sessions, and a minute is long enough
    let interfaces = interfaces::all(case)?;
    let Some(interface) = interfaces.first() else { return skip("the plugin has no functions for it") };
    let (volume, model) = both(case, interface)?;
    stays_flat(100, 24 << 20, || {
        let session = interface.api.session(&volume, &model, None, &mut ())?;
        session.prompt(&click(1), &mut ())?;
        session.propagate(Some(r#"{"max_frames": 2}"#), &mut go_on, &mut ())?;
        let state = session.save(&mut ())?;
        drop(interface.api.restore(&volume, &model, state.values::<u8>().context("no bytes")?, None, &mut ())?);
        session.labels(&mut ()).map(|_| ()).map_err(Into::into)
    })?;
    Ok(String::new())
}

fn times(case: &Case) -> anyhow::Result<String> {
    let mut reply: Vec<String> = Vec::new();
    let mut time = |what: &str, work: &mut dyn FnMut() -> anyhow::Result<()>| {
        let start = Instant::now();
        work()?;
        reply.push(format!("{what} {:.1} ms", start.elapsed().as_secs_f64() * 1e3));
        anyhow::Ok(())
    };
    time("load", &mut || case.plugin().map(|_| ()))?;
    let interfaces = interfaces::all(case)?;
    let Some(interface) = interfaces.first() else { return skip("the plugin has no functions for it") };
    time("engine", &mut || Ok(interface.api.start()?))?;
    let lender = Lender::counting()?;
    time("lend", &mut || lend(interface, &lender.plain()).map(|_| ()))?;
    let script = interface.api.script()?;
    time("script", &mut || Ok(script.run(r#"{"source": "6 * 7"}"#, &mut ()).map(drop)?))?;
    if case.model.is_some() {
        let mut session = None;
        time("model and session", &mut || {
            session = Some(new(case, interface)?);
            Ok(())
        })?;
        let session = session.context("no session")?;
        time("first click", &mut || Ok(session.prompt(&click(1), &mut ()).map(drop)?))?;
        time("second click", &mut || Ok(session.prompt(&click(2), &mut ()).map(drop)?))?;
        time("propagation", &mut || Ok(session.propagate(None, &mut go_on, &mut ())?))?;
    }
    Ok(reply.join(", "))
}
