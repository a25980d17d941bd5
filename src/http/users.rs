//! `/api/v1/users` and `/api/v1/user-requests`: users, for administrators. What an administrator cannot do alone becomes a
//! request, which a second one confirms. Each change is audited before it is made.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{Actor, Departments, Permission, Role, Roles};
use super::me::departments as departments_schema;
use super::problem::Problem;
use crate::auth::user::{BadUser, Rights, User, folded};
use crate::auth::users::{By, NewUser, UserError, UserLink, UserRequest};
use crate::http::audited::AuditAction;
use crate::http::recordings::audit;
use crate::http::server::json::Body;
use crate::http::server::params::Params;
use crate::http::services::Services;
use optag_core::clock::WallTime;

/// A user.
#[derive(Serialize, ToSchema)]
pub(super) struct UserView {
    /// By which the user signs in; appears in the audit log.
    name: String,
    /// The user's own name.
    display_name: String,
    /// Roles; none while they wait for a second administrator.
    roles: Vec<&'static str>,
    /// The departments that bound them: `all`, or their ids.
    #[schema(schema_with = departments_schema)]
    departments: Departments,
    /// `invited` until a password is set, then `active`; or `disabled`.
    state: &'static str,
    /// Whether the user signs in by the provider, which says what they may do.
    by_provider: bool,
    /// Who last gave the user a link to set the password; empty for users of the provider.
    invited_by: String,
    /// When the user was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: WallTime,
    /// The last sign-in.
    #[schema(value_type = Option<String>, format = DateTime)]
    signed_in_at: Option<WallTime>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let state = match (user.disabled, user.enrolled || user.is_provided) {
            (true, _) => "disabled",
            (false, true) => "active",
            (false, false) => "invited",
        };
        Self {
            roles: user.rights.roles().map(Role::name).collect(),
            departments: user.rights.departments,
            name: user.name,
            display_name: user.display_name,
            state,
            by_provider: user.is_provided,
            invited_by: user.vouched_by,
            created_at: user.created_at,
            signed_in_at: user.used_at,
        }
    }
}

/// A user to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUserBody {
    /// By which the user signs in: 2 to 64 letters, digits, dots, hyphens, underscores or @.
    name: String,
    /// The user's own name; otherwise the same.
    #[serde(default)]
    display_name: String,
    /// Roles of people.
    roles: Vec<String>,
    /// The departments that bound them; required for listener, contact and supervisor.
    #[schema(schema_with = departments_schema)]
    departments: Option<Departments>,
}

/// What a user may do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RightsBody {
    /// Roles of people.
    roles: Vec<String>,
    /// The departments that bound them; required for listener, contact and supervisor.
    #[schema(schema_with = departments_schema)]
    departments: Option<Departments>,
}

/// A link by which a user sets the password, once.
#[derive(Serialize, ToSchema)]
pub(super) struct LinkView {
    /// Its address, or its path where `sign_in.url` is not set. It cannot be shown again.
    url: String,
    /// When it cannot be used any more.
    #[schema(value_type = String, format = DateTime)]
    expires_at: WallTime,
}

/// A change that waits for a second administrator.
#[derive(Serialize, ToSchema)]
pub(super) struct RequestView {
    /// Its name.
    id: String,
    /// `roles`, or `reset`: a new link for a user who may hear recordings.
    kind: &'static str,
    /// Name of the user.
    user: String,
    /// The roles that the user would have.
    roles: Vec<&'static str>,
    /// The departments that would bound them.
    #[schema(schema_with = departments_schema)]
    departments: Departments,
    /// Who asked.
    asked_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    asked_at: WallTime,
    /// When it cannot be confirmed any more.
    #[schema(value_type = String, format = DateTime)]
    expires_at: WallTime,
}

impl From<UserRequest> for RequestView {
    fn from(request: UserRequest) -> Self {
        Self {
            id: request.id,
            kind: request.kind.name(),
            user: request.user.name,
            roles: request.rights.roles().map(Role::name).collect(),
            departments: request.rights.departments,
            asked_by: request.asked_by,
            asked_at: request.asked_at,
            expires_at: request.expires_at,
        }
    }
}

