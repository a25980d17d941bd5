//! Requests of callers as cases, from intake to closing. In: what a caller said, and the steps of whoever answers. Out: the
//! case as it stands, shared by all nodes.
//!
//! A case goes from *open* to *decided* to *closed* (`state`). Each step names the revision of the case that whoever took it
//! had seen: of two at once one counts, and the same one sent twice counts once (`register`). What a caller said stands in
//! the case until it is closed; afterwards nothing of it is left but dates, kind, decision and numbers.
//!
//! Not here: who may see a case, and what is done to recordings (`http::cases`).

pub mod case;
pub mod deadline;
pub mod register;
pub mod state;
