//! The recorder as the provider's relying party: what it is configured with, and what its parts share. Not here: what it does
//! with that (`flow`, `id_token`, `people`, `logout`).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use openidconnect::core::{CoreClient, CoreClientAuthMethod};
use openidconnect::{
    AuthType, ClientId, ClientSecret, EndpointMaybeSet, EndpointNotSet, EndpointSet, RedirectUrl,
};

use super::known::{Away, Known, Metadata};
use super::settings::{CALLBACK, ProviderSettings};
use crate::auth::sealing::SealKey;
use crate::auth::settings::SignInSettings;
use crate::auth::token::hash;
use crate::index::Index;
use optag_core::clock::Clock;

/// Names the derived key.
pub const LABEL: &str = "sign-in by a provider";
/// What a sealed ID token belongs to.
pub(super) const ID_TOKEN: &str = "id token";

/// The library's client, with the addresses of a provider.
pub(super) type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Sign-ins by the provider.
pub struct ProviderSignIns {
    pub(super) known: Known,
    pub(super) settings: ProviderSettings,
    /// Where people reach the pages.
    pub(super) url: String,
    pub(super) four_eyes: bool,
    pub(super) index: Index,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) key: SealKey,
}

impl ProviderSignIns {
    /// Those by the configured provider; `key` seals what browsers keep. `None`: there is none.
    ///
    /// Errors: a file that the configuration names cannot be used.
    pub fn new(
        index: Index,
        clock: Arc<dyn Clock>,
        key: SealKey,
        settings: &SignInSettings,
    ) -> Result<Option<Self>, Away> {
        let Some(provider) = settings.provider.clone() else { return Ok(None) };
        let (url, four_eyes) = (settings.url.clone(), settings.four_eyes);
        let known = Known::new(&provider)?;
        Ok(Some(Self { known, settings: provider, url, four_eyes, index, clock, key }))
    }

    /// The provider's name, for people.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether the provider answered when it was asked last.
    pub fn is_up(&self) -> bool {
        self.known.is_up()
    }

    /// Whether people reach the pages over TLS, so that cookies are sent over it alone.
    pub fn is_secure(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// Looks for the provider for ever.
    pub async fn watch(&self) {
        self.known.watch().await;
    }

    /// The library's client.
    ///
    /// Errors: the secret cannot be read.
    pub(super) fn client(&self, metadata: &Metadata) -> Result<Client, Away> {
        let secret = self.settings.client_secret();
        let secret = secret.map_err(|error| Away(format!("sign_in.oidc.client_secret_file: {error}")))?;
        // Source: OpenID Connect Discovery 1.0 §3: where nothing is said, it is client_secret_basic.
        let methods = metadata.token_endpoint_auth_methods_supported();
        let basic = methods.is_none_or(|all| all.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let redirect = RedirectUrl::new(format!("{}{CALLBACK}", self.url));
        let client = CoreClient::from_provider_metadata(
            metadata.clone(),
            ClientId::new(self.settings.client_id.clone()),
            secret.map(|secret| ClientSecret::new(secret.to_string())),
        );
        let client = client.set_auth_type(if basic { AuthType::BasicAuth } else { AuthType::RequestBody });
        Ok(client.set_redirect_uri(redirect.map_err(|error| Away(error.to_string()))?))
    }

    /// By which a subject of this issuer is known.
    pub(super) fn subject(&self, subject: &str) -> String {
        hash(format!("{} {subject}", self.settings.issuer))
    }

    /// By which a session of the provider is known.
    pub(super) fn session(&self, sid: &str) -> String {
        hash(format!("session {} {sid}", self.settings.issuer))
    }

    /// Now.
    pub(super) fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.clock.wall().as_unix_micros()).unwrap_or_default()
    }

    /// By how much clocks may differ.
    pub(super) fn leeway(&self) -> Duration {
        self.settings.leeway
    }
}
