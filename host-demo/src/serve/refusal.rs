//! What goes wrong: a status and one sentence. ITK-SNAP shows bodies as they are ([`Plain`]); the others read `{"detail": ...}`.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sam_octa2_abi::PluginError;
use serde_json::json;

/// An answer, or why there is none.
pub type Answer<T> = Result<T, Refusal>;

/// Why a request was not answered.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// never a success
    pub status: StatusCode,
    /// one sentence for the person at the viewer
    pub sentence: String,
}

impl Refusal {
    /// With this status.
    pub fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// The request is wrong.
    pub fn bad(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }

    /// There is no such thing.
    pub fn missing(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, sentence)
    }

    /// More than this server takes.
    pub fn too_large(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, sentence)
    }

    /// The server's own fault.
    pub fn inside(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, sentence)
    }
}

impl From<PluginError> for Refusal {
    fn from(error: PluginError) -> Self {
        let status = match error.code.as_str() {
            "invalid_argument" | "format" | "unsupported" => StatusCode::BAD_REQUEST,
            "not_found" => StatusCode::NOT_FOUND,
            "busy" | "cancelled" => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.message.as_str())
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::inside(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({"detail": self.sentence}))).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("30"));
        }
        response
    }
}

/// The same as a line of text.
pub struct Plain(Refusal);

impl From<Refusal> for Plain {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Plain {
    fn into_response(self) -> Response {
        (self.0.status, self.0.sentence).into_response()
    }
}
