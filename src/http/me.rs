//! `/api/v1/me`: the current user and the token's permissions, for pages that show only what is permitted.

use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::{Actor, Permission};
use super::problem::Problem;
use crate::http::audited::Purpose;
use crate::http::server::params::Params;

/// The current user.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    /// Name of the token.
    name: String,
    /// Its role.
    role: &'static str,
    /// Its permissions.
    allows: Vec<&'static str>,
    /// The purposes for which it may search, read and listen.
    purposes: Vec<&'static str>,
}

/// The current user, and the token's permissions.
#[utoipa::path(get, path = "/api/v1/me", tag = "access", responses((status = 200, body = Me)))]
pub(super) async fn me(Extension(actor): Extension<Actor>, params: Params) -> Result<Json<Me>, Problem> {
    params.finish()?;
    let allowed = Permission::ALL.iter().filter(|(_, permission)| actor.role.allows(*permission));
    Ok(Json(Me {
        role: actor.role.name(),
        allows: allowed.map(|(name, _)| *name).collect(),
        purposes: actor.role.purposes().iter().copied().map(Purpose::name).collect(),
        name: actor.name,
    }))
}
