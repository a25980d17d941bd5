//! The provider's answer to a code: an ID token, checked by every rule. In: a code, and the attempt it belongs to. Out: who
//! the person is, and the claims. Source: OpenID Connect Core 1.0 §3.1.3.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreIdToken, CoreIdTokenClaims, CoreJsonWebKey};
use openidconnect::http::header::{ACCEPT, AUTHORIZATION};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthorizationCode, ClaimsVerificationError, ClientId, IdTokenVerifier,
    Nonce, OAuth2TokenResponse, PkceCodeVerifier, RequestTokenError, SignatureVerificationError,
    TokenResponse,
};
use serde_json::Value;

use super::attempt::Attempt;
use super::claims::{claim, has_groups};
use super::known::{Away, FOR_TOKENS, Metadata, Naming, SIGNATURES};
use super::refusal::NotByProvider;
use super::relying_party::ProviderSignIns;
use optag_core::clock::WallTime;
use optag_core::error_chain::causes;

/// How long ago an ID token may have been made that was asked for just now.
const ID_TOKEN_AGE: Duration = Duration::from_secs(600);

/// What the provider says of a person.
pub(super) struct Told {
    /// Who it is there.
    pub subject: String,
    /// The session there, if it is named.
    pub sid: Option<String>,
    /// When it was said, by the provider's clock.
    pub at: WallTime,
    /// All claims.
    pub claims: Value,
    /// The ID token itself.
    pub id_token: String,
}

