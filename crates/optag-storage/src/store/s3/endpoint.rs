//! The address of a bucket, derived once from the settings for all clients. Settings that the clients would interpret
//! differently are rejected: objects written to one address would be searched, and certified as erased, at another.

use url::{Host, Url};

use crate::store::error::StoreError;
use crate::store::settings::S3Config;

/// Address of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// URL of the store, without the bucket and without a trailing slash.
    pub store: String,
    /// URL of the bucket, without a trailing slash; `/` and an object's name follow.
    pub bucket: String,
    /// Whether the bucket's name is in the path instead of the host name.
    pub path_style: bool,
}

impl Place {
    /// Derives the address.
    ///
    /// Errors: the settings contradict each other, or the clients would interpret them differently.
    pub fn new(config: &S3Config) -> Result<Self, StoreError> {
        let wrong = |key: &str, why: &str| Err(StoreError::Config(format!("store.{key}: {why}")));
        let (bucket, path_style) = (config.bucket.as_str(), config.path_style);
        if !is_label(&config.region) {
            return wrong("region", "only letters, digits and `-` are allowed");
        }
        if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return wrong("bucket", "only letters, digits, `-`, `.` and `_` are allowed");
        }
        if bucket.ends_with("--x-s3") {
            return wrong(
                "bucket",
                "directory buckets are not supported (no versions, lifecycle rules or ordered listings); use a general-purpose bucket",
            );
        }
        let url = match config.endpoint.as_deref() {
            Some(text) => text,
            None => &aws(&config.region),
        };
        let Ok(url) = Url::parse(url) else { return wrong("endpoint", "invalid URL") };
        let plain = url.path().bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b));
        let parts = !url.username().is_empty() || url.password().is_some();
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return wrong("endpoint", "must be https://host, optionally with a port and a path");
        }
        if parts || url.query().is_some() || url.fragment().is_some() || !plain {
            return wrong(
                "endpoint",
                "only host, port and a plain path are allowed: no user, query or escapes",
            );
        }
        if url.scheme() == "http" && !config.allow_http {
            return wrong("endpoint", "https:// is required unless store.allow_http = true");
        }
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let path = url.path().trim_end_matches('/');
        if path.contains("//") {
            return wrong("endpoint", "the path has an empty segment");
        }
        let store = format!("{}://{authority}{path}", url.scheme());
        if path_style {
            return Ok(Self { bucket: format!("{store}/{bucket}"), store, path_style });
        }
        if !matches!(url.host(), Some(Host::Domain(_))) {
            return wrong("path_style", "an IP address has no subdomains; set path_style = true");
        }
        if bucket.len() < 3 || !is_label(bucket) || bucket.bytes().any(|b| b.is_ascii_uppercase()) {
            return wrong("path_style", "the bucket's name is not a valid host name; set path_style = true");
        }
        if authority.starts_with(&format!("{bucket}.")) {
            return wrong("endpoint", "omit the bucket's name, it is prepended");
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
            ("https://calls.s3.example", "calls", false, "omit the bucket's name"),
            ("https://user:word@s3.example", "calls", true, "no user"),
            ("https://s3.example/?x=1", "calls", true, "no user, query"),
            ("https://s3.example/a%20b", "calls", true, "escapes"),
            ("https://s3.example//a", "calls", true, "empty segment"),
            ("s3.example:9000", "calls", true, "https://host"),
            ("s3.example", "calls", true, "invalid URL"),
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
