//! An S3 server in this process that implements the parts of the protocol that we use, and misbehaves on request.
//! Faults include those of the connection (it ends in the middle), so it serves connections itself. Signatures are
//! not checked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response};
use bytes::Bytes;
use futures::StreamExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::shelf::{Asked, State, error};
pub(crate) use super::shelf::{Lie, Many};

/// Faults of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 500, nothing done.
    InternalError,
    /// 503 SlowDown, nothing done.
    SlowDown,
    /// 403 RequestTimeTooSkewed, nothing done.
    ClockSkew,
    /// 200 with an error as its body, nothing done.
    ErrorIn200,
    /// The connection ends after part of the request was read.
    ResetInRequest,
    /// Done, and the connection ends before the response.
    LostResponse,
    /// Done, and the response has the ETag of other content.
    WrongEtag,
    /// Half of the body is stored, and acknowledged.
    StoresHalf,
    /// Half of the body is stored, then 500.
    StoresHalfAndFails,
    /// Half of the announced object is sent, then the connection ends.
    TruncatedRead,
    /// Less of an object is sent, announced as complete.
    ShortRead,
    /// One bit of what is read is flipped.
    FlippedRead,
    /// The response is sent in small pieces.
    Slow,
}

/// Every fault.
pub(crate) const FAULTS: [Fault; 13] = [
    Fault::InternalError,
    Fault::SlowDown,
    Fault::ClockSkew,
    Fault::ErrorIn200,
    Fault::ResetInRequest,
    Fault::LostResponse,
    Fault::WrongEtag,
    Fault::StoresHalf,
    Fault::StoresHalfAndFails,
    Fault::TruncatedRead,
    Fault::ShortRead,
    Fault::FlippedRead,
    Fault::Slow,
];

/// The running store.
#[derive(Clone)]
pub(crate) struct Double {
    pub state: Arc<Mutex<State>>,
    faults: Arc<Mutex<Faults>>,
    pub endpoint: String,
}

/// Faults to inject, by request number.
#[derive(Default)]
struct Faults {
    at: Option<(usize, Fault)>,
    storm: usize,
}

impl Double {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    /// The same at this address.
    pub(crate) async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let double = Self { state: Arc::default(), faults: Arc::default(), endpoint };
        let serving = double.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let double = serving.clone();
                tokio::spawn(async move {
                    let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
                        let double = double.clone();
                        async move { double.answer(request.map(Body::new)).await }
                    });
                    let served = hyper::server::conn::http1::Builder::new();
                    let _ = served.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        double
    }

    /// Injects the fault into the `n`-th request from now, counted from 0.
    pub(crate) fn fail(&self, n: usize, fault: Fault) {
        let requests = self.state.lock().unwrap().requests;
        self.faults.lock().unwrap().at = Some((requests + n, fault));
    }

    /// Answers 503 to this many further requests.
    pub(crate) fn storm(&self, requests: usize) {
        self.faults.lock().unwrap().storm = requests;
    }

    /// Applies these lies from now on.
    pub(crate) fn lie(&self, lies: &[Lie]) {
        self.state.lock().unwrap().lies = lies.iter().copied().collect();
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
        let fault = {
            let (mut state, mut faults) = (self.state.lock().unwrap(), self.faults.lock().unwrap());
            let n = state.requests;
            state.requests += 1;
            let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
            let asked = format!("{} {host}{}", request.method(), request.uri().path());
            state.asked.push(asked);
            if faults.storm > 0 {
                faults.storm -= 1;
                Some(Fault::SlowDown)
            } else {
                faults.at.filter(|(at, _)| *at == n).map(|(_, fault)| fault)
            }
        };
        let gone = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let (parts, body) = request.into_parts();
        if fault == Some(Fault::ResetInRequest) {
            let _ = body.into_data_stream().next().await;
            return Err(gone());
        }
        let mut body = to_bytes(body, 64 << 20).await.map_err(|_| gone())?;
        match fault {
            Some(Fault::InternalError) => return Ok(error(500, "InternalError")),
            Some(Fault::SlowDown) => return Ok(error(503, "SlowDown")),
            Some(Fault::ClockSkew) => return Ok(error(403, "RequestTimeTooSkewed")),
            Some(Fault::ErrorIn200) => return Ok(error(200, "InternalError")),
            Some(Fault::StoresHalf | Fault::StoresHalfAndFails) if parts.method == Method::PUT => {
                body.truncate(body.len() / 2);
            }
            _ => {}
        }
        let query = query(parts.uri.query().unwrap_or_default());
        let is_read = parts.method == Method::GET && !query.keys().any(|name| name != "versionId");
        // The bucket is in the host name or the first part of the path, possibly after a prefix.
        let path = parts.uri.path();
        let path = path.strip_prefix("/gate/s3").unwrap_or(path);
        let key = path.strip_prefix("/bucket").unwrap_or(path).trim_start_matches('/');
        let asked = Asked { method: &parts.method, key, query: &query, headers: &parts.headers, body };
        let is_part = parts.method == Method::PUT && query.contains_key("partNumber");
        let (done, is_silent) = {
            let mut state = self.state.lock().unwrap();
            (state.act(asked), is_part && state.lies.contains(&Lie::LeavesPartsUnanswered))
        };
        if is_silent {
            std::future::pending::<()>().await;
        }
        match fault {
            Some(Fault::LostResponse) => Err(gone()),
            Some(Fault::StoresHalfAndFails) => Ok(error(500, "InternalError")),
            Some(Fault::WrongEtag) => {
                let mut done = done;
                done.headers_mut().insert("etag", "\"00000000000000000000000000000000\"".parse().unwrap());
                Ok(done)
            }
            Some(fault @ (Fault::TruncatedRead | Fault::ShortRead | Fault::FlippedRead | Fault::Slow))
                if is_read && done.status().is_success() =>
            {
                Ok(spoil(done, fault).await)
            }
            _ => Ok(done),
        }
    }
}

async fn spoil(answer: Response<Body>, fault: Fault) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.unwrap();
    let body = match fault {
        Fault::ShortRead => {
            let less = bytes.slice(..bytes.len() / 2);
            head.headers.insert("content-length", less.len().into());
            less.into()
        }
        Fault::FlippedRead => {
            let mut spoilt = bytes.to_vec();
            if let Some(byte) = spoilt.get_mut(bytes.len() / 2) {
                *byte ^= 1;
            }
            spoilt.into()
        }
        Fault::Slow => {
            let drops: Vec<_> = bytes
                .chunks(bytes.len() / 7 + 1)
                .map(|drop| Ok::<_, Infallible>(Bytes::copy_from_slice(drop)))
                .collect();
            Body::from_stream(futures::stream::iter(drops).then(|drop| async {
                tokio::task::yield_now().await;
                drop
            }))
        }
        _ => {
            let half = Ok(bytes.slice(..bytes.len() / 2));
            let end = Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
            Body::from_stream(futures::stream::iter([half, end]))
        }
    };
    Response::from_parts(head, body)
}

fn query(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.replace("%2F", "/"))
        })
        .filter(|(name, _)| name != "x-id")
        .collect()
}
