//! Device and precision, and what concerns libtorch itself.

use crate::Error;

/// libtorch's texts carry a C++ stack of many lines; people get the first.
impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        let text = error.to_string();
        Self::Torch(text.lines().next().unwrap_or_default().to_owned())
    }
}
