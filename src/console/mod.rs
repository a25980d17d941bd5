//! The web pages for people: HTML that the recorder renders, with a style sheet and small scripts. In: requests of
//! browsers. Out: pages in Danish or English. All that they show, and all that they change, they ask of the API
//! (`ask`) with the cookie of whoever is signed in: rights, departments and the audit are the API's, and a page can do no
//! more than a program with the same token. Not here: signing in (`http::sign_in`).
//!
//! # How a page is added
//! 1. A file, or a folder, beside this one with a handler for each address. It takes a `Frame`, which is
//!    there only for whoever is signed in, asks the API by `frame.get(…)` and answers `frame.page(…)`:
//!    ```ignore
//!    async fn list(frame: Frame) -> Response {
//!        let text = HoldTexts::of(frame.language);
//!        match frame.get::<Vec<Hold>>("/api/v1/holds", &[]).await {
//!            Ok(holds) => frame.page(Page::of(text.title), html! { ul { @for hold in &holds { li { (hold.reason) } } } }),
//!            Err(failure) => frame.failed(&failure),
//!        }
//!    }
//!    ```
//!    What the page needs of an answer is a struct of its own with `Deserialize`. Markup is `maud`'s, which escapes all
//!    text; names of people stand in `name`, times in `frame.time(…)`.
//! 2. Its texts in a table made by `texts!`, both languages on one line; the table's `ALL` goes into the test
//!    in `texts`. An error that belongs to a field stands beside it: `field`.
//! 3. A change is a `<form method="post">` to an address of its own, which contains `frame.key()`. Its handler takes the
//!    form as `Form<Sent<…>>`, calls `frame.change(…)` with its key, and answers `frame.go("/…")`, so that Reload and
//!    Back repeat nothing.
//! 4. Its routes in `routes`, and a line in `navigation::ENTRIES` if it is one of the main pages.
//! 5. A script only where HTML cannot do it: a module in `assets`, a line in `files::FILES`, its name in
//!    `Page::script`. Its texts come from the page (`data-…` attributes), never from the script. The policy forbids inline
//!    scripts and styles: no `style=` and no `on…=`.
//! 6. Its address in the lists of `tests/it/console`: every page is looked at in both languages, both themes and at the
//!    width of a telephone.

mod ask;
mod audit;
mod calls;
mod cases;
mod choices;
mod departments;
mod errors;
mod files;
mod frame;
mod health;
mod home;
mod layout;
mod me;
mod navigation;
mod parts;
mod recording;
mod recordings;
mod retention;
#[cfg(test)]
mod tests;
mod texts;
mod verify;
mod wanted;
mod when;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{from_fn, map_response};
use axum::response::{Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, extract::DefaultBodyLimit};

use ask::Api;

/// Scripts, styles, sound and requests of this server alone; forms that go here; no frames, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    media-src 'self' blob:; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// Longest form. Units: bytes.
const FORM_BYTES: usize = 256 << 10;

/// The API with the pages beside it. What the API refuses to a browser that asks for a page, it gets as a page.
pub fn with_pages(api: Router) -> Router {
    let pages = routes().with_state(Api::new(api.clone()));
    let pages = pages.layer(DefaultBodyLimit::max(FORM_BYTES)).layer(map_response(with_headers));
    api.merge(pages.merge(files::router())).layer(from_fn(errors::as_pages))
}

/// Every page with its address.
fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(home::home))
        .route("/choose", post(choices::choose))
        .route("/recordings", get(recordings::list))
        .route("/recordings/{id}", get(recording::show))
        .route("/recordings/{id}/erase", get(recording::ask_erase).post(recording::erase))
        .route("/recordings/{id}/erased", get(recording::erased))
        // The page of an earlier version.
        .route("/requests", get(|| async { Redirect::permanent("/cases") }))
        .merge(cases::routes())
        .route("/audit", get(audit::list))
        .route("/audit/unusual", get(audit::unusual))
        .route("/retention", get(retention::show))
        .route("/retention/report", get(retention::report))
        .route("/health", get(health::show))
        .route("/health/store", get(health::show).post(health::try_store))
        .route("/verify", get(verify::ask).post(verify::verify))
        .route("/calls", get(calls::list))
        .route("/calls/part", get(calls::part))
        .route("/calls/answer", post(calls::answer_by_name))
        .route("/calls/{id}/answer", post(calls::answer))
        .route("/calls/{id}/pause", get(calls::ask_pause).post(calls::pause))
        .route("/calls/{id}/resume", post(calls::resume))
        .route("/calls/{id}/withdraw", get(calls::ask_withdraw).post(calls::withdraw))
        .method_not_allowed_fallback(errors::method_not_allowed)
}

/// Adds what a browser must know of a page; a page is never kept.
async fn with_headers(mut answer: Response) -> Response {
    // A document of the API, such as a letter, has a policy of its own.
    let own = answer.headers_mut().remove(CONTENT_SECURITY_POLICY);
    page_headers(answer.headers_mut());
    if let Some(own) = own {
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, own);
    }
    answer
}

/// The headers of a page.
fn page_headers(headers: &mut HeaderMap) {
    let all = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in all {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
