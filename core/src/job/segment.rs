//! `host-demo segment`: volume + prompts -> labels, logits, pictures.

use super::logits::{self, Entry};
use super::measured::{NumbersRequest, without_prompts};
use super::{InputRequest, MeasureFiles, SegRequest};
use super::{compat, drawn, give_prompts, read_prompts, write_script};
use crate::features::FeaturesInfo;
use crate::intensity::{Intensity, Windows};
use crate::io;
use crate::loader::{LoadedModel, ModelRequest};
use crate::measure::octa::OctaReport;
use crate::model::NO_OBJ_SCORE;
use crate::picture;
use crate::progress::{Observer, Progress, stoppable, unwatched};
use crate::session::{Compat, NoticeInfo, Range, Session, Settings};
use crate::vessels::FAZ;
use crate::volume::{Flattened, Labels, Volume};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What to segment, with what, and what to write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SegmentRequest {
    /// the volume
    #[serde(flatten)]
    pub input: InputRequest,
    /// the model
    #[serde(flatten)]
    pub model: ModelRequest,
    /// prompt file
    #[serde(default)]
    pub prompts: Option<PathBuf>,
    /// instead: vessels and FAZ without a prompt, from models with dense maps
    #[serde(default)]
    pub no_prompts: bool,
    /// which values the model sees as 0 and 1, see [`crate::intensity`]
    #[serde(default)]
    pub window: Option<String>,
    /// `"reference"`: behave as the Python package does
    #[serde(default)]
    pub compat: Option<String>,
    /// label volume to write, by its ending ([`io::write_labels`]); `.dcm` (DICOM Segmentation) needs a DICOM input
    #[serde(default)]
    pub out: Option<PathBuf>,
    /// label volume of the B-scans to write, for a slab or layers of them: in each column the rows that the slab was made of
    #[serde(default)]
    pub out_bscans: Option<PathBuf>,
    /// what a DICOM Segmentation says beside its voxels
    #[serde(default)]
    pub seg: SegRequest,
    /// safetensors file to write
    #[serde(default)]
    pub logits: Option<PathBuf>,
    /// picture to write: `.png` (contact sheet), `.gif` or `.apng`
    #[serde(default)]
    pub overlay: Option<PathBuf>,
    /// script to write, which does the same again
    #[serde(default)]
    pub record: Option<PathBuf>,
    /// see [`Settings::features`]
    #[serde(default)]
    pub features: Option<PathBuf>,
    /// see [`Settings::features_bytes`]
    #[serde(default)]
    pub features_bytes: Option<u64>,
    /// what to measure, and tables and a page to write
    #[serde(default)]
    pub numbers: NumbersRequest,
}

impl SegmentRequest {
    fn settings(&self) -> Result<Settings> {
        let usual = Settings::default();
        Ok(Settings {
            compat: compat(self.compat.as_deref())?,
            intensity: self.window.as_deref().map_or(Ok(Intensity::Auto), str::parse)?,
            features: self.features.clone(),
            features_bytes: self.features_bytes.unwrap_or(usual.features_bytes),
            ..usual
        })
    }

    /// Errors that need no work to be found: before a model is loaded for minutes in vain.
    fn check(&self) -> Result<()> {
        if self.no_prompts == self.prompts.is_some() {
            return Err(Error::invalid("segment: name either a prompt file (prompts) or no_prompts"));
        }
        self.check_unprompted()?;
        if self.out_bscans.is_some() && !self.input.is_view() {
            return Err(Error::invalid(
                "segment: `out_bscans` goes with a slab or layers of B-scans (slab, layers_along); elsewhere `out` is it",
            ));
        }
        let files = [&self.out, &self.out_bscans, &self.logits, &self.overlay, &self.record].into_iter().flatten();
        let outputs: Vec<&PathBuf> = files.chain(self.numbers.write.all()).collect();
        if outputs.is_empty() {
            return Err(Error::invalid(
                "segment: nothing to write; name out, out_bscans, logits, overlay, record or a file for numbers",
            ));
        }
        for output in outputs {
            io::check_output(&self.input.input, output)?;
            self.prompts.iter().try_for_each(|prompts| io::check_output(prompts, output))?;
        }
        self.seg.check_output(self.out.as_deref())?;
        let options = self.seg.options(&self.input)?.into();
        [&self.out, &self.out_bscans].into_iter().flatten().try_for_each(|out| io::check_label_output(out, &options))
    }

    /// Errors: what only a session gives, asked for without prompts.
    fn check_unprompted(&self) -> Result<()> {
        let of_sessions = [
            ("logits", self.logits.is_some()),
            ("record", self.record.is_some()),
            ("features", self.features.is_some()),
            ("seg.fractional", self.seg.fractional),
            ("numbers.faz_object", self.numbers.faz_object.is_some()),
        ];
        match of_sessions.into_iter().find(|(_, given)| self.no_prompts && *given) {
            Some((key, _)) => Err(Error::invalid(format!("segment: `{key}` goes with prompts only"))),
            None => Ok(()),
        }
    }

