//! The data set of a segmentation, module by module of PS3.3 A.51.3.

use super::codes::{self, coded};
use super::elements::{item, longs, sequence, shorts, text, texts};
use super::frames::{self, Frame};
use super::grid::{Content, MOST};
use super::options::{SegOptions, Segment};
use super::read::{PRIVATE_CREATOR, PRIVATE_CREATOR_TAG, PRIVATE_SLICES, TRACKING};
use super::source::Source;
use super::uid::Uids;
use crate::picture::colours;
use crate::{Error, Result};
use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject};
use std::path::Path;

const MAKER: &str = "SAM-OCTA2";
const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";

/// Patient and study: as in the source, empty where the standard wants the element and the source has none (type 2).
const COPIED: [(Tag, VR); 10] = [
    (tags::PATIENT_NAME, VR::PN),
    (tags::PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::STUDY_INSTANCE_UID, VR::UI),
    (tags::STUDY_ID, VR::SH),
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::ACCESSION_NUMBER, VR::SH),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
];
/// Copied where the source has them (type 3).
const COPIED_IF_THERE: [(Tag, VR); 8] = [
    (tags::ISSUER_OF_PATIENT_ID, VR::LO),
    (tags::PATIENT_IDENTITY_REMOVED, VR::CS),
    (tags::DEIDENTIFICATION_METHOD, VR::LO),
    (tags::STUDY_DESCRIPTION, VR::LO),
    (tags::PATIENT_AGE, VR::AS),
    (tags::PATIENT_SIZE, VR::DS),
    (tags::PATIENT_WEIGHT, VR::DS),
    (tags::BODY_PART_EXAMINED, VR::CS),
];

/// The whole file.
pub(super) fn file(
    path: &Path,
    content: &Content<'_>,
    source: &Source,
    options: &SegOptions,
) -> Result<FileDicomObject<InMemDicomObject>> {
    let frames = frames::list(content, source.slices.len(), options.keep_empty);
    let bytes = frames.len() as u64 * (source.rows * source.columns) as u64 / if content.is_binary() { 8 } else { 1 };
    if bytes >= u64::from(u32::MAX) - 1 || content.objects.len() > usize::from(u16::MAX) {
        let what =
            format!("{} frames make {bytes} bytes, more than a DICOM file takes; write fewer objects", frames.len());
        return Err(Error::invalid(format!("{}: {what}", path.display())));
    }
    let pixels = frames::pixels(content, &frames);
    let uids = identifiers(content, source, options, &frames, &pixels);
    let mut object = InMemDicomObject::new_empty();
    let put = |object: &mut InMemDicomObject, elements: Vec<InMemElement>| {
        elements.into_iter().for_each(|element| drop(object.put(element)));
    };
    put(&mut object, patient_and_study(source, needs_unicode(content, options))?);
    put(&mut object, series_and_equipment(source, options, &uids));
    put(&mut object, image(content, source, options, frames.len()));
    put(&mut object, references(source));
    put(&mut object, frames::dimensions(source, &uids.of("dimensions")).to_vec());
    let segments = (0..content.objects.len()).map(|i| segment(i, content, source, options, &uids)).collect();
    put(
        &mut object,
        vec![
            sequence(tags::SEGMENT_SEQUENCE, segments),
            frames::shared(source),
            frames::per_frame(source, &frames),
            text(tags::SOP_CLASS_UID, VR::UI, uids::SEGMENTATION_STORAGE),
            text(tags::SOP_INSTANCE_UID, VR::UI, &uids.of("instance")),
            // how many slices the source has: frames without voxels are left out, and no standard element says it
            text(PRIVATE_CREATOR_TAG, VR::LO, PRIVATE_CREATOR),
            longs(PRIVATE_SLICES, &[source.slices.len() as u32]),
            DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(pixels.into())),
        ],
    );
    let meta = FileMetaTableBuilder::new().transfer_syntax(EXPLICIT_LITTLE);
    object.with_meta(meta).map_err(|error| Error::format(path, format!("cannot be written: {error}")))
}

fn identifiers(content: &Content<'_>, source: &Source, options: &SegOptions, frames: &[Frame], pixels: &[u8]) -> Uids {
    let mut uids = if options.deterministic { Uids::from_content() } else { Uids::fresh() };
    source.instances.iter().for_each(|instance| uids.feed(instance.uid.as_bytes()));
    content.objects.iter().for_each(|object| uids.feed(&object.to_le_bytes()));
    frames.iter().for_each(|frame| uids.feed(&[frame.segment.to_le_bytes(), frame.slice.to_le_bytes()].concat()));
    // where the source lies on this disk and how it was found there do not count
    let described = SegOptions { source: Default::default(), open: Default::default(), ..options.clone() };
    uids.feed(format!("{described:?}").as_bytes());
    uids.feed(pixels);
    uids
}