/// What became of a change.
#[derive(Serialize, ToSchema)]
pub(super) struct UserChange {
    /// The user as it is now.
    user: UserView,
    /// The link for the user, where there is a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<LinkView>,
    /// What waits for a second administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestView>,
}

/// Users by name.
#[utoipa::path(get, path = "/api/v1/users", tag = "access", responses((status = 200, body = Vec<UserView>)))]
pub(super) async fn list(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    params: Params,
) -> Result<Json<Vec<UserView>>, Problem> {
    may(&actor)?;
    params.finish()?;
    let all = services.users.list().await.map_err(refused)?;
    Ok(Json(all.into_iter().map(UserView::from).collect()))
}

/// Makes a user. The answer has the link by which they set their password. Roles that hear recordings or administer wait for
/// a second administrator, unless `sign_in.four_eyes` is off.
#[utoipa::path(post, path = "/api/v1/users", tag = "access", request_body = NewUserBody, responses(
    (status = 201, body = UserChange),
    (status = 409, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn add(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    params: Params,
    Body(body): Body<NewUserBody>,
) -> Result<(StatusCode, Json<UserChange>), Problem> {
    may(&actor)?;
    params.finish()?;
    let rights = rights_of(&body.roles, body.departments)?;
    let new = NewUser { name: body.name, display_name: body.display_name, rights };
    note(&services, &actor, format!("make user {}: {}", folded(&new.name), new.rights)).await?;
    let made = services.users.add(&new, &By::Actor(actor)).await.map_err(refused)?;
    let (user, link, request) = made;
    let link = Some(link_view(&services, link));
    let change = UserChange { user: user.into(), link, request: request.map(RequestView::from) };
    Ok((StatusCode::CREATED, Json(change)))
}

/// Gives a user other roles and departments, which count within a second. What the current user could gain by it waits for a
/// second administrator.
#[utoipa::path(put, path = "/api/v1/users/{user}/roles", tag = "access", params(("user" = String, Path)),
    request_body = RightsBody, responses(
    (status = 200, body = UserChange),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn set_roles(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    params: Params,
    Body(body): Body<RightsBody>,
) -> Result<Json<UserChange>, Problem> {
    may(&actor)?;
    params.finish()?;
    let rights = rights_of(&body.roles, body.departments)?;
    let user = services.users.named(&name).await.map_err(refused)?;
    note(&services, &actor, format!("user {}: {rights}", user.name)).await?;
    let request = services.users.set_rights(&name, &rights, &By::Actor(actor)).await.map_err(refused)?;
    let user = services.users.named(&name).await.map_err(refused)?.into();
    Ok(Json(UserChange { user, link: None, request: request.map(RequestView::from) }))
}

/// Makes the password and the codes of a user worthless, ends every sign-in, and answers with a link to set new ones. For a
/// user who hears recordings, the link is given to the second administrator who confirms it.
#[utoipa::path(post, path = "/api/v1/users/{user}/reset", tag = "access", params(("user" = String, Path)), responses(
    (status = 200, body = UserChange),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn reset(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Json<UserChange>, Problem> {
    may(&actor)?;
    params.finish()?;
    let user = services.users.named(&name).await.map_err(refused)?;
    note(&services, &actor, format!("user {}: reset", user.name)).await?;
    let done = services.users.reset(&name, &By::Actor(actor)).await.map_err(refused)?;
    let user = services.users.named(&name).await.map_err(refused)?.into();
    Ok(Json(match done {
        Ok(link) => UserChange { user, link: Some(link_view(&services, link)), request: None },
        Err(request) => UserChange { user, link: None, request: Some(request.into()) },
    }))
}

/// Ends every sign-in of a user within a second, and lets the user sign in no more.
#[utoipa::path(post, path = "/api/v1/users/{user}/disable", tag = "access", params(("user" = String, Path)), responses(
    (status = 200, body = UserView),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn disable(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Json<UserView>, Problem> {
    set_disabled(&services, &actor, &name, params, true).await
}

/// Lets a disabled user sign in again, with password and codes as before.
#[utoipa::path(post, path = "/api/v1/users/{user}/enable", tag = "access", params(("user" = String, Path)), responses(
    (status = 200, body = UserView),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn enable(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Json<UserView>, Problem> {
    set_disabled(&services, &actor, &name, params, false).await
}

async fn set_disabled(
    services: &Services,
    actor: &Actor,
    name: &str,
    params: Params,
    disabled: bool,
) -> Result<Json<UserView>, Problem> {
    may(actor)?;
    params.finish()?;
    let user = services.users.named(name).await.map_err(refused)?;
    let what = if disabled { "disabled" } else { "enabled" };
    note(services, actor, format!("user {}: {what}", user.name)).await?;
    services.users.set_disabled(name, disabled).await.map_err(refused)?;
    Ok(Json(services.users.named(name).await.map_err(refused)?.into()))
}

/// Changes of users that wait for a second administrator, the oldest first.
#[utoipa::path(get, path = "/api/v1/user-requests", tag = "access", responses((status = 200, body = Vec<RequestView>)))]
pub(super) async fn requests(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    params: Params,
) -> Result<Json<Vec<RequestView>>, Problem> {
    may(&actor)?;
    params.finish()?;
    let all = services.users.requests().await.map_err(refused)?;
    Ok(Json(all.into_iter().map(RequestView::from).collect()))
}

/// Confirms a change that somebody else asked for. The answer to a reset has the link for the user.
#[utoipa::path(post, path = "/api/v1/user-requests/{request}/confirm", tag = "access", params(("request" = String, Path)),
    responses(
    (status = 200, body = UserChange),
    (status = 404, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn confirm(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<UserChange>, Problem> {
    may(&actor)?;
    params.finish()?;
    let by = By::Actor(actor.clone());
    let request = services.users.confirmable(&id, &by).await.map_err(refused)?;
    note(&services, &actor, format!("confirm: {}", request.detail())).await?;
    let link = services.users.confirm(&request, &by).await.map_err(refused)?;
    let user = services.users.named(&request.user.name).await.map_err(refused)?.into();
    Ok(Json(UserChange { user, link: link.map(|link| link_view(&services, link)), request: None }))
}

/// Takes back, or denies, a change that waits.
#[utoipa::path(delete, path = "/api/v1/user-requests/{request}", tag = "access", params(("request" = String, Path)),
    responses((status = 204), (status = 404, body = Problem, content_type = "application/problem+json")))]
pub(super) async fn deny(
    State(services): State<Services>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Problem> {
    may(&actor)?;
    params.finish()?;
    let all = services.users.requests().await.map_err(refused)?;
    let request =
        all.into_iter().find(|one| one.id == id).ok_or_else(|| refused(UserError::NoSuchRequest))?;
    note(&services, &actor, format!("deny: {}", request.detail())).await?;
    services.users.deny(&id).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Errors: 403.
fn may(actor: &Actor) -> Result<(), Problem> {
    actor.need(Permission::Administer)?;
    actor.need_all_departments("users are of the whole installation")
}

async fn note(services: &Services, actor: &Actor, detail: String) -> Result<(), Problem> {
    audit(services, actor, AuditAction::Access, None, None, Some(detail)).await
}

fn rights_of(roles: &[String], departments: Option<Departments>) -> Result<Rights, Problem> {
    let roles: Roles =
        roles.join(",").parse().map_err(|error| Problem::field("roles", format!("{error}")))?;
    Rights::new(roles, departments).map_err(|error| refused(error.into()))
}

fn link_view(services: &Services, link: UserLink) -> LinkView {
    LinkView { url: services.users.address_of(&link, ""), expires_at: link.expires_at }
}

fn refused(error: UserError) -> Problem {
    let detail = error.to_string();
    let field = match &error {
        UserError::Bad(BadUser::Name) => "name",
        UserError::Bad(BadUser::DisplayName) => "display_name",
        UserError::Bad(BadUser::Machine) => "roles",
        UserError::Bad(BadUser::OfAll | BadUser::NoDepartments) => "departments",
        UserError::NoSuchUser | UserError::NoSuchRequest => {
            return Problem::new(StatusCode::NOT_FOUND, detail);
        }
        UserError::NameTaken | UserError::TooMany | UserError::Provided => {
            return Problem::new(StatusCode::CONFLICT, detail);
        }
        UserError::NotSecond => return Problem::forbidden(detail),
        UserError::NoRandom | UserError::Index(_) => {
            return Problem::unavailable("the index does not answer", 2);
        }
    };
    Problem::field(field, detail)
}
