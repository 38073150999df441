//! `Labels` in scripts, and the pictures made of them.

use super::Context;
use super::errors::Failure;
use super::library::Library;
use super::session::SessionValue;
use super::values::{Checked, Fallible, Options, int, ints, list, native, object, text, truth, typed, whole};
use super::volume::VolumeValue;
use rhai::{Array, Dynamic, INT, NativeCallContext};
use sam_octa2_core::io::{self, LabelOptions, Segment};
use sam_octa2_core::job::{self, SegRequest};
use sam_octa2_core::picture::{self, Mark};
use sam_octa2_core::session::Session;
use sam_octa2_core::volume::Labels;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Labels and the volume that they belong to.
#[derive(Clone)]
pub struct LabelsValue {
    /// object numbers
    pub labels: Arc<Labels>,
    /// what was segmented
    pub volume: VolumeValue,
    /// what the session that they come from knows about them
    pub known: Arc<Known>,
}

/// What a session knows about its labels.
#[derive(Default)]
pub struct Known {
    /// voxels that several objects claim
    pub decided: usize,
    /// what objects are, for writers of files
    pub segments: BTreeMap<u16, Segment>,
}

/// Makes labels known to scripts.
pub fn register(library: &mut Library<'_>, _context: &Context) {
    library.engine().register_type_with_name::<LabelsValue>("Labels");
    library
        .section("Labels", "")
        .function(
            "save(labels: Labels, path: String, options?: #{property, deterministic, description, number, algorithm})",
            "Writes `.nii`, `.nii.gz`, `.nrrd`, `.seg.nrrd` (names and colours for 3D Slicer), `.mha`, `.npy`, `.tif`, `.json` (COCO), `.dcm` (DICOM Segmentation of a DICOM volume), or a folder of PNGs. The \
             options say what a `.dcm` holds ([formats.md](formats.md#labels)).",
            "labels.save(\"labels.nii.gz\")",
            save_with,
        )
        .also("save", save)
        .function("count(labels: Labels, object: int) -> int", "Voxels of an object.", "labels.count(1)", count)
        .function(
            "area(labels: Labels, frame: int, object: int) -> int",
            "Pixels of an object on a slice.",
            "labels.area(3, 1)",
            area,
        )
        .function(
            "frames_of(labels: Labels, object: int) -> Array",
            "Slices on which an object has pixels.",
            "labels.frames_of(1)",
            frames_of,
        )
        .property(
            "objects(labels: Labels) -> Array",
            "Numbers of the objects that have voxels, ascending.",
            "for object in labels.objects { print(object) }",
            |labels: &mut LabelsValue| ints(labels.labels.objects()),
        )
        .property("frames(labels: Labels) -> int", "How many slices.", "labels.frames", |labels: &mut LabelsValue| {
            int(labels.labels.frames)
        })
        .property("rows(labels: Labels) -> int", "Their height in pixels.", "labels.rows", |labels: &mut LabelsValue| {
            int(labels.labels.rows)
        })
        .property("columns(labels: Labels) -> int", "Their width in pixels.", "labels.columns", |l: &mut LabelsValue| {
            int(l.labels.columns)
        })
        .property(
            "decided(labels: Labels) -> int",
            "Of a session's labels: voxels that several objects claim, so that `overlap` decided about them.",
            "session.labels().decided",
            |labels: &mut LabelsValue| int(labels.known.decided),
        )
        .property(
            "fingerprint(labels: Labels) -> String",
            "Equal where shape and all values are.",
            "session.labels().fingerprint == labels.fingerprint",
            |labels: &mut LabelsValue| labels.labels.fingerprint(),
        );
    library
        .engine()
        .register_fn("to_string", |labels: &mut LabelsValue| labels.describe())
        .register_fn("to_debug", |labels: &mut LabelsValue| labels.describe());
    pictures(library);
}

