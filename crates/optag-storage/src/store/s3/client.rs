//! The HTTP client of a bucket: one certificate store, one proxy and one time limit for objects, for the AWS SDK and
//! for requests that neither supports.

use std::time::Duration;

use aws_sdk_s3::config::http::{HttpRequest as SdkRequest, HttpResponse as SdkResponse};
use aws_sdk_s3::config::{HttpClient as SdkHttpClient, RuntimeComponents};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpConnector as SdkConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;
use http::{Request, Response};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequestBody, ReqwestConnector,
};
use object_store::{Certificate, ClientOptions};

use crate::store::error::StoreError;
use crate::store::settings::S3Config;
use optag_core::error_chain::causes;

/// Time limit of one request.
pub(crate) const REQUEST: Duration = Duration::from_secs(30);

/// Options of the HTTP client.
///
/// Errors: the certificate file cannot be read, or contains no certificate.
pub(crate) fn options(config: &S3Config) -> Result<ClientOptions, StoreError> {
    let mut client = ClientOptions::new().with_timeout(REQUEST).with_allow_http(config.allow_http);
    if let Some(file) = &config.ca_file {
        let wrong = |why: &dyn std::fmt::Display| {
            StoreError::Config(format!("store.ca_file: {}: {why}", file.display()))
        };
        let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
        let bundle = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&causes(&error)))?;
        if bundle.is_empty() {
            return Err(wrong(&"contains no certificate"));
        }
        client = bundle.into_iter().fold(client, ClientOptions::with_root_certificate);
    }
    if let Some(proxy) = &config.proxy {
        client = client.with_proxy_url(proxy.reveal());
    }
    Ok(client)
}

/// Creates the client. Does not contact the store.
///
/// Errors: invalid proxy URL, or unreadable certificate.
pub(crate) fn client(options: &ClientOptions) -> Result<HttpClient, StoreError> {
    // Settings may contain the proxy's password, and so may the error text.
    ReqwestConnector::default().connect(options).map_err(|error| {
        let why = causes(&error);
        let why = if why.contains('@') { "store.proxy or store.ca_file cannot be used".into() } else { why };
        StoreError::Config(format!("cannot create the HTTP client: {why}"))
    })
}

/// The client, adapted to the AWS SDK.
#[derive(Clone, Debug)]
pub(crate) struct ForSdk(pub HttpClient);

impl SdkHttpClient for ForSdk {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl SdkConnector for ForSdk {
    fn call(&self, request: SdkRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let (head, body) = request.into_parts();
            let bytes = body.bytes().map(Bytes::copy_from_slice);
            let bytes = bytes.ok_or_else(|| ConnectorError::user("streamed request body".into()))?;
            let request = Request::from_parts(head, HttpRequestBody::from(bytes));
            let (head, body) = client.execute(request).await.map_err(connector_error)?.into_parts();
            let body = body.bytes().await.map_err(connector_error)?;
            SdkResponse::try_from(Response::from_parts(head, SdkBody::from(body)))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

fn connector_error(error: HttpError) -> ConnectorError {
    match error.kind() {
        HttpErrorKind::Timeout => ConnectorError::timeout(error.into()),
        _ => ConnectorError::io(error.into()),
    }
}
