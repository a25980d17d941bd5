//! Transport of commands: requests go to the running recorder over HTTP or, if none runs on this data directory, to
//! the same router inside this process.

use anyhow::{Context, bail};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

use crate::app;
use crate::app::open::{Access, Opened};
use crate::auth::Actor;
use crate::cli::ConfigArgs;
use crate::cli::installation::existing;
use crate::cluster::link::Link;
use crate::http::drains::{DrainState, Drains};
use crate::http::{Limits, router};
use optag_core::call::{ConsentState, RefusedStreams};
use optag_core::id::CallId;
use optag_core::private::Private;
use optag_sip::feed::{AdmitError, Admitted, CallView, Control, ControlError, Feed, Named, NewCall};

/// A response body that may be long.
pub(super) type ByteStream = Pin<Box<dyn Stream<Item = anyhow::Result<Bytes>> + Send>>;

/// Where requests go.
pub(super) enum Transport {
    /// A recorder is running on the data directory.
    Remote {
        /// Its base URL.
        base: String,
        /// HTTP client.
        client: reqwest::Client,
        /// The caller's token.
        token: String,
    },
    /// No recorder is running: the router works in this process, for a user who may read the files anyway.
    Local {
        /// Router of the API.
        router: Router,
        /// The user, for the audit log.
        actor: Actor,
        /// Keeps the data locked.
        _opened: Box<Opened>,
    },
}

impl Transport {
    /// Opens the transport.
    ///
    /// Errors: a recorder is running and no token was given; or the data cannot be opened.
    pub(super) async fn open(args: &ConfigArgs) -> anyhow::Result<Self> {
        let config = existing(args)?;
        let access = app::open::open(Arc::new(config.clone()), None, |_| {}).await?;
        if let Access::Opened(opened) = access {
            let router = router(
                opened.services(Arc::new(NoFeed), Arc::new(NoFeed), Link::default(), None),
                Limits::default(),
            );
            return Ok(Self::Local { router, actor: Actor::local_user(), _opened: opened });
        }
        let Ok(token) = std::env::var("OPTAG_TOKEN") else {
            bail!(
                "a recorder is running on {}; set OPTAG_TOKEN to one of its access tokens",
                config.data_dir.display()
            );
        };
        let base = format!("http://{}", config.api.listen);
        Ok(Self::Remote { base, client: reqwest::Client::new(), token })
    }

