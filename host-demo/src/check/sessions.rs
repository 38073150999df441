//! Sessions on a lent volume: prompts, propagation, state. All of it needs a model, however small.

use super::expect::{CancelAfter, expect_code, expect_error, json_of, same};
use super::interfaces::{self, Interface};
use super::lender::Lender;
use super::pages::Access;
use super::volumes::lend;
use super::{Case, Check};
use anyhow::{Context, ensure};
use sam_octa2_abi::raw::ViewStruct;
use sam_octa2_abi::{Flow, Form, Mask, Model, Prompt, Session, Slice, Volume};

const NEEDS: &[&str] = &["system-layout", "session-layout"];

pub const CHECKS: &[Check] = &[
    Check { name: "model", title: "a model loads and describes itself", level: 2, needs: NEEDS, run: model },
    Check { name: "session", title: "a click is answered and followed", level: 2, needs: &["model"], run: session },
    Check { name: "masks", title: "the forms of a mask agree", level: 2, needs: &["model"], run: masks },
    Check {
        name: "session-memory",
        title: "sessions keep lent memory, do not write it, and give it back",
        level: 2,
        needs: &["model"],
        run: memory,
    },
    Check {
        name: "determinism",
        title: "the same prompts give the same bits, also after undo",
        level: 2,
        needs: &["model"],
        run: determinism,
    },
    Check {
        name: "history",
        title: "undo and redo go back and forth, past a propagation, to the same bits",
        level: 2,
        needs: &["model"],
        run: history,
    },
    Check { name: "busy", title: "a call from a callback gets busy", level: 2, needs: &["model"], run: busy },
    Check { name: "cancel-session", title: "a cancelled session goes on", level: 2, needs: &["model"], run: cancel },
    Check {
        name: "threads",
        title: "two sessions work on two threads, one moves between them",
        level: 2,
        needs: &["model"],
        run: threads,
    },
    Check {
        name: "state",
        title: "a saved session goes on; empty, cut and foreign bytes are refused",
        level: 2,
        needs: &["model"],
        run: state,
    },
];

/// slices, rows, columns
pub const SHAPE: [usize; 3] = [5, 48, 64];

/// A volume with a bright spot that wanders.
pub fn picture() -> anyhow::Result<&'static Lender> {
    let [frames, rows, columns] = SHAPE;
    let bright = |frame: usize, row: usize, column: usize| {
        (row as i64 - 20).pow(2) + (column as i64 - 24 - 2 * frame as i64).pow(2) < 120
    };
    let value = |index: usize| {
        let (frame, row, column) = (index / (rows * columns), index / columns % rows, index % columns);
        if bright(frame, row, column) { 200 } else { 40 + ((row * 7 + column * 13) % 32) as u16 }
    };
    Lender::of(&(0..frames * rows * columns).map(value).collect::<Vec<_>>(), Access::Read, true)
}

/// The view of it.
pub fn view(lender: &'static Lender) -> ViewStruct {
    let [frames, rows, columns] = SHAPE.map(|n| n as i64);
    ViewStruct { shape: [frames, rows, columns, 0], strides: [rows * columns * 2, columns * 2, 2, 0], ..lender.plain() }
}

/// The volume and the model.
pub fn both(case: &Case, interface: &Interface) -> anyhow::Result<(Volume, Model)> {
    let request = case.model_request()?;
    Ok((lend(interface, &view(picture()?))?, interface.api.load_model(&request, &mut ())?))
}

