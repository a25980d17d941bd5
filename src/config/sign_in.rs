//! The `[sign_in]` section: from raw to checked.

use std::time::Duration;

use crate::auth::settings::SignInSettings;
use crate::config::error::ConfigError;
use crate::config::oidc::{self, Around};
use crate::config::raw::RawSignIn;
use crate::config::values::{number, wrong};

/// Checks the section. `departments` are ids.
pub(super) fn check(raw: RawSignIn, departments: &[&str]) -> Result<SignInSettings, ConfigError> {
    let minutes = number("sign_in.idle_min", raw.idle_min, 1..=720)?;
    let hours = number("sign_in.longest_h", raw.longest_h, 1..=24)?;
    let url = raw.url.trim_end_matches('/').to_owned();
    let parsed = url::Url::parse(&url).ok();
    let fits = parsed.is_some_and(|url| {
        let local = url.host_str().is_some_and(|host| ["127.0.0.1", "localhost", "[::1]"].contains(&host));
        url.scheme() == "https" || url.scheme() == "http" && local
    });
    if !url.is_empty() && !fits {
        return Err(wrong("sign_in.url", "an https:// address, or empty"));
    }
    let around = Around { url: &url, four_eyes: raw.four_eyes, departments };
    let provider = oidc::check(raw.oidc, &around)?;
    if !raw.local && provider.is_none() {
        return Err(wrong("sign_in.local", "false needs a provider: sign_in.oidc.issuer"));
    }
    Ok(SignInSettings {
        local: raw.local,
        provider,
        url,
        idle: Duration::from_secs(60 * minutes),
        longest: Duration::from_secs(3_600 * hours),
        four_eyes: raw.four_eyes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_sent_over_tls_or_not_beyond_this_machine() {
        let of =
            |url: &str| check(RawSignIn { url: url.into(), ..RawSignIn::default() }, &[]).map(|all| all.url);
        assert_eq!(of("https://optag.example/").unwrap(), "https://optag.example");
        assert_eq!(of("").unwrap(), "");
        assert!(of("http://127.0.0.1:8080").is_ok());
        for wrong in ["http://optag.example", "optag.example", "ftp://127.0.0.1", "http://127.0.0.1.example"]
        {
            assert!(of(wrong).unwrap_err().to_string().contains("sign_in.url"), "{wrong}");
        }
        assert!(check(RawSignIn { idle_min: 0, ..RawSignIn::default() }, &[]).is_err());
        assert!(check(RawSignIn { longest_h: 25, ..RawSignIn::default() }, &[]).is_err());
        assert_eq!(check(RawSignIn::default(), &[]).unwrap(), SignInSettings::default());
    }
}
