//! An S3 in this process that speaks what we use of the protocol and lies when told to. Faults
//! are of the wire as well (a connection that ends in the middle), so it serves connections
//! itself. Signatures are not looked at.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What the store does instead of what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 500, nothing done.
    InternalError,
    /// 503 SlowDown, nothing done.
    SlowDown,
    /// 403 RequestTimeTooSkewed, nothing done.
    ClockSkew,
    /// 200 with an error for a body, nothing done.
    ErrorIn200,
    /// The connection ends after a part of the request was read.
    ResetInRequest,
    /// Done, and the connection ends before the answer.
    LostResponse,
    /// Done, and the answer names another content.
    WrongEtag,
    /// Half of the body is stored, and acknowledged.
    StoresHalf,
    /// Half of the body is stored, then 500.
    StoresHalfAndFails,
    /// Of an object, half of what was announced comes, then the connection ends.
    TruncatedRead,
    /// Of an object, less comes, announced as all.
    ShortRead,
    /// A bit of what is read is another.
    FlippedRead,
    /// The answer comes in drops.
    Slow,
}

/// Every fault.
pub const FAULTS: [Fault; 13] = [
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

/// Parts by number, each with the name of its content.
type Parts = BTreeMap<u32, (Bytes, String)>;

/// What the store holds and did.
#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<String, Bytes>,
    pub uploads: HashMap<String, (String, Parts)>,
    /// Objects created, each time.
    pub created: Vec<String>,
    /// Parts received.
    pub parts: usize,
    /// Requests so far.
    pub requests: usize,
    /// Whether a taken name is refused.
    pub overwrites: bool,
    fault_at: Option<(usize, Fault)>,
    storm: usize,
}

/// The running store.
#[derive(Clone)]
pub struct Double {
    pub state: Arc<Mutex<State>>,
    pub endpoint: String,
}

impl Double {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let double = Self { state: Arc::default(), endpoint };
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

    /// The `n`-th request from now, from 0, meets the fault.
    pub fn fail(&self, n: usize, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state.fault_at = Some((state.requests + n, fault));
    }

