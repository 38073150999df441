//! Short words for DICOM elements, and numbers that fit into them (PS3.5 6.2: DS has 16 characters).

use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

pub(super) fn item(elements: impl IntoIterator<Item = InMemElement>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

pub(super) fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> InMemElement {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

pub(super) fn text(tag: Tag, vr: VR, text: &str) -> InMemElement {
    match text {
        "" => DataElement::empty(tag, vr),
        text => DataElement::new(tag, vr, PrimitiveValue::from(text)),
    }
}

/// Several texts in one element.
pub(super) fn texts(tag: Tag, vr: VR, texts: Vec<String>) -> InMemElement {
    DataElement::new(tag, vr, PrimitiveValue::Strs(texts.into()))
}

/// Decimal strings.
pub(super) fn decimals(tag: Tag, values: &[f64]) -> InMemElement {
    texts(tag, VR::DS, values.iter().copied().map(decimal).collect())
}

pub(super) fn shorts(tag: Tag, values: &[u16]) -> InMemElement {
    DataElement::new(tag, VR::US, PrimitiveValue::U16(values.into()))
}

pub(super) fn longs(tag: Tag, values: &[u32]) -> InMemElement {
    DataElement::new(tag, VR::UL, PrimitiveValue::U32(values.into()))
}

pub(super) fn tag_value(tag: Tag, value: Tag) -> InMemElement {
    DataElement::new(tag, VR::AT, PrimitiveValue::Tags(vec![value].into()))
}

/// A number in at most 16 characters, as exactly as they allow.
pub(super) fn decimal(value: f64) -> String {
    let value = if value == 0.0 { 0.0 } else { value };
    let plain = value.to_string();
    if plain.len() <= 16 {
        return plain;
    }
    // 1e-7 and smaller lose their digits behind zeros, 1e16 and larger have no room
    let by_digits = (0..17).rev().flat_map(|digits| [format!("{value:.digits$}"), format!("{value:.digits$e}")]);
    let fitting = by_digits.filter(|text| text.len() <= 16);
    let off = |text: &String| text.parse::<f64>().map_or(f64::INFINITY, |read| (read - value).abs());
    fitting.min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimals_have_sixteen_characters() {
        assert_eq!(decimal(3.0 / 304.0), "0.00986842105263");
        assert_eq!(decimal(-0.0), "0");
        assert_eq!(decimal(-12.5), "-12.5");
        for value in [1.0 / 3.0, -2.0 / 3e9, 1.234_567_890_123_4e-12, -1e20 / 3.0, f64::MAX, 123_456.789_012_345_67] {
            let text = decimal(value);
            assert!(text.len() <= 16, "{text}");
            assert!((text.parse::<f64>().unwrap() / value - 1.0).abs() < 1e-8, "{value} {text}");
        }
    }
}
