//! The frames of a segmentation: which there are, their functional groups (PS3.3 C.7.6.16) and their pixels (PS3.5 8.2).

use super::codes::{SEGMENTATION, SOURCE_IMAGE, coded};
use super::elements::{decimals, item, longs, sequence, shorts, tag_value, text, texts};
use super::grid::Content;
use super::source::Source;
use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;
use std::collections::BTreeMap;

/// One frame: a segment (from 0) on a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub segment: usize,
    pub slice: usize,
}

/// Segment by segment, each along the slices.
pub(super) fn list(content: &Content<'_>, slices: usize, keep_empty: bool) -> Vec<Frame> {
    let all = (0..content.objects.len()).flat_map(|segment| (0..slices).map(move |slice| Frame { segment, slice }));
    all.filter(|frame| keep_empty || content.present(frame.segment, frame.slice)).collect()
}

/// The pixels of all frames: bytes, or bits from the lowest up, without a gap between frames; of even length.
pub(super) fn pixels(content: &Content<'_>, frames: &[Frame]) -> Vec<u8> {
    let values = frames.iter().map(|frame| content.frame(frame.segment, frame.slice));
    let mut bytes: Vec<u8> = if content.is_binary() { packed(values) } else { values.flatten().collect() };
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

fn packed(frames: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut byte, mut bit) = (0u8, 0);
    for frame in frames {
        for value in frame {
            byte |= value << bit;
            bit += 1;
            if bit == 8 {
                bytes.push(byte);
                (byte, bit) = (0, 0);
            }
        }
    }
    if bit > 0 {
        bytes.push(byte);
    }
    bytes
}

/// What all frames share: pixel measures and, where the source has one, the orientation.
pub(super) fn shared(source: &Source) -> InMemElement {
    let mut groups = InMemDicomObject::new_empty();
    if let Some(spacing) = source.spacing {
        let mut measures =
            item([decimals(tags::SLICE_THICKNESS, &[source.thickness]), decimals(tags::PIXEL_SPACING, &spacing)]);
        if source.placed() && source.slices.len() > 1 {
            measures.put(decimals(tags::SPACING_BETWEEN_SLICES, &[source.geometry.spacing[2]]));
        }
        groups.put(sequence(tags::PIXEL_MEASURES_SEQUENCE, vec![measures]));
    }
    if let Some(orientation) = source.orientation {
        let orientation = item([decimals(tags::IMAGE_ORIENTATION_PATIENT, &orientation)]);
        groups.put(sequence(tags::PLANE_ORIENTATION_SEQUENCE, vec![orientation]));
    }
    sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![groups])
}

/// The functional groups of every frame.
pub(super) fn per_frame(source: &Source, frames: &[Frame]) -> InMemElement {
    let mut ranks: BTreeMap<usize, u32> = frames.iter().map(|frame| (frame.slice, 0)).collect();
    // index values of a dimension are 1, 2, ... without gaps
    (1..).zip(ranks.values_mut()).for_each(|(rank, value)| *value = rank);
    let items = frames.iter().map(|frame| groups_of(source, *frame, ranks[&frame.slice])).collect();
    sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, items)
}

fn groups_of(source: &Source, Frame { segment, slice }: Frame, rank: u32) -> InMemDicomObject {
    let number = segment as u16 + 1;
    let content = item([
        text(tags::STACK_ID, VR::SH, "1"),
        longs(tags::IN_STACK_POSITION_NUMBER, &[slice as u32 + 1]),
        longs(tags::DIMENSION_INDEX_VALUES, &[number.into(), rank]),
    ]);
    let mut groups = item([
        sequence(tags::FRAME_CONTENT_SEQUENCE, vec![content]),
        sequence(
            tags::SEGMENT_IDENTIFICATION_SEQUENCE,
            vec![item([shorts(tags::REFERENCED_SEGMENT_NUMBER, &[number])])],
        ),
        derivation(source, slice),
    ]);
    if let (Some(position), true) = (source.slices[slice].position, source.placed()) {
        groups.put(sequence(
            tags::PLANE_POSITION_SEQUENCE,
            vec![item([decimals(tags::IMAGE_POSITION_PATIENT, &position)])],
        ));
    }
    groups
}

/// Which source image the frame was made from (PS3.3 C.7.6.16.2.6).
fn derivation(source: &Source, slice: usize) -> InMemElement {
    let slice = &source.slices[slice];
    let instance = &source.instances[slice.instance];
    let mut image = item([
        text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &instance.class),
        text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &instance.uid),
        coded(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, &SOURCE_IMAGE),
        text(tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES"),
    ]);
    if instance.multi_frame {
        image.put(texts(tags::REFERENCED_FRAME_NUMBER, VR::IS, vec![(slice.frame + 1).to_string()]));
    }
    let derivation = item([
        coded(tags::DERIVATION_CODE_SEQUENCE, &SEGMENTATION),
        sequence(tags::SOURCE_IMAGE_SEQUENCE, vec![image]),
    ]);
    sequence(tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation])
}

/// The two dimensions along which frames are sorted: segment, then place (PS3.3 C.7.6.17).
pub(super) fn dimensions(source: &Source, organization: &str) -> [InMemElement; 2] {
    let uid = || text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, organization);
    let dimension = |pointer, group, label| {
        item([
            uid(),
            tag_value(tags::DIMENSION_INDEX_POINTER, pointer),
            tag_value(tags::FUNCTIONAL_GROUP_POINTER, group),
            text(tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, label),
        ])
    };
    let segment = (tags::REFERENCED_SEGMENT_NUMBER, tags::SEGMENT_IDENTIFICATION_SEQUENCE, "Segment");
    let place = match source.placed() {
        true => (tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE, "Position"),
        false => (tags::IN_STACK_POSITION_NUMBER, tags::FRAME_CONTENT_SEQUENCE, "Slice"),
    };
    [
        sequence(tags::DIMENSION_ORGANIZATION_SEQUENCE, vec![item([uid()])]),
        sequence(tags::DIMENSION_INDEX_SEQUENCE, [segment, place].map(|(p, g, l)| dimension(p, g, l)).to_vec()),
    ]
}