    /// The next so many requests are answered 503.
    pub fn storm(&self, requests: usize) {
        self.state.lock().unwrap().storm = requests;
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
        let fault = {
            let mut state = self.state.lock().unwrap();
            let n = state.requests;
            state.requests += 1;
            if state.storm > 0 {
                state.storm -= 1;
                Some(Fault::SlowDown)
            } else {
                state.fault_at.filter(|(at, _)| *at == n).map(|(_, fault)| fault)
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
        let create = parts.headers.contains_key("if-none-match");
        let range = parts.headers.get("range").and_then(|range| range.to_str().ok()).map(str::to_owned);
        let query = query(parts.uri.query().unwrap_or_default());
        let is_read = parts.method == Method::GET && query.is_empty();
        let key = parts.uri.path().trim_start_matches("/bucket").trim_start_matches('/').to_owned();
        let done =
            self.state.lock().unwrap().act(&parts.method, &key, &query, body, create, range.as_deref());
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

impl State {
    fn act(
        &mut self,
        method: &Method,
        key: &str,
        query: &HashMap<String, String>,
        body: Bytes,
        create: bool,
        range: Option<&str>,
    ) -> Response<Body> {
        let asked = |name: &str| query.get(name);
        match *method {
            Method::GET if asked("uploads").is_some() => self.list_uploads(),
            Method::GET if asked("versions").is_some() => {
                self.list(asked("prefix"), "ListVersionsResult", "Version")
            }
            Method::GET if asked("list-type").is_some() => {
                self.list(asked("prefix"), "ListBucketResult", "Contents")
            }
            Method::GET if asked("uploadId").is_some() => self.list_parts(&query["uploadId"]),
            Method::GET | Method::HEAD => self.read(key, range),
            Method::POST if asked("uploads").is_some() => {
                let id = format!("upload-{}", self.requests);
                self.uploads.insert(id.clone(), (key.to_owned(), Parts::new()));
                let ids = format!("<Bucket>bucket</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>");
                xml(format!("<InitiateMultipartUploadResult>{ids}</InitiateMultipartUploadResult>"))
            }
            Method::POST => self.complete(&query["uploadId"], &body),
            Method::PUT if asked("partNumber").is_some() => {
                let Some((_, parts)) = self.uploads.get_mut(&query["uploadId"]) else {
                    return error(404, "NoSuchUpload");
                };
                let etag = etag(&body);
                parts.insert(query["partNumber"].parse().unwrap(), (body, etag.clone()));
                self.parts += 1;
                Response::builder().header("etag", etag).body(Body::empty()).unwrap()
            }
            Method::PUT if create && !self.overwrites && self.objects.contains_key(key) => {
                error(412, "PreconditionFailed")
            }
            Method::PUT => {
                self.objects.insert(key.to_owned(), body);
                self.created.push(key.to_owned());
                Response::builder().header("etag", "\"an object's\"").body(Body::empty()).unwrap()
            }
            Method::DELETE => {
                match asked("uploadId") {
                    Some(id) => drop(self.uploads.remove(id)),
                    None => drop(self.objects.remove(key)),
                }
                Response::builder().status(204).body(Body::empty()).unwrap()
            }
            _ => error(405, "MethodNotAllowed"),
        }
    }

    fn read(&self, key: &str, range: Option<&str>) -> Response<Body> {
        let Some(object) = self.objects.get(key) else { return error(404, "NoSuchKey") };
        let answer = Response::builder()
            .header("etag", "\"an object's\"")
            .header("last-modified", "Tue, 24 Nov 2026 10:00:00 GMT");
        let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
        else {
            return answer.header("content-length", object.len()).body(object.clone().into()).unwrap();
        };
        let first: usize = first.parse().unwrap();
        let end = last.parse::<usize>().map_or(object.len(), |last| (last + 1).min(object.len()));
        if first >= end {
            return error(416, "InvalidRange");
        }
        answer
            .status(StatusCode::PARTIAL_CONTENT)
            .header("content-range", format!("bytes {first}-{}/{}", end - 1, object.len()))
            .header("content-length", end - first)
            .body(object.slice(first..end).into())
            .unwrap()
    }

    fn list(&self, prefix: Option<&String>, root: &str, item: &str) -> Response<Body> {
        let prefix = prefix.map(String::as_str).unwrap_or_default();
        let items = self.objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, object)| {
            format!(
                "<{item}><Key>{key}</Key><VersionId>null</VersionId><Size>{}</Size>\
                 <LastModified>2026-11-24T10:00:00.000Z</LastModified></{item}>",
                object.len(),
            )
        });
        let items: String = items.collect();
        xml(format!("<{root}><IsTruncated>false</IsTruncated>{items}</{root}>"))
    }

    fn list_uploads(&self) -> Response<Body> {
        let uploads = self.uploads.iter().map(|(id, (key, _))| {
            format!(
                "<Upload><Key>{key}</Key><UploadId>{id}</UploadId>\
                 <Initiated>2026-11-24T10:00:00.000Z</Initiated></Upload>"
            )
        });
        let uploads: String = uploads.collect();
        xml(format!("<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>"))
    }

    fn list_parts(&self, upload: &str) -> Response<Body> {
        let Some((_, parts)) = self.uploads.get(upload) else { return error(404, "NoSuchUpload") };
        let parts = parts.iter().map(|(number, (part, etag))| {
            let etag = etag.replace('"', "&quot;");
            let facts = format!("<ETag>{etag}</ETag><Size>{}</Size>", part.len());
            format!("<Part><PartNumber>{number}</PartNumber>{facts}</Part>")
        });
        let parts: String = parts.collect();
        xml(format!("<ListPartsResult><IsTruncated>false</IsTruncated>{parts}</ListPartsResult>"))
    }

    /// Parts must be named as they are, as a real store demands.
    fn complete(&mut self, upload: &str, named: &[u8]) -> Response<Body> {
        let Some((key, parts)) = self.uploads.get(upload) else { return error(404, "NoSuchUpload") };
        let named = String::from_utf8_lossy(named).replace("&quot;", "\"");
        if parts.values().any(|(_, etag)| !named.contains(etag.trim_matches('"'))) {
            return error(400, "InvalidPart");
        }
        let whole: Vec<u8> = parts.values().flat_map(|(part, _)| part.iter().copied()).collect();
        let key = key.clone();
        self.objects.insert(key.clone(), whole.into());
        self.created.push(key.clone());
        self.uploads.remove(upload);
        xml(format!(
            "<CompleteMultipartUploadResult><Key>{key}</Key><ETag>\"done-1\"</ETag></CompleteMultipartUploadResult>"
        ))
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

fn error(status: u16, code: &str) -> Response<Body> {
    let mut answer = xml(format!("<Error><Code>{code}</Code><Message>told to</Message></Error>"));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

fn xml(body: String) -> Response<Body> {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}");
    Response::builder().header("content-type", "application/xml").body(text.into()).unwrap()
}

/// As S3 names the content of a part: its MD5, in quotes.
fn etag(body: &[u8]) -> String {
    use md5::{Digest, Md5};
    let digits: String = Md5::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
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
