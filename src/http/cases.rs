//! `/api/v1/cases`: requests of callers, from intake to closing. Each look and each step is audited before it is answered.
//!
//! *Invariant:* a case of another department is answered like one that does not exist, and its recordings are of its own
//! department. Who may only audit sees no personal data.

pub(crate) mod intake;
pub(crate) mod letter;
pub(crate) mod listen;
pub(crate) mod steps;
pub(crate) mod views;

mod carry_out;
mod reach;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::services::Services;

/// The routes.
pub(in crate::http) fn routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(intake::open, intake::list))
        .routes(routes!(intake::show))
        .routes(routes!(steps::amend))
        .routes(routes!(steps::identify))
        .routes(routes!(steps::choose))
        .routes(routes!(steps::extend))
        .routes(routes!(steps::decide))
        .routes(routes!(steps::repeat))
        .routes(routes!(steps::close))
        .routes(routes!(listen::candidates))
        .routes(routes!(listen::preview))
        .routes(routes!(letter::letter))
        .routes(routes!(letter::sheet))
        .routes(routes!(listen::listen))
        .routes(routes!(listen::hand_out))
        .routes(routes!(listen::link, listen::revoke_link))
}
