//! The package for the person recorded. In: a recording and its audit entries. Out: one package with a cover
//! sheet, single-use links, and the letter that answers a request.
//!
//! Not here: permissions (`http`), the location of the audio (`archive`).

mod document;
pub mod letter;
pub mod links;
pub mod owner;
pub mod package;
pub mod sheet;
