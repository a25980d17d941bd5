//! What is known of the provider: its addresses and its keys, read from it and kept for a while. Out: as fresh as whoever
//! asks needs it, or that the provider is away.

use std::sync::Mutex as Lock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalProviderMetadata, IssuerUrl, JsonWebKey, JsonWebKeyUse, JwsSigningAlgorithm, ProviderMetadata,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::http::Http;
use super::settings::ProviderSettings;
use crate::metrics;
use optag_core::error_chain::causes;
use optag_core::throttle::Throttle;

/// Signatures that are taken: with a key of the provider alone. Never `none`, never with the client's secret.
pub(super) const SIGNATURES: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];
/// How old knowledge may be that a token is checked with: so long does a key count that the provider has withdrawn.
pub(super) const FOR_TOKENS: Duration = Duration::from_secs(300);
/// How old it may be when somebody is sent there.
pub(super) const FOR_BEGINNING: Duration = Duration::from_secs(15);
/// How old it may be for signing out, which an absent provider must not prevent.
pub(super) const FOR_ENDING: Duration = Duration::from_secs(86_400);
/// Time after a failure in which the provider is not asked again.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How often the provider is looked for, while it is there and while it is not.
const LOOK: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(5)];
/// Readings because of unknown keys at once, and then per second: whoever makes keys up makes no load.
const UNKNOWN_KEYS: (f64, f64) = (4.0, 0.1);

/// What the provider says beside what the library knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beside {
    /// Where people sign out. Source: OpenID Connect RP-Initiated Logout 1.0 §2.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_session_endpoint: Option<String>,
    /// Whether it always names itself when it sends somebody back. Source: RFC 9207 §3.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether it tells who signed out. Source: OpenID Connect Back-Channel Logout 1.0 §2.1.
    #[serde(default)]
    pub backchannel_logout_supported: bool,
}

impl AdditionalProviderMetadata for Beside {}

/// The provider's own description, with its keys.
pub(super) type Metadata = ProviderMetadata<
    Beside,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// The provider does not answer as it must.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the provider is away: {0}")]
pub struct Away(pub String);

#[derive(Default)]
struct Read {
    metadata: Option<(Arc<Metadata>, Instant)>,
    failed: Option<(Away, Instant)>,
}

/// What names a key that is not known. Anybody can send a notice, and must not keep people from signing in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Naming {
    /// An ID token, which the provider itself gave.
    IdToken,
    /// A notice that somebody signed out.
    Notice,
}

/// A provider and what is known of it.
pub(super) struct Known {
    issuer: IssuerUrl,
    pub(super) http: Http,
    read: Mutex<Read>,
    unknown_keys: Throttle<Naming>,
    is_up: AtomicBool,
    told: Lock<Option<bool>>,
}

impl Known {
    /// Nothing is known yet.
    ///
    /// Errors: a file of the configuration cannot be used.
    pub(super) fn new(settings: &ProviderSettings) -> Result<Self, Away> {
        let issuer = IssuerUrl::new(settings.issuer.clone()).map_err(|error| Away(error.to_string()))?;
        let http = Http::new(settings).map_err(|error| Away(error.to_string()))?;
        Ok(Self {
            issuer,
            http,
            read: Mutex::default(),
            unknown_keys: Throttle::new(UNKNOWN_KEYS.0, UNKNOWN_KEYS.1),
            is_up: AtomicBool::new(true),
            told: Lock::new(None),
        })
    }

    /// The issuer.
    pub(super) fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// Whether the provider answered when it was asked last.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// What is known, no older than this.
    ///
    /// Errors: it is older, and the provider does not answer.
    pub(super) async fn no_older_than(&self, oldest: Duration) -> Result<Arc<Metadata>, Away> {
        let mut read = self.read.lock().await;
        if let Some((metadata, at)) = &read.metadata
            && at.elapsed() < oldest
        {
            return Ok(Arc::clone(metadata));
        }
        if let Some((away, at)) = &read.failed
            && at.elapsed() < AFTER_FAILURE
        {
            return Err(away.clone());
        }
        self.read_anew(&mut read).await
    }

    /// The same read anew, because a token names a key that is not known. `None`: it was read anew too often.
    pub(super) async fn with_newer_keys(&self, naming: Naming) -> Option<Arc<Metadata>> {
        if !self.unknown_keys.allows(naming, Instant::now()) {
            return None;
        }
        self.read_anew(&mut *self.read.lock().await).await.ok()
    }

