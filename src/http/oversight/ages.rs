//! `/api/v1/retention/ages`: how old recordings are, and when the next ones expire, for a picture of retention at a glance.

use axum::extract::State;
use axum::{Extension, Json};
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::access::{Actor, Permission};
use crate::http::audited::AuditAction;
use crate::http::problem::Problem;
use crate::http::recordings::{audit, unanswered};
use crate::http::server::params::Params;
use crate::http::services::Services;
use optag_core::clock::WallTime;

/// Ages and expiries of what is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct AgesFound {
    /// When this was counted.
    #[schema(value_type = String, format = DateTime)]
    pub at: WallTime,
    /// Longest retention of any department. Units: days.
    pub limit_days: u8,
    /// By department and age.
    pub ages: Vec<AgeCount>,
    /// By department and day, today and the next 13 days; what should have expired before counts for today.
    pub expiries: Vec<ExpiryCount>,
}

/// Recordings of an age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AgeCount {
    /// Department id.
    pub department: String,
    /// Whole days since the call.
    pub days: i64,
    /// How many.
    pub count: u64,
}

/// Recordings that expire on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExpiryCount {
    /// Department id.
    pub department: String,
    /// The day, in the installation's time zone.
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    /// How many.
    pub count: u64,
}

/// How old the recordings of the actor's departments are, and when the next ones expire.
#[utoipa::path(get, path = "/api/v1/retention/ages", tag = "oversight", responses((status = 200, body = AgesFound)))]
pub(crate) async fn ages(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    params: Params,
) -> Result<Json<AgesFound>, Problem> {
    actor.need(Permission::Report)?;
    params.finish()?;
    audit(&services, &actor, AuditAction::Report, None, None, Some("ages".to_owned())).await?;
    services.oversight.ages(actor.departments.clone()).await.map(Json).map_err(unanswered)
}
