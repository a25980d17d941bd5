//! Errors of the AWS SDK, in one line.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::store::error::{StoreError, in_short};
use optag_core::error_chain::causes;

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
