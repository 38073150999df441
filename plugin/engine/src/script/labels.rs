//! `Labels` in scripts, and the pictures made of them.

use super::Context;
use super::session::SessionValue;
use super::values::{Checked, Fallible, int, ints, native, object, typed, whole};
use super::volume::VolumeValue;
use rhai::{Array, Dynamic, Engine, INT, NativeCallContext};
use sam_octa2_core::io::{self, LabelOptions};
use sam_octa2_core::job;
use sam_octa2_core::picture::{self, Mark};
use sam_octa2_core::volume::Labels;
use std::sync::Arc;

/// Labels and the volume that they belong to.
#[derive(Clone)]
pub struct LabelsValue {
    /// object numbers
    pub labels: Arc<Labels>,
    /// what was segmented
    pub volume: VolumeValue,
}

/// Makes labels known to scripts.
pub fn register(engine: &mut Engine, _context: &Context) {
    engine
        .register_type_with_name::<LabelsValue>("Labels")
        .register_get("frames", |labels: &mut LabelsValue| int(labels.labels.frames))
        .register_get("rows", |labels: &mut LabelsValue| int(labels.labels.rows))
        .register_get("columns", |labels: &mut LabelsValue| int(labels.labels.columns))
        .register_get("objects", |labels: &mut LabelsValue| ints(labels.labels.objects()))
        .register_fn("count", count)
        .register_fn("area", area)
        .register_fn("frames_of", frames_of)
        .register_fn("save", save)
        .register_fn("to_string", |labels: &mut LabelsValue| labels.describe())
        .register_fn("to_debug", |labels: &mut LabelsValue| labels.describe())
        .register_fn("overlay", overlay_session)
        .register_fn("overlay", overlay)
        .register_fn("overlay", overlay_marked);
}

impl LabelsValue {
    fn describe(&self) -> String {
        let Labels { frames, rows, columns, .. } = *self.labels;
        format!("Labels({frames} x {rows} x {columns}, objects {:?})", self.labels.objects())
    }
}

fn count(call: NativeCallContext, labels: &mut LabelsValue, id: Dynamic) -> Fallible<INT> {
    native(&call, || Ok(int(labels.labels.count(object("count: object", &id)? as u16))))
}

fn area(call: NativeCallContext, labels: &mut LabelsValue, frame: Dynamic, id: Dynamic) -> Fallible<INT> {
    native(&call, || {
        let (frame, id) = (whole("area: frame", &frame)?, object("area: object", &id)?);
        Ok(int(labels.labels.area(frame, id as u16)?))
    })
}

fn frames_of(call: NativeCallContext, labels: &mut LabelsValue, id: Dynamic) -> Fallible<Array> {
    native(&call, || Ok(ints(labels.labels.frames_of(object("frames_of: object", &id)? as u16))))
}

fn save(call: NativeCallContext, labels: &mut LabelsValue, path: Dynamic) -> Fallible<()> {
    native(&call, || {
        let path = labels.volume.output("save: path", &path)?;
        let source = LabelOptions::of(labels.volume.path.as_path());
        Ok(io::write_labels_with(&labels.labels.along(labels.volume.axis), path, &source)?)
    })
}

/// `session.overlay(path)`: its volume, its labels, its prompts.
fn overlay_session(call: NativeCallContext, session: &mut SessionValue, path: Dynamic) -> Fallible<()> {
    native(&call, || {
        let (labels, marks) = {
            let session = session.lock()?;
            (session.labels()?, job::drawn(&session))
        };
        draw(&path, &session.volume, &labels, &marks)
    })
}

fn overlay(call: NativeCallContext, path: Dynamic, volume: Dynamic, labels: Dynamic) -> Fallible<()> {
    native(&call, || draw_typed(&path, &volume, &labels, &[]))
}

fn overlay_marked(
    call: NativeCallContext,
    path: Dynamic,
    volume: Dynamic,
    labels: Dynamic,
    session: Dynamic,
) -> Fallible<()> {
    native(&call, || {
        let session: SessionValue = typed("overlay: session", "Session", &session)?;
        let marks = job::drawn(&*session.lock()?);
        draw_typed(&path, &volume, &labels, &marks)
    })
}

fn draw_typed(path: &Dynamic, volume: &Dynamic, labels: &Dynamic, marks: &[Mark]) -> Checked<()> {
    let volume: VolumeValue = typed("overlay: volume", "Volume", volume)?;
    let labels: LabelsValue = typed("overlay: labels", "Labels", labels)?;
    draw(path, &volume, &labels.labels, marks)
}

fn draw(path: &Dynamic, volume: &VolumeValue, labels: &Labels, marks: &[Mark]) -> Checked<()> {
    Ok(picture::write(volume.output("overlay: path", path)?, &volume.volume, labels, marks)?)
}
