//! What is handed to the person whom a recording is about. In: a recording and what the audit
//! knows of it. Out: one package with a cover sheet, and links that work once.
//!
//! Not here: who may hand out (`http`), where the audio is (`archive`).

pub mod links;
pub mod owner;
pub mod package;
pub mod sheet;