/// A session on the volume.
pub fn new(case: &Case, interface: &Interface) -> anyhow::Result<Session> {
    let (volume, model) = both(case, interface)?;
    Ok(interface.api.session(&volume, &model, Some(r#"{"window": "0,255"}"#), &mut ())?)
}

/// A click on the spot.
pub fn click(object: u32) -> Prompt {
    Prompt::click(1, object, [26.0, 20.0])
}

/// The answer for the object on a slice, to be compared bit for bit.
pub fn logits(session: &Session, frame: u64, object: u32) -> anyhow::Result<Vec<u64>> {
    bits(&session.mask(frame, object)?)
}

/// The logits, and the scores: where a model sees no object at all, only these tell one prompt from another.
fn bits(mask: &Mask) -> anyhow::Result<Vec<u64>> {
    let view = mask.view(Form::Logits)?;
    same("shape of a mask", view.shape(), SHAPE[1..].to_vec())?;
    let values = view.values::<f32>().context("logits are not float32 without gaps")?;
    ensure!(values.iter().all(|value| value.is_finite()), "logits that are no numbers");
    let reply = json_of(&mask.info()?)?;
    let scores = ["iou", "score"].map(|name| reply[name].as_f64().map(f64::to_bits));
    let scores = scores.into_iter().map(|score| score.context("a mask without scores"));
    values.iter().map(|value| Ok(u64::from(value.to_bits()))).chain(scores).collect()
}

pub fn go_on(_: Slice<'_>) -> Flow {
    Flow::CONTINUE
}

fn model(case: &Case) -> anyhow::Result<String> {
    let request = case.model_request()?;
    interfaces::each(case, |interface| {
        let model = interface.api.load_model(&request, &mut ())?;
        json_of(&model.describe()?)?;
        for wrong in [r#"{"model": "/no/such/file.pt"}"#, "{}", r#"{"model": 5}"#, "[]"] {
            expect_error(interface.api.load_model(wrong, &mut ())).context(wrong)?;
        }
        Ok(())
    })
}

fn session(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let session = new(case, interface)?;
        let mask = session.prompt(&click(1), &mut ())?;
        same("the answer and the mask afterwards", bits(&mask)?, logits(&session, 1, 1)?)?;
        let (mut seen, mut kept) = (Vec::new(), None);
        let receive = &mut |slice: Slice<'_>| {
            seen.push((slice.frame, slice.masks.len()));
            kept = slice.masks.first().cloned();
            Flow::CONTINUE
        };
        session.propagate(Some(r#"{"direction": "both"}"#), receive, &mut ())?;
        seen.sort_unstable();
        same("slices", seen, (0..SHAPE[0] as u64).map(|frame| (frame, 1)).collect())?;
        let kept = kept.context("no mask was given")?;
        kept.info().context("a mask that was kept is gone")?;
        let reply = json_of(&session.describe()?)?;
        same("objects", reply["objects"].as_array().map(Vec::len), Some(1))?;
        for options in [r#"{"colour": 1}"#, r#"{"window": "bright"}"#, "[", r#"{"compat": "x"}"#] {
            let (volume, model) = both(case, interface)?;
            expect_code(interface.api.session(&volume, &model, Some(options), &mut ()), "invalid_argument")
                .context(options)?;
        }
        for range in ["[", r#"{"direction": "up"}"#, r#"{"start": 99}"#, r#"{"start": -1}"#] {
            expect_error(session.propagate(Some(range), &mut go_on, &mut ())).context(range)?;
        }
        Ok(())
    })
}

fn masks(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let session = new(case, interface)?;
        let mask = session.prompt(&click(3), &mut ())?;
        let (dense, labels) = (mask.view(Form::Dense)?, mask.view(Form::Labels)?);
        let (probability, logits) = (mask.view(Form::Probability)?, mask.view(Form::Logits)?);
        let dense = dense.values::<u8>().context("dense is not uint8")?;
        let labels = labels.values::<u16>().context("labels are not uint16")?;
        let probability = probability.values::<f32>().context("probabilities are not float32")?;
        let logits = logits.values::<f32>().context("logits are not float32")?;
        same("values", [labels.len(), probability.len(), logits.len()], [dense.len(); 3])?;
        for (at, &inside) in dense.iter().enumerate() {
            ensure!(inside == u8::from(logits[at] > 0.0), "dense and logits differ at {at}");
            ensure!(labels[at] == 3 * u16::from(inside), "labels and dense differ at {at}");
            ensure!((0.0..=1.0).contains(&probability[at]), "a probability of {}", probability[at]);
            ensure!((probability[at] > 0.5) == (logits[at] > 0.0), "probability and logits differ at {at}");
        }
        let reply = json_of(&mask.info()?)?;
        same("area", reply["area"].as_u64(), Some(dense.iter().map(|&inside| u64::from(inside)).sum()))?;
        let runs = json_of(&mask.rle(&mut ())?)?["counts"]
            .as_array()
            .map_or(0, |counts| counts.iter().filter_map(serde_json::Value::as_u64).sum());
        same("pixels of the run lengths", runs, dense.len() as u64)?;
        let stack = session.labels(&mut ())?;
        expect_code(stack.view(Form::Logits), "unsupported")?;
        expect_error(mask.write("/no/such/folder/x.nii", None, &mut ()))?;
        let copy = mask.clone();
        drop((mask, session));
        copy.info().context("a mask lives on without its session").map(|_| ())
    })
}

