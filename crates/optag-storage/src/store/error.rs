//! Errors of a store, each in one line: the store's own code first, since that is what operators look up.

use object_store::Error;

use optag_core::error_chain::causes;

/// Maximum length of the text. Units: characters.
const MOST: usize = 600;

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Temporary: the store is unreachable, or reported an error that may pass.
    #[error("store error: {0}")]
    Transient(String),
    /// No such object.
    #[error("no such object")]
    Missing,
    /// Another object has this name.
    #[error("another object has this name")]
    Conflict,
    /// The object read back differs from the one written.
    #[error("object read back differs from the one written")]
    Mismatch,
    /// The content to be stored could not be produced.
    #[error("{0}")]
    Source(String),
    /// The store answered, but its answers do not prove that nothing is left.
    #[error("deletion not verified: {0}")]
    Unverified(String),
    /// Invalid settings, or an unsuitable store.
    #[error("unusable store: {0}")]
    Config(String),
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { .. } => StoreError::Missing,
            Error::AlreadyExists { .. } | Error::Precondition { .. } => StoreError::Conflict,
            other => StoreError::Transient(in_short(&causes(&other))),
        }
    }
}

/// The text with S3's code and message in place of the XML document.
///
/// Source: Amazon S3 API Reference, Error Responses.
pub(crate) fn in_short(text: &str) -> String {
    let text: String = text.chars().take(8 * MOST).collect();
    let said = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0.trim().to_owned())
    };
    let Some(code) = said("Code") else { return text.chars().take(MOST).collect() };
    let before = text.split('<').next().unwrap_or_default().trim_end_matches([' ', ':']);
    let region = said("Region").map_or(String::new(), |region| format!(" (the bucket is in {region})"));
    let line = format!("{code}: {}{region}; {before}", said("Message").unwrap_or_default());
    line.chars().take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_own_code_comes_first_and_its_document_is_left_out() {
        let text = "Error performing PUT http://s3/calls/a: Server returned non-2xx status code: 403 Forbidden: \
                    <?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>";
        let short = in_short(text);
        assert!(short.starts_with("AccessDenied: Access Denied.; Error performing PUT"), "{short}");
        assert!(!short.contains('<') && short.contains("403 Forbidden"), "{short}");
        assert_eq!(in_short("connection refused"), "connection refused");
    }
}
