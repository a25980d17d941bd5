//! Pages on stand-ins of what the API uses: who gets which, in which language, and with what a browser must know of them.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Method, Request};
use tower::ServiceExt;

use super::files::FILES;
use super::navigation::ENTRIES;
use super::with_pages;
use crate::auth::Departments;
use crate::auth::tokens::NewToken;
use crate::http::access::{Permission, Role};
use crate::http::fakes::{Answer, Api};

/// Most that the first page of a visit may weigh, with its styles and scripts. Units: bytes.
const FIRST_LOAD: usize = 60_000;

/// A browser with its cookies.
pub(super) struct Browser {
    pub api: Api,
    router: axum::Router,
    cookies: Vec<String>,
    /// Headers besides.
    extra: Vec<(&'static str, String)>,
}

impl Browser {
    pub(super) fn new() -> Self {
        let api = Api::new();
        let router = with_pages(api.router.clone());
        Self { api, router, cookies: Vec::new(), extra: Vec::new() }
    }

    /// One in which somebody with this role is signed in, for all departments.
    pub(super) async fn of(role: Role) -> Self {
        Self::within(role, Departments::All).await
    }

    /// The same within departments.
    pub(super) async fn within(role: Role, departments: Departments) -> Self {
        let mut browser = Self::new();
        let token = NewToken { departments: Some(departments), ..NewToken::of(role.name(), role) };
        let secret = browser.api.tokens.create(&token).await.unwrap();
        let answer = browser.post("/sign-in", &format!("secret={secret}")).await;
        assert_eq!(answer.status, 303);
        browser
    }

