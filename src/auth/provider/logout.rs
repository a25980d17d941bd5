//! Signing out, at the provider and by it. In: somebody who signs out here; or the provider's notice that somebody signed out
//! there. Out: where the browser goes on to; or the users whose sign-ins have ended, on every node.
//! Source: OpenID Connect RP-Initiated Logout 1.0; OpenID Connect Back-Channel Logout 1.0.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyUse, JwsSigningAlgorithm};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::known::{Away, FOR_ENDING, FOR_TOKENS, Metadata, Naming, SIGNATURES};
use super::relying_party::{ID_TOKEN, ProviderSignIns};
use crate::auth::sign_ins::SignedIn;
use crate::auth::token::hash;
use crate::index::{IndexError, ProviderLogout};
use optag_core::clock::WallTime;

/// Longest notice. Units: bytes.
const NOTICE_BYTES: usize = 16 << 10;
/// The event that a notice tells. Source: Back-Channel Logout 1.0 §2.4.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long ago a notice may have been made.
const NOTICE_AGE: Duration = Duration::from_secs(600);
/// How long a notice is remembered: longer than a sign-in can be under way, and than a notice can be repeated. Units: µs.
const REMEMBERED_US: i64 = 2 * 3_600 * 1_000_000;

/// Why a notice ends nothing.
#[derive(Debug, thiserror::Error)]
pub enum NoLogout {
    /// It is not what it must be.
    #[error("{0}")]
    Invalid(String),
    /// It was used before.
    #[error("the logout token was used before")]
    Replayed,
    /// The provider's keys cannot be read.
    #[error(transparent)]
    Away(#[from] Away),
    /// The index does not answer.
    #[error(transparent)]
    Index(#[from] IndexError),
}

#[derive(Deserialize)]
struct Header {
    alg: CoreJwsSigningAlgorithm,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// A notice whose signature is good.
struct Notice {
    jti: String,
    sub: Option<String>,
    sid: Option<String>,
    at: WallTime,
}

impl ProviderSignIns {
    /// Where the browser of somebody who has signed out here goes on to, so that they are signed out there too. `None`: they
    /// did not come from the provider, or it has no such place.
    pub async fn logout_address(&self, who: &SignedIn) -> Option<String> {
        let sealed = who.id_token.as_deref()?;
        let metadata = self.known.no_older_than(FOR_ENDING).await.ok()?;
        let mut address = Url::parse(metadata.additional_metadata().end_session_endpoint.as_deref()?).ok()?;
        let back = format!("{}/sign-in", self.url);
        let mut query = address.query_pairs_mut();
        if let Some(hint) = self.key.open(ID_TOKEN, sealed).ok().and_then(|hint| String::from_utf8(hint).ok())
        {
            query.append_pair("id_token_hint", &hint);
        }
        query.append_pair("client_id", &self.settings.client_id);
        query.append_pair("post_logout_redirect_uri", &back);
        drop(query);
        Some(address.into())
    }

    /// Ends the sign-ins that a notice names. Returns their users' names.
    ///
    /// Errors: see [`NoLogout`].
    pub async fn logout(&self, token: &str) -> Result<Vec<String>, NoLogout> {
        let notice = self.notice(token).await?;
        let now = self.clock.wall();
        let expires_at = now.plus_micros(REMEMBERED_US);
        let jti = hash(format!("notice {} {}", self.settings.issuer, notice.jti));
        let logout = ProviderLogout {
            id: jti,
            sid: notice.sid.as_deref().map(|sid| self.session(sid)),
            subject: notice.sub.as_deref().map(|sub| self.subject(sub)),
            at: notice.at,
            expires_at,
        };
        self.index.provider_logout(&logout, now).await?.ok_or(NoLogout::Replayed)
    }

    /// Checks a notice. Source: Back-Channel Logout 1.0 §2.6.
    async fn notice(&self, token: &str) -> Result<Notice, NoLogout> {
        if token.len() > NOTICE_BYTES {
            return Err(invalid("the logout token is too long"));
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(invalid("the logout token is no JWS"));
        };
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| invalid("it is not base64url"));
        let parsed: Header = serde_json::from_slice(&decoded(header)?)
            .map_err(|_| invalid("its header cannot be read, or its algorithm is none that is taken"))?;
        if !SIGNATURES.contains(&parsed.alg) {
            return Err(invalid("it must be signed with a key of the provider"));
        }
        // So that no other token of the provider passes for one.
        let typ = parsed.typ.as_deref().map(|typ| typ.to_ascii_lowercase());
        let typ = typ.as_deref().map(|typ| typ.trim_start_matches("application/"));
        if parsed.crit.is_some() || !matches!(typ, None | Some("logout+jwt" | "jwt")) {
            return Err(invalid("its header is none of a logout token"));
        }
        let (signed, signature) = (&token[..header.len() + 1 + claims.len()], decoded(signature)?);
        let claims: Value =
            serde_json::from_slice(&decoded(claims)?).map_err(|_| invalid("it has no claims"))?;
        // Before anything is asked of the provider: others' tokens make no load.
        let checked = self.check_notice(&claims)?;
        let metadata = match self.known.no_older_than(FOR_TOKENS).await {
            Ok(metadata) => metadata,
            Err(_) => self.known.no_older_than(FOR_ENDING).await?,
        };
        let signed = match is_signed(&metadata, &parsed, signed, &signature) {
            None => {
                let newer = self.known.with_newer_keys(Naming::Notice).await;
                newer.and_then(|newer| is_signed(&newer, &parsed, signed, &signature))
            }
            known => known,
        };
        if signed == Some(true) { Ok(checked) } else { Err(invalid("its signature is not the provider's")) }
    }

    fn check_notice(&self, claims: &Value) -> Result<Notice, NoLogout> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let time = |name: &str| claims.get(name).and_then(Value::as_f64);
        if text("iss") != Some(&self.settings.issuer) {
            return Err(invalid("it is of another issuer"));
        }
        let ours = |value: &Value| value.as_str() == Some(&self.settings.client_id);
        let audience = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        };
        if !audience {
            return Err(invalid("it is for another client"));
        }
        let (now, leeway) = (self.now().timestamp() as f64, self.leeway().as_secs_f64());
        let issued = time("iat").ok_or_else(|| invalid("it does not say when it was issued"))?;
        if issued > now + leeway || issued < now - leeway - NOTICE_AGE.as_secs_f64() {
            return Err(invalid("it was not issued just now"));
        }
        let expires = time("exp").ok_or_else(|| invalid("it does not say when it expires"))?;
        if expires <= now - leeway {
            return Err(invalid("it has expired"));
        }
        let event = claims.get("events").and_then(|events| events.get(EVENT));
        if !event.is_some_and(Value::is_object) {
            return Err(invalid("it tells no sign-out"));
        }
        if claims.get("nonce").is_some() {
            return Err(invalid("it has a nonce, as ID tokens have"));
        }
        let (sub, sid) = (text("sub").map(str::to_owned), text("sid").map(str::to_owned));
        if sub.is_none() && sid.is_none() {
            return Err(invalid("it names nobody"));
        }
        let jti = text("jti").ok_or_else(|| invalid("it has no id"))?.to_owned();
        Ok(Notice { jti, sub, sid, at: WallTime::from_unix_micros(issued as i64 * 1_000_000) })
    }
}

