//! What the pages ask of the API: requests inside this process, with the headers of the browser's own request, so that
//! the API sees the same cookie, the same address and where the request comes from.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, TRANSFER_ENCODING,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt;

use crate::http::server::client_address::Peer;

/// Largest answer that a page is made of. Units: bytes.
const ANSWER_BYTES: usize = 16 << 20;
/// Shows that a change is meant (`http::sign_in::cookie`).
const CHANGE: HeaderName = HeaderName::from_static("optag-change");
/// Headers of the browser's request that are about its own body and answer. A page is for people: tokens are the API's.
const OWN: [HeaderName; 13] = [
    ACCEPT,
    ACCEPT_ENCODING,
    AUTHORIZATION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
    TRANSFER_ENCODING,
    CHANGE,
];

/// The API.
#[derive(Clone)]
pub(super) struct Api(Router);

/// The API as one browser reaches it.
#[derive(Clone)]
pub(super) struct Asking {
    api: Router,
    headers: HeaderMap,
    peer: Option<Peer>,
}

/// A successful answer.
pub(super) struct Answer {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub bytes: Bytes,
}

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Failure {
    /// Its status.
    pub status: StatusCode,
    /// The fields that are wrong.
    pub fields: Vec<WrongField>,
    /// What the API says, in English.
    pub detail: String,
}

/// A wrong field, as the API names it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct WrongField {
    /// Its name.
    pub field: String,
    /// What is wrong with it, in English.
    pub message: String,
}

impl Failure {
    /// Of an answer that cannot be read.
    pub(super) fn unreadable() -> Self {
        Self { status: StatusCode::BAD_GATEWAY, fields: Vec::new(), detail: String::new() }
    }

    /// What is said of a field, if it is wrong.
    pub(super) fn of(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.field == name).map(|field| field.message.as_str())
    }
}

impl Api {
    pub(super) fn new(router: Router) -> Self {
        Self(router)
    }

    /// The API as the browser of this request reaches it.
    pub(super) fn of(&self, parts: &Parts) -> Asking {
        let mut headers = parts.headers.clone();
        OWN.iter().for_each(|name| drop(headers.remove(name)));
        Asking { api: self.0.clone(), headers, peer: parts.extensions.get().copied() }
    }
}

impl Asking {
    /// Reads. A query's empty values are left out.
    ///
    /// Errors: what the API refuses.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        read(&self.get_answer(path, query).await?)
    }

    /// The same with its headers.
    ///
    /// Errors: what the API refuses.
    pub(super) async fn get_answer(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, Failure> {
        self.send(Method::GET, &address(path, query), None, None).await
    }

    /// Changes something, with the key from the form that asks for it.
    ///
    /// Errors: what the API refuses; 403 where the key is another.
    pub(super) async fn change(
        &self,
        method: Method,
        address: &str,
        key: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, Failure> {
        let key = HeaderValue::try_from(key).unwrap_or(HeaderValue::from_static(""));
        self.send(method, address, Some(key), body).await
    }

    /// A file or a document of the API, for the browser, as it comes. With a key: a change.
    ///
    /// Errors: what the API refuses.
    pub(super) async fn pass_on(
        &self,
        method: Method,
        address: &str,
        key: Option<&str>,
        body: Option<&serde_json::Value>,
    ) -> Result<Response, Failure> {
        let key = key.map(|key| HeaderValue::try_from(key).unwrap_or(HeaderValue::from_static("")));
        let answer = self.answer(method, address, key, body).await?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            whole(answer).await.and(Err(Failure::unreadable()))
        }
    }

    /// Sends a text that changes nothing.
    ///
    /// Errors: what the API refuses.
    pub(super) async fn post_text<T: DeserializeOwned>(&self, path: &str, text: &str) -> Result<T, Failure> {
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        let sent = Some((kind, Body::from(text.to_owned())));
        read(&whole(self.begin(Method::POST, path, None, sent).await?).await?)
    }

    async fn send(
        &self,
        method: Method,
        address: &str,
        key: Option<HeaderValue>,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, Failure> {
        whole(self.answer(method, address, key, body).await?).await
    }

    async fn answer(
        &self,
        method: Method,
        address: &str,
        key: Option<HeaderValue>,
        body: Option<&serde_json::Value>,
    ) -> Result<Response, Failure> {
        let json = HeaderValue::from_static("application/json");
        self.begin(method, address, key, body.map(|body| (json, Body::from(body.to_string())))).await
    }

    /// Sends a request with a body of a media type.
    async fn begin(
        &self,
        method: Method,
        address: &str,
        key: Option<HeaderValue>,
        body: Option<(HeaderValue, Body)>,
    ) -> Result<Response, Failure> {
        let mut request = Request::builder().method(method).uri(address);
        let (kind, body) = body.map_or_else(|| (None, Body::empty()), |(kind, body)| (Some(kind), body));
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
            headers.extend(key.map(|key| (CHANGE, key)));
            headers.extend(kind.map(|kind| (CONTENT_TYPE, kind)));
        }
        if let (Some(peer), Some(extensions)) = (self.peer, request.extensions_mut()) {
            extensions.insert(peer);
        }
        let request = request.body(body).map_err(|_| Failure::unreadable())?;
        self.api.clone().oneshot(request).await.map_err(|_| Failure::unreadable())
    }
}

/// All of an answer.
///
/// Errors: it is no success.
async fn whole(answer: Response) -> Result<Answer, Failure> {
    let (head, body) = answer.into_parts();
    let bytes = to_bytes(body, ANSWER_BYTES).await.map_err(|_| Failure::unreadable())?;
    match head.status.is_success() {
        true => Ok(Answer { headers: head.headers, bytes }),
        false => Err(failure(head.status, &bytes)),
    }
}

/// The JSON of an answer.
///
/// Errors: it is another.
pub(super) fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    serde_json::from_slice(&answer.bytes).map_err(|error| {
        tracing::error!(%error, "a page cannot read what the API answers");
        Failure::unreadable()
    })
}

fn failure(status: StatusCode, body: &[u8]) -> Failure {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Problem {
        detail: String,
        errors: Vec<WrongField>,
    }
    let Problem { detail, errors } = serde_json::from_slice(body).unwrap_or_default();
    Failure { status, fields: errors, detail }
}

/// A path with its query, in which empty values are left out.
pub(super) fn address(path: &str, query: &[(&str, &str)]) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(query.iter().filter(|(_, value)| !value.is_empty()));
    match text.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}
