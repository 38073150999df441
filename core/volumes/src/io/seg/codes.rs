//! Coded terms: a value, the scheme that defines it, and words for people (PS3.3 8.8, PS3.16).
//!
//! Neither SNOMED CT nor DICOM has a code for the foveal avascular zone: it gets one of a private scheme (PS3.16 8.2), `99MEDSEG`.

use super::elements::{item, sequence, text};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;
use std::borrow::Cow;

/// One coded term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// CodeValue, at most 16 characters
    pub value: Cow<'static, str>,
    /// CodingSchemeDesignator: `SCT`, `DCM`, `99...` for private ones; at most 16 characters
    pub scheme: Cow<'static, str>,
    /// CodeMeaning, at most 64 characters
    pub meaning: Cow<'static, str>,
}

impl Code {
    /// A term known when the program is built.
    pub const fn new(value: &'static str, scheme: &'static str, meaning: &'static str) -> Self {
        Self { value: Cow::Borrowed(value), scheme: Cow::Borrowed(scheme), meaning: Cow::Borrowed(meaning) }
    }

    const fn sct(value: &'static str, meaning: &'static str) -> Self {
        Self::new(value, "SCT", meaning)
    }

    const fn dcm(value: &'static str, meaning: &'static str) -> Self {
        Self::new(value, "DCM", meaning)
    }
}

// segmented property categories, CID 7150
pub(super) const ANATOMICAL_STRUCTURE: Code = Code::sct("91723000", "Anatomical Structure");
pub(super) const SPATIAL_CONCEPT: Code = Code::sct("309825002", "Spatial and Relational Concept");
pub(super) const TISSUE: Code = Code::sct("85756007", "Tissue");

// segmented property types, CID 7151 and 7166
pub(super) const BLOOD_VESSEL: Code = Code::sct("59820001", "Blood Vessel");
pub(super) const ARTERY: Code = Code::sct("51114001", "Artery");
pub(super) const VEIN: Code = Code::sct("29092000", "Vein");
pub(super) const CAPILLARY: Code = Code::sct("20982000", "Capillary");
pub(super) const FAZ: Code = Code::new("FAZ", "99MEDSEG", "Foveal avascular zone");

// anatomic regions, CID 4209
pub(super) const RETINA: Code = Code::sct("5665001", "Retina");
pub(super) const FOVEA: Code = Code::sct("67046006", "Fovea centralis");

/// derivation of the frames, CID 7203
pub(super) const SEGMENTATION: Code = Code::dcm("113076", "Segmentation");
/// what a source image was for, CID 7202
pub(super) const SOURCE_IMAGE: Code = Code::dcm("121322", "Source image for image processing operation");
/// algorithm family, CID 7162
pub(super) const ARTIFICIAL_INTELLIGENCE: Code = Code::dcm("123110", "Artificial Intelligence");

/// A code sequence of one item.
pub(super) fn coded(tag: Tag, code: &Code) -> InMemElement {
    sequence(tag, vec![code_item(code)])
}

fn code_item(code: &Code) -> InMemDicomObject {
    item([
        text(tags::CODE_VALUE, VR::SH, &code.value),
        text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, &code.scheme),
        text(tags::CODE_MEANING, VR::LO, &code.meaning),
    ])
}
