//! Signing in by an OpenID Connect provider: code flow with PKCE. In: somebody who wants to sign in, and the answer with which
//! the provider sends them back. Out: a user with the rights that the claims give. Not here: pages and cookies
//! (`http::sign_in`), and how long a sign-in holds (`auth::sign_ins`).
//!
//! *Invariant:* nobody gets in whose ID token was not checked for signature, issuer, audience, times and nonce, or whose
//! claims no mapping names. Without the provider nobody new comes in, and nobody who is in is put out.

mod attempt;
mod claims;
mod flow;
mod http;
mod id_token;
mod known;
mod logout;
mod people;
mod refusal;
mod relying_party;
pub mod settings;

pub use attempt::{ATTEMPT_S, cookie_of};
pub use claims::NoRights;
pub use flow::{Begun, Finished, Returned};
pub use known::{Away, Seen, look_at};
pub use logout::NoLogout;
pub use people::Admitted;
pub use refusal::NotByProvider;
pub use relying_party::{LABEL, ProviderSignIns};