/// Patient and study. Texts are copied byte by byte, with their character set, where nothing that we add needs another; then any program
/// reads in the segmentation what it reads in the source. Else all become UTF-8.
/// Errors: texts to be made UTF-8 whose character set is not known.
fn patient_and_study(source: &Source, as_unicode: bool) -> Result<Vec<InMemElement>> {
    let more = COPIED_IF_THERE.into_iter().filter(|(tag, _)| source.texts.set().has(*tag));
    let copied = COPIED.into_iter().chain(more).map(|(tag, vr)| copied(source, tag, vr, as_unicode));
    let own = source.texts.character_sets();
    let sets = match as_unicode {
        // the writer sees the name and encodes what follows so
        true => Some(text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192")),
        // here it must not: bytes are bytes
        false => (!own.is_empty()).then(|| {
            let padded = own.bytes().chain((own.len() % 2 == 1).then_some(b' '));
            DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, PrimitiveValue::U8(padded.collect()))
        }),
    };
    sets.map(Ok).into_iter().chain(copied).collect()
}

/// A text of the source; empty where it has none.
fn copied(source: &Source, tag: Tag, vr: VR, as_unicode: bool) -> Result<InMemElement> {
    Ok(match source.texts.bytes(tag) {
        None | Some([]) => DataElement::empty(tag, vr),
        Some(_) if as_unicode => text(tag, vr, &source.texts.unicode(tag)?),
        // numbers as text are nothing but ASCII
        Some(bytes) if vr == VR::DS => text(tag, vr, String::from_utf8_lossy(bytes).trim_matches([' ', '\0'])),
        Some(bytes) => {
            let pad = if vr == VR::UI { 0 } else { b' ' };
            let padded = bytes.iter().copied().chain((bytes.len() % 2 == 1).then_some(pad));
            DataElement::new(tag, vr, PrimitiveValue::U8(padded.collect()))
        }
    })
}

/// Is there a text of ours that ASCII has no letters for?
fn needs_unicode(content: &Content<'_>, options: &SegOptions) -> bool {
    let of_segment = |segment: &Segment| {
        let (category, kind, region) = segment.property.codes(false);
        let codes = [Some(category), Some(kind), region].into_iter().flatten();
        let meanings = codes.map(|code| code.meaning.into_owned());
        segment.label.clone().into_iter().chain(meanings).any(|text| !text.is_ascii())
    };
    !options.series_description.is_ascii()
        || !options.algorithm_name.is_ascii()
        || content.objects.iter().any(|&object| of_segment(options.segment_of(object)))
}

fn series_and_equipment(source: &Source, options: &SegOptions, uids: &Uids) -> Vec<InMemElement> {
    let source_number = source.text(tags::SERIES_NUMBER).parse::<u32>().unwrap_or(0);
    let number = options.series_number.unwrap_or(source_number.saturating_add(1000)).min(i32::MAX as u32);
    let (date, time) = date_and_time(source, options.deterministic);
    let mut elements = vec![
        text(tags::MODALITY, VR::CS, "SEG"),
        text(tags::SERIES_INSTANCE_UID, VR::UI, &uids.of("series")),
        text(tags::SERIES_NUMBER, VR::IS, &number.to_string()),
        text(tags::SERIES_DESCRIPTION, VR::LO, &options.series_description),
        text(tags::SERIES_DATE, VR::DA, &date),
        text(tags::SERIES_TIME, VR::TM, &time),
        text(tags::CONTENT_DATE, VR::DA, &date),
        text(tags::CONTENT_TIME, VR::TM, &time),
        text(tags::MANUFACTURER, VR::LO, MAKER),
        text(tags::MANUFACTURER_MODEL_NAME, VR::LO, MAKER),
        text(tags::DEVICE_SERIAL_NUMBER, VR::LO, "1"),
        text(tags::SOFTWARE_VERSIONS, VR::LO, env!("CARGO_PKG_VERSION")),
    ];
    // ImageLaterality where the source says a side in either way; Laterality is for series without (PS3.3 C.7.3.1)
    let side =
        [tags::IMAGE_LATERALITY, tags::LATERALITY].map(|tag| source.text(tag)).into_iter().find(|s| !s.is_empty());
    elements.extend(side.map(|side| text(tags::IMAGE_LATERALITY, VR::CS, &side)));
    let frame_of_reference = source.text(tags::FRAME_OF_REFERENCE_UID);
    if !frame_of_reference.is_empty() {
        elements.push(text(tags::FRAME_OF_REFERENCE_UID, VR::UI, &frame_of_reference));
        let indicator = source.text(tags::POSITION_REFERENCE_INDICATOR);
        elements.push(text(tags::POSITION_REFERENCE_INDICATOR, VR::LO, &indicator));
    }
    elements
}

/// When the segmentation was made; a reproducible one has the date of its source.
fn date_and_time(source: &Source, deterministic: bool) -> (String, String) {
    if !deterministic {
        let now = chrono::Local::now();
        return (now.format("%Y%m%d").to_string(), now.format("%H%M%S").to_string());
    }
    let first = |choice: &[Tag]| choice.iter().map(|&tag| source.text(tag)).find(|text| !text.is_empty());
    let date = first(&[tags::CONTENT_DATE, tags::SERIES_DATE, tags::STUDY_DATE]);
    let time = first(&[tags::CONTENT_TIME, tags::SERIES_TIME, tags::STUDY_TIME]);
    (date.unwrap_or_else(|| "19000101".to_owned()), time.unwrap_or_else(|| "000000".to_owned()))
}

