//! The one error type of the core: every variant says what went wrong, where, and what to do about it.

use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What to say behind a name that is none: "; did you mean `x`?" where a known one looks like it, else nothing.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    let near = known.into_iter().filter(|known| known.len() > 1).min_by_key(distance);
    let near = near.filter(|known| distance(known) <= 2 + known.len() / 4);
    near.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default()
}

/// What can go wrong. The text is one line, meant for the person at the viewer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused: missing file, permission, full disk.
    #[error("{}: {source}", path.display())]
    Io {
        /// the file or folder concerned
        path: PathBuf,
        /// the system's reason
        source: std::io::Error,
    },
    /// A file is not what it should be: damaged, of another type, inconsistent.
    #[error("{}: {what}", path.display())]
    Format {
        /// the file or folder concerned
        path: PathBuf,
        /// what is wrong, and what to do
        what: String,
    },
    /// A file or model that is named is not there.
    #[error("{0}")]
    NotFound(String),
    /// An argument is out of range or contradicts another.
    #[error("{0}")]
    Invalid(String),
    /// Understood, but not possible here.
    #[error("{0}")]
    Unsupported(String),
    /// The device cannot be used.
    #[error("{0}")]
    Device(String),
    /// libtorch failed; the first line of its text.
    #[error("libtorch: {0}")]
    Torch(String),
    /// The caller asked to stop; what was done before is kept.
    #[error("cancelled")]
    Cancelled,
    /// The caller asked to stop; what was done is in a file.
    #[error("cancelled after {done} slices; what was done is in {}", kept.display())]
    CancelledWith {
        /// slices done
        done: usize,
        /// the file that holds them
        kept: PathBuf,
    },
    /// Another error with what it is about, for programs ([`Error::detail`]).
    #[error("{error}")]
    About {
        /// what went wrong
        error: Box<Error>,
        /// the slice concerned
        frame: Option<usize>,
        /// the object concerned
        object: Option<u32>,
    },
}

/// How the text of an [`Error::Torch`] begins where there was too little memory.
pub const OUT_OF_MEMORY: &str = "out of memory";

impl Error {
    /// An [`Error::Io`] for `path`, to be used with `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.as_ref().to_path_buf(), source }
    }

    /// An [`Error::Format`] for `path`.
    pub fn format(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Self::Format { path: path.as_ref().to_path_buf(), what: what.into() }
    }

    /// An [`Error::Invalid`].
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid(what.into())
    }

    /// The same error, about a slice, an object or both, as far as it does not say so itself. A stop is about nothing.
    pub fn about(self, frame: impl Into<Option<usize>>, object: impl Into<Option<u32>>) -> Self {
        match self {
            Self::Cancelled | Self::CancelledWith { .. } => self,
            Self::About { error, frame: own, object: id } => {
                Self::About { error, frame: own.or(frame.into()), object: id.or(object.into()) }
            }
            error => Self::About { error: Box::new(error), frame: frame.into(), object: object.into() },
        }
    }

    /// The error itself, without what it is about.
    pub fn cause(&self) -> &Self {
        match self {
            Self::About { error, .. } => error.cause(),
            error => error,
        }
    }

    /// Was there too little memory, of the machine or of a GPU?
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self.cause(), Self::Torch(text) if text.starts_with(OUT_OF_MEMORY))
    }

    /// The same error as one about a file; those that name one already, and a stop, stay as they are.
    pub fn in_file(self, path: impl AsRef<Path>) -> Self {
        match self {
            Self::Cancelled | Self::CancelledWith { .. } | Self::Io { .. } | Self::Format { .. } => self,
            error => Self::format(path, error.to_string()),
        }
    }

    /// What it is about, for programs: an object with those that are known of `file`, `os_error` (the system's number), `frame` (the slice),
    /// `object`, `done` (slices) and `kept` (a file).
    pub fn detail(&self) -> Value {
        let mut detail = Map::new();
        self.add_detail(&mut detail);
        detail.retain(|_, value| !value.is_null());
        Value::Object(detail)
    }

    fn add_detail(&self, detail: &mut Map<String, Value>) {
        let mut add = |key: &str, value: Value| drop(detail.insert(key.to_owned(), value));
        match self {
            Self::Io { path, source } => {
                add("file", json!(path.to_string_lossy()));
                add("os_error", json!(source.raw_os_error()));
            }
            Self::Format { path, .. } => add("file", json!(path.to_string_lossy())),
            Self::CancelledWith { done, kept } => {
                add("done", json!(done));
                add("kept", json!(kept.to_string_lossy()));
            }
            Self::About { error, frame, object } => {
                add("frame", json!(frame));
                add("object", json!(object));
                error.add_detail(detail);
            }
            _ => {}
        }
    }

    /// The stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => "not_found",
            Self::Io { .. } => "io",
            Self::Format { .. } => "format",
            Self::NotFound(_) => "not_found",
            Self::Invalid(_) => "invalid_argument",
            Self::Unsupported(_) => "unsupported",
            Self::Device(_) => "device",
            Self::Torch(_) => "torch",
            Self::Cancelled | Self::CancelledWith { .. } => "cancelled",
            Self::About { error, .. } => error.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_it_is_about() {
        let error = Error::invalid("no such point").about(3, 7);
        assert_eq!((error.code(), error.to_string().as_str()), ("invalid_argument", "no such point"));
        assert_eq!(error.detail(), json!({"frame": 3, "object": 7}));
        assert_eq!(error.about(4, 8).detail(), json!({"frame": 3, "object": 7}));
        assert_eq!(Error::invalid("gone").about(3, None).about(4, 8).detail(), json!({"frame": 3, "object": 8}));
        assert_eq!(Error::invalid("a number").detail(), json!({}));
        let gone = Error::io("a.nii")(std::io::Error::from_raw_os_error(2)).about(5, None);
        assert_eq!(gone.detail(), json!({"file": "a.nii", "os_error": 2, "frame": 5}));
        assert_eq!(gone.code(), "not_found");
        assert!(matches!(Error::Cancelled.about(1, 1), Error::Cancelled));
        assert!(matches!(Error::Cancelled.in_file("a.pt"), Error::Cancelled));
        assert_eq!(Error::Torch("shape".to_owned()).in_file("a.pt").detail(), json!({"file": "a.pt"}));
    }
}
