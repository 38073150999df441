//! What a person at the page gives for one object on one slice: clicks, a box, a scribble.

use sam_octa2_abi::Prompt;
use serde::Deserialize;

/// How wide a scribble is drawn, in pixels.
const LINE_WIDTH: f64 = 3.0;

/// As the page sends it, in pixels of the slice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    pub object: u32,
    pub frame: usize,
    #[serde(default)]
    points: Vec<[f64; 2]>,
    /// 1: on the object, 0: not
    #[serde(default)]
    labels: Vec<i32>,
    #[serde(rename = "box")]
    bounds: Option<[f64; 4]>,
    /// a scribble
    #[serde(default)]
    line: Vec<[f64; 2]>,
    /// is the scribble outside of the object?
    #[serde(default)]
    outside: bool,
}

impl Given {
    /// Clicks and the places of a scribble.
    pub fn places(&self) -> impl Iterator<Item = &[f64; 2]> {
        self.points.iter().chain(&self.line)
    }

    /// Does it only say what the object is not?
    pub fn takes_away(&self) -> bool {
        let outside = !self.labels.is_empty() && self.labels.iter().all(|&label| label == 0);
        let something = !self.points.is_empty() || !self.line.is_empty();
        something
            && self.bounds.is_none()
            && (self.points.is_empty() || outside)
            && (self.line.is_empty() || self.outside)
    }

    /// The same for the plugin.
    pub fn prompt(self) -> Prompt {
        Prompt {
            frame: self.frame as i64,
            object: self.object,
            points: self.points.as_flattened().to_vec(),
            labels: self.labels,
            bounds: self.bounds.map(|bounds| bounds.to_vec()).unwrap_or_default(),
            line: self.line.as_flattened().to_vec(),
            line_width: LINE_WIDTH,
            line_outside: self.outside,
            ..Prompt::default()
        }
    }
}