/// Whether a key of the provider has signed. `None`: it is not known which.
fn is_signed(metadata: &Metadata, header: &Header, signed: &str, signature: &[u8]) -> Option<bool> {
    let named = |key: &&CoreJsonWebKey| match &header.kid {
        Some(kid) => key.key_id().is_some_and(|id| **id == *kid),
        None => true,
    };
    let fits = |key: &&CoreJsonWebKey| {
        let for_signing = key.key_use().is_none_or(JsonWebKeyUse::allows_signature);
        let algorithm = match key.signing_alg() {
            JsonWebKeyAlgorithm::Algorithm(one) => *one == header.alg,
            JsonWebKeyAlgorithm::Unspecified => true,
            JsonWebKeyAlgorithm::Unsupported => false,
        };
        for_signing && algorithm && header.alg.key_type().as_ref() == Some(key.key_type())
    };
    let mut keys = metadata.jwks().keys().iter().filter(named).filter(fits);
    let key = keys.next()?;
    // Without a name for it there must be one key alone. Source: OpenID Connect Core 1.0 §10.1.
    if keys.next().is_some() {
        return None;
    }
    Some(key.verify_signature(&header.alg, signed.as_bytes(), signature).is_ok())
}

fn invalid(why: &str) -> NoLogout {
    NoLogout::Invalid(why.to_owned())
}
