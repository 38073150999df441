//! The prompt file and the replay script: JSON contracts that other programs write (docs/prompts.md).

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Which way to follow the objects through the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// towards higher slice numbers
    #[default]
    Forward,
    /// towards lower slice numbers
    Backward,
    /// forward, then backward
    Both,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Both => "both",
        })
    }
}

impl FromStr for Direction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = [Self::Forward, Self::Backward, Self::Both].into_iter().find(|way| way.to_string() == text);
        found.ok_or_else(|| Error::invalid(format!("direction \"{text}\" is none of forward, backward, both")))
    }
}

/// The file given with `--prompts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptFile {
    /// the objects to segment
    pub objects: Vec<ObjectPrompts>,
    /// which way to propagate
    #[serde(default)]
    pub direction: Direction,
    /// slice to start from; default: each object's own prompted slices
    #[serde(default)]
    pub start: Option<usize>,
    /// how many slices to track in each direction; default: to the end
    #[serde(default)]
    pub max_frames: Option<usize>,
}

/// One object and where the user marked it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectPrompts {
    /// the object's number, 1 to 65535: its value in the labels
    pub id: u32,
    /// marks, applied in this order
    pub prompts: Vec<SlicePrompt>,
}

/// Marks on one slice, in pixel coordinates of the slice (x right, y down). Points, box and mask may stand together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlicePrompt {
    /// slice index from 0
    pub frame: usize,
    /// clicked positions `[x, y]`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<[f32; 2]>,
    /// one per point: 1 inside the object, 0 outside; default: all inside
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<i32>,
    /// `[x0, y0, x1, y1]`
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub bounds: Option<[f32; 4]>,
    /// an image file whose non-zero pixels are the object; relative to the prompt file
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<PathBuf>,
}
