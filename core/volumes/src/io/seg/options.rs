//! What a caller may say about a DICOM Segmentation beside its voxels.

use super::codes::{self, Code};
use crate::io::OpenOptions;
use crate::picture::Colour;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How to describe a DICOM Segmentation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SegOptions {
    /// the segmented images: a DICOM file, or the folder of one series
    pub source: PathBuf,
    /// how they were read: which series, with gaps or not, the spacing of those without one. _Default: as [`crate::io::open`] does if
    /// nothing is said._
    pub open: OpenOptions,
    /// what objects are that `segments` does not name. _Default: unspecified tissue._
    pub segment: Segment,
    /// what single objects are, by their number
    pub segments: BTreeMap<u16, Segment>,
    /// who chose the voxels. _Default: a person's prompts and a program._
    pub algorithm: Algorithm,
    /// at most 64 characters. _Default: `SAM-OCTA2`._
    pub algorithm_name: String,
    /// equal input gives equal bytes: identifiers from the content, dates from the source. _Default: no._
    pub deterministic: bool,
    /// write frames in which a segment has no voxels, too. _Default: no._
    pub keep_empty: bool,
    /// _Default: that of the source + 1000._
    pub series_number: Option<u32>,
    /// at most 64 characters. _Default: `Segmentation`._
    pub series_description: String,
    /// at most 16 of `A-Z 0-9 _` and space. _Default: `SEGMENTATION`._
    pub content_label: String,
}

impl SegOptions {
    /// The defaults, for a segmentation of the images at `source`.
    pub fn of(source: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            open: OpenOptions::default(),
            segment: Segment::default(),
            segments: BTreeMap::new(),
            algorithm: Algorithm::SemiAutomatic,
            algorithm_name: "SAM-OCTA2".to_owned(),
            deterministic: false,
            keep_empty: false,
            series_number: None,
            series_description: "Segmentation".to_owned(),
            content_label: "SEGMENTATION".to_owned(),
        }
    }

    pub(in crate::io) fn segment_of(&self, object: u16) -> &Segment {
        self.segments.get(&object).unwrap_or(&self.segment)
    }

    /// What is said of an object, then what is known of it, then what is said of all.
    pub(in crate::io) fn known_of(&self, object: u16, known: &Segment) -> Segment {
        self.segments.get(&object).cloned().unwrap_or_default().or(known).or(&self.segment)
    }

    /// With what else is known about objects, where the caller said nothing of them.
    pub fn knowing(mut self, known: &BTreeMap<u16, Segment>) -> Self {
        let all: Vec<_> = known.iter().map(|(&object, known)| (object, self.known_of(object, known))).collect();
        self.segments.extend(all);
        self
    }

    /// Do all texts fit into their elements (PS3.5 6.2)?
    pub(super) fn check(&self) -> Result<()> {
        let label = &self.content_label;
        if label.is_empty()
            || label.len() > 16
            || !label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_' || b == b' ')
        {
            let what = "1 to 16 characters A-Z, 0-9, _ and space";
            return Err(Error::invalid(format!("DICOM Segmentation: content label {label:?} must be {what}")));
        }
        fits("algorithm name", &self.algorithm_name, 64)?;
        fits("series description", &self.series_description, 64)?;
        for segment in self.segments.values().chain([&self.segment]) {
            segment.label.as_deref().map_or(Ok(()), |label| fits("segment label", label, 64))?;
            let (category, kind, region) = segment.property.codes(false);
            for code in [Some(category), Some(kind), region].into_iter().flatten() {
                fits("code value", &code.value, 16)?;
                fits("coding scheme", &code.scheme, 16)?;
                fits("code meaning", &code.meaning, 64)?;
            }
        }
        Ok(())
    }
}

