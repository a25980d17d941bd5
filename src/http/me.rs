//! `/api/v1/me`: who asks, and what the token allows. For pages that show only what may be done.

use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::{Actor, Permission};
use super::problem::Problem;
use crate::http::audited::Purpose;
use crate::http::server::params::Params;

/// Who asks.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// Name of the token.
    name: String,
    /// Its role.
    role: &'static str,
    /// What it allows.
    allows: Vec<&'static str>,
    /// For what it may search, read and listen.
    purposes: Vec<&'static str>,
}

/// Who asks, and what the token allows.
#[utoipa::path(get, path = "/api/v1/me", tag = "access", responses((status = 200, body = Me)))]
pub async fn me(Extension(actor): Extension<Actor>, params: Params) -> Result<Json<Me>, Problem> {
    params.finish()?;
    let allowed = Permission::ALL.iter().filter(|(_, permission)| actor.role.allows(*permission));
    Ok(Json(Me {
        role: actor.role.name(),
        allows: allowed.map(|(name, _)| *name).collect(),
        purposes: actor.role.purposes().iter().copied().map(Purpose::name).collect(),
        name: actor.name,
    }))
}
