//! The departments that bound an actor's rights. In: ids from outside, guessed ones included. Out: what the actor may know
//! of; the rest is answered like what does not exist.
//!
//! *Invariant:* nothing is done to a recording by its id without a [`Reached`], which is made here.

use std::collections::HashSet;

use crate::http::access::Actor;
use crate::http::audited::AuditAction;
use crate::http::calls::not_steered;
use crate::http::problem::Problem;
use crate::http::reached::Reached;
use crate::http::recordings::library::LibraryError;
use crate::http::recordings::{audit, unanswered};
use crate::http::services::Services;
use crate::metrics::{self, AuthFailure};
use optag_core::id::CallId;
use optag_sip::feed::{CallView, ControlError};

impl Actor {
    /// A recording, if it is in the actor's departments.
    ///
    /// Errors: 404, the same as for one that does not exist, and an entry in the audit log. 503: nobody can say.
    pub(in crate::http) async fn reach(&self, services: &Services, id: CallId) -> Result<Reached, Problem> {
        match self.reach_each(services, &[id]).await?.first() {
            Some(Ok(reached)) => Ok(*reached),
            _ => Err(unanswered(LibraryError::NotFound)),
        }
    }

    /// The same for several, in their order; an error is the id of one that is out of reach.
    ///
    /// Errors: 503: nobody can say.
    pub(in crate::http) async fn reach_each(
        &self,
        services: &Services,
        ids: &[CallId],
    ) -> Result<Vec<Result<Reached, CallId>>, Problem> {
        self.reach_each_or(services, ids, &HashSet::new()).await
    }

    /// The same. `elsewhere`: recordings for which another node has compared the departments.
    ///
    /// Errors: 503: nobody can say.
    pub(in crate::http) async fn reach_each_or(
        &self,
        services: &Services,
        ids: &[CallId],
        elsewhere: &HashSet<CallId>,
    ) -> Result<Vec<Result<Reached, CallId>>, Problem> {
        let mut covered = self.covered(services, ids.to_vec()).await?;
        covered.extend(elsewhere);
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            if covered.contains(id) {
                all.push(Ok(Reached::after_check(*id)));
                continue;
            }
            metrics::auth_failed(AuthFailure::Department);
            audit(services, self, AuditAction::Refused, None, Some(*id), None).await?;
            all.push(Err(*id));
        }
        Ok(all)
    }

    /// Of these recordings, those in the actor's departments.
    ///
    /// Errors: 503: nobody can say.
    pub(in crate::http) async fn covered(
        &self,
        services: &Services,
        ids: Vec<CallId>,
    ) -> Result<HashSet<CallId>, Problem> {
        if self.departments.are_all() || ids.is_empty() {
            return Ok(ids.into_iter().collect());
        }
        let covered = services.library.within(ids, self.departments.clone()).await;
        Ok(covered.map_err(unanswered)?.into_iter().collect())
    }

    /// A call in progress, if it is in the actor's departments now.
    ///
    /// Errors: 404, the same as for one that does not exist.
    pub(in crate::http) fn reach_call(&self, services: &Services, id: CallId) -> Result<(), Problem> {
        let covers = |view: CallView| self.departments.cover(&view.department);
        if self.departments.are_all() || services.feed.call(id).is_some_and(covers) {
            return Ok(());
        }
        metrics::auth_failed(AuthFailure::Department);
        Err(not_steered(ControlError::NoSuchCall(id)))
    }
}