fn memory(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let lender = picture()?;
        let volume = lend(interface, &view(lender))?;
        let model = interface.api.load_model(&case.model_request()?, &mut ())?;
        let session = interface.api.session(&volume, &model, None, &mut ())?;
        drop((volume, model));
        session.prompt(&click(1), &mut ()).context("the session outlives its volume and model")?;
        session.propagate(None, &mut go_on, &mut ())?;
        let kept = session.mask(2, 1)?;
        let labels = session.labels(&mut ())?;
        same("releases while the session is there", lender.releases(), 0)?;
        drop(session);
        labels.info().context("labels live on without their session")?;
        drop(labels);
        same("releases when all was freed", lender.releases(), 1)?;
        bits(&kept).map(|_| ())
    })
}

fn determinism(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let round = || {
            let session = new(case, interface)?;
            session.prompt(&click(1), &mut ())?;
            let before = logits(&session, 1, 1)?;
            let outside = Prompt { points: vec![5.0, 40.0], labels: vec![0], ..click(1) };
            session.prompt(&outside, &mut ())?;
            session.remove_prompt(1, 1, None, &mut ())?;
            same("bits after undo", logits(&session, 1, 1)? == before, true)?;
            session.prompt(&outside, &mut ())?;
            session.free_caches()?;
            session.propagate(Some(r#"{"direction": "both"}"#), &mut go_on, &mut ())?;
            anyhow::Ok([logits(&session, 0, 1)?, logits(&session, 1, 1)?, logits(&session, 4, 1)?])
        };
        let (first, second) = (round()?, round()?);
        ensure!(first == second, "the same prompts gave other bits");
        Ok(())
    })
}

fn history(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let session = new(case, interface)?;
        expect_code(session.undo(), "invalid_argument").context("nothing to undo")?;
        session.prompt(&click(1), &mut ())?;
        session.propagate(None, &mut go_on, &mut ())?;
        let tracked = logits(&session, 4, 1)?;
        session.prompt(&Prompt { frame: 4, points: vec![5.0, 40.0], labels: vec![0], ..click(1) }, &mut ())?;
        let corrected = logits(&session, 4, 1)?;
        session.undo()?;
        same("bits after undo", logits(&session, 4, 1)? == tracked, true)?;
        session.undo()?;
        expect_code(session.mask(4, 1), "not_found").context("the propagation is undone")?;
        let undone = json_of(&session.undo()?)?;
        same("the step undone", undone["op"].as_str(), Some("prompt"))?;
        for _ in 0..3 {
            session.redo()?;
        }
        same("bits after redo", logits(&session, 4, 1)? == corrected, true)?;
        expect_code(session.redo(), "invalid_argument").context("nothing to redo")?;
        let reply = json_of(&session.history()?)?;
        same("steps in the record", reply["record"].as_array().map(Vec::len), Some(9))?;
        ensure!(session.script(&mut ())?.contains("session.undo();"), "the script lacks a step");
        Ok(())
    })
}

