//! Prompts: what a user may give, and what makes no sense. All of it needs a model.

use super::expect::{expect_code, expect_error, json_of, raw_error, same};
use super::interfaces::{self, Interface};
use super::lender::Lender;
use super::pages::Access;
use super::sessions::{SHAPE, click, logits, new, picture, view};
use super::{Case, Check};
use anyhow::Context;
use sam_octa2_abi::Prompt;
use sam_octa2_abi::raw::opaque::{Model, Volume};
use sam_octa2_abi::raw::{OnSliceStruct, PromptStruct, ViewStruct};
use serde_json::json;
use std::ptr::{null, null_mut};

pub const CHECKS: &[Check] = &[
    Check {
        name: "prompts",
        title: "prompts that make no sense are refused, 10 000 points taken",
        level: 2,
        needs: &["model"],
        run: prompts,
    },
    Check {
        name: "drawn-mask",
        title: "drawn masks are read in any order, refused and released as volumes are",
        level: 2,
        needs: &["model"],
        run: drawn_mask,
    },
];

fn prompts(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let session = new(case, interface)?;
        let at = |x, y| Prompt { points: vec![x, y], ..click(1) };
        let bad = [
            ("a slice behind the last", Prompt { frame: SHAPE[0] as i64, ..click(1) }),
            ("a slice before the first", Prompt { frame: -1, ..click(1) }),
            ("the last slice of all", Prompt { frame: i64::MAX, ..click(1) }),
            ("object 0", click(0)),
            ("object 65536", click(65_536)),
            ("no place", at(f64::NAN, 3.0)),
            ("an infinite place", at(f64::INFINITY, 3.0)),
            ("a place far outside", at(1e9, 3.0)),
            ("a place before the first pixel", at(-5.0, 3.0)),
            ("nothing", Prompt { points: Vec::new(), ..click(1) }),
            ("a label that is none", Prompt { labels: vec![7], ..click(1) }),
            ("a box inside out", Prompt { bounds: vec![9.0, 9.0, 3.0, 3.0], ..click(1) }),
            ("a box of NaN", Prompt { bounds: vec![f64::NAN; 4], ..click(1) }),
            ("a place in the patient of NaN", Prompt { patient: true, points: vec![f64::NAN; 3], ..click(1) }),
            ("a place far away in the patient", Prompt { patient: true, points: vec![1e6, 0.0, 0.0], ..click(1) }),
        ];
        for (what, prompt) in &bad {
            expect_code(session.prompt(prompt, &mut ()), "invalid_argument").context(*what)?;
        }
        same("objects after refused prompts", json_of(&session.describe()?)?["objects"].clone(), json!([]))?;
        session
            .prompt(&Prompt { points: [26.0, 20.0].repeat(10_000), ..click(1) }, &mut ())
            .context("10 000 points")?;
        logits(&session, 1, 1)?;
        for frame in [SHAPE[0] as u64, u64::MAX] {
            expect_error(session.mask(frame, 1)).context("a mask of no slice")?;
            expect_error(session.remove_prompt(frame, 1, None, &mut ())).context("undo on no slice")?;
            expect_error(session.clear_slice(frame, 1, &mut ())).context("clear_slice of no slice")?;
            expect_error(session.encode(frame, &mut ())).context("encode of no slice")?;
        }
        expect_error(session.mask(1, 9)).context("a mask of no object")?;
        expect_error(session.remove_object(9)).context("removing no object")?;
        expect_error(session.remove_prompt(1, 1, Some(99), &mut ())).context("removing no prompt")?;
        raw_sizes(case, interface)
    })
}

/// Structs of sessions that say that they are too short.
fn raw_sizes(case: &Case, interface: &Interface) -> anyhow::Result<()> {
    let (t, none) = (&interface.tables, null_mut::<*mut _>());
    let (volume, model) = raw_handles(case, interface)?;
    let (mut session, mut mask) = (null_mut(), null_mut());
    let place = [26.0, 20.0];
    let prompt = |size, point_count| PromptStruct {
        size,
        frame: 1,
        object: 1,
        points: place.as_ptr(),
        point_count,
        ..PromptStruct::empty()
    };
    // Safety: handles and structs as the header says, but for their sizes.
    unsafe {
        same("session_create", (t.session.create)(volume, model, null(), null(), &raw mut session, none), 0)?;
        for (what, bad) in
            [("4 bytes", prompt(4, 1)), ("more points than can be", prompt(size_of::<PromptStruct>(), 1 << 60))]
        {
            raw_error(t, "invalid_argument", |error| (t.session.prompt)(session, &bad, null(), &raw mut mask, error))
                .with_context(|| format!("a sam_octa2_prompt of {what}"))?;
        }
        same("a longer sam_octa2_prompt", (t.session.prompt)(session, &prompt(4096, 1), null(), null_mut(), none), 0)?;
        let short = OnSliceStruct { size: 4, context: null_mut(), call: None };
        raw_error(t, "invalid_argument", |error| (t.session.propagate)(session, null(), &short, null(), error))
            .context("a sam_octa2_on_slice of 4 bytes")?;
        let mut view = ViewStruct { size: 8, ..ViewStruct::empty() };
        raw_error(t, "invalid_argument", |error| (t.session.save)(session, null(), &raw mut view, error))
            .context("a sam_octa2_view of 8 bytes as the place of a state")?;
        same("session_mask", (t.session.mask)(session, 1, 1, &raw mut mask, none), 0)?;
        raw_error(t, "invalid_argument", |error| (t.mask.view)(mask, 0, &raw mut view, error))
            .context("a sam_octa2_view of 8 bytes as the place of a mask")?;
        raw_error(t, "invalid_argument", |error| (t.mask.view)(mask, 99, &mut ViewStruct::empty(), error))
            .context("a form that is none")?;
        (t.mask.free)(mask);
        (t.session.free)(session);
        (t.model.free)(model);
        (t.volume.free)(volume);
    }
    Ok(())
}

