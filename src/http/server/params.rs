//! Strict parsing of query parameters and path ids: an unknown or repeated one is an error.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;

use crate::http::access::{Actor, Permission};
use crate::http::audited::Purpose;
use crate::http::problem::{FieldError, Problem};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::limit;

/// The `id` in a path.
pub struct Id(pub CallId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::field("id", optag_core::id::BadCallId.to_string()))?;
        text.parse()
            .map(Self)
            .map_err(|error: optag_core::id::BadCallId| Problem::field("id", error.to_string()))
    }
}

/// The query's parameters, taken one by one; errors are collected until [`Params::finish`].
pub struct Params {
    left: Vec<(String, String)>,
    header_purpose: Option<String>,
    errors: Vec<FieldError>,
    lacks_purpose: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(left) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::field("query", "not a valid query string"))?;
        let header =
            parts.headers.get("optag-purpose").map(|value| value.to_str().unwrap_or("(not text)").to_owned());
        Ok(Self { left, header_purpose: header, errors: Vec::new(), lacks_purpose: false })
    }
}

impl Params {
    /// Takes a text of 1 to [`limit::TEXT_CHARS`] characters. An empty one counts as absent.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        let value = self.take(name).filter(|value| !value.is_empty())?;
        if value.chars().count() > limit::TEXT_CHARS || !optag_core::call::text::is_plain(&value) {
            self.wrong(name, format!("at most {} characters, no control characters", limit::TEXT_CHARS));
            return None;
        }
        Some(value)
    }

    /// Takes a value and parses it; `expected` describes what it must be.
    pub fn parsed<T: FromStr>(&mut self, name: &'static str, expected: &str) -> Option<T> {
        let value = self.take(name)?;
        match value.parse() {
            Ok(parsed) => Some(parsed),
            Err(_) => {
                self.wrong(name, format!("expected {expected}"));
                None
            }
        }
    }

    /// Takes a time: RFC 3339, or a day, which means its first instant in UTC.
    pub fn time(&mut self, name: &'static str) -> Option<WallTime> {
        let value = self.take(name).filter(|value| !value.is_empty())?;
        let day = || format!("{value}T00:00:00Z").parse().ok().filter(|_| value.len() == 10);
        let parsed = value.parse::<jiff::Timestamp>().ok().or_else(day);
        if parsed.is_none() {
            self.wrong(name, "expected a time such as 2026-11-24T10:00:00Z, or a day such as 2026-11-24");
        }
        parsed.map(WallTime::from_timestamp)
    }

    /// Takes the purpose, from the query or the header `Optag-Purpose`. If both are given they must agree.
    fn purpose(&mut self, required: bool) -> Option<Purpose> {
        let (in_query, in_header) = (self.take("purpose"), self.header_purpose.take());
        let agree = in_query.is_none() || in_header.is_none() || in_query == in_header;
        let given = in_query.or(in_header);
        let purpose = given.as_deref().and_then(Purpose::from_name).filter(|_| agree);
        if purpose.is_none() && (required || given.is_some()) {
            self.lacks_purpose = true;
            self.wrong("purpose", format!("one of {} is required", Purpose::NAMES.join(", ")));
        }
        purpose
    }

    /// Takes the required purpose, which must be one that a role with the permission may state.
    ///
    /// Errors: 403 if it is not.
    pub fn allowed_purpose(
        &mut self,
        actor: &Actor,
        permission: Permission,
    ) -> Result<Option<Purpose>, Problem> {
        let purpose = self.purpose(true);
        purpose.map_or(Ok(()), |purpose| actor.may_look(permission, purpose))?;
        Ok(purpose)
    }

    /// Takes an optional purpose; if given, it must be one that a role with the permission may state.
    ///
    /// Errors: 403 if it is not.
    pub fn stated_purpose(
        &mut self,
        actor: &Actor,
        permission: Permission,
    ) -> Result<Option<Purpose>, Problem> {
        let purpose = self.purpose(false);
        purpose.map_or(Ok(()), |purpose| actor.may_look(permission, purpose))?;
        Ok(purpose)
    }

    /// Notes an invalid parameter.
    pub fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.errors.push(FieldError { field: field.into(), message: message.into() });
    }

    /// Ends the parsing. Errors: all invalid parameters, including unknown ones.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.left) {
            self.wrong(name, "there is no such parameter");
        }
        match (self.errors.is_empty(), self.lacks_purpose) {
            (true, _) => Ok(()),
            (false, false) => Err(Problem::fields(self.errors)),
            (false, true) => Err(Problem::fields(self.errors).with_status(StatusCode::BAD_REQUEST)),
        }
    }

    fn take(&mut self, name: &'static str) -> Option<String> {
        let at = self.left.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.left.remove(at);
        if self.left.iter().any(|(key, _)| key == name) {
            self.left.retain(|(key, _)| key != name);
            self.wrong(name, "given more than once");
        }
        Some(value)
    }
}
