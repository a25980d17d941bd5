//! Errors as RFC 9457 problem documents.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Media type of a problem. Source: RFC 9457 §3.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// Identifies the kind of problem.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Text for every problem of the kind.
    pub title: &'static str,
    /// HTTP status code.
    pub status: u16,
    /// Description of this problem.
    pub detail: String,
    /// The first invalid field, as a path such as `streams[0].codec`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Every invalid field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    #[serde(skip)]
    #[schema(ignore)]
    headers: Option<Box<HeaderMap>>,
}

/// An invalid field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Its path.
    pub field: String,
    /// Why it is invalid.
    pub message: String,
}

impl Problem {
    /// A problem of the kind given by `status`.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            errors: Vec::new(),
            headers: None,
        }
    }

    /// 422: invalid fields, at least one.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let first = errors.first().cloned();
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            first.as_ref().map_or_else(String::new, |one| format!("{}: {}", one.field, one.message)),
        );
        problem.field = first.map(|one| one.field);
        problem.errors = errors;
        problem
    }

    /// 422: one invalid field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// 503: retry after this many seconds.
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).header(RETRY_AFTER, retry_after_s.into())
    }

    /// 401: no token, or an unknown one. Source: RFC 6750 §3.
    pub fn unauthorised(detail: &str) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"optag\"");
        Self::new(StatusCode::UNAUTHORIZED, detail).header(WWW_AUTHENTICATE, challenge)
    }

    /// 403: the role does not include it.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The same with a different status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self.title = status.canonical_reason().unwrap_or("Error");
        self
    }

    /// Adds a header to the response.
    pub fn header(mut self, name: axum::http::HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().insert(name, value);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut headers = self.headers.clone().map_or_else(HeaderMap::new, |headers| *headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        let mut answer = (status, Json(self)).into_response();
        answer.headers_mut().extend(headers);
        answer
    }
}
