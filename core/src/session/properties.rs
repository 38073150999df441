//! What an object is called, what it is, how it is shown, and whether it may still change. Part of the session's state like its masks: undone
//! and redone, saved, recorded, and told to the writers of label files.

use super::object::Object;
use super::{Session, Step};
use crate::io::{Property, Segment};
use crate::picture::Colour;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Characters of a name: what DICOM's SegmentLabel has room for.
const NAME: usize = 64;

/// What is known about an object beside its masks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Properties {
    /// words for people, at most 64 characters
    pub name: Option<String>,
    /// the colour that was chosen for it
    pub colour: Option<Colour>,
    /// what it is: a name or codes, as [`Property`] reads them
    pub property: Option<String>,
    /// is it to be shown?
    pub visible: bool,
    /// are its masks to stay as they are?
    pub locked: bool,
}

impl Default for Properties {
    fn default() -> Self {
        Self { name: None, colour: None, property: None, visible: true, locked: false }
    }
}

/// Which properties to change; those that are absent stay. An empty text takes the property back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PropertyChange {
    /// words for people
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `#rrggbb`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<String>,
    /// `vessel`, `artery`, `vein`, `capillary`, `faz`, or codes, `SCHEME^VALUE^MEANING`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// is it to be shown?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible: Option<bool>,
    /// are its masks to stay as they are?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
}

impl Properties {
    /// With a change. Errors: a name that DICOM has no room for, a colour or a property that is none.
    fn with(&self, change: &PropertyChange) -> Result<Self> {
        let text = |new: &Option<String>, old: &Option<String>| match new.as_deref().map(str::trim) {
            None => old.clone(),
            Some("") => None,
            Some(text) => Some(text.to_owned()),
        };
        let colour = match change.colour.as_deref().map(str::trim) {
            None => self.colour,
            Some("") => None,
            Some(text) => Some(text.parse()?),
        };
        let changed = Self {
            name: text(&change.name, &self.name),
            colour,
            property: text(&change.property, &self.property),
            visible: change.visible.unwrap_or(self.visible),
            locked: change.locked.unwrap_or(self.locked),
        };
        changed.check().map(|()| changed)
    }

    pub(super) fn check(&self) -> Result<()> {
        let fits =
            |name: &str| name.chars().count() <= NAME && !name.contains('\\') && !name.contains(char::is_control);
        if let Some(name) = self.name.as_ref().filter(|name| !fits(name)) {
            let rule = format!("at most {NAME} characters without backslash and line ends, as DICOM wants them");
            return Err(Error::invalid(format!("the name {name:?} of an object must have {rule}")));
        }
        self.property.as_ref().map_or(Ok(()), |property| property.parse::<Property>().map(drop))
    }

    /// As a writer of label files wants it.
    fn segment(&self) -> Result<Segment> {
        let property = self.property.as_ref().map(|property| property.parse()).transpose()?.unwrap_or_default();
        let mut segment = Segment::default();
        (segment.label, segment.property) = (self.name.clone(), property);
        (segment.colour, segment.hidden) = (self.colour, !self.visible);
        Ok(segment)
    }

    /// Is there anything for a label file?
    fn is_known(&self) -> bool {
        *self != Self { locked: self.locked, ..Self::default() }
    }
}

/// For lists that people read: `name FAZ, locked`.
impl fmt::Display for PropertyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |what: &str, text: &Option<String>| match text.as_deref() {
            None => None,
            Some("") => Some(format!("{what} taken back")),
            Some(text) => Some(format!("{what} {text}")),
        };
        let either = |state: Option<bool>, yes: &str, no: &str| state.map(|on| if on { yes } else { no }.to_owned());
        let parts = [
            said("name", &self.name),
            said("colour", &self.colour),
            said("property", &self.property),
            either(self.visible, "shown", "hidden"),
            either(self.locked, "locked", "unlocked"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "added" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

impl Session {
    /// Names, colours, describes, shows, hides, locks or unlocks an object: what `change` holds; the rest stays. An object that is new is
    /// added (1 to 65535). A step like any other. Errors: a name that is too long, a colour or a property that is none.
    pub fn set_object(&mut self, object: u32, change: &PropertyChange) -> Result<()> {
        self.changed(object, change).map_err(|error| error.about(None, object))
    }

    fn changed(&mut self, object: u32, change: &PropertyChange) -> Result<()> {
        check_number(object)?;
        let properties = self.properties(object).unwrap_or_default().with(change)?;
        let step = Step::SetObject { object, change: change.clone() };
        self.change(step, |session| {
            let at = session.position_or_new(object);
            session.change_object(at).properties = properties;
            Ok(())
        })
    }

    /// Name, colour and so on of an object; `None` where there is no such object.
    pub fn properties(&self, object: u32) -> Option<Properties> {
        self.find(object).map(|object| object.properties.clone())
    }

    /// What the objects are, for writers of label files: those about which something was said.
    pub fn segments(&self) -> Result<BTreeMap<u16, Segment>> {
        let known = self.objects.iter().filter(|object| object.properties.is_known());
        known.map(|object| Ok((object.id as u16, object.properties.segment()?))).collect()
    }

    /// Where an object stands; one that is new is added.
    pub(super) fn position_or_new(&mut self, object: u32) -> usize {
        let found = self.objects.iter().position(|candidate| candidate.id == object);
        found.unwrap_or_else(|| {
            self.objects.push(Arc::new(Object::new(object)));
            self.objects.len() - 1
        })
    }

    /// Errors: the object is locked.
    pub(super) fn check_unlocked(&self, object: u32) -> Result<()> {
        match self.find(object) {
            Some(found) if found.properties.locked => {
                Err(Error::invalid(format!("{} is locked: nothing changes its masks; unlock it first", found.called()))
                    .about(None, object))
            }
            _ => Ok(()),
        }
    }
}

impl Object {
    /// `object 2`, with its name where it has one.
    pub(super) fn called(&self) -> String {
        match &self.properties.name {
            Some(name) => format!("object {} ({name})", self.id),
            None => format!("object {}", self.id),
        }
    }
}

/// Errors: no number for an object.
pub(super) fn check_number(object: u32) -> Result<()> {
    match object {
        1..=65535 => Ok(()),
        _ => Err(Error::invalid(format!("object number {object} is not between 1 and 65535"))),
    }
}