fn image(content: &Content<'_>, source: &Source, options: &SegOptions, frames: usize) -> Vec<InMemElement> {
    let bits = if content.is_binary() { 1 } else { 8 };
    let mut elements = vec![
        texts(tags::IMAGE_TYPE, VR::CS, vec!["DERIVED".to_owned(), "PRIMARY".to_owned()]),
        text(tags::INSTANCE_NUMBER, VR::IS, "1"),
        text(tags::CONTENT_LABEL, VR::CS, &options.content_label),
        text(tags::CONTENT_DESCRIPTION, VR::LO, &options.series_description),
        DataElement::empty(tags::CONTENT_CREATOR_NAME, VR::PN),
        text(tags::SEGMENTATION_TYPE, VR::CS, if content.is_binary() { "BINARY" } else { "FRACTIONAL" }),
        text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.to_string()),
        shorts(tags::ROWS, &[source.rows as u16]),
        shorts(tags::COLUMNS, &[source.columns as u16]),
        shorts(tags::SAMPLES_PER_PIXEL, &[1]),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        shorts(tags::BITS_ALLOCATED, &[bits]),
        shorts(tags::BITS_STORED, &[bits]),
        shorts(tags::HIGH_BIT, &[bits - 1]),
        shorts(tags::PIXEL_REPRESENTATION, &[0]),
    ];
    if !content.is_binary() {
        elements.push(text(tags::SEGMENTATION_FRACTIONAL_TYPE, VR::CS, "PROBABILITY"));
        elements.push(shorts(tags::MAXIMUM_FRACTIONAL_VALUE, &[MOST]));
    }
    // once lossy, always lossy (PS3.3 C.7.6.1.1.5)
    let lossy = source.text(tags::LOSSY_IMAGE_COMPRESSION) == "01";
    elements.push(text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, if lossy { "01" } else { "00" }));
    if lossy {
        let how = [(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS), (tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS)];
        let how = how.into_iter().filter(|(tag, _)| source.texts.set().has(*tag));
        elements.extend(how.map(|(tag, vr)| text(tag, vr, &source.text(tag))));
    }
    if !source.placed() {
        // required, if only as an empty element, where no plane says how the image lies (PS3.3 C.7.6.1.1.1)
        elements.push(text(tags::PATIENT_ORIENTATION, VR::CS, &source.text(tags::PATIENT_ORIENTATION)));
    }
    elements
}

/// Common Instance Reference (PS3.3 C.12.2): every image of the source's series.
fn references(source: &Source) -> Vec<InMemElement> {
    let instances = source.instances.iter().map(|instance| {
        item([
            text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &instance.class),
            text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &instance.uid),
        ])
    });
    let series = item([
        text(tags::SERIES_INSTANCE_UID, VR::UI, &source.text(tags::SERIES_INSTANCE_UID)),
        sequence(tags::REFERENCED_INSTANCE_SEQUENCE, instances.collect()),
    ]);
    vec![sequence(tags::REFERENCED_SERIES_SEQUENCE, vec![series])]
}

/// One item of the SegmentSequence (PS3.3 C.8.20.4).
fn segment(
    index: usize,
    content: &Content<'_>,
    source: &Source,
    options: &SegOptions,
    uids: &Uids,
) -> InMemDicomObject {
    let object = content.objects[index];
    let segment = options.segment_of(object);
    let label = segment.label_of(object);
    let (category, kind, region) = segment.property.codes(source.shows_an_eye());
    let algorithm = item([
        coded(tags::ALGORITHM_FAMILY_CODE_SEQUENCE, &codes::ARTIFICIAL_INTELLIGENCE),
        text(tags::ALGORITHM_NAME, VR::LO, &options.algorithm_name),
        text(tags::ALGORITHM_VERSION, VR::LO, env!("CARGO_PKG_VERSION")),
    ]);
    let mut item = item([
        shorts(tags::SEGMENT_NUMBER, &[index as u16 + 1]),
        text(tags::SEGMENT_LABEL, VR::LO, &label),
        text(tags::SEGMENT_ALGORITHM_TYPE, VR::CS, options.algorithm.name()),
        text(tags::SEGMENT_ALGORITHM_NAME, VR::LO, &options.algorithm_name),
        sequence(tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE, vec![algorithm]),
        coded(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, &category),
        coded(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, &kind),
        shorts(tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE, &colours::cielab(segment.colour_of(object).0)),
        text(tags::TRACKING_ID, VR::UT, &format!("{TRACKING}{object}")),
        text(tags::TRACKING_UID, VR::UI, &uids.of(&format!("object {object}"))),
    ]);
    region.iter().for_each(|region| drop(item.put(coded(tags::ANATOMIC_REGION_SEQUENCE, region))));
    item
}