    /// Writes labels, or probabilities where they are wanted, in the orientation of the file.
    fn write_labels(&self, session: &Session, labels: &Labels, path: &Path) -> Result<()> {
        let (axis, options) = (self.input.axis()?, self.seg.options(&self.input)?);
        if self.seg.fractional {
            return io::write_seg(path, &super::probabilities(session, axis)?, &options);
        }
        io::write_labels_with(&labels.along(axis), path, &options.into())
    }

    /// Brings labels of a slab or of layers back into the B-scans.
    pub(super) fn write_bscans(&self, labels: &Labels, origin: Option<&Flattened>) -> Result<()> {
        let (Some(path), Some(origin)) = (&self.out_bscans, origin) else { return Ok(()) };
        io::write_labels_with(&origin.back(labels)?, path, &self.seg.options(&self.input)?.into())
    }
}

/// What a [`SegmentRequest`] gave.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentReport {
    /// label volume written
    pub labels: Option<PathBuf>,
    /// the same in the B-scans
    pub labels_bscans: Option<PathBuf>,
    /// logits written
    pub logits: Option<PathBuf>,
    /// picture written
    pub overlay: Option<PathBuf>,
    /// script written
    pub record: Option<PathBuf>,
    /// the checkpoint used
    pub model: PathBuf,
    /// where it computed
    pub device: String,
    /// how exactly
    pub precision: &'static str,
    /// slices, rows, columns as segmented
    pub shape: [usize; 3],
    /// values of the volume that the model saw as 0 and 1
    pub window: Windows,
    /// every object
    pub objects: Vec<ObjectReport>,
    /// what to tell the user: empty answers, missed clicks, lost objects
    pub notices: Vec<NoticeInfo>,
    /// voxels that several objects claim: one of them got each
    pub decided: usize,
    /// slices that were followed
    pub slices: usize,
    /// slices that went through the image encoder
    pub encoded_slices: usize,
    /// the folder of features, where there is one
    pub features: Option<FeaturesInfo>,
    /// for prompts and propagation
    pub seconds: f64,
    /// the same for each slice
    pub seconds_per_slice: f64,
    /// were there prompts? Without, object 1 is the FAZ and every other a vessel
    pub prompted: bool,
    /// tables and page written
    pub written: MeasureFiles,
    /// what was measured, if anything
    pub numbers: Option<OctaReport>,
}

/// One object of a [`SegmentReport`].
#[derive(Debug, Clone, Serialize)]
pub struct ObjectReport {
    /// its number
    pub id: u32,
    /// its voxels in the labels
    pub voxels: usize,
    /// slices on which it has any
    pub slices: usize,
}

impl fmt::Display for SegmentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slices, seconds, seconds_per_slice, device, precision, .. } = self;
        write!(f, "{slices} slices in {seconds:.1} s ({seconds_per_slice:.2} s each, {device}, {precision})")?;
        match self.prompted {
            true => self.objects.iter().try_for_each(|object| write!(f, "\nobject {object}"))?,
            false => self.found(f)?,
        }
        if self.decided > 0 {
            write!(f, "\n{} voxels are claimed by several objects; each went to one of them", self.decided)?;
        }
        self.notices.iter().try_for_each(|notice| write!(f, "\nwarning: {}", notice.text))?;
        if let Some(FeaturesInfo { folder, read, problem }) = &self.features {
            write!(f, "\n{}: features of {read} slices read, {} encoded", folder.display(), self.encoded_slices)?;
            problem.iter().try_for_each(|problem| write!(f, "; not kept any more: {problem}"))?;
        }
        self.numbers.iter().try_for_each(|numbers| write!(f, "\n{numbers}"))?;
        let written = [&self.labels, &self.labels_bscans, &self.logits, &self.overlay, &self.record];
        written.into_iter().flatten().chain(self.written.all()).try_for_each(|path| write!(f, "\n{}", path.display()))
    }
}

impl SegmentReport {
    /// What was found without prompts, in two lines.
    fn found(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_zone = |object: &&ObjectReport| object.id == u32::from(FAZ);
        match self.objects.iter().find(is_zone) {
            Some(zone) => write!(f, "\nFAZ, object {zone}")?,
            None => write!(f, "\nno FAZ was found")?,
        }
        let vessels = || self.objects.iter().filter(|object| !is_zone(object));
        let voxels: usize = vessels().map(|vessel| vessel.voxels).sum();
        write!(f, "\n{} vessels, objects from {} on: {voxels} voxels", vessels().count(), FAZ + 1)
    }
}

impl fmt::Display for ObjectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, voxels, slices } = self;
        write!(f, "{id}: {voxels} voxels on {slices} slices")
    }
}