    /// Another browser at the same recorder, in which somebody with this role is signed in.
    pub(super) async fn another(&self, role: Role) -> Self {
        let mut other = Self {
            api: self.api.clone(),
            router: self.router.clone(),
            cookies: Vec::new(),
            extra: Vec::new(),
        };
        let secret = self.api.tokens.create(&NewToken::of(role.name(), role)).await.unwrap();
        assert_eq!(other.post("/sign-in", &format!("secret={secret}")).await.status, 303);
        other
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn post(&mut self, path: &str, form: &str) -> Answer {
        self.send(Method::POST, path, Some(form)).await
    }

    /// The text of a page that is there.
    pub(super) async fn page(&mut self, path: &str) -> String {
        let answer = self.get(path).await;
        let text = text(&answer);
        assert_eq!((answer.status.as_u16(), answer.header("location")), (200, ""), "{path}: {text}");
        text
    }

    async fn send(&mut self, method: Method, path: &str, form: Option<&str>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "calls.example");
        request = request.header("accept", "text/html,*/*").header("sec-fetch-site", "same-origin");
        request = request.header("cookie", self.cookies.join("; "));
        for (name, value) in &self.extra {
            request = request.header(*name, value);
        }
        if form.is_some() {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let request =
            request.body(form.map_or_else(Body::empty, |form| Body::from(form.to_owned()))).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        for set in head.headers.get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            let name = format!("{}=", pair.split('=').next().unwrap());
            self.cookies.retain(|cookie| !cookie.starts_with(&name));
            if pair != name {
                self.cookies.push(pair);
            }
        }
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Answer { status: head.status, headers: head.headers, bytes }
    }
}

/// The key in the forms of a page.
pub(super) fn key(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"key\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

pub(super) fn text(answer: &Answer) -> String {
    String::from_utf8(answer.bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn who_is_not_signed_in_gets_the_form_and_afterwards_the_page_that_was_wanted() {
    let mut browser = Browser::new();
    let answer = browser.get("/recordings?q=Bl%C3%A5").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/sign-in?lang=en"));
    let secret = browser.api.tokens.create(&NewToken::of("ada", Role::Admin)).await.unwrap();
    assert_eq!(browser.post("/sign-in", &format!("secret={secret}")).await.header("location"), "/");
    assert_eq!(browser.get("/").await.header("location"), "/recordings?q=Bl%C3%A5");
    assert_eq!(browser.get("/").await.header("location"), "/recordings", "wanted once");
}

#[tokio::test]
async fn each_role_is_led_to_its_own_pages() {
    for (role, first) in
        [(Role::Listener, "/recordings"), (Role::Contact, "/cases"), (Role::Supervisor, "/calls")]
    {
        let mut browser = Browser::of(role).await;
        assert_eq!(browser.get("/").await.header("location"), first, "{}", role.name());
        let page = browser.page(first).await;
        for entry in ENTRIES {
            let may =
                Permission::ALL.iter().any(|(name, one)| role.allows(*one) && entry.needs.contains(name));
            assert_eq!(
                page.contains(&format!("href=\"{}\"", entry.path)),
                may,
                "{}: {}",
                role.name(),
                entry.path
            );
        }
        assert!(page.contains(&format!("<a href=\"{first}\" aria-current=\"page\">")), "{page}");
    }
    let known: BTreeSet<&str> = Permission::ALL.iter().map(|(name, _)| *name).collect();
    assert!(ENTRIES.iter().flat_map(|entry| entry.needs).all(|need| known.contains(need)));
}

#[tokio::test]
async fn a_choice_of_language_or_colours_keeps_the_page() {
    let mut browser = Browser::of(Role::Admin).await;
    assert!(browser.page("/recordings?q=x").await.contains("<html lang=\"en\">"));
    for (form, expected) in [("language=da", "<html lang=\"da\">"), ("theme=dark", "data-theme=\"dark\"")] {
        let answer = browser.post("/choose", &format!("{form}&back=%2Frecordings%3Fq%3Dx")).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/recordings?q=x"));
        assert!(browser.page("/recordings?q=x").await.contains(expected));
    }
    let page = browser.page("/recordings?q=x").await;
    assert!(page.contains("<title>Optagelser – optag</title>") && page.contains("Log ud"), "{page}");
    assert!(page.contains("name=\"back\" value=\"/recordings?q=x\""), "{page}");
}

#[tokio::test]
async fn a_failure_is_a_page_in_the_readers_language_and_stays_a_problem_for_programs() {
    let mut browser = Browser::new();
    browser.post("/choose", "language=da&back=/").await;
    for (path, status, words) in [
        ("/nowhere", 404, "Ikke fundet"),
        ("/choose", 405, "Adressen kan ikke åbnes"),
        ("/sign-out", 405, "Adressen"),
    ] {
        let answer = browser.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (status, "text/html; charset=utf-8")
        );
        assert!(text(&answer).contains(words), "{path}: {}", text(&answer));
    }
    // A link that was used, and too many of them.
    let mut last = browser.get("/handout/used").await;
    assert!(last.status == 404 && text(&last).contains("Linket er ugyldigt eller allerede brugt"));
    for _ in 0..40 {
        last = browser.get("/handout/used").await;
    }
    assert_eq!((last.status.as_u16(), last.header("content-type")), (429, "text/html; charset=utf-8"));
    assert!(text(&last).contains("For mange forespørgsler") && last.header("retry-after") == "2");
    let wrong = browser.post("/choose", &"x".repeat(300_000)).await;
    assert_eq!((wrong.status.as_u16(), text(&wrong).contains("For stor")), (413, true));
    browser.get("/api/v1/nothing").await.problem(404);
    let program = Request::get("/nowhere").body(Body::empty()).unwrap();
    let answer = browser.router.clone().oneshot(program).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn nothing_in_a_page_is_inline_and_every_page_says_what_a_browser_may_load() {
    let mut browser = Browser::of(Role::Admin).await;
    for path in ENTRIES.iter().map(|entry| entry.path).chain(["/nowhere"]) {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(
            (answer.header("cache-control"), answer.header("x-content-type-options")),
            ("no-store", "nosniff")
        );
        let page = text(&answer);
        for inline in [" style=", "<style", "<script>", " onclick", " onload", " onerror", "javascript:"] {
            assert!(!page.contains(inline), "{path}: {inline}");
        }
        assert_eq!(page.matches("<h1>").count(), 1, "{path}");
    }
    for (path, _, text) in FILES.iter().filter(|(path, ..)| path.ends_with(".js")) {
        for bad in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write", "http://", "https://"]
        {
            assert!(!text.contains(bad), "{path}: {bad}");
        }
    }
}

#[tokio::test]
async fn the_first_page_of_a_visit_is_light() {
    let mut browser = Browser::of(Role::Admin).await;
    for entry in ENTRIES {
        let page = browser.page(entry.path).await;
        let mut todo: Vec<&str> =
            FILES.iter().map(|(path, ..)| *path).filter(|path| page.contains(*path)).collect();
        let mut loaded = BTreeSet::new();
        while let Some(path) = todo.pop() {
            let (_, _, text) = FILES.iter().find(|(known, ..)| *known == path).unwrap();
            if loaded.insert(path) {
                todo.extend(FILES.iter().map(|(other, ..)| *other).filter(|other| text.contains(*other)));
            }
        }
        let files: usize =
            FILES.iter().filter(|(path, ..)| loaded.contains(path)).map(|(.., text)| text.len()).sum();
        assert!(page.len() + files <= FIRST_LOAD, "{}: {} and {files} bytes", entry.path, page.len());
        assert!(loaded.contains("/console/style.css"));
    }
}

#[tokio::test]
async fn files_are_sent_once_a_version() {
    let browser = Browser::new();
    let get = async |tag: &str| {
        let request = Request::get("/console/style.css").header("if-none-match", tag).body(Body::empty());
        browser.router.clone().oneshot(request.unwrap()).await.unwrap()
    };
    let first = get("\"other\"").await;
    assert_eq!(first.status(), 200);
    assert_eq!(get(first.headers()["etag"].to_str().unwrap()).await.status(), 304);
}

#[tokio::test]
async fn a_change_needs_the_key_of_a_form_of_ours() {
    let mut browser = Browser::of(Role::Supervisor).await;
    let place = format!("/calls/{}/pause", crate::http::fakes::id());
    let page = browser.page(&place).await;
    let key = key(&page);
    for form in ["reason=x".to_owned(), "reason=x&key=other".to_owned()] {
        assert_eq!(browser.post(&place, &form).await.status, 403, "{form}");
    }
    // What the browser itself sends is no key: another site could have it sent.
    browser.extra = vec![("optag-change", key.clone())];
    assert_eq!(browser.post(&place, "reason=x").await.status, 403);
    browser.extra.clear();
    let answer = browser.post(&place, &format!("reason=+&key={key}")).await;
    assert_eq!((answer.status.as_u16(), text(&answer).contains("Write a reason.")), (422, true));
    let answer = browser.post(&place, &format!("reason=x&key={key}")).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/calls?done=pause"));
    assert_eq!(browser.api.fake.controls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_search_that_fails_leaves_nothing_to_select_and_a_wrong_day_stands_beside_its_field() {
    let mut browser = Browser::of(Role::Listener).await;
    let page = browser.page("/recordings?q=Blixen").await;
    assert!(
        page.contains("1 recording") && page.contains("data-recording=") && page.contains("Citizen service"),
        "{page}"
    );
    let page = browser.page("/recordings?from=2026-02-30").await;
    assert!(page.contains("id=\"from-wrong\"") && !page.contains("data-recording="), "{page}");
    *browser.api.fake.fail.lock().unwrap() = Some(crate::http::recordings::library::LibraryError::IndexDown);
    let page = browser.page("/recordings?q=Blixen").await;
    assert!(page.contains("role=\"alert\"") && page.contains("no recordings are shown"), "{page}");
    assert!(!page.contains("data-recording=") && page.contains("value=\"Blixen\""), "{page}");
}
