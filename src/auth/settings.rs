//! How people sign in.

use std::time::Duration;

use super::provider::settings::ProviderSettings;

/// The `[sign_in]` section, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInSettings {
    /// Where people reach the pages, without a slash at the end; empty: where the API listens.
    pub url: String,
    /// Time without a request after which a sign-in ends.
    pub idle: Duration,
    /// Time after which a sign-in ends in any case.
    pub longest: Duration,
    /// Whether a second administrator confirms what an administrator could give to themselves.
    pub four_eyes: bool,
    /// Whether people sign in with a password, or an access token.
    pub local: bool,
    /// The OpenID Connect provider by which people sign in.
    pub provider: Option<ProviderSettings>,
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            idle: Duration::from_secs(30 * 60),
            longest: Duration::from_secs(10 * 3_600),
            four_eyes: true,
            local: true,
            provider: None,
        }
    }
}
