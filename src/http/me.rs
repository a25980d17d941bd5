//! `/api/v1/me`: the current user and what is permitted, for pages that show only what is permitted.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

use super::access::{Actor, Departments, Permission, Role};
use super::auth::ChangeKey;
use super::problem::Problem;
use crate::http::audited::Purpose;
use crate::http::server::params::Params;
use crate::http::services::Services;

/// The current user.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    /// Name of the token, or of the user.
    name: String,
    /// Its roles.
    roles: Vec<&'static str>,
    /// The departments that bound it: `all`, or their ids.
    #[schema(schema_with = departments)]
    departments: Departments,
    /// Whether it may sign in to the pages: machines do not.
    pages: bool,
    /// Its permissions.
    allows: Vec<&'static str>,
    /// The purposes for which it may search, read and listen.
    purposes: Vec<&'static str>,
    /// Name of the time zone in which the installation's days are.
    time_zone: String,
    /// For whoever is signed in to the pages: what a change must carry as `Optag-Change`.
    #[serde(skip_serializing_if = "Option::is_none")]
    change_key: Option<String>,
}

/// As [`Departments`] is written: `"all"`, or a list of ids.
pub(super) fn departments() -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    OneOfBuilder::new()
        .item(text().enum_values(Some(["all"])))
        .item(ArrayBuilder::new().items(text()))
        .description(Some("The departments that bound it: `all`, or their ids."))
        .build()
        .into()
}

/// The current user, and the token's permissions.
#[utoipa::path(get, path = "/api/v1/me", tag = "access", responses((status = 200, body = Me)))]
pub(super) async fn me(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    key: Option<Extension<ChangeKey>>,
    params: Params,
) -> Result<Json<Me>, Problem> {
    params.finish()?;
    let allowed = Permission::ALL.iter().filter(|(_, permission)| actor.allows(*permission));
    Ok(Json(Me {
        roles: actor.roles.iter().map(Role::name).collect(),
        pages: !actor.roles.are_of_a_machine(),
        allows: allowed.map(|(name, _)| *name).collect(),
        purposes: actor.purposes().into_iter().map(Purpose::name).collect(),
        name: actor.name,
        departments: actor.departments,
        time_zone: services.requests.time_zone().to_owned(),
        change_key: key.map(|Extension(key)| key.0),
    }))
}
