//! Where a bucket is, worked out once from the settings for every client of it. What the clients
//! would understand differently is refused: two readings of one setting are two stores, and what
//! is written to one is then looked for, and certified as erased, in the other.

use url::{Host, Url};

use crate::store::StoreError;
use crate::store::settings::S3Config;

/// Where a bucket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The store's URL, without the bucket and without a slash at its end.
    pub store: String,
    /// The bucket's URL, without a slash at its end; an object's name follows after one.
    pub bucket: String,
    /// Whether the bucket's name is in the path rather than in the host's name.
    pub path_style: bool,
}

impl Place {
    /// Works it out.
    ///
    /// Errors: the settings contradict each other, or the clients would not agree on them.
    pub fn new(config: &S3Config) -> Result<Self, StoreError> {
        let wrong = |key: &str, why: &str| Err(StoreError::Config(format!("store.{key}: {why}")));
        let (bucket, path_style) = (config.bucket.as_str(), config.path_style);
        if !is_label(&config.region) {
            return wrong("region", "letters, digits and `-` alone");
        }
        if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return wrong("bucket", "letters, digits, `-`, `.` and `_` alone");
        }
        if bucket.ends_with("--x-s3") {
            return wrong(
                "bucket",
                "a directory bucket keeps no versions, rules or order; use a general one",
            );
        }
        let url = match config.endpoint.as_deref() {
            Some(text) => text,
            None => &aws(&config.region),
        };
        let Ok(url) = Url::parse(url) else { return wrong("endpoint", "it is no URL") };
        let plain = url.path().bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b));
        let parts = !url.username().is_empty() || url.password().is_some();
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return wrong("endpoint", "it must be https://host, perhaps with a port and a path");
        }
        if parts || url.query().is_some() || url.fragment().is_some() || !plain {
            return wrong("endpoint", "host, port and a plain path alone: no user, query or escapes");
        }
        if url.scheme() == "http" && !config.allow_http {
            return wrong("endpoint", "https:// is required unless store.allow_http = true");
        }
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let path = url.path().trim_end_matches('/');
        if path.contains("//") {
            return wrong("endpoint", "its path has an empty part");
        }
        let store = format!("{}://{authority}{path}", url.scheme());
        if path_style {
            return Ok(Self { bucket: format!("{store}/{bucket}"), store, path_style });
        }
        if !matches!(url.host(), Some(Host::Domain(_))) {
            return wrong("path_style", "an address has no host names below it; set path_style = true");
        }
        if bucket.len() < 3 || !is_label(bucket) || bucket.bytes().any(|b| b.is_ascii_uppercase()) {
            return wrong("path_style", "this bucket's name can be no host name; set path_style = true");
        }
        if authority.starts_with(&format!("{bucket}.")) {
            return wrong("endpoint", "write it without the bucket's name, which is put before it");
        }
        let url = format!("{}://{bucket}.{authority}{path}", url.scheme());
        Ok(Self { bucket: url, store, path_style })
    }
}

/// Source: AWS General Reference, Amazon S3 endpoints.
fn aws(region: &str) -> String {
    let end = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://s3.{region}.amazonaws.com{end}")
}

/// Source: RFC 1123 §2.1.
fn is_label(text: &str) -> bool {
    let inner = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (1..=63).contains(&text.len()) && inner && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoint: &str, bucket: &str, path_style: bool) -> S3Config {
        S3Config {
            bucket: bucket.into(),
            endpoint: Some(endpoint.to_owned()).filter(|url| !url.is_empty()),
            region: "eu-north-1".into(),
            credentials: None,
            credentials_file: None,
            proxy: None,
            path_style,
            allow_http: true,
            ca_file: None,
            manage_lifecycle: false,
        }
    }

    #[test]
    fn a_bucket_has_one_place_however_its_endpoint_is_written() {
        for (endpoint, path_style, wanted) in [
            ("http://10.0.0.7:9000", true, "http://10.0.0.7:9000/calls"),
            ("http://10.0.0.7:9000/", true, "http://10.0.0.7:9000/calls"),
            ("https://gw.example/s3/", true, "https://gw.example/s3/calls"),
            ("https://s3.example:443", true, "https://s3.example/calls"),
            ("https://S3.Example", false, "https://calls.s3.example"),
            ("https://gw.example:8443/s3/", false, "https://calls.gw.example:8443/s3"),
            ("https://[::1]:9000", true, "https://[::1]:9000/calls"),
            ("", true, "https://s3.eu-north-1.amazonaws.com/calls"),
            ("", false, "https://calls.s3.eu-north-1.amazonaws.com"),
        ] {
            let place = Place::new(&config(endpoint, "calls", path_style)).unwrap();
            assert_eq!(place.bucket, wanted, "{endpoint}");
        }
        let dotted = Place::new(&config("http://s3.example", "calls.example.dk", true)).unwrap();
        assert_eq!(dotted.bucket, "http://s3.example/calls.example.dk");
    }

    #[test]
    fn what_two_clients_would_read_differently_is_refused_and_says_why() {
        for (endpoint, bucket, path_style, why) in [
            ("http://10.0.0.7", "calls", false, "path_style = true"),
            ("http://[::1]", "calls", false, "path_style = true"),
            ("https://s3.example", "calls.example.dk", false, "path_style = true"),
            ("https://s3.example", "Calls", false, "path_style = true"),
            ("https://calls.s3.example", "calls", false, "without the bucket's name"),
            ("https://user:word@s3.example", "calls", true, "no user"),
            ("https://s3.example/?x=1", "calls", true, "no user, query"),
            ("https://s3.example/a%20b", "calls", true, "escapes"),
            ("https://s3.example//a", "calls", true, "empty part"),
            ("s3.example:9000", "calls", true, "https://host"),
            ("s3.example", "calls", true, "no URL"),
            ("https://s3.example", "calls/deep", true, "store.bucket"),
            ("https://s3.example", "calls--x--x-s3", true, "directory bucket"),
        ] {
            let error = Place::new(&config(endpoint, bucket, path_style)).unwrap_err().to_string();
            assert!(error.contains(why), "{endpoint} {bucket}: {error}");
        }
        let plain = S3Config { allow_http: false, ..config("http://s3.example", "calls", true) };
        assert!(Place::new(&plain).unwrap_err().to_string().contains("allow_http"));
        let region = S3Config { region: "eu north".into(), ..config("", "calls", true) };
        assert!(Place::new(&region).unwrap_err().to_string().contains("store.region"));
    }
}