    /// Sends a request without a body.
    ///
    /// Errors: the recorder cannot be reached, or responded with a problem: its title and detail.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> anyhow::Result<ByteStream> {
        Ok(self.ask(method, &format!("{path}{}", encode_query(query)), None).await?.1)
    }

    /// Sends a request, with a JSON body or none; returns the response with its headers.
    ///
    /// Errors: as [`Transport::send`].
    pub(super) async fn fetch(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&serde_json::Value>,
    ) -> anyhow::Result<(HeaderMap, ByteStream)> {
        self.ask(method, &format!("{path}{}", encode_query(query)), body.map(ToString::to_string)).await
    }

    /// Sends a request with a JSON body; returns the text of the response.
    ///
    /// Errors: as [`Transport::send`].
    pub(super) async fn send_json(
        &self,
        method: Method,
        path: &str,
        body: &serde_json::Value,
    ) -> anyhow::Result<String> {
        Ok(String::from_utf8(collect(self.ask(method, path, Some(body.to_string())).await?.1).await?)?)
    }

    /// Posts JSON. Errors: as [`Transport::send`].
    pub(super) async fn post(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: &serde_json::Value,
    ) -> anyhow::Result<ByteStream> {
        Ok(self.fetch(Method::POST, path, query, Some(body)).await?.1)
    }

    /// Sends a request without a body; returns the text of the response.
    ///
    /// Errors: as [`Transport::send`].
    pub(super) async fn text(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> anyhow::Result<String> {
        Ok(String::from_utf8(collect(self.send(method, path, query).await?).await?)?)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        json: Option<String>,
    ) -> anyhow::Result<(HeaderMap, ByteStream)> {
        match self {
            Self::Remote { base, client, token } => {
                let mut request = client.request(method, format!("{base}{path}")).bearer_auth(token);
                if let Some(json) = json {
                    request = request.header("content-type", "application/json").body(json);
                }
                let answer = request
                    .send()
                    .await
                    .with_context(|| format!("no response from the recorder at {base}"))?;
                let (status, headers) = (answer.status(), answer.headers().clone());
                let body = answer.bytes_stream().map_err(anyhow::Error::from).boxed();
                Ok((headers, checked(status, body).await?))
            }
            Self::Local { router, actor, .. } => {
                let mut request = Request::builder().method(method).uri(path);
                if json.is_some() {
                    request = request.header("content-type", "application/json");
                }
                let mut request = request.body(json.map_or_else(Body::empty, Body::from))?;
                request.extensions_mut().insert(actor.clone());
                let answer = router.clone().oneshot(request).await?;
                let (status, headers) = (answer.status(), answer.headers().clone());
                let body = answer.into_body().into_data_stream().map_err(anyhow::Error::from).boxed();
                Ok((headers, checked(status, body).await?))
            }
        }
    }

    /// Sends a request and parses the JSON response.
    pub(super) async fn json(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> anyhow::Result<serde_json::Value> {
        let body = collect(self.send(method, path, query).await?).await?;
        Ok(serde_json::from_slice(&body)?)
    }
}

async fn checked(status: StatusCode, body: ByteStream) -> anyhow::Result<ByteStream> {
    if status.is_success() {
        return Ok(body);
    }
    let body = collect(body).await?;
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let title = problem["title"].as_str().unwrap_or(status.canonical_reason().unwrap_or("failed"));
    match problem["detail"].as_str() {
        Some(detail) => bail!("{title}: {detail}"),
        None => bail!("{title} ({status})"),
    }
}

/// Reads a whole response.
pub(super) async fn collect(body: ByteStream) -> anyhow::Result<Vec<u8>> {
    body.try_fold(Vec::new(), |mut all, part| async move {
        all.extend_from_slice(&part);
        Ok(all)
    })
    .await
}

fn encode_query(query: &[(&str, String)]) -> String {
    if query.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
    format!("?{}", pairs.join("&"))
}

/// Percent-encodes all but unreserved characters. Source: RFC 3986 §2.1, §2.3.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
        encoded
    })
}

/// No calls are accepted without a running recorder.
struct NoFeed;

impl Drains for NoFeed {
    fn drain(&self, _: Option<Duration>) -> DrainState {
        DrainState { calls: 0, left_s: 0 }
    }
}

impl Feed for NoFeed {
    fn admit(&self, _: NewCall) -> BoxFuture<'_, Result<Admitted, AdmitError>> {
        async { Err(AdmitError::Draining) }.boxed()
    }

    fn control(&self, id: CallId, _: Control) -> BoxFuture<'_, Result<CallView, ControlError>> {
        async move { Err(ControlError::NoSuchCall(id)) }.boxed()
    }

    fn stream_refused(&self, _: CallId, _: &str, _: RefusedStreams) {}

    fn keep(&self, _: CallId, _: Private<String>) {}

    fn call(&self, _: CallId) -> Option<CallView> {
        None
    }

    fn calls(&self) -> Vec<CallView> {
        Vec::new()
    }

    fn answer_here(&self, _: Private<String>, _: Control) -> BoxFuture<'_, Result<Named, ControlError>> {
        async { Ok(Named::default()) }.boxed()
    }

    fn answer_by_name(&self, _: Private<String>, _: Control) -> BoxFuture<'_, Result<Named, ControlError>> {
        async { Ok(Named::default()) }.boxed()
    }

    fn consents(&self) -> tokio::sync::broadcast::Receiver<(CallId, ConsentState)> {
        tokio::sync::broadcast::channel(1).1
    }
}
