//! Which participant must be asked: the one who calls, or whom the recorded user has called.
//!
//! In: the metadata [`View`], header fields, the departments, who it was so far. Out: its place, and
//! whether that is a guess.

use crate::siprec::metadata::merged::{Member, View};
use crate::siprec::parties::Hints;
use crate::siprec::parties::departments::{Departments, user_of};
use optag_core::private::Private;

/// The participant who calls: as a vendor says; else the one known so far; else the one whose
/// number the vendor's call data or From has; else the one who is no department; else the
/// first. Where a client records the calls of one user, it is the other, whoever dialled. The
/// second value is whether that is a guess.
pub(in crate::siprec) fn calling_member(
    view: &View,
    hints: &Hints,
    departments: &Departments,
    known: Option<&str>,
) -> (Option<usize>, bool) {
    let members = &view.participants;
    let mut all: Vec<usize> = (0..members.len()).filter(|at| members[*at].is_here()).collect();
    if let Some(at) = all.iter().copied().find(|at| members[*at].calls == Some(true)) {
        return (Some(at), false);
    }
    if let Some(at) = known.and_then(|id| stands_for(view, id, departments)) {
        return (Some(at), false);
    }
    if all.is_empty() {
        all = (0..members.len()).collect();
    }
    let find = |test: &dyn Fn(usize) -> bool| all.iter().copied().find(|at| test(*at));
    if let Some(callee) = find(&|at| members[at].calls == Some(false)) {
        return (find(&|at| at != callee), false);
    }
    let has = |at: usize, text: &str| {
        let key = departments.key(text);
        !key.is_empty() && members[at].aors.iter().any(|aor| departments.key(aor.reveal()) == key)
    };
    let has_told =
        |at: usize, text: &Option<Private<String>>| text.as_ref().is_some_and(|t| has(at, t.reveal()));
    if let Some(user) = user_of_view(view, departments).filter(|user| all.contains(user)) {
        return (find(&|at| at != user), false);
    }
    if let Some(at) = find(&|at| has_told(at, &view.caller)) {
        return (Some(at), false);
    }
    if let Some(callee) = find(&|at| has_told(at, &view.called)) {
        return (find(&|at| at != callee), false);
    }
    let from = hints.all("from").next().unwrap_or_default();
    if let Some(at) = find(&|at| has(at, from)) {
        return (Some(at), false);
    }
    let is_department =
        |at: usize| members[at].aors.iter().any(|aor| departments.named(aor.reveal()).is_some());
    match find(&is_department) {
        Some(_) => (find(&|at| !is_department(at)), false),
        None => (find(&|_| true), !members.is_empty()),
    }
}

/// The participant whose calls the client records, where it says so.
pub(in crate::siprec) fn user_of_view(view: &View, departments: &Departments) -> Option<usize> {
    let user = view.user.as_ref()?.reveal();
    let (whole, key) = (user.to_ascii_lowercase(), departments.key(&user_of(user)));
    let aors =
        |member: &Member, test: &dyn Fn(&str) -> bool| member.aors.iter().any(|aor| test(aor.reveal()));
    let here = || view.participants.iter().enumerate().filter(|(_, member)| member.is_here());
    let exact = here().find(|(_, member)| {
        whole.contains('@') && aors(member, &|aor| aor.to_ascii_lowercase().contains(&whole))
    });
    let alike =
        || here().find(|(_, member)| aors(member, &|aor| !key.is_empty() && departments.key(aor) == key));
    exact.or_else(alike).map(|(at, _)| at)
}

/// Who is the caller now, if `id` was so far: the same one, even after having left; but one with
/// the same address, or who took over the same stream; and nobody for sure, if `id` left without
/// ever having one.
fn stands_for(view: &View, id: &str, departments: &Departments) -> Option<usize> {
    let is = |member: &Member| member.id == id || member.former_ids.iter().any(|former| former == id);
    let at = view.participants.iter().position(is)?;
    let was = &view.participants[at];
    if was.is_here() {
        return Some(at);
    }
    let keys: Vec<String> = was.aors.iter().map(|aor| departments.key(aor.reveal())).collect();
    let same =
        |m: &Member| m.is_here() && m.aors.iter().any(|aor| keys.contains(&departments.key(aor.reveal())));
    let shares = |m: &Member| m.is_here() && m.sends.iter().any(|s| was.sends.contains(s));
    let heir = view.participants.iter().position(same).or_else(|| view.participants.iter().position(shares));
    heir.or_else(|| (!was.sends.is_empty()).then_some(at))
}