fn fits(what: &str, text: &str, most: usize) -> Result<()> {
    let count = text.chars().count();
    if count == 0 || count > most || text.contains('\\') || text.chars().any(char::is_control) {
        let rule = format!("1 to {most} characters without backslash and line ends");
        return Err(Error::invalid(format!("DICOM Segmentation: {what} {text:?} must be {rule}")));
    }
    Ok(())
}

/// What one object is.
#[derive(Debug, Clone, Default)]
pub struct Segment {
    /// words for people, at most 64 characters. _Default: the name of the property and the object's number._
    pub label: Option<String>,
    /// what it is
    pub property: Property,
    /// in which colour to show it. _Default: one that tells it from the others._
    pub colour: Option<Colour>,
    /// is it not to be shown at first? Only some formats say so. _Default: it is shown._
    pub hidden: bool,
}

impl Segment {
    /// The words for people.
    pub(in crate::io) fn label_of(&self, object: u16) -> String {
        self.label.clone().unwrap_or_else(|| self.property.label(object))
    }

    /// The colour to show.
    pub(in crate::io) fn colour_of(&self, object: u16) -> Colour {
        self.colour.unwrap_or_else(|| Colour::of_object(object))
    }

    /// Where nothing is said, what `other` says.
    pub(in crate::io) fn or(self, other: &Self) -> Self {
        let property = if self.property == Property::Unspecified { other.property.clone() } else { self.property };
        let label = self.label.or_else(|| other.label.clone());
        Self { label, property, colour: self.colour.or(other.colour), hidden: self.hidden || other.hidden }
    }
}

/// Kinds of segments, with the codes that DICOM wants for them.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum Property {
    /// nothing is known but that it is tissue
    #[default]
    Unspecified,
    /// a blood vessel
    Vessel,
    /// an artery
    Artery,
    /// a vein
    Vein,
    /// capillaries
    Capillary,
    /// the foveal avascular zone
    Faz,
    /// anything else
    Coded(Box<CodedProperty>),
}

/// A property by its codes.
#[derive(Debug, Clone, PartialEq)]
pub struct CodedProperty {
    /// SegmentedPropertyCategoryCodeSequence, CID 7150
    pub category: Code,
    /// SegmentedPropertyTypeCodeSequence
    pub kind: Code,
    /// AnatomicRegionSequence
    pub region: Option<Code>,
}

impl Property {
    /// Category, type and region; images of the eye show the retina where nothing else is said.
    pub(in crate::io) fn codes(&self, eye: bool) -> (Code, Code, Option<Code>) {
        let retina = || eye.then_some(codes::RETINA);
        match self {
            Self::Unspecified => (codes::TISSUE, codes::TISSUE, retina()),
            Self::Vessel => (codes::ANATOMICAL_STRUCTURE, codes::BLOOD_VESSEL, retina()),
            Self::Artery => (codes::ANATOMICAL_STRUCTURE, codes::ARTERY, retina()),
            Self::Vein => (codes::ANATOMICAL_STRUCTURE, codes::VEIN, retina()),
            Self::Capillary => (codes::ANATOMICAL_STRUCTURE, codes::CAPILLARY, retina()),
            Self::Faz => (codes::SPATIAL_CONCEPT, codes::FAZ, Some(codes::FOVEA)),
            Self::Coded(coded) => (coded.category.clone(), coded.kind.clone(), coded.region.clone()),
        }
    }

    /// The label of an object without one.
    pub(in crate::io) fn label(&self, object: u16) -> String {
        match self {
            Self::Unspecified => format!("Object {object}"),
            // a meaning has up to 64 characters, and so has a label
            known => format!("{} {object}", known.codes(false).1.meaning.chars().take(58).collect::<String>()),
        }
    }
}

/// SegmentAlgorithmType (PS3.3 C.8.20.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// nobody helped
    Automatic,
    /// prompts or corrections by a person
    SemiAutomatic,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Automatic => "AUTOMATIC",
            Self::SemiAutomatic => "SEMIAUTOMATIC",
        }
    }
}