fn pictures(library: &mut Library<'_>) {
    library
        .section("Pictures and probabilities", "")
        .function(
            "overlay(session: Session, path: String)",
            "Draws its volume, labels and prompts: `.png` (contact sheet), `.gif` or `.apng`.",
            "session.overlay(\"overlay.png\")",
            overlay_session,
        )
        .function(
            "overlay(path: String, volume: Volume, labels: Labels, session?: Session)",
            "Draws labels over a volume, with the prompts of a session as marks.",
            "overlay(\"overlay.png\", volume, labels)",
            overlay_marked,
        )
        .also("overlay", overlay)
        .function(
            "overlay_columns(path: String, volume: Volume, columns: Array, session?: Session)",
            "Draws a row per slice, a `.png`: the slice, then each of the labels over it, as truth beside results. `columns`: `[[title, labels], ...]`; \
             the prompts of a session are marks in the last.",
            "overlay_columns(\"columns.png\", volume, [[\"bright\", volume.threshold(120, 255)], [\"model\", labels]])",
            overlay_columns_marked,
        )
        .also("overlay_columns", overlay_columns)
        .function(
            "save_probabilities(session: Session, path: String, options?: #{property, deterministic, description, number, algorithm})",
            "How likely each voxel belongs to each object: `.dcm` (FRACTIONAL, options as `labels.save`), `.nii`, `.nii.gz`.",
            "session.save_probabilities(\"p.nii.gz\")",
            save_probabilities_with,
        )
        .also("save_probabilities", save_probabilities);
}

impl LabelsValue {
    /// Labels about which nothing more is known.
    pub fn new(labels: Labels, volume: VolumeValue) -> Self {
        Self { labels: Arc::new(labels), volume, known: Arc::default() }
    }

    /// The labels of a session.
    pub fn of(session: &Session, volume: VolumeValue) -> sam_octa2_core::Result<Self> {
        let (labels, decided) = session.decided_labels()?;
        let known = Known { decided, segments: session.segments()? };
        Ok(Self { labels: Arc::new(labels), volume, known: Arc::new(known) })
    }

    /// The same for a host, with no share in voxels that the host lent: those go back when nobody else needs them.
    pub fn to_host(&self) -> Self {
        let volume = VolumeValue { volume: Arc::new(self.volume.volume.without_lent()), ..self.volume.clone() };
        Self { volume, ..self.clone() }
    }

    fn save(&self, path: &Dynamic, request: &SegRequest) -> Checked<()> {
        let path = self.volume.output("save: path", path)?;
        Ok(self.write(&path, request)?)
    }

    /// Writes the labels in the orientation of the file that was opened, by the ending of the path.
    pub fn write(&self, path: &Path, request: &SegRequest) -> sam_octa2_core::Result<()> {
        request.check_output(Some(path))?;
        let source = &self.volume.source;
        let lent = source.input.as_os_str().is_empty(); // then there are no images to refer to
        let mut options = if lent { LabelOptions::default() } else { request.options(source)?.into() };
        options.segments.clone_from(&self.known.segments);
        io::write_labels_with(&self.labels.along(self.volume.axis), path, &options)
    }

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
    native(&call, || labels.save(&path, &SegRequest::default()))
}

fn save_with(call: NativeCallContext, labels: &mut LabelsValue, path: Dynamic, options: Dynamic) -> Fallible<()> {
    native(&call, || labels.save(&path, &description("save", &options)?))
}

/// `session.save_probabilities(path)`: how likely each voxel belongs to each object.
fn save_probabilities(call: NativeCallContext, session: &mut SessionValue, path: Dynamic) -> Fallible<()> {
    native(&call, || write_probabilities(session, &path, &SegRequest::default()))
}

fn save_probabilities_with(
    call: NativeCallContext,
    session: &mut SessionValue,
    path: Dynamic,
    options: Dynamic,
) -> Fallible<()> {
    native(&call, || write_probabilities(session, &path, &description("save_probabilities", &options)?))
}

