//! The two steps of a sign-in: sending somebody to the provider, and taking the answer with which they come back.

use openidconnect::core::CoreAuthenticationFlow;
use openidconnect::{CsrfToken, LanguageTag, Nonce, PkceCodeChallenge, Scope};

use super::attempt::{ATTEMPT_S, Attempt, cookie_of};
use super::known::{FOR_BEGINNING, FOR_TOKENS};
use super::people::Admitted;
use super::refusal::NotByProvider;
use super::relying_party::{ID_TOKEN, ProviderSignIns};
use crate::auth::sign_ins::OfProvider;
use crate::auth::token::hash;

/// Longest ID token that is kept, to sign out there. Units: bytes.
const KEPT_ID_TOKEN_BYTES: usize = 6 << 10;
/// How long a state is known to be used. Units: µs.
const USED_US: i64 = 2 * ATTEMPT_S * 1_000_000;

/// Somebody who is on the way to the provider.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser goes.
    pub address: String,
    /// Name of the cookie that it keeps.
    pub cookie: String,
    /// Its value, sealed.
    pub sealed: String,
}

/// With what the provider sends somebody back. Source: RFC 6749 §4.1.2, RFC 9207 §2.
#[derive(Clone, Debug, Default)]
pub struct Returned {
    /// The code.
    pub code: Option<String>,
    /// As it was sent out.
    pub state: String,
    /// The issuer.
    pub iss: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// A user with what the provider said of the sign-in.
pub struct Finished {
    /// The user.
    pub admitted: Admitted,
    /// What is kept with the sign-in.
    pub of: OfProvider,
}

impl ProviderSignIns {
    /// Begins a sign-in in the reader's language.
    ///
    /// Errors: the provider is away.
    pub async fn begin(&self, language: &str) -> Result<Begun, NotByProvider> {
        let metadata = self.known.no_older_than(FOR_BEGINNING).await?;
        let client = self.client(&metadata)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let attempt = Attempt::new(verifier.into_secret(), language, self.clock.wall());
        let attempt = attempt.map_err(|_| NotByProvider::NoRandom)?;
        let (state, nonce) = (attempt.state.clone(), attempt.nonce.clone());
        let asked = client.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || CsrfToken::new(state),
            move || Nonce::new(nonce),
        );
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let asked = asked.add_scopes(scopes).set_pkce_challenge(challenge);
        let (address, ..) = asked.add_ui_locale(LanguageTag::new(language.to_owned())).url();
        Ok(Begun {
            address: address.into(),
            cookie: cookie_of(&attempt.state).ok_or(NotByProvider::NoRandom)?,
            sealed: attempt.sealed(&self.key).ok_or(NotByProvider::NoRandom)?,
        })
    }

    /// The language of an attempt, if the answer belongs to one.
    pub fn language_of(&self, returned: &Returned, sealed: &str) -> Option<String> {
        let attempt = Attempt::opened(sealed, &returned.state, &self.key, self.clock.wall());
        attempt.map(|attempt| attempt.language)
    }

    /// Ends a sign-in at the provider with its answer; `sealed` is what the browser kept.
    ///
    /// Errors: see [`NotByProvider`].
    pub async fn finish(&self, returned: &Returned, sealed: &str) -> Result<Finished, NotByProvider> {
        let now = self.clock.wall();
        let attempt = Attempt::opened(sealed, &returned.state, &self.key, now).ok_or(NotByProvider::Stale)?;
        // An answer of another provider must not be taken for this one's. Source: RFC 9207 §2.4.
        if returned.iss.as_ref().is_some_and(|iss| *iss != self.settings.issuer) {
            return Err(NotByProvider::Invalid("the answer names another issuer".into()));
        }
        let metadata = self.known.no_older_than(FOR_TOKENS).await?;
        if returned.iss.is_none()
            && metadata.additional_metadata().authorization_response_iss_parameter_supported
        {
            return Err(NotByProvider::Invalid("the answer does not name its issuer".into()));
        }
        let used = hash(format!("state {}", attempt.state));
        if !self.index.use_once(&used, now, now.plus_micros(USED_US)).await? {
            return Err(NotByProvider::Stale);
        }
        let code = match (&returned.code, &returned.error) {
            (_, Some(error)) => return Err(NotByProvider::Declined(shortened(error))),
            (None, None) => return Err(NotByProvider::Invalid("the answer has no code".into())),
            (Some(code), None) => code,
        };
        let told = self.told(code, &attempt).await?;
        let admitted = self.admit(&told).await?;
        let kept = Some(&told.id_token).filter(|token| token.len() <= KEPT_ID_TOKEN_BYTES);
        let of = OfProvider {
            sid: told.sid.as_deref().map(|sid| self.session(sid)),
            id_token: kept.and_then(|token| self.key.seal(ID_TOKEN, token.as_bytes()).ok()),
            subject: self.subject(&told.subject),
            at: told.at,
        };
        Ok(Finished { admitted, of })
    }
}

/// An error code of the provider, which anybody could have written.
fn shortened(error: &str) -> String {
    error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(60).collect()
}
