//! What objects are, as a person types it: names of properties, or codes.
//!
//! Codes are written as 3D Slicer writes them: `SCHEME^VALUE^MEANING`, and `~` between category, type and region.

use super::codes::{self, Code};
use super::options::{CodedProperty, Property, SegOptions, Segment};
use crate::{Error, Result, did_you_mean};
use std::str::FromStr;

const NAMES: [&str; 6] = ["vessel", "artery", "vein", "capillary", "faz", "unspecified"];

impl FromStr for Property {
    type Err = Error;

    /// A name (`vessel`, `artery`, `vein`, `capillary`, `faz`, `unspecified`), or codes: a type, `CATEGORY~TYPE` or
    /// `CATEGORY~TYPE~REGION`. A type alone is an anatomical structure.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.contains(['^', '~']) {
            return of_codes(text);
        }
        Ok(match text.to_lowercase().as_str() {
            "vessel" => Self::Vessel,
            "artery" => Self::Artery,
            "vein" => Self::Vein,
            "capillary" => Self::Capillary,
            "faz" => Self::Faz,
            "unspecified" => Self::Unspecified,
            other => return Err(unknown(other)),
        })
    }
}

/// What to say about a name that is none.
fn unknown(name: &str) -> Error {
    let hint = did_you_mean(name, NAMES);
    let what = format!("a segment cannot be \"{name}\"{hint} (names: {}; or codes, ", NAMES.join(", "));
    Error::invalid(format!("{what}SCHEME^VALUE^MEANING for the type, with ~ after a category and before a region)"))
}

fn of_codes(text: &str) -> Result<Property> {
    let codes = text.split('~').map(code).collect::<Result<Vec<_>>>()?;
    let (category, kind, region) = match <[Code; 3]>::try_from(codes) {
        Ok([category, kind, region]) => (category, kind, Some(region)),
        Err(codes) => match <[Code; 2]>::try_from(codes) {
            Ok([category, kind]) => (category, kind, None),
            Err(codes) => match <[Code; 1]>::try_from(codes) {
                Ok([kind]) => (codes::ANATOMICAL_STRUCTURE, kind, None),
                Err(_) => return Err(Error::invalid(format!("\"{text}\" holds more than category, type and region"))),
            },
        },
    };
    Ok(Property::Coded(Box::new(CodedProperty { category, kind, region })))
}

fn code(text: &str) -> Result<Code> {
    let parts: Vec<&str> = text.split('^').map(str::trim).collect();
    match parts[..] {
        [scheme, value, meaning] if parts.iter().all(|part| !part.is_empty()) => {
            let owned = |text: &str| text.to_owned().into();
            Ok(Code { value: owned(value), scheme: owned(scheme), meaning: owned(meaning) })
        }
        _ => Err(Error::invalid(format!(
            "\"{text}\" is no code, which looks like this: SCT^59820001^Blood Vessel (scheme, value, meaning)"
        ))),
    }
}

impl SegOptions {
    /// Says what objects are: `text` is a [`Property`] for those that nothing else is said of, or, as in `2=faz`, for one object.
    pub fn describe(&mut self, text: &str) -> Result<()> {
        let number = text.split_once('=').and_then(|(number, rest)| Some((number.trim().parse::<u16>().ok()?, rest)));
        match number {
            Some((0, _)) => Err(Error::invalid(format!("\"{text}\": objects are numbered from 1 on"))),
            Some((object, rest)) => {
                let segment = Segment { property: rest.parse()?, ..Segment::default() };
                self.segments.insert(object, segment);
                Ok(())
            }
            None => {
                self.segment.property = text.parse()?;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_understood() {
        assert_eq!("FAZ".parse::<Property>().unwrap(), Property::Faz);
        let text = "SCT^91723000^Anatomical Structure~SCT^59820001^Blood Vessel~SCT^5665001^Retina";
        let Property::Coded(coded) = text.parse().unwrap() else { panic!() };
        assert_eq!(coded.kind, codes::BLOOD_VESSEL);
        assert_eq!((coded.category, coded.region), (codes::ANATOMICAL_STRUCTURE, Some(codes::RETINA)));
        let Property::Coded(coded) = "SCT^20982000^Capillary".parse().unwrap() else { panic!() };
        assert_eq!((coded.kind, coded.category), (codes::CAPILLARY, codes::ANATOMICAL_STRUCTURE));
    }

    #[test]
    fn mistakes_name_what_is_near() {
        let error = |text: &str| text.parse::<Property>().unwrap_err().to_string();
        assert!(error("vesel").contains("did you mean `vessel`?"), "{}", error("vesel"));
        assert!(error("xyzzy").contains("names: vessel, artery"), "{}", error("xyzzy"));
        assert!(error("SCT^1").contains("is no code"), "{}", error("SCT^1"));
        assert!(error("a^b^c~a^b^c~a^b^c~a^b^c").contains("more than"));
    }

    #[test]
    fn single_objects_are_described() {
        let mut options = SegOptions::of("x");
        ["vessel", "2=faz", "7=SCT^29092000^Vein"].iter().for_each(|text| options.describe(text).unwrap());
        assert_eq!(options.segment.property, Property::Vessel);
        assert_eq!(options.segments[&2].property, Property::Faz);
        assert!(matches!(&options.segments[&7].property, Property::Coded(_)));
        assert!(options.describe("0=faz").is_err());
    }
}
