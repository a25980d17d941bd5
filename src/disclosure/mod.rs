//! The package for the person recorded. In: a recording and its audit entries. Out: one package with a cover
//! sheet, and single-use links.
//!
//! Not here: permissions (`http`), the location of the audio (`archive`).

pub mod links;
pub mod owner;
pub mod package;
pub mod sheet;
