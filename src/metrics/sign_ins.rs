//! Sign-ins by password, and one-time links.

use ::metrics::counter;

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
