//! A store's error in one line: its own code first, since that is what operators look up.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::store::StoreError;
use optag_core::error_chain::causes;

/// Maximum length of the text. Units: characters.
const MOST: usize = 600;

/// An error of the AWS SDK.
pub(crate) fn transient<E>(error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let text = match &error {
        SdkError::ServiceError(refusal) => {
            let status = refusal.raw().status().as_u16();
            let region = refusal.raw().headers().get("x-amz-bucket-region");
            let region = region.map_or(String::new(), |region| format!(", the bucket is in {region}"));
            match (refusal.err().code(), refusal.err().message()) {
                (Some(code), Some(said)) => format!("{code}: {said} (HTTP {status}{region})"),
                (Some(code), None) => format!("{code} (HTTP {status}{region})"),
                (None, _) => format!("HTTP {status} without a reason{region}"),
            }
        }
        _ => causes(&error),
    };
    StoreError::Transient(in_short(&text))
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
