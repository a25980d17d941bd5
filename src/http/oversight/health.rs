//! `/api/v1/health`: the state of the recorder for whoever runs it, with a test of the store. The same checks as `/readyz`, which
//! is for machines and needs no sign-in.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Role;
use crate::auth::tokens::StoredToken;
use crate::http::access::{Actor, Permission};
use crate::http::audited::AuditAction;
use crate::http::problem::Problem;
use crate::http::recordings::audit;
use crate::http::server::health::Check;
use crate::http::server::params::Params;
use crate::http::services::Services;
use optag_core::clock::WallTime;

/// How far back outcomes are counted. Units: days.
const DAYS: i64 = 1;

/// The state of the recorder.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// One for each part.
    checks: Vec<Check>,
    /// Machines that announce calls.
    feeds: Vec<FeedView>,
    /// Calls in progress on this node.
    calls: usize,
    /// The nodes of the index; empty without PostgreSQL, and where the index does not answer.
    nodes: Vec<NodeView>,
    /// How the calls of the last day ended; none where the index does not answer.
    outcomes: Option<Vec<OutcomeCount>>,
}

/// A machine that announces calls over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct FeedView {
    /// Name of its token.
    name: String,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<WallTime>,
    /// When it expires.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<WallTime>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NodeView {
    /// Its number.
    pub number: u16,
    /// `starting`, `ready` or `draining`.
    pub state: &'static str,
    /// Version of its program.
    pub version: String,
    /// Calls in progress.
    pub calls: u32,
    /// How many it has room for.
    pub capacity_calls: u32,
    /// Time since it was last heard. Units: s.
    pub silent_s: u64,
}

/// How many calls of a department ended so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutcomeCount {
    /// Department id.
    pub department: String,
    /// The outcome, as the metrics name it.
    pub outcome: String,
    /// Its cause.
    pub cause: String,
    /// How many.
    pub count: u64,
}

/// Result of a test of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StoreTest {
    /// An object was written, read as it was written, and removed.
    pub ok: bool,
    /// How long that took. Units: ms.
    pub took_ms: u64,
    /// Why it failed.
    pub detail: Option<String>,
}

/// The state of the recorder.
#[utoipa::path(get, path = "/api/v1/health", tag = "oversight", responses((status = 200, body = HealthView)))]
pub(crate) async fn show(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    params: Params,
) -> Result<Json<HealthView>, Problem> {
    actor.need(Permission::Administer)?;
    actor.need_all_departments("it is about the whole recorder")?;
    params.finish()?;
    let now = services.clock.wall();
    let oversight = &services.oversight;
    let (checks, nodes, outcomes) =
        tokio::join!(oversight.checks(), oversight.nodes(), oversight.outcomes(now.plus_days(-DAYS)));
    // While the index is away the checks say so; the rest of the page is of use all the same.
    let tokens = services.tokens.list().await.unwrap_or_default();
    let feeds = tokens.into_iter().filter(|token| token.roles.iter().any(|role| role == Role::Feed));
    let feed = |token: StoredToken| FeedView {
        name: token.name,
        last_used_at: token.used_at,
        expires_at: token.expires_at,
    };
    let feeds = feeds.map(feed).collect();
    let calls = services.feed.calls().iter().filter(|call| call.ended_at.is_none()).count();
    let nodes = nodes.unwrap_or_default();
    Ok(Json(HealthView { checks, feeds, calls, nodes, outcomes: outcomes.ok() }))
}

/// Writes an object to the store, reads it and removes it.
#[utoipa::path(post, path = "/api/v1/health/store", tag = "oversight", responses((status = 200, body = StoreTest)))]
pub(crate) async fn try_store(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    params: Params,
) -> Result<Json<StoreTest>, Problem> {
    actor.need(Permission::Administer)?;
    actor.need_all_departments("there is one store")?;
    params.finish()?;
    audit(&services, &actor, AuditAction::TestStore, None, None, None).await?;
    Ok(Json(services.oversight.try_store().await))
}
