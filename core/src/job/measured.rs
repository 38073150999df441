//! `host-demo segment`: what was segmented in numbers, as tables and as a page; and segmentation without a prompt.

use super::segment::{ObjectReport, SegmentReport, SegmentRequest};
use super::{MeasureFiles, compat, report_on};
use crate::intensity::Intensity;
use crate::io;
use crate::loader::{LoadedModel, WITHOUT_A_CLICK};
use crate::measure::octa::{OctaOptions, OctaReport};
use crate::picture::{self, Enface};
use crate::progress::Observer;
use crate::session::{NoticeInfo, segment_all};
use crate::vessels::FAZ;
use crate::volume::{Labels, Volume};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

/// Numbers and a page of what was segmented.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NumbersRequest {
    /// the object that is the foveal avascular zone; without prompts it is known
    pub faz_object: Option<u16>,
    /// the title of the page; default: the name of the input
    pub case: Option<String>,
    /// eye, centre, circles, spacing
    pub options: OctaOptions,
    /// what to write
    pub write: MeasureFiles,
}

impl SegmentRequest {
    /// Is something to be measured? Without prompts always where pixels have a size, else where a file for numbers is named.
    fn measures(&self, volume: &Volume) -> Result<bool> {
        let asked = self.numbers.write.all().next().is_some();
        match self.numbers.options.spacing.is_some() || volume.geometry.has_size() {
            true => Ok(asked || self.no_prompts),
            false if asked => {
                let what = "does not say how large a pixel is, and tables and page need it: give spacing, or assume_size (host-demo: --assume-size 3mm)";
                Err(Error::format(&self.input.input, what))
            }
            false => Ok(false),
        }
    }

    /// Errors that only the volume tells, before minutes of work.
    pub(super) fn check_volume(&self, volume: &Volume) -> Result<()> {
        self.measures(volume).map(drop)
    }

    /// Measures labels and writes what is asked for; nothing where nothing is.
    pub(super) fn measure(
        &self,
        volume: &Volume,
        labels: &Labels,
        loaded: &LoadedModel,
        notices: &[NoticeInfo],
        observer: &mut dyn Observer,
    ) -> Result<Option<OctaReport>> {
        if !self.measures(volume)? {
            return Ok(None);
        }
        let zone = if self.no_prompts { Some(FAZ) } else { self.numbers.faz_object };
        let (vessels, faz) = match zone {
            Some(zone) => {
                let (vessels, faz) = labels.without(zone);
                (vessels, Some(faz))
            }
            None => (labels.clone(), None),
        };
        let mut about = loaded.about(if self.no_prompts { WITHOUT_A_CLICK } else { "by prompts" })?;
        about.case.clone_from(&self.numbers.case);
        about.layers.clone_from(&self.input.slab);
        about.notes.extend(notices.iter().map(|notice| notice.text.clone()));
        let mut options = self.numbers.options.clone();
        options.eye = options.eye.or_else(|| volume.scan.as_deref()?.eye);
        let scene = Enface { volume: Some(volume), vessels: Some(&vessels), faz: faz.as_ref() };
        report_on(&scene, &self.input.input, &options, about, &self.numbers.write, observer).map(Some)
    }
}

/// Runs a [`SegmentRequest`] without prompts: vessels and FAZ of every slice by the dense maps of the model, object 1 the FAZ, from 2 on a vessel each.
pub(super) fn without_prompts(request: &SegmentRequest, observer: &mut dyn Observer) -> Result<SegmentReport> {
    let axis = request.input.axis()?;
    let intensity = request.window.as_deref().map_or(Ok(Intensity::Auto), str::parse)?;
    compat(request.compat.as_deref())?;
    let (volume, origin) = request.input.open_view(observer)?;
    let volume = Arc::new(volume.along(axis)?);
    request.check_volume(&volume)?;
    observer.step("load", 0, 1)?;
    let loaded = request.model.load()?;
    let started = Instant::now();
    let labels = segment_all(&loaded.model, &volume, intensity, None, observer)?.objects;
    let seconds = started.elapsed().as_secs_f64();
    let numbers = request.measure(&volume, &labels, &loaded, &[], observer)?;
    if let Some(path) = &request.out {
        io::write_labels_with(&labels.along(axis), path, &request.seg.options(&request.input)?.into())?;
    }
    request.write_bscans(&labels, origin.as_ref())?;
    if let Some(path) = &request.overlay {
        picture::write(path, &volume, &labels, &[])?;
    }
    let object =
        |id: u16| ObjectReport { id: u32::from(id), voxels: labels.count(id), slices: labels.frames_of(id).len() };
    Ok(SegmentReport {
        labels: request.out.clone(),
        labels_bscans: request.out_bscans.clone(),
        logits: None,
        overlay: request.overlay.clone(),
        record: None,
        decided: 0,
        device: loaded.device(),
        precision: loaded.precision(),
        model: loaded.path,
        shape: [volume.frames, volume.rows, volume.columns],
        window: intensity.of(&volume)?,
        objects: labels.objects().into_iter().map(object).collect(),
        notices: Vec::new(),
        slices: volume.frames,
        encoded_slices: volume.frames,
        features: None,
        seconds,
        seconds_per_slice: seconds / volume.frames.max(1) as f64,
        prompted: false,
        written: request.numbers.write.clone(),
        numbers,
    })
}
