//! `/api/v1/sign-ins`: where the current user is signed in.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::note;
use crate::auth::sign_ins::{OwnSignIn, SignedIn};
use crate::http::audited::AuditAction;
use crate::http::problem::Problem;
use crate::http::server::params::Params;
use crate::http::services::Services;
use optag_core::clock::WallTime;

/// A browser in which the current user is signed in.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SignInView {
    /// Its name.
    id: String,
    /// Whether it is the one that asks.
    current: bool,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    created_at: WallTime,
    /// When it was last used, to within a minute.
    #[schema(value_type = String, format = DateTime)]
    used_at: WallTime,
    /// When it ends at the latest.
    #[schema(value_type = String, format = DateTime)]
    expires_at: WallTime,
}

/// Where the current user is signed in; empty for a program that uses a token.
#[utoipa::path(get, path = "/api/v1/sign-ins", tag = "access", responses((status = 200, body = Vec<SignInView>)))]
pub(in crate::http) async fn list(
    State(services): State<Services>,
    who: Option<Extension<SignedIn>>,
    params: Params,
) -> Result<Json<Vec<SignInView>>, Problem> {
    params.finish()?;
    let Some(Extension(who)) = who else { return Ok(Json(Vec::new())) };
    let all = services.sign_ins.own(&who).await.map_err(away)?.into_iter();
    let view = |one: OwnSignIn| SignInView {
        current: one.id == who.id,
        id: one.id,
        created_at: one.created_at,
        used_at: one.used_at,
        expires_at: one.expires_at,
    };
    Ok(Json(all.map(view).collect()))
}

/// Signs the current user out of one of these.
#[utoipa::path(delete, path = "/api/v1/sign-ins/{sign_in}", tag = "access", params(("sign_in" = String, Path)),
    responses((status = 204), (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(in crate::http) async fn end(
    State(services): State<Services>,
    who: Option<Extension<SignedIn>>,
    Path(sign_in): Path<String>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let none = || Problem::new(StatusCode::NOT_FOUND, "there is no such sign-in of yours");
    let Extension(who) = who.ok_or_else(none)?;
    if !services.sign_ins.end(&who, &sign_in).await.map_err(away)? {
        return Err(none());
    }
    note(&services, &who.actor, AuditAction::SignOut).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn away(_: crate::index::IndexError) -> Problem {
    Problem::unavailable("the index does not answer", 2)
}
