//! Answers to the consent prompt and their evidence: one rule for every entry point, by the call's id or by
//! an external identifier.
//!
//! In: the actor and the body. Out: the control with its evidence, or the invalid fields. Not here: the calls
//! that it applies to, and the consent rules.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::access::Actor;
use crate::http::calls::body::Wrong;
use crate::http::problem::Problem;
use optag_core::call::{Answer, ConsentHow, Evidence};
use optag_core::limit;
use optag_sip::feed::Control;

/// The channel of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// A key press detected by another system.
    Key,
    /// A PBX or IVR.
    System,
    /// A member of staff.
    Staff,
}

/// An answer as given in a body.
pub(in crate::http) struct Said {
    pub answer: Answer,
    pub how: How,
    pub prompt_version: Option<String>,
    pub staff: Option<String>,
}

impl Said {
    /// The control for the answer. Invalid fields are added to `wrong`, which may contain others.
    ///
    /// Errors: every invalid field.
    pub(crate) fn check(self, actor: &Actor, wrong: &mut Wrong) -> Result<Control, Problem> {
        if let Some(version) = &self.prompt_version {
            wrong.text("prompt_version", version, limit::TEXT_CHARS);
        }
        let how = way(actor, Some(self.how));
        // An oral yes is worthless if nobody knows who heard it.
        let nameless = !actor.is_agent() && self.staff.is_none();
        if matches!((how, self.answer), (How::Staff, Answer::Yes)) && nameless {
            wrong.add("staff", "required with how = staff: who took the caller's word");
        }
        let evidence = evidence(actor, self.staff, wrong)?;
        Ok(Control::Answer {
            answer: self.answer,
            how: how.into(),
            prompt_version: self.prompt_version,
            evidence,
        })
    }
}

/// The channel as determined by the actor: an agent has the caller's oral answer, whatever the body says, and
/// cannot have detected a key press.
pub(in crate::http) fn way(actor: &Actor, how: Option<How>) -> How {
    match actor.is_agent() {
        true => How::Staff,
        false => how.unwrap_or(How::System),
    }
}

/// The evidence: the token, and the member of staff if named.
///
/// Errors: every invalid field.
pub(in crate::http) fn evidence(
    actor: &Actor,
    staff: Option<String>,
    wrong: &mut Wrong,
) -> Result<Evidence, Problem> {
    if let Some(staff) = &staff {
        wrong.text("staff", staff, limit::TEXT_CHARS);
    }
    if !wrong.0.is_empty() {
        return Err(Problem::fields(std::mem::take(&mut wrong.0)));
    }
    Ok(Evidence::Actor { name: actor.name.clone(), staff })
}

impl From<How> for ConsentHow {
    fn from(how: How) -> Self {
        match how {
            How::Key => Self::Key,
            How::System => Self::System,
            How::Staff => Self::Staff,
        }
    }
}