fn write_probabilities(session: &SessionValue, path: &Dynamic, request: &SegRequest) -> Checked<()> {
    let path = session.volume.output("save_probabilities: path", path)?;
    request.check_output(Some(&path))?;
    let options = request.options(&session.volume.source)?.knowing(&session.lock()?.segments()?);
    let dicom = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("dcm"));
    if !dicom {
        io::check_probabilities_output(&path)?;
    }
    let probabilities = job::probabilities(&*session.lock()?, session.volume.axis)?;
    match dicom {
        true => Ok(io::write_seg(path, &probabilities, &options)?),
        false => Ok(io::write_probabilities(path, &probabilities)?),
    }
}

/// What a DICOM Segmentation is to say, from a map.
fn description(function: &'static str, options: &Dynamic) -> Checked<SegRequest> {
    let options =
        Options::new(function, options, &["property", "deterministic", "description", "number", "algorithm"])?;
    let one_or_many = |what: &str, value: &Dynamic| match value.is_string() {
        true => Ok(vec![text(what, value)?]),
        false => list(what, value, text),
    };
    let number = options.get("number", whole)?.map(u32::try_from).transpose();
    Ok(SegRequest {
        properties: options.get("property", one_or_many)?.unwrap_or_default(),
        deterministic: options.get("deterministic", truth)?.unwrap_or(false),
        description: options.get("description", text)?,
        number: number.map_err(|_| Failure::invalid(format!("{function}: option `number`: too large")))?,
        algorithm: options.get("algorithm", text)?,
        ..SegRequest::default()
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
    native(&call, || draw_typed(&path, &volume, &labels, &marks("overlay: session", &session)?))
}

fn marks(what: &str, session: &Dynamic) -> Checked<Vec<Mark>> {
    let session: SessionValue = typed(what, "Session", session)?;
    let session = session.lock()?;
    Ok(job::drawn(&session))
}

fn overlay_columns(call: NativeCallContext, path: Dynamic, volume: Dynamic, columns: Dynamic) -> Fallible<()> {
    native(&call, || draw_columns(&path, &volume, &columns, &[]))
}

fn overlay_columns_marked(
    call: NativeCallContext,
    path: Dynamic,
    volume: Dynamic,
    columns: Dynamic,
    session: Dynamic,
) -> Fallible<()> {
    native(&call, || draw_columns(&path, &volume, &columns, &marks("overlay_columns: session", &session)?))
}

fn draw_columns(path: &Dynamic, volume: &Dynamic, columns: &Dynamic, marks: &[Mark]) -> Checked<()> {
    let volume: VolumeValue = typed("overlay_columns: volume", "Volume", volume)?;
    let titled: Vec<(String, LabelsValue)> = list("overlay_columns: columns", columns, |what, column| {
        let pair = list(what, column, |_, value| Ok(value.clone()))?;
        let [title, labels] = pair.as_slice() else {
            return Err(Failure::invalid(format!("{what}: expected [title, labels], got a list of {}", pair.len())));
        };
        Ok((text(what, title)?, typed(what, "Labels", labels)?))
    })?;
    let columns: Vec<_> = titled.iter().map(|(title, labels)| (title.as_str(), &*labels.labels)).collect();
    Ok(picture::write_columns(volume.output("overlay_columns: path", path)?, &volume.volume, &columns, marks)?)
}

fn draw_typed(path: &Dynamic, volume: &Dynamic, labels: &Dynamic, marks: &[Mark]) -> Checked<()> {
    let volume: VolumeValue = typed("overlay: volume", "Volume", volume)?;
    let labels: LabelsValue = typed("overlay: labels", "Labels", labels)?;
    draw(path, &volume, &labels.labels, marks)
}

fn draw(path: &Dynamic, volume: &VolumeValue, labels: &Labels, marks: &[Mark]) -> Checked<()> {
    Ok(picture::write(volume.output("overlay: path", path)?, &volume.volume, labels, marks)?)
}
