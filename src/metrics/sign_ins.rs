//! Sign-ins by password or by a provider, and one-time links.

use ::metrics::{counter, gauge};

use super::catalog as c;

/// What became of an attempt to sign in by password, or to use a one-time link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInResult {
    /// Signed in.
    SignedIn,
    /// Name, password or code was wrong.
    Wrong,
    /// A rate limit refused it.
    Slowed,
    /// There was no turn for the password.
    Busy,
    /// The user has no role.
    NoRole,
    /// A link was used.
    LinkUsed,
    /// A link is none, was used before, or has expired.
    LinkWrong,
}

/// Somebody tried to sign in by password, or to use a one-time link.
pub fn sign_in(result: SignInResult) {
    let result = match result {
        SignInResult::SignedIn => "signed_in",
        SignInResult::Wrong => "wrong",
        SignInResult::Slowed => "slowed",
        SignInResult::Busy => "busy",
        SignInResult::NoRole => "no_role",
        SignInResult::LinkUsed => "link_used",
        SignInResult::LinkWrong => "link_wrong",
    };
    counter!(c::SIGN_INS_TOTAL.name, "result" => result).increment(1);
}

/// What became of an attempt to sign in by the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderSignIn {
    /// Signed in.
    SignedIn,
    /// The answer belongs to no attempt, or comes a second time.
    Stale,
    /// The provider signed nobody in.
    Declined,
    /// The provider does not answer.
    Away,
    /// What it says cannot be taken.
    Invalid,
    /// The claims give nothing here.
    NoRights,
    /// The user is disabled.
    Disabled,
    /// All rights wait for a second administrator.
    Waits,
    /// Signed out at the provider meanwhile.
    LoggedOut,
}

/// Somebody tried to sign in by the provider.
pub fn provider_sign_in(result: ProviderSignIn) {
    let result = match result {
        ProviderSignIn::SignedIn => "signed_in",
        ProviderSignIn::Stale => "stale",
        ProviderSignIn::Declined => "declined",
        ProviderSignIn::Away => "away",
        ProviderSignIn::Invalid => "invalid",
        ProviderSignIn::NoRights => "no_rights",
        ProviderSignIn::Disabled => "disabled",
        ProviderSignIn::Waits => "waits",
        ProviderSignIn::LoggedOut => "logged_out",
    };
    counter!(c::PROVIDER_SIGN_INS_TOTAL.name, "result" => result).increment(1);
}

/// What became of a provider's notice that somebody signed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderLogout {
    /// Sign-ins have ended.
    Ended,
    /// Nobody was signed in.
    Nobody,
    /// It cannot be taken.
    Invalid,
    /// It was used before.
    Replayed,
    /// The index or the provider's keys could not be reached.
    Failed,
}

/// The provider gave notice that somebody signed out.
pub fn provider_logout(result: ProviderLogout) {
    let result = match result {
        ProviderLogout::Ended => "ended",
        ProviderLogout::Nobody => "nobody",
        ProviderLogout::Invalid => "invalid",
        ProviderLogout::Replayed => "replayed",
        ProviderLogout::Failed => "failed",
    };
    counter!(c::PROVIDER_LOGOUTS_TOTAL.name, "result" => result).increment(1);
}

/// Whether the provider did not answer as it must when it was asked last.
pub fn sign_in_provider_away(away: bool) {
    gauge!(c::SIGN_IN_PROVIDER_AWAY.name).set(if away { 1.0 } else { 0.0 });
}
