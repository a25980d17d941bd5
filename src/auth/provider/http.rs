//! Requests to the provider. In: a request. Out: its answer, with a limit of size and time. No redirect is followed.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Proxy};
use url::Url;

use super::settings::ProviderSettings;
use crate::pem;
use optag_core::error_chain::causes;

/// Largest answer that is read. Units: bytes.
const ANSWER_BYTES: usize = 512 << 10;
/// How long the provider may take until it has answered.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(4);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// A part of the provider must not be asked.
    #[error("{0}: the provider's addresses must be https, at the issuer's port or 443")]
    Forbidden(String),
    /// It cannot be reached, or is not who it must be.
    #[error("{0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("no answer within {} s", ANSWER.as_secs())]
    TimedOut,
    /// The answer is too large.
    #[error("the answer is larger than {} KiB", ANSWER_BYTES >> 10)]
    TooLarge,
}

/// Asks the provider.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client,
    allow_http: bool,
    /// Ports that may be asked; empty: whatever the proxy takes.
    ports: Vec<u16>,
}

impl Http {
    /// As configured.
    ///
    /// Errors: a file with certificates cannot be used, or the proxy is none.
    pub(super) fn new(settings: &ProviderSettings) -> Result<Self, HttpError> {
        let wrong = |error: &dyn std::fmt::Display| HttpError::Unreachable(error.to_string());
        let mut client = Client::builder()
            .redirect(Policy::none())
            .timeout(ANSWER)
            .connect_timeout(CONNECT)
            .user_agent(concat!("optag/", env!("CARGO_PKG_VERSION")))
            .https_only(!settings.allow_http)
            .no_proxy();
        if let Some(path) = &settings.ca_file {
            let all = pem::certificates(path).map_err(|error| wrong(&error))?;
            let all: Result<Vec<_>, _> = all.iter().map(|one| Certificate::from_der(one)).collect();
            client = client.tls_certs_only(all.map_err(|error| wrong(&error))?);
        }
        if let Some(proxy) = &settings.proxy {
            // The text of the error may have its password.
            let proxy =
                Proxy::all(proxy.reveal()).map_err(|_| wrong(&"sign_in.oidc.proxy cannot be used"))?;
            client = client.proxy(proxy);
        }
        let ports = if settings.proxy.is_some() { Vec::new() } else { settings.ports() };
        let client = client.build().map_err(|error| wrong(&causes(&error)))?;
        Ok(Self { client, allow_http: settings.allow_http, ports })
    }

    /// Whether an address that the provider gives may be asked. The process may connect to no others.
    pub(super) fn may_ask(&self, address: &str) -> bool {
        Url::parse(address).is_ok_and(|url| {
            let scheme = url.scheme() == "https" || url.scheme() == "http" && self.allow_http;
            let port = url.port_or_known_default().unwrap_or_default();
            scheme && (self.ports.is_empty() || self.ports.contains(&port))
        })
    }

    /// Sends a request.
    ///
    /// Errors: see [`HttpError`].
    pub(super) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let address = request.uri().to_string();
        if !self.may_ask(&address) {
            return Err(HttpError::Forbidden(address));
        }
        let request = request.try_into().map_err(failed)?;
        let mut answer = self.client.execute(request).await.map_err(failed)?;
        if answer.status().is_server_error() {
            return Err(HttpError::Unreachable(format!("answered {}", answer.status())));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if body.len() + part.len() > ANSWER_BYTES {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&part);
        }
        let mut whole = axum::http::Response::new(body);
        *whole.status_mut() = answer.status();
        *whole.headers_mut() = answer.headers().clone();
        Ok(whole)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

fn failed(error: reqwest::Error) -> HttpError {
    // An address may have secrets of a request in its query.
    let error = error.without_url();
    if error.is_timeout() { HttpError::TimedOut } else { HttpError::Unreachable(causes(&error)) }
}