type RawHandles = (*mut Volume, *mut Model);

fn raw_handles(case: &Case, interface: &Interface) -> anyhow::Result<RawHandles> {
    let (t, none) = (&interface.tables, null_mut::<*mut _>());
    let request = std::ffi::CString::new(case.model_request()?)?;
    let (mut volume, mut model) = (null_mut(), null_mut());
    // Safety: as the header says.
    unsafe {
        same("volume_lend", (t.volume.lend)(&view(picture()?), &raw mut volume, none), 0)?;
        same("model_load", (t.model.load)(request.as_ptr(), null(), &raw mut model, none), 0)?;
    }
    Ok((volume, model))
}

/// A drawn mask over the spot, as bytes.
fn drawing() -> anyhow::Result<&'static Lender> {
    let [_, rows, columns] = SHAPE;
    let inside = |at: usize| u16::from((12..28).contains(&(at / columns)) && (16..36).contains(&(at % columns)));
    Lender::of(&(0..rows * columns).map(inside).collect::<Vec<_>>(), Access::Read, true)
}

/// Every other byte of 16-bit numbers.
fn drawn(lender: &'static Lender) -> ViewStruct {
    let [_, rows, columns] = SHAPE.map(|n| n as i64);
    ViewStruct {
        dtype: 0x0108,
        dimensions: 2,
        shape: [rows, columns, 0, 0],
        strides: [columns * 2, 2, 0, 0],
        ..lender.plain()
    }
}

fn drawn_mask(case: &Case) -> anyhow::Result<String> {
    interfaces::each(case, |interface| {
        let (t, none) = (&interface.tables, null_mut::<*mut _>());
        let (volume, model) = raw_handles(case, interface)?;
        let (mut session, mut mask) = (null_mut(), null_mut());
        let prompt = |mask: *const ViewStruct| PromptStruct { frame: 1, object: 1, mask, ..PromptStruct::empty() };
        // Safety: handles and structs as the header says, or wrong as it allows.
        unsafe {
            same("session_create", (t.session.create)(volume, model, null(), null(), &raw mut session, none), 0)?;
            let lender = drawing()?;
            let plain = drawn(lender);
            same("a mask", (t.session.prompt)(session, &prompt(&plain), null(), &raw mut mask, none), 0)?;
            (t.mask.free)(mask);
            same("releases of a mask", lender.releases(), 1)?;
            for (what, change) in wrong_masks() {
                let lender = drawing()?;
                let mut bad = drawn(lender);
                change(&mut bad);
                raw_error(t, "invalid_argument", |error| {
                    (t.session.prompt)(session, &prompt(&bad), null(), null_mut(), error)
                })
                .context(what)?;
                // a struct that is too short does not say who owns the memory
                let reply = usize::from(bad.size >= size_of::<ViewStruct>());
                same("releases", lender.releases(), reply).context(what)?;
            }
            let lender = drawing()?;
            let late = drawn(lender);
            raw_error(t, "invalid_argument", |error| {
                (t.session.prompt)(null_mut(), &prompt(&late), null(), null_mut(), error)
            })
            .context("no session")?;
            same("releases of a mask for no session", lender.releases(), 1)?;
            (t.session.free)(session);
            (t.model.free)(model);
            (t.volume.free)(volume);
        }
        Ok(())
    })
}

type Change = fn(&mut ViewStruct);

fn wrong_masks() -> [(&'static str, Change); 10] {
    [
        ("a mask of another type", |view| view.dtype = 0x0220),
        ("a mask of no type", |view| view.dtype = 5),
        ("a mask of 3 dimensions", |view| view.dimensions = 3),
        ("a mask without memory", |view| view.data = null()),
        ("an empty mask", |view| view.shape[0] = 0),
        ("a negative mask", |view| view.shape[1] = -1),
        ("a mask of another size", |view| view.shape[0] = 5),
        ("a mask larger than the slice", |view| view.shape = [1 << 16, 1 << 16, 0, 0]),
        ("a mask whose strides leave memory", |view| view.strides[0] = i64::MAX / 2),
        ("a mask struct of 8 bytes", |view| view.size = 8),
    ]
}
