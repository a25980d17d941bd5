//! Contents of the double: objects with their versions, uploads, lifecycle rules. Responds like S3, except for the
//! requested lies.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use bytes::Bytes;
use optag_core::id::CallId;
use optag_storage::store::names;

/// What the store misreports, or fails to do, at every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(dead_code, reason = "each is for some test")]
pub(crate) enum Lie {
    /// DELETE of an object is acknowledged without effect.
    KeepsObjects,
    /// DELETE of an upload is acknowledged, and its parts stay.
    KeepsUploads,
    /// A listing shows this many entries, and claims to be complete.
    ListsAtMost(usize),
    /// A listing shows this many entries, claims to be truncated, and has no continuation marker.
    BreaksOffAfter(usize),
    /// The listing of uploads is empty.
    HidesUploads,
    /// HEAD answers 404.
    HeadSeesNothing,
    /// GET answers 404.
    GetSeesNothing,
    /// Listings of versions are not implemented.
    NoVersions,
    /// The versioning state is not available either.
    NoVersioning,
    /// Responses never contain a version.
    NamesNoVersions,
    /// PUT of objects is rejected.
    RefusesWrites,
    /// DELETE is rejected.
    RefusesDeletes,
    /// Deleting several objects by one request is not implemented.
    DeletesSingly,
    /// A listing of folders is empty.
    HidesFolders,
    /// Lifecycle rules without Content-MD5 are rejected.
    WantsMd5,
    /// Lifecycle rules without one of the newer checksums are rejected.
    WantsChecksum,
    /// Unknown elements are dropped from lifecycle rules.
    DropsUnknownElements,
    /// A part of an upload is stored, and its request never answered.
    LeavesPartsUnanswered,
}

/// Generated recordings of ninety days, two objects each, not kept in memory.
#[derive(Clone, Copy)]
pub(crate) struct Many {
    pub recordings: u64,
    /// Start of the first call. Units: ms since 1970.
    pub first_ms: i64,
}

impl Many {
    /// The id of the nth recording, from 0, in order of time.
    pub(crate) fn id(self, n: u64) -> CallId {
        let step = 86_400_000 * 80 / self.recordings.max(1);
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&(self.first_ms + (n * step) as i64).to_be_bytes()[2..]);
        bytes[6] = 0x70;
        bytes[8..].copy_from_slice(&(n | 1 << 63).to_be_bytes());
        CallId::from_bytes(bytes)
    }

    /// A page of versions after a name, and the last name if there are more.
    fn page(self, after: Option<&str>) -> (String, Option<String>) {
        const PAGE: u64 = 1_000;
        let number = |name: &str| {
            let (id, _) = names::parse(name).unwrap();
            let n = u64::from_be_bytes(id.to_bytes()[8..].try_into().unwrap()) & !(1 << 63);
            2 * n + u64::from(name.contains(".opus"))
        };
        let first = after.map_or(0, |after| number(after) + 1);
        let end = (first + PAGE).min(2 * self.recordings);
        let name = |n: u64| {
            let id = self.id(n / 2);
            let kind = if n.is_multiple_of(2) { names::Kind::Manifest } else { names::Kind::Audio };
            names::name(id, id.admitted_at(), kind, true)
        };
        let items = (first..end).map(|n| entry("Version", &name(n), Some("null"), 1_000_000)).collect();
        (items, (end < 2 * self.recordings).then(|| name(end - 1)))
    }
}

/// Parts by number, each with its ETag.
pub(super) type Parts = BTreeMap<u32, (Bytes, String)>;

/// Contents and history of the store.
#[derive(Default)]
pub(crate) struct State {
    /// Result of a plain GET.
    pub objects: BTreeMap<String, Bytes>,
    /// Versions of each name, latest last; none for a delete marker. Empty without versioning.
    pub versions: BTreeMap<String, Vec<(String, Option<Bytes>)>>,
    pub versioned: bool,
    pub uploads: HashMap<String, (String, Parts)>,
    /// The lifecycle rules, and the headers sent with them.
    pub rules: Option<(String, String)>,
    /// Changes to the rules between two requests of a client.
    pub rules_change: Vec<String>,
    pub lies: HashSet<Lie>,
    /// Generated recordings, listed in addition.
    pub many: Option<Many>,
    /// Number of created objects.
    pub created: Vec<String>,
    /// Number of received parts.
    pub parts: usize,
    /// Number of requests.
    pub requests: usize,
    /// Paths of the requests, with their hosts.
    pub asked: Vec<String>,
    /// Whether create-only requests are honoured.
    pub overwrites: bool,
}