    async fn read_anew(&self, read: &mut Read) -> Result<Arc<Metadata>, Away> {
        let found = self.discover().await;
        self.tell(found.as_ref().err());
        match found {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *read = Read { metadata: Some((Arc::clone(&metadata), Instant::now())), failed: None };
                Ok(metadata)
            }
            Err(away) => {
                read.failed = Some((away.clone(), Instant::now()));
                Err(away)
            }
        }
    }

    /// Reads the provider's description and keys. Source: OpenID Connect Discovery 1.0 §4.
    async fn discover(&self) -> Result<Metadata, Away> {
        let found = Metadata::discover_async(self.issuer.clone(), &self.http).await;
        let found = found.map_err(|error| Away(causes(&error)))?;
        let beside = found.additional_metadata();
        let asked = [
            found.token_endpoint().map(|url| url.as_str()),
            found.userinfo_endpoint().map(|url| url.as_str()),
            Some(found.jwks_uri().as_str()),
        ];
        if let Some(address) = asked.into_iter().flatten().find(|address| !self.http.may_ask(address)) {
            return Err(Away(format!("{address} must be https, at the issuer's port or 443")));
        }
        let shown = [Some(found.authorization_endpoint().as_str()), beside.end_session_endpoint.as_deref()];
        if let Some(address) = shown.into_iter().flatten().find(|address| !self.may_show(address)) {
            return Err(Away(format!("{address} must be https")));
        }
        if found.token_endpoint().is_none() {
            return Err(Away("it names no token_endpoint".into()));
        }
        Ok(found)
    }

    /// Whether a browser may be sent to an address.
    fn may_show(&self, address: &str) -> bool {
        let plain = self.issuer.url().scheme() == "http" && address.starts_with("http://");
        url::Url::parse(address).is_ok() && (plain || address.starts_with("https://"))
    }

    fn tell(&self, away: Option<&Away>) {
        let up = away.is_none();
        self.is_up.store(up, Ordering::Relaxed);
        metrics::sign_in_provider_away(!up);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == Some(up) {
            return;
        }
        match away {
            None => tracing::info!(issuer = self.issuer.as_str(), "sign-in provider answers"),
            Some(away) => tracing::warn!(
                issuer = self.issuer.as_str(),
                error = away.0,
                "sign-in provider away: who is signed in stays signed in, nobody signs in by it"
            ),
        }
        *told = Some(up);
    }

    /// Looks for the provider for ever, so that the sign-in page says when it is away.
    pub(super) async fn watch(&self) {
        loop {
            let up = self.no_older_than(LOOK[0]).await.is_ok();
            tokio::time::sleep(if up { LOOK[0] } else { LOOK[1] }).await;
        }
    }
}

/// What a look at the provider has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Number of keys that signatures can be checked with.
    pub keys: usize,
    /// What its clock says, to within a second.
    pub date: Option<jiff::Timestamp>,
    /// Whether it tells who signed out.
    pub tells_sign_outs: bool,
    /// Whether people can sign out there.
    pub has_sign_out: bool,
}

/// Looks at a provider once, as whoever checks an installation does.
///
/// Errors: it does not answer as it must.
pub async fn look_at(settings: &ProviderSettings) -> Result<Seen, Away> {
    let known = Known::new(settings)?;
    let metadata = known.discover().await?;
    let beside = metadata.additional_metadata();
    let request = openidconnect::http::Request::get(metadata.jwks_uri().as_str()).body(Vec::new());
    let request = request.map_err(|error| Away(error.to_string()))?;
    let answer = known.http.send(request).await.map_err(|error| Away(causes(&error)))?;
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    let usable = |key: &&CoreJsonWebKey| {
        SIGNATURES.iter().any(|one| one.key_type().as_ref() == Some(key.key_type()))
            && key.key_use().is_none_or(JsonWebKeyUse::allows_signature)
    };
    Ok(Seen {
        keys: metadata.jwks().keys().iter().filter(usable).count(),
        date: date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp()),
        tells_sign_outs: beside.backchannel_logout_supported,
        has_sign_out: beside.end_session_endpoint.is_some(),
    })
}
