//! Departments by name. A page shows names; ids stand in addresses alone.

use maud::{Markup, html};
use serde::Deserialize;

use super::ask::Failure;
use super::frame::Frame;
use super::parts::field;

/// A department, as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Department {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The prompts that its callers may hear.
    pub prompts: Vec<Prompt>,
}

/// A prompt.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Prompt {
    /// Its version.
    pub version: String,
    /// Its language.
    pub language: String,
    /// Its words.
    pub text: String,
    /// SHA-256 of these.
    pub text_sha256: String,
}

/// The departments of whoever is signed in.
pub(super) struct Departments(pub Vec<Department>);

impl Departments {
    /// Asks the API.
    ///
    /// Errors: what the API refuses.
    pub(super) async fn of(frame: &Frame) -> Result<Self, Failure> {
        Ok(Self(frame.get("/api/v1/departments", &[]).await?))
    }

    /// The name of a department; its id where the configuration has it no more.
    pub(super) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.iter().find(|one| one.id == id).map_or(id, |one| one.name.as_str())
    }

    /// A field to choose one, or all of them.
    pub(super) fn choice(&self, all: &str, label: &str, chosen: &str) -> Markup {
        let unknown = !chosen.is_empty() && !self.0.iter().any(|one| one.id == chosen);
        let control = html! {
            select id="department" name="department" {
                option value="" { (all) }
                @for one in &self.0 { option value=(one.id) selected[one.id == chosen] { (one.name) } }
                @if unknown { option value=(chosen) selected { (chosen) } }
            }
        };
        field("department", label, None, &control)
    }
}
