//! The one error type of the core: every variant says what went wrong, where, and what to do about it.

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
}

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
        }
    }
}