impl ProviderSignIns {
    /// Exchanges a code for what the provider says of the person.
    ///
    /// Errors: see [`NotByProvider`].
    pub(super) async fn told(&self, code: &str, attempt: &Attempt) -> Result<Told, NotByProvider> {
        let mut metadata = self.known.no_older_than(FOR_TOKENS).await?;
        let client = self.client(&metadata)?;
        let asked = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        let asked = asked.map_err(|error| Away(error.to_string()))?;
        let asked = asked.set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.clone()));
        let answer = asked.request_async(&self.known.http).await.map_err(|error| match error {
            RequestTokenError::Request(error) => Away(error.to_string()).into(),
            RequestTokenError::ServerResponse(error) => {
                NotByProvider::Invalid(format!("the token endpoint answers {}", error.error().as_ref()))
            }
            // The answer itself has secrets.
            RequestTokenError::Parse(error, _) => NotByProvider::Invalid(format!(
                "the token endpoint's answer cannot be read at {}",
                error.path()
            )),
            RequestTokenError::Other(error) => NotByProvider::Invalid(error),
        })?;
        let id_token = answer.id_token().ok_or_else(|| invalid("there is no ID token"))?;
        let nonce = Nonce::new(attempt.nonce.clone());
        let checked = id_token.claims(&self.verifier(&metadata), &nonce);
        let claims = match checked {
            Err(error) if names_unknown_key(&error) => {
                metadata =
                    self.known.with_newer_keys(Naming::IdToken).await.ok_or_else(|| refused(&error))?;
                id_token.claims(&self.verifier(&metadata), &nonce).map_err(|error| refused(&error))?
            }
            checked => checked.map_err(|error| refused(&error))?,
        };
        self.check_access_token(id_token, claims, answer.access_token(), &metadata)?;
        let (subject, at) = (claims.subject().to_string(), claims.issue_time().timestamp());
        let id_token = id_token.to_string();
        let mut claims = payload(&id_token).ok_or_else(|| invalid("the ID token has no claims"))?;
        self.check_beside(&claims)?;
        if !has_groups(&self.settings, &claims) || claim(&claims, &self.settings.user_claim).is_none() {
            self.ask_user_info(&metadata, answer.access_token(), &subject, &mut claims).await?;
        }
        let sid = claims["sid"].as_str().map(str::to_owned);
        Ok(Told {
            subject,
            sid,
            at: WallTime::from_unix_micros(at.saturating_mul(1_000_000)),
            claims,
            id_token,
        })
    }

    /// Checks signature, issuer, audience, times and nonce.
    fn verifier(&self, metadata: &Metadata) -> IdTokenVerifier<'static, CoreJsonWebKey> {
        let (now, leeway) = (self.now(), self.leeway());
        // Public: a token that is signed with the secret of the client is never taken.
        let verifier = IdTokenVerifier::new_public_client(
            ClientId::new(self.settings.client_id.clone()),
            self.known.issuer().clone(),
            metadata.jwks().clone(),
        );
        verifier.set_allowed_algs(SIGNATURES).set_time_fn(move || now - leeway).set_issue_time_verifier_fn(
            move |issued| match issued {
                issued if issued > now + leeway => Err("it was issued in the future".to_owned()),
                issued if issued < now - leeway - ID_TOKEN_AGE => Err("it was issued long ago".to_owned()),
                _ => Ok(()),
            },
        )
    }

    /// Whether the access token belongs to the ID token, where that says so. Source: OpenID Connect Core 1.0 §3.1.3.8.
    fn check_access_token(
        &self,
        id_token: &CoreIdToken,
        claims: &CoreIdTokenClaims,
        access_token: &AccessToken,
        metadata: &Metadata,
    ) -> Result<(), NotByProvider> {
        let Some(expected) = claims.access_token_hash() else { return Ok(()) };
        let verifier = self.verifier(metadata);
        let key = id_token.signing_key(&verifier).map_err(|error| invalid(&error.to_string()))?;
        let algorithm = id_token.signing_alg().map_err(|error| invalid(&error.to_string()))?;
        let hash = AccessTokenHash::from_token(access_token, algorithm, key);
        match hash.is_ok_and(|hash| hash == *expected) {
            true => Ok(()),
            false => Err(invalid("the access token does not belong to the ID token")),
        }
    }

    /// Checks what the library leaves to its users. Source: OpenID Connect Core 1.0 §3.1.3.7, RFC 7519 §4.1.5.
    fn check_beside(&self, claims: &Value) -> Result<(), NotByProvider> {
        if claims.get("azp").is_some_and(|party| party.as_str() != Some(&self.settings.client_id)) {
            return Err(invalid("the ID token was issued to another client"));
        }
        let from = claims.get("nbf").and_then(Value::as_f64);
        if from.is_some_and(|from| from > (self.now() + self.leeway()).timestamp() as f64) {
            return Err(invalid("the ID token is not valid yet"));
        }
        Ok(())
    }

    /// Adds claims that the provider tells at its UserInfo endpoint alone. Source: OpenID Connect Core 1.0 §5.3.
    async fn ask_user_info(
        &self,
        metadata: &Metadata,
        access_token: &AccessToken,
        subject: &str,
        claims: &mut Value,
    ) -> Result<(), NotByProvider> {
        let Some(endpoint) = metadata.userinfo_endpoint() else { return Ok(()) };
        let request = openidconnect::http::Request::get(endpoint.as_str())
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, format!("Bearer {}", access_token.secret()))
            .body(Vec::new());
        let request = request.map_err(|_| invalid("the access token is none"))?;
        let answer = self.known.http.send(request).await.map_err(|error| Away(causes(&error)))?;
        if !answer.status().is_success() {
            return Err(NotByProvider::Invalid(format!("UserInfo answers {}", answer.status())));
        }
        let told: Value = serde_json::from_slice(answer.body())
            .map_err(|_| invalid("UserInfo is no JSON; optag takes it unsigned, over TLS"))?;
        // It must be of the same person: an access token can be swapped for another's.
        if told.get("sub").and_then(Value::as_str) != Some(subject) {
            return Err(invalid("UserInfo is of somebody else"));
        }
        if let (Some(claims), Value::Object(told)) = (claims.as_object_mut(), told) {
            for (name, value) in told {
                claims.entry(name).or_insert(value);
            }
        }
        Ok(())
    }
}

/// The claims of a token that was checked.
pub(super) fn payload(token: &str) -> Option<Value> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok().filter(Value::is_object)
}

fn names_unknown_key(error: &ClaimsVerificationError) -> bool {
    let unknown = SignatureVerificationError::NoMatchingKey;
    matches!(error, ClaimsVerificationError::SignatureVerification(why) if *why == unknown)
}

fn refused(error: &ClaimsVerificationError) -> NotByProvider {
    NotByProvider::Invalid(format!("the ID token is refused: {}", causes(error)))
}

fn invalid(why: &str) -> NotByProvider {
    NotByProvider::Invalid(why.to_owned())
}