fn busy(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let session = new(case, interface)?;
        session.prompt(&click(1), &mut ())?;
        let mut codes = Vec::new();
        let again = &mut |_: Slice<'_>| {
            let prompted = session.prompt(&click(2), &mut ()).err().map(|error| error.code.to_string());
            let described = session.describe().err().map(|error| error.code.to_string());
            codes.extend([prompted, described]);
            Flow::CANCEL
        };
        expect_code(session.propagate(None, again, &mut ()), "cancelled")?;
        same("the calls' errors", codes, vec![Some("busy".to_owned()); 2])?;
        session.prompt(&click(2), &mut ()).context("not usable afterwards").map(|_| ())
    })
}

fn cancel(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let session = new(case, interface)?;
        session.prompt(&click(1), &mut ())?;
        for step in [1, 3] {
            let result = session.propagate(None, &mut go_on, &mut CancelAfter::steps(step));
            expect_code(result, "cancelled").with_context(|| format!("at call {step}"))?;
            session.prompt(&click(1), &mut ()).with_context(|| format!("not usable after call {step}"))?;
        }
        expect_code(session.prompt(&click(1), &mut CancelAfter::steps(1)), "cancelled")?;
        session.propagate(None, &mut go_on, &mut ())?;
        logits(&session, 4, 1).map(|_| ())
    })
}

fn threads(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let (volume, model) = both(case, interface)?;
        let one = |object: u32| {
            let session = interface.api.session(&volume, &model, None, &mut ())?;
            session.prompt(&click(object), &mut ())?;
            session.propagate(None, &mut go_on, &mut ())?;
            anyhow::Ok((logits(&session, 3, object)?, session))
        };
        let (a, b) = std::thread::scope(|threads| {
            let other = threads.spawn(|| one(1));
            (one(2), other.join())
        });
        let (a, b) = (a?, b.map_err(|_| anyhow::anyhow!("a thread ended"))??);
        ensure!(a.0 == b.0, "two sessions gave other bits");
        // the other thread's session here, ours there, freed in the order of making
        b.1.prompt(&click(1), &mut ())?;
        let (first, second) = (a.1, b.1);
        std::thread::scope(|threads| {
            threads.spawn(move || {
                let done = first.describe().map(|_| ());
                drop(first);
                done
            });
            drop(second);
        });
        Ok(())
    })
}

fn state(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let (volume, model) = both(case, interface)?;
        let session = interface.api.session(&volume, &model, None, &mut ())?;
        session.prompt(&click(1), &mut ())?;
        session.propagate(Some(r#"{"max_frames": 2}"#), &mut go_on, &mut ())?;
        let saved = session.save(&mut ())?;
        let bytes = saved.values::<u8>().context("a state is not bytes")?.to_vec();
        let other = interface.api.restore(&volume, &model, &bytes, None, &mut ())?;
        session.propagate(None, &mut go_on, &mut ())?;
        other.propagate(None, &mut go_on, &mut ()).context("the restored session")?;
        ensure!(logits(&session, 4, 1)? == logits(&other, 4, 1)?, "the restored session goes on in another way");
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        let cut = |parts: usize| bytes[..bytes.len() / 8 * parts].to_vec();
        let bad =
            [Vec::new(), vec![0], b"hello".to_vec(), cut(1), cut(4), cut(7), flipped, [&bytes[..], b"x"].concat()];
        for (at, bad) in bad.iter().enumerate() {
            expect_error(interface.api.restore(&volume, &model, bad, None, &mut ()))
                .with_context(|| format!("bad state {at}"))?;
        }
        let smaller = ViewStruct { shape: [3, 48, 64, 0], ..view(picture()?) };
        expect_error(interface.api.restore(&lend(interface, &smaller)?, &model, &bytes, None, &mut ()))
            .context("another volume")?;
        Ok(())
    })
}
