//! Pairs of files, named in a table: `image`, `labels`, and perhaps `subset` (`train`, `validation`, `test`), `name`, `axis`, `channel`.
//! Relative paths start at the table.

use super::{Case, Subset, WholeSlices, fitted};
use crate::job::InputRequest;
use crate::volume::{Labels, Volume};
use crate::{Error, Result, io};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// One row.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// the volume: a file or a folder
    pub image: PathBuf,
    /// its labels
    pub labels: PathBuf,
    /// what it is for
    #[serde(default = "train")]
    pub subset: Subset,
    /// for messages and tables; default: the image's name
    #[serde(default)]
    pub name: Option<String>,
    /// the axis along which slices are taken: `z`, `y` or `x`
    #[serde(default)]
    pub axis: Option<String>,
    /// what becomes of colour
    #[serde(default)]
    pub channel: Option<String>,
    /// do the labels hold every vessel of every slice? Then the maps that need no prompt learn from them, too
    #[serde(default)]
    pub all_vessels: bool,
}

fn train() -> Subset {
    Subset::Train
}

/// The rows of a table.
pub(super) fn cases(path: &Path) -> Result<Vec<Box<dyn Case>>> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let rows: Vec<Row> = if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) {
        serde_json::from_str(&text)
            .map_err(|error| Error::format(path, format!("a list of rows is expected: {error}")))?
    } else {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        reader
            .deserialize()
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::format(path, error.to_string()))?
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let cases = rows.into_iter().map(|row| {
        let (image, labels) = (folder.join(&row.image), folder.join(&row.labels));
        let name = row.name.clone().unwrap_or_else(|| row.image.display().to_string());
        for file in [&image, &labels] {
            fs::metadata(file).map_err(Error::io(file))?;
        }
        Ok(Box::new(Pair { name, image, labels, row }) as Box<dyn Case>)
    });
    cases.collect()
}

struct Pair {
    name: String,
    image: PathBuf,
    labels: PathBuf,
    row: Row,
}

impl Case for Pair {
    fn name(&self) -> &str {
        &self.name
    }

    fn subset(&self) -> Subset {
        self.row.subset
    }

    fn whole(&self) -> Option<WholeSlices> {
        self.row.all_vessels.then_some(WholeSlices { faz: None })
    }

    fn read(&self) -> Result<(Volume, Labels)> {
        let (axis, channel) = (self.row.axis.clone(), self.row.channel.clone());
        let request = InputRequest { input: self.image.clone(), channel, axis, ..InputRequest::default() };
        let volume = request.open(&mut ())?;
        let labels = fitted(&self.name, &volume, io::read_labels(&self.labels)?)?;
        let axis = request.axis()?;
        Ok((volume.along(axis)?, labels.along(axis).into_owned()))
    }
}