/// Runs a [`SegmentRequest`].
///
/// When `observer` cancels, the labels of the slices done so far are written beside `out` (`NAME.partial...`), their record beside `record`,
/// and both stay as they were.
pub fn segment(request: &SegmentRequest, observer: &mut dyn Observer) -> Result<SegmentReport> {
    request.check()?;
    let Some(file) = &request.prompts else { return without_prompts(request, observer) };
    let prompts = read_prompts(file)?;
    let axis = request.input.axis()?;
    let settings = request.settings()?;
    let (volume, origin) = request.input.open_view(observer)?;
    let volume = Arc::new(volume.along(axis)?);
    request.check_volume(&volume)?;
    observer.step("load", 0, 1)?;
    let reference = settings.compat == Compat::Reference;
    let loaded = if reference { request.model.for_comparison().load()? } else { request.model.load()? };
    let mut session = Session::new(loaded.model.clone(), volume.clone(), settings)?;
    let started = Instant::now();
    give_prompts(&mut session, &prompts, file, observer)?;
    let mut frames = BTreeSet::new();
    let followed = session.propagate(Range::from(&prompts), |slice| {
        frames.insert(slice.frame);
        Ok(observer.progress(Progress { stage: "propagate", done: slice.done, total: slice.total }))
    });
    let keep = |error| unwatched(|| keep_partial(&session, request, &loaded, frames.len(), error));
    followed.map_err(keep)?;
    let seconds = started.elapsed().as_secs_f64();
    let (labels, decided) = stoppable(|| write_outputs(request, &session, &loaded, &frames)).map_err(keep)?;
    let notices = session.notices()?;
    request.write_bscans(&labels, origin.as_ref())?;
    let numbers = request.measure(&volume, &labels, &loaded, &notices, observer)?;
    let object = |id| ObjectReport { id, voxels: labels.count(id as u16), slices: labels.frames_of(id as u16).len() };
    Ok(SegmentReport {
        labels: request.out.clone(),
        labels_bscans: request.out_bscans.clone(),
        logits: request.logits.clone(),
        overlay: request.overlay.clone(),
        record: request.record.clone(),
        device: loaded.device(),
        precision: loaded.precision(),
        model: loaded.path,
        shape: [volume.frames, volume.rows, volume.columns],
        window: session.windows(),
        objects: session.objects().into_iter().map(object).collect(),
        notices,
        decided,
        slices: frames.len(),
        encoded_slices: session.encoded_slices(),
        features: session.features(),
        seconds,
        seconds_per_slice: seconds / frames.len().max(1) as f64,
        prompted: true,
        written: request.numbers.write.clone(),
        numbers,
    })
}

/// After a cancellation: what is done goes beside the outputs, under other names.
fn keep_partial(session: &Session, request: &SegmentRequest, loaded: &LoadedModel, done: usize, error: Error) -> Error {
    if !matches!(error, Error::Cancelled) || done == 0 {
        return error;
    }
    let keep = || {
        let record = request.record.as_deref().map(partial);
        if let Some(path) = &record {
            write_script(path, session, Some(&request.input), loaded)?;
        }
        let labels = request.out.as_deref().map(partial);
        if let Some(path) = &labels {
            request.write_labels(session, &session.labels()?, path)?;
        }
        Ok(labels.or(record))
    };
    match keep() {
        Ok(Some(kept)) => Error::CancelledWith { done, kept },
        Ok(None) => error,
        Err(error) => error,
    }
}

/// `labels.partial.nii.gz` beside `labels.nii.gz`
pub(super) fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.split_once('.') {
        Some((stem, ending)) => path.with_file_name(format!("{stem}.partial.{ending}")),
        None => path.with_file_name(format!("{name}-partial")), // a name with an ending is no folder
    }
}

fn write_outputs(
    request: &SegmentRequest,
    session: &Session,
    loaded: &LoadedModel,
    frames: &BTreeSet<usize>,
) -> Result<(Labels, usize)> {
    let (labels, decided) = session.decided_labels()?;
    if let Some(path) = &request.out {
        request.write_labels(session, &labels, path)?;
    }
    if let Some(path) = &request.logits {
        write_logits(path, session, frames)?;
    }
    if let Some(path) = &request.overlay {
        picture::write(path, session.volume(), &labels, &drawn(session))?;
    }
    if let Some(path) = &request.record {
        write_script(path, session, Some(&request.input), loaded)?;
    }
    Ok((labels, decided))
}

/// Every slice that was followed, once, ascending: `logits`, `object_scores`, `object_ids`, `frames`.
fn write_logits(path: &Path, session: &Session, frames: &BTreeSet<usize>) -> Result<()> {
    let ids = session.objects();
    let Volume { rows, columns, .. } = **session.volume();
    let entries = [
        Entry::f32("logits", &[frames.len(), ids.len(), rows, columns]),
        Entry::f32("object_scores", &[frames.len(), ids.len()]),
        Entry::i64("object_ids", &[ids.len()]),
        Entry::i64("frames", &[frames.len()]),
    ];
    logits::write(path, &entries, |sink| {
        for &frame in frames {
            sink.floats(&session.slice_logits(frame)?)?;
        }
        for &frame in frames {
            let scores: Result<Vec<_>> = ids.iter().map(|&id| session.object_score(frame, id)).collect();
            sink.float_values(
                &scores?.into_iter().map(|score| score.unwrap_or(NO_OBJ_SCORE as f32)).collect::<Vec<_>>(),
            )?;
        }
        sink.integers(ids.iter().map(|&id| i64::from(id)))?;
        sink.integers(frames.iter().map(|&frame| frame as i64))
    })
}
