//! The services that the API's handlers use.

use std::sync::Arc;

use crate::auth::password_sign_in::PasswordSignIns;
use crate::auth::provider::ProviderSignIns;
use crate::auth::sign_ins::SignIns;
use crate::auth::tokens::Tokens;
use crate::auth::users::Users;
use crate::cases::register::Cases;
use crate::disclosure::links::Links;
use crate::disclosure::owner::Owner;
use crate::http::audited::Audit;
use crate::http::drains::Drains;
use crate::http::nodes::Nodes;
use crate::http::oversight::Oversight;
use crate::http::recordings::library::Library;
use crate::http::requests::Requests;
use optag_core::clock::Clock;
use optag_sip::feed::Feed;

/// The services used by the API.
#[derive(Clone)]
pub struct Services {
    /// Live calls.
    pub feed: Arc<dyn Feed>,
    /// Recordings.
    pub library: Arc<dyn Library>,
    /// The audit log.
    pub audit: Arc<dyn Audit>,
    /// Erasures, holds, reports.
    pub requests: Arc<dyn Requests>,
    /// Audit, ages and health, for those who oversee.
    pub oversight: Arc<dyn Oversight>,
    /// Access tokens.
    pub tokens: Arc<Tokens>,
    /// People who are signed in to the pages.
    pub sign_ins: Arc<SignIns>,
    /// Users, for those who administer them.
    pub users: Arc<Users>,
    /// Users, by what they type to sign in.
    pub passwords: Arc<PasswordSignIns>,
    /// Users, by the OpenID Connect provider; none: there is no provider.
    pub provider: Option<Arc<ProviderSignIns>>,
    /// Dates audit entries.
    pub clock: Arc<dyn Clock>,
    /// Requests of callers.
    pub cases: Arc<Cases>,
    /// Single-use hand-out links.
    pub links: Arc<Links>,
    /// The controller's details on cover sheets.
    pub owner: Arc<Owner>,
    /// Takes the order to drain.
    pub drains: Arc<dyn Drains>,
    /// Whether streams may be announced without a source.
    pub learn_rtp_source: bool,
    /// The other nodes on the same index; `None` on SQLite.
    pub nodes: Option<Arc<Nodes>>,
}