/// One request.
pub(crate) struct Asked<'a> {
    pub method: &'a Method,
    pub key: &'a str,
    pub query: &'a HashMap<String, String>,
    pub headers: &'a HeaderMap,
    pub body: Bytes,
}

impl State {
    fn lies(&self, lie: Lie) -> bool {
        self.lies.contains(&lie)
    }

    pub(crate) fn act(&mut self, asked: Asked<'_>) -> Response<Body> {
        let Asked { method, key, query, headers, body } = asked;
        let has = |name: &str| query.contains_key(name);
        let create = headers.contains_key("if-none-match");
        match *method {
            _ if has("lifecycle") => self.rules(method, headers, body),
            Method::GET if has("object-lock") => error(404, "ObjectLockConfigurationNotFoundError"),
            Method::GET if has("versioning") && self.lies(Lie::NoVersioning) => error(501, "NotImplemented"),
            Method::GET if has("versioning") => {
                let status = if self.versioned { "<Status>Enabled</Status>" } else { "" };
                xml(format!("<VersioningConfiguration>{status}</VersioningConfiguration>"))
            }
            Method::GET if has("uploads") => self.list_uploads(),
            Method::GET if has("versions") && self.lies(Lie::NoVersions) => error(501, "NotImplemented"),
            Method::GET if has("versions") => self.list_versions(query),
            Method::GET if has("list-type") => self.list(query),
            Method::GET if has("uploadId") => self.list_parts(&query["uploadId"]),
            Method::GET if self.lies(Lie::GetSeesNothing) => error(404, "NoSuchKey"),
            Method::HEAD if self.lies(Lie::HeadSeesNothing) => error(404, "NoSuchKey"),
            Method::GET | Method::HEAD => {
                let range = headers.get("range").and_then(|range| range.to_str().ok());
                self.read(key, query.get("versionId"), range)
            }
            Method::POST if has("delete") && self.lies(Lie::DeletesSingly) => error(501, "NotImplemented"),
            Method::POST if has("delete") && self.lies(Lie::RefusesDeletes) => error(403, "AccessDenied"),
            Method::POST if has("delete") => self.delete_many(&String::from_utf8_lossy(&body)),
            Method::PUT | Method::POST if self.lies(Lie::RefusesWrites) => error(403, "AccessDenied"),
            Method::POST if has("uploads") => {
                let id = format!("upload-{}", self.requests);
                self.uploads.insert(id.clone(), (key.to_owned(), Parts::new()));
                let ids = format!("<Bucket>bucket</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>");
                xml(format!("<InitiateMultipartUploadResult>{ids}</InitiateMultipartUploadResult>"))
            }
            Method::POST => self.complete(&query["uploadId"], &body),
            Method::PUT if has("partNumber") => {
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
                self.store(key, body);
                Response::builder().header("etag", "\"an object's\"").body(Body::empty()).unwrap()
            }
            Method::DELETE if self.lies(Lie::RefusesDeletes) => error(403, "AccessDenied"),
            Method::DELETE => self.delete(key, query),
            _ => error(405, "MethodNotAllowed"),
        }
    }

    /// Stores an object, as a new version if versioning is enabled.
    pub(crate) fn store(&mut self, key: &str, body: Bytes) {
        if self.versioned {
            let id = format!("v{}", self.requests);
            self.versions.entry(key.to_owned()).or_default().push((id, Some(body.clone())));
        }
        self.objects.insert(key.to_owned(), body);
        self.created.push(key.to_owned());
    }

    fn delete(&mut self, key: &str, query: &HashMap<String, String>) -> Response<Body> {
        let done = || Response::builder().status(204).body(Body::empty()).unwrap();
        if let Some(id) = query.get("uploadId") {
            if !self.lies(Lie::KeepsUploads) {
                self.uploads.remove(id);
            }
            return done();
        }
        if self.lies(Lie::KeepsObjects) {
            return done();
        }
        if !self.versioned {
            self.objects.remove(key);
            return done();
        }
        let versions = self.versions.entry(key.to_owned()).or_default();
        match query.get("versionId") {
            Some(id) => versions.retain(|(version, _)| version != id),
            None => versions.push((format!("m{}", self.requests), None)),
        }
        match versions.last() {
            Some((_, Some(object))) => drop(self.objects.insert(key.to_owned(), object.clone())),
            _ => drop(self.objects.remove(key)),
        }
        done()
    }

