//! Strict parsing of JSON bodies: media type, syntax, types and unknown fields are separate problems.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use serde::de::DeserializeOwned;

use crate::http::problem::Problem;
use optag_core::limit;

/// The body of a request.
pub(crate) struct Body<T>(pub T);

/// The body of a request that may have none.
pub(crate) struct MaybeBody<T>(pub Option<T>);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        as_it_is(&request)?;
        if !is_json(&request) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON, with Content-Type: application/json",
            ));
        }
        parse(&bytes(request, state).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for MaybeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        as_it_is(&request)?;
        let json = is_json(&request);
        let bytes = bytes(request, state).await?;
        match bytes.is_empty() {
            true => Ok(Self(None)),
            false if json => parse(&bytes).map(|body| Self(Some(body))),
            false => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be empty, or JSON with Content-Type: application/json",
            )),
        }
    }
}

/// Bodies are short and must not be compressed: a compressed one could expand.
/// Source: RFC 9110 §12.5.3 and §15.5.16.
fn as_it_is(request: &Request) -> Result<(), Problem> {
    let codings = request.headers().get_all(CONTENT_ENCODING).iter();
    if codings.into_iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let problem = Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "a compressed body is not taken: send it without Content-Encoding",
    );
    Err(problem.header(ACCEPT_ENCODING, HeaderValue::from_static("identity")))
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {} bytes", limit::REQUEST_BODY_BYTES),
        ),
        _ => Problem::new(StatusCode::BAD_REQUEST, "the body could not be read to its end"),
    })
}

fn is_json(request: &Request) -> bool {
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Syntax first, so that a value of the wrong type is not reported as invalid JSON.
    let json: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| problem(".".into(), &error))?;
    typed(json)
}

/// A body that was read as JSON, by its type.
pub(crate) fn typed<T: DeserializeOwned>(json: serde_json::Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(json).map_err(|error| problem(error.path().to_string(), error.inner()))
}

fn problem(path: String, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    if !error.is_data() {
        return Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {message}"));
    }
    let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
    let path = if path == "." { String::new() } else { path };
    // The path does not yet include a missing field.
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let field = match (missing, path.is_empty()) {
        (Some(name), true) => name.to_owned(),
        (Some(name), false) => format!("{path}.{name}"),
        (None, _) => path,
    };
    let field = if field.is_empty() { "body".to_owned() } else { field };
    Problem::field(field, message)
}
