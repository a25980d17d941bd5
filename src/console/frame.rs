//! What every page has: who is signed in, language, theme, and the API as this browser reaches it.

use axum::extract::FromRequestParts;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::ask::{self, Api, Asking, Failure};
use super::choices::{self, Theme, code, here};
use super::layout::{self, Shell};
use super::me::Me;
use super::texts::FrameTexts;
use super::when::Zone;
use super::{errors, wanted};
use crate::disclosure::sheet::Language;

/// A page besides its content.
pub(super) struct Page<'a> {
    /// Its name: in the window's title and as its first heading.
    pub title: &'a str,
    /// Scripts of `assets`, by name.
    pub scripts: &'a [&'static str],
    /// Its status.
    pub status: StatusCode,
}

impl<'a> Page<'a> {
    /// A page of this name without scripts.
    pub(super) fn of(title: &'a str) -> Self {
        Self { title, scripts: &[], status: StatusCode::OK }
    }

    /// The same with scripts.
    pub(super) fn scripts(self, scripts: &'a [&'static str]) -> Self {
        Self { scripts, ..self }
    }

    /// The same with a status.
    pub(super) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

/// What every page has. Where nobody is signed in, the browser is sent to the form instead.
pub(super) struct Frame {
    /// The reader's language.
    pub language: Language,
    /// The colours.
    pub theme: Theme,
    /// Who is signed in.
    pub me: Me,
    /// Where local times are.
    pub zone: Zone,
    /// The address of this page.
    place: String,
    asking: Asking,
}

impl FromRequestParts<Api> for Frame {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let (language, theme) = (choices::language(&parts.headers), choices::theme(&parts.headers));
        let place = parts.uri.path_and_query().map_or("/", |place| place.as_str()).to_owned();
        let asking = api.of(parts);
        match asking.get::<Me>("/api/v1/me", &[]).await {
            Ok(me) => {
                let zone = Zone::of(&me.time_zone);
                Ok(Self { language, theme, me, zone, place, asking })
            }
            Err(failure) if failure.status == StatusCode::UNAUTHORIZED => {
                Err(to_sign_in(language, (parts.method == Method::GET).then_some(place.as_str())))
            }
            Err(failure) => Err(errors::page(&parts.headers, failure.status)),
        }
    }
}

/// Sends the browser to the form, and keeps where it wanted to go.
fn to_sign_in(language: Language, wanted: Option<&str>) -> Response {
    let form = format!("/sign-in?lang={}", code(language));
    let mut answer = (StatusCode::SEE_OTHER, [(LOCATION, form)]).into_response();
    let place = wanted.map(here).filter(|place| place != "/");
    let cookie = place.and_then(|place| HeaderValue::try_from(wanted::remember(&place)).ok());
    answer.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    answer
}

impl Frame {
    /// Asks the API; a query's empty values are left out.
    ///
    /// Errors: what the API refuses.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        self.asking.get(path, query).await
    }

    /// Changes something through the API, with the key of the form; reads its answer.
    ///
    /// Errors: what the API refuses.
    pub(super) async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        address: &str,
        key: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, Failure> {
        ask::read(&self.asking.change(method, address, key, body).await?)
    }

    /// The API itself, for answers that are no JSON.
    pub(super) fn asking(&self) -> &Asking {
        &self.asking
    }

    /// The field that every form with a change has.
    pub(super) fn key(&self) -> Markup {
        html! { input type="hidden" name="key" value=(self.me.change_key); }
    }

    /// The address of this page, with its query.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// A page.
    pub(super) fn page(&self, page: Page<'_>, content: Markup) -> Response {
        let shell =
            Shell { language: self.language, theme: self.theme, me: Some(&self.me), place: &self.place };
        (page.status, layout::page(&shell, page.title, page.scripts, &content)).into_response()
    }

    /// A part of a page, for a script that brings it up to date.
    pub(super) fn part(&self, content: Markup) -> Response {
        content.into_response()
    }

    /// The page of a failure.
    pub(super) fn failed(&self, failure: &Failure) -> Response {
        if failure.status == StatusCode::UNAUTHORIZED {
            return to_sign_in(self.language, None);
        }
        let (title, content) = errors::words(self.language, failure.status);
        self.page(
            Page::of(title).status(failure.status),
            html! {
                p { (content) }
                (errors::ways_on(self.language))
                @if !failure.detail.is_empty() {
                    details { summary { (FrameTexts::of(self.language).detail) } p lang="en" { (failure.detail) } }
                }
            },
        )
    }

    /// The page for what is not there.
    pub(super) fn not_found(&self) -> Response {
        self.failed(&Failure { status: StatusCode::NOT_FOUND, fields: Vec::new(), detail: String::new() })
    }

    /// Goes to another page after a change.
    pub(super) fn go(&self, place: &str) -> Response {
        (StatusCode::SEE_OTHER, [(LOCATION, here(place))]).into_response()
    }

    /// A time, in the installation's time zone.
    pub(super) fn time(&self, at: jiff::Timestamp) -> Markup {
        self.zone.time(self.language, at)
    }
}

/// A form with a change: `Form<Sent<…>>`.
#[derive(Deserialize)]
pub(super) struct Sent<T> {
    /// What [`Frame::key`] put into it.
    #[serde(default)]
    pub key: String,
    /// Its fields, as texts.
    #[serde(flatten)]
    pub fields: T,
}