    /// Each key in the document, at most a thousand.
    fn delete_many(&mut self, document: &str) -> Response<Body> {
        let between = |text: &str, tag: &str| {
            let (_, rest) = text.split_once(&format!("<{tag}>"))?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        let named: Vec<_> = document.split("<Object>").skip(1).collect();
        if named.is_empty() || named.len() > 1_000 {
            return error(400, "MalformedXML");
        }
        for object in named {
            let version = between(object, "VersionId").map(|id| ("versionId".to_owned(), id));
            self.delete(&between(object, "Key").unwrap(), &version.into_iter().collect());
        }
        xml("<DeleteResult></DeleteResult>".into())
    }

    fn read(&self, key: &str, version: Option<&String>, range: Option<&str>) -> Response<Body> {
        let versions = self.versions.get(key).map(Vec::as_slice).unwrap_or_default();
        let named = match version {
            Some(id) => versions.iter().find(|(version, _)| version == id),
            None => versions.last(),
        };
        let tells = !self.lies(Lie::NamesNoVersions);
        let object = match (self.versioned, version, named) {
            (false, None, _) => self.objects.get(key),
            (false, Some(_), _) | (true, _, None) => None,
            (true, _, Some((id, None))) => {
                let mut gone = error(404, "NoSuchKey");
                if tells {
                    gone.headers_mut().insert("x-amz-delete-marker", "true".parse().unwrap());
                    gone.headers_mut().insert("x-amz-version-id", id.parse().unwrap());
                }
                return gone;
            }
            (true, _, Some((_, object))) => object.as_ref(),
        };
        let Some(object) = object else {
            return error(404, if version.is_some() { "NoSuchVersion" } else { "NoSuchKey" });
        };
        let mut answer = Response::builder()
            .header("etag", "\"an object's\"")
            .header("last-modified", "Tue, 24 Nov 2026 10:00:00 GMT");
        if let Some((id, _)) = named.filter(|_| self.versioned && tells) {
            answer = answer.header("x-amz-version-id", id);
        }
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

    fn list(&self, query: &HashMap<String, String>) -> Response<Body> {
        if query.contains_key("delimiter") {
            return self.folders(query.get("prefix").map(String::as_str).unwrap_or_default());
        }
        let items = self
            .objects
            .iter()
            .map(|(key, object)| (key.clone(), entry("Contents", key, None, object.len())));
        self.page(query, "ListBucketResult", items.collect())
    }

    /// Folders directly below a prefix.
    fn folders(&self, prefix: &str) -> Response<Body> {
        let below = self.objects.keys().filter_map(|key| key.strip_prefix(prefix)?.split_once('/'));
        let names: BTreeSet<&str> = below.map(|(folder, _)| folder).collect();
        let shown = names.into_iter().filter(|_| !self.lies(Lie::HidesFolders));
        let folders =
            shown.map(|name| format!("<CommonPrefixes><Prefix>{prefix}{name}/</Prefix></CommonPrefixes>"));
        let folders: String = folders.collect();
        xml(format!("<ListBucketResult><IsTruncated>false</IsTruncated>{folders}</ListBucketResult>"))
    }

    fn list_versions(&self, query: &HashMap<String, String>) -> Response<Body> {
        if let Some(many) =
            self.many.filter(|_| query.get("prefix").is_some_and(|prefix| prefix == names::PREFIX))
        {
            let (items, next) = many.page(query.get("key-marker").map(String::as_str));
            let more = match next {
                Some(next) => format!("<IsTruncated>true</IsTruncated><NextKeyMarker>{next}</NextKeyMarker>"),
                None => "<IsTruncated>false</IsTruncated>".to_owned(),
            };
            return xml(format!("<ListVersionsResult>{more}{items}</ListVersionsResult>"));
        }
        let mut items = Vec::new();
        if !self.versioned {
            items.extend(
                self.objects
                    .iter()
                    .map(|(key, object)| (key.clone(), entry("Version", key, Some("null"), object.len()))),
            );
        }
        for (key, versions) in &self.versions {
            items.extend(versions.iter().rev().map(|(id, object)| {
                let item = if object.is_some() { "Version" } else { "DeleteMarker" };
                (key.clone(), entry(item, key, Some(id), object.as_ref().map_or(0, Bytes::len)))
            }));
        }
        self.page(query, "ListVersionsResult", items)
    }

    /// Entries after a marker, up to a page; fewer if the store lies.
    fn page(
        &self,
        query: &HashMap<String, String>,
        root: &str,
        items: Vec<(String, String)>,
    ) -> Response<Body> {
        let prefix = query.get("prefix").map(String::as_str).unwrap_or_default();
        let after =
            ["key-marker", "start-after", "continuation-token"].iter().find_map(|name| query.get(*name));
        let after = after.map(String::as_str).unwrap_or_default();
        let mut items: Vec<_> = items
            .into_iter()
            .filter(|(key, _)| key.starts_with(prefix) && (after.is_empty() || key.as_str() > after))
            .collect();
        let mut more = "<IsTruncated>false</IsTruncated>".to_owned();
        for lie in &self.lies {
            match lie {
                Lie::ListsAtMost(most) => items.truncate(*most),
                Lie::BreaksOffAfter(most) if items.len() > *most => {
                    items.truncate(*most);
                    more = "<IsTruncated>true</IsTruncated>".to_owned();
                }
                _ => {}
            }
        }
        let items: String = items.into_iter().map(|(_, item)| item).collect();
        xml(format!("<{root}>{more}{items}</{root}>"))
    }

    fn list_uploads(&self) -> Response<Body> {
        let shown = self.uploads.iter().filter(|_| !self.lies(Lie::HidesUploads));
        let uploads = shown.map(|(id, (key, _))| {
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

    /// Parts must have their ETags, as a real store demands.
    fn complete(&mut self, upload: &str, named: &[u8]) -> Response<Body> {
        let Some((key, parts)) = self.uploads.get(upload) else { return error(404, "NoSuchUpload") };
        let named = String::from_utf8_lossy(named).replace("&quot;", "\"");
        if parts.values().any(|(_, etag)| !named.contains(etag.trim_matches('"'))) {
            return error(400, "InvalidPart");
        }
        let whole: Vec<u8> = parts.values().flat_map(|(part, _)| part.iter().copied()).collect();
        let key = key.clone();
        self.store(&key, whole.into());
        self.uploads.remove(upload);
        xml(format!(
            "<CompleteMultipartUploadResult><Key>{key}</Key><ETag>\"done-1\"</ETag></CompleteMultipartUploadResult>"
        ))
    }

    fn rules(&mut self, method: &Method, headers: &HeaderMap, body: Bytes) -> Response<Body> {
        const BESIDE: &str = "x-amz-transition-default-minimum-object-size";
        if *method == Method::GET {
            let now = self.rules.clone();
            if let Some(next) = self.rules_change.pop() {
                self.rules = Some((next, String::new()));
            }
            let Some((text, beside)) = now else { return error(404, "NoSuchLifecycleConfiguration") };
            return Response::builder().header(BESIDE, beside).body(text.into()).unwrap();
        }
        let md5 = headers.get("content-md5").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if self.lies(Lie::WantsMd5) && md5 != base64_md5(&body) {
            return error(400, "InvalidRequest");
        }
        if self.lies(Lie::WantsChecksum) && !headers.contains_key("x-amz-checksum-sha256") {
            return error(400, "MissingChecksum");
        }
        let mut text = String::from_utf8(body.to_vec()).unwrap();
        if self.lies(Lie::DropsUnknownElements) {
            text = text.replace("<ExpiredObjectAllVersions>true</ExpiredObjectAllVersions>", "");
        }
        let beside = headers.get(BESIDE).and_then(|value| value.to_str().ok()).unwrap_or("reset");
        self.rules = Some((text, beside.to_owned()));
        xml(String::new())
    }
}

fn base64_md5(body: &[u8]) -> String {
    use md5::{Digest, Md5};
    optag_core::base64::encode(&Md5::digest(body))
}

fn entry(item: &str, key: &str, version: Option<&str>, bytes: usize) -> String {
    let version = version.map_or(String::new(), |id| format!("<VersionId>{id}</VersionId>"));
    format!(
        "<{item}><Key>{key}</Key>{version}<Size>{bytes}</Size>\
         <LastModified>2026-11-24T10:00:00.000Z</LastModified></{item}>"
    )
}

pub(super) fn error(status: u16, code: &str) -> Response<Body> {
    let mut answer = xml(format!("<Error><Code>{code}</Code><Message>told to</Message></Error>"));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

fn xml(body: String) -> Response<Body> {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}");
    Response::builder().header("content-type", "application/xml").body(text.into()).unwrap()
}

/// ETag of a part: its MD5, in quotes.
fn etag(body: &[u8]) -> String {
    use md5::{Digest, Md5};
    let digits: String = Md5::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}
