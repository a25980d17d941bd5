//! `/api/v1/departments`: the departments of whoever asks, with their names and prompts.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Actor;
use super::problem::Problem;
use crate::http::server::params::Params;
use crate::http::services::Services;
use optag_core::call::Department;

/// A department.
#[derive(Serialize, ToSchema)]
pub(super) struct DepartmentView {
    /// Its id, as used in calls and searches.
    id: String,
    /// Its name.
    name: String,
    /// Its numbers, as configured.
    numbers: Vec<String>,
    /// Whether its calls may be recorded.
    record: bool,
    /// How long its recordings are kept. Units: days.
    retention_days: u8,
    /// Whether its callers are asked before their calls come.
    asked_before: bool,
    /// The keys of its default prompt.
    keys: KeysView,
    /// The prompts that its callers may hear, the default first.
    prompts: Vec<PromptView>,
}

/// Keys that a prompt announces.
#[derive(Serialize, ToSchema)]
pub(super) struct KeysView {
    /// Yes.
    yes: String,
    /// No.
    no: String,
    /// Withdrawal.
    withdraw: String,
}

/// A prompt in one language.
#[derive(Serialize, ToSchema)]
pub(super) struct PromptView {
    /// Its version, as consent records name it.
    version: String,
    /// Its language (BCP 47).
    language: String,
    /// Its words; empty where only its audio is configured.
    text: String,
    /// SHA-256 of its words, in hexadecimal, as consent records have it.
    text_sha256: String,
}

impl From<&Department> for DepartmentView {
    fn from(department: &Department) -> Self {
        let keys = department.default_keys();
        let prompts = department.prompts.iter().map(|prompt| PromptView {
            version: prompt.version.clone(),
            language: prompt.language.clone(),
            text: prompt.text.clone(),
            text_sha256: prompt.text_sha256.clone(),
        });
        Self {
            id: department.id.clone(),
            name: department.name.clone(),
            numbers: department.numbers.clone(),
            record: department.record,
            retention_days: department.retention_days,
            asked_before: department.asked_before,
            keys: KeysView { yes: keys.yes.clone(), no: keys.no.clone(), withdraw: keys.withdraw.clone() },
            prompts: prompts.collect(),
        }
    }
}

/// The departments of whoever asks, in the order of the configuration.
#[utoipa::path(get, path = "/api/v1/departments", tag = "access", responses((status = 200, body = Vec<DepartmentView>)))]
pub(super) async fn list(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    params: Params,
) -> Result<Json<Vec<DepartmentView>>, Problem> {
    params.finish()?;
    let all = services.requests.departments();
    Ok(Json(all.iter().filter(|one| actor.departments.cover(&one.id)).map(DepartmentView::from).collect()))
}
