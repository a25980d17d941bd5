//! The pages of the cases on stand-ins: a request from intake to closing by forms alone, what is said of wrong fields, and
//! what is sent twice.

use crate::auth::Departments;
use crate::console::tests::{Browser, key, text};
use crate::http::access::Role;
use crate::http::fakes::{NAME, NUMBER, id};
use crate::http::recordings::library::LibraryError;

/// The hidden field of a page.
fn hidden(page: &str, name: &str) -> String {
    let (_, rest) =
        page.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{name}: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

async fn contact() -> Browser {
    Browser::within(Role::Contact, Departments::only(["demo"])).await
}

/// A case that was opened by the form: its address.
async fn opened(browser: &mut Browser) -> String {
    let page = browser.page("/cases/new").await;
    let form = format!(
        "key={}&form={}&asked=erase&department=demo&number={NUMBER}&name=Karen+Blixen&date=2026-11-24&time=14.30&how=called_back",
        key(&page),
        hidden(&page, "form"),
    );
    let answer =
        browser.post("/cases/new", &form.replace('+', "%2B").replace("Karen%2BBlixen", "Karen+Blixen")).await;
    let place = answer.header("location").to_owned();
    assert_eq!(answer.status, 303, "{}", text(&answer));
    place.strip_suffix("?done=open").unwrap_or_else(|| panic!("{place}")).to_owned()
}

/// Sends the step's form of a page.
async fn step(browser: &mut Browser, place: &str, to: &str, more: &str) -> (u16, String) {
    let page = browser.page(place).await;
    let form = format!("key={}&revision={}{more}", key(&page), hidden(&page, "revision"));
    let answer = browser.post(to, &form).await;
    (answer.status.as_u16(), answer.header("location").to_owned())
}

/// A case of which the recording is chosen.
async fn chosen(browser: &mut Browser) -> String {
    let place = opened(browser).await;
    let candidates = format!("{place}/candidates");
    let (status, to) = step(browser, &candidates, &candidates, &format!("&one={}", id())).await;
    assert_eq!((status, to), (303, format!("{place}?done=choose")));
    place
}

async fn decided(browser: &mut Browser, decision: &str) -> String {
    let place = chosen(browser).await;
    let decide = format!("{place}/decide/{decision}");
    let (status, to) = step(browser, &decide, &decide, "").await;
    assert!(status == 303 && to.starts_with(&format!("{place}?done=")), "{status} {to}");
    place
}

#[tokio::test]
async fn a_request_goes_from_intake_to_a_closed_case_by_forms_alone() {
    let mut browser = contact().await;
    let place = opened(&mut browser).await;
    let page = browser.page(&format!("{place}?done=open")).await;
    for shown in
        ["The case is opened", NAME, "14:30", "Called back", "No recording is chosen", "Citizen service"]
    {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("/decide/erase"), "nothing is decided without recordings: {page}");
    let page = browser.page("/cases").await;
    assert!(page.contains("Choose recordings") && page.contains("days left"), "{page}");

    let candidates = format!("{place}/candidates");
    let page = browser.page(&candidates).await;
    for shown in ["90 %", "same number", "near that time (3 min)", NUMBER, "type=\"checkbox\""] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    step(&mut browser, &candidates, &candidates, &format!("&one={}", id())).await;
    let page = browser.page(&place).await;
    assert!(page.contains(&format!("{}/audio", id())) && page.contains("/decide/erase"), "{page}");

    let decide = format!("{place}/decide/erase");
    let page = browser.page(&decide).await;
    for shown in ["cannot be undone", "What goes", "in the index", "What stays", "signed receipt"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert_eq!(step(&mut browser, &decide, &decide, "").await, (303, format!("{place}?done=decide")));
    let page = browser.page(&place).await;
    assert!(page.contains("Every copy was verified as gone") && page.contains("/erasure/receipt"), "{page}");
    // Nothing is left to select, and what leads there leads back.
    assert!(!page.contains("checkbox") && !page.contains("/decide/"), "{page}");
    for gone in [&candidates, &decide] {
        assert_eq!(browser.get(gone).await.header("location"), place);
    }
    let letter = browser.get(&format!("{place}/letter?language=da")).await;
    assert!(text(&letter).contains(NAME), "{}", text(&letter));
    let policy = letter.header("content-security-policy");
    assert!(
        policy.contains("style-src 'unsafe-inline'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );

    assert_eq!(
        step(&mut browser, &place, &format!("{place}/close"), "").await,
        (303, format!("{place}?done=close"))
    );
    let page = browser.page(&place).await;
    assert!(page.contains("The case is closed") && !page.contains(NAME) && !page.contains(NUMBER), "{page}");
    assert!(browser.page("/cases").await.contains("No open cases"));
    let page = browser.page("/cases?state=closed").await;
    assert!(page.contains("Every copy was verified as gone: 1") || page.contains("gone</td>"), "{page}");
    assert!(!page.contains(NAME), "{page}");
    assert_eq!(browser.get("/requests").await.header("location"), "/cases");
}

#[tokio::test]
async fn what_is_sent_twice_is_done_once_and_who_comes_second_sees_the_case_as_it_is() {
    let mut browser = contact().await;
    let page = browser.page("/cases/new").await;
    let form =
        format!("key={}&form={}&asked=erase&department=demo&name=Blixen", key(&page), hidden(&page, "form"));
    let first = browser.post("/cases/new", &form).await.header("location").to_owned();
    assert_eq!(browser.post("/cases/new", &form).await.header("location"), first);

    let place = chosen(&mut browser).await;
    let decide = format!("{place}/decide/erase");
    let page = browser.page(&decide).await;
    let form = format!("key={}&revision={}", key(&page), hidden(&page, "revision"));
    for _ in 0..3 {
        assert_eq!(browser.post(&decide, &form).await.status, 303);
    }
    assert_eq!(browser.api.fake.erased.lock().unwrap().len(), 1);
    // A page of somebody who looked before.
    let refuse = browser.post(&format!("{place}/decide/refuse"), &format!("{form}&ground=not_found")).await;
    let shown = text(&refuse);
    assert_eq!(refuse.status, 409);
    assert!(shown.contains("role=\"alert\"") && shown.contains("somebody else changed the case"), "{shown}");
    assert!(shown.contains("Every copy was verified as gone"), "{shown}");
    // A choice of language on such a page leads back to the case.
    for step in ["close".to_owned(), "carry-out".to_owned(), format!("recordings/{}/file", id())] {
        assert_eq!(browser.get(&format!("{place}/{step}")).await.header("location"), place);
    }
    // Without the key of our forms nothing happens.
    let other = browser.post(&format!("{place}/close"), "revision=4&key=x").await;
    assert_eq!(other.status, 403);
}

#[tokio::test]
async fn an_erasure_that_takes_longer_than_a_request_is_said_to_go_on() {
    let mut browser = contact().await;
    let place = chosen(&mut browser).await;
    let decide = format!("{place}/decide/erase");
    let page = browser.page(&decide).await;
    let form = format!("key={}&revision={}", key(&page), hidden(&page, "revision"));
    // The decision is taken, and what follows does not answer.
    *browser.api.fake.fail.lock().unwrap() = Some(LibraryError::StoreDown);
    let answer = browser.post(&decide, &form).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, format!("{place}?done=under_way").as_str())
    );
    *browser.api.fake.fail.lock().unwrap() = None;
    let page = browser.page(&format!("{place}?done=under_way")).await;
    for shown in ["goes on", "No result yet", "Look again", "cannot be closed"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // Where nothing was decided, nothing is said to go on.
    let place = chosen(&mut browser).await;
    let decide = format!("{place}/decide/hand-out");
    let page = browser.page(&decide).await;
    let form = format!("key={}&revision={}", key(&page), hidden(&page, "revision"));
    browser.api.fake.audit_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(browser.post(&decide, &form).await.status, 503);
}

#[tokio::test]
async fn what_is_wrong_stands_beside_its_field_and_what_was_written_stays() {
    let mut browser = contact().await;
    browser.post("/choose", "language=da&back=/").await;
    let page = browser.page("/cases/new").await;
    let form = format!("key={}&form={}&asked=erase&department=demo", key(&page), hidden(&page, "form"));
    for (more, field, words) in [
        ("", "number", "Skriv et nummer, et navn eller en dato."),
        ("&name=Blixen&date=2026-02-30", "date", "Det er ikke en dato."),
        ("&name=Blixen&time=25:99", "time", "Det er ikke et klokkeslæt."),
        ("&name=Blixen&time=10:00", "date", "Et klokkeslæt kræver en dato."),
        ("&name=Blixen&tolerance_min=9000", "tolerance_min", "0 til 720 minutter."),
        ("&name=Blixen&received_on=2999-01-01", "received_on", "En dato inden for det seneste år"),
        ("&name=Blixen&how=other", "identity_note", "Skriv, hvordan identiteten er kontrolleret."),
    ] {
        let answer = browser.post("/cases/new", &format!("{form}{more}")).await;
        let page = text(&answer);
        assert_eq!(answer.status, 422, "{more}: {page}");
        assert!(page.contains(&format!("id=\"{field}-wrong\">{words}")), "{more}: {page}");
        assert!(more.is_empty() || page.contains("value=\"Blixen\""), "{page}");
    }
    assert!(browser.page("/cases").await.contains("Ingen åbne sager"));

    let place = chosen(&mut browser).await;
    let refuse = format!("{place}/decide/refuse");
    for (more, words) in [("", "Vælg en grund."), ("&ground=other", "Skriv en begrundelse")] {
        let page = browser.page(&refuse).await;
        let form = format!("key={}&revision={}{more}", key(&page), hidden(&page, "revision"));
        let answer = browser.post(&refuse, &form).await;
        assert!(answer.status == 422 && text(&answer).contains(words), "{}", text(&answer));
    }
    let other = "&ground=other&reason=Optagelsen+er+ikke+borgerens.%0AVenlig+hilsen";
    assert_eq!(step(&mut browser, &refuse, &refuse, other).await, (303, format!("{place}?done=refuse")));
    let page = browser.page(&place).await;
    assert!(page.contains("Afslag: Anden grund") && page.contains("Optagelsen er ikke borgerens."), "{page}");
}

#[tokio::test]
async fn what_was_told_is_corrected_and_stands_so_in_the_letter() {
    let mut browser = contact().await;
    let place = opened(&mut browser).await;
    let told = format!("{place}/told");
    let page = browser.page(&told).await;
    assert!(page.contains("value=\"Karen Blixen\"") && page.contains("value=\"14:30\""), "{page}");
    let form = format!("key={}&revision={}", key(&page), hidden(&page, "revision"));
    let wrong = browser.post(&told, &format!("{form}&name=Karin&time=10:00")).await;
    assert!(wrong.status == 422 && text(&wrong).contains("id=\"date-wrong\""), "{}", text(&wrong));
    let right = browser.post(&told, &format!("{form}&name=Karin+Blixen&note=a%0Ab")).await;
    assert_eq!(
        (right.status.as_u16(), right.header("location")),
        (303, format!("{place}?done=told").as_str())
    );
    let page = browser.page(&place).await;
    assert!(page.contains("Karin Blixen") && !page.contains(NAME), "{page}");
    assert!(text(&browser.get(&format!("{place}/letter")).await).contains("Karin Blixen"));
}

#[tokio::test]
async fn a_link_is_shown_after_it_was_made_and_not_once_it_is_replaced_or_revoked() {
    let mut browser = contact().await;
    let place = decided(&mut browser, "hand-out").await;
    let one = format!("{place}/recordings/{}", id());
    let page = browser.page(&format!("{one}/hand-out")).await;
    let form = format!("key={}&format=wav&language=da&hours=24", key(&page));
    let short = browser.post(&format!("{one}/file"), &format!("{form}&passphrase=short")).await;
    assert!(short.status == 422 && text(&short).contains("id=\"passphrase-wrong\""), "{}", text(&short));

    let answer = browser.post(&format!("{one}/link"), &form).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, format!("{one}/link").as_str()));
    let set = answer.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", &format!("Path={one}/link"), "Max-Age=600"] {
        assert!(set.split("; ").any(|one| one == part), "{part}: {set}");
    }
    for _ in 0..2 {
        let page = browser.page(&format!("{one}/link")).await;
        assert!(page.contains("value=\"https://calls.example/handout/"), "{page}");
    }
    assert!(browser.page(&place).await.contains("A link that has not been used until"));
    let page = browser.page(&place).await;
    assert_eq!(browser.post(&format!("{one}/revoke"), &format!("key={}", key(&page))).await.status, 303);
    let page = browser.page(&format!("{one}/link")).await;
    assert!(!page.contains("calls.example") && page.contains("Make a new one"), "{page}");

    // One that is made afterwards is known to the case, so that it is not closed over it.
    browser.post(&format!("{one}/link"), &form).await;
    let page = browser.page(&place).await;
    assert!(page.contains("A link that has not been used") && page.contains("cannot be closed"), "{page}");
    let file = browser.post(&format!("{one}/file"), &form).await;
    assert!(file.bytes.starts_with(b"PK"), "{}", text(&file));
    assert!(file.header("content-disposition").contains(".zip"));
}

#[tokio::test]
async fn who_audits_sees_cases_and_nobody_in_them() {
    let mut browser = contact().await;
    let place = chosen(&mut browser).await;
    let mut auditor = browser.another(Role::Auditor).await;
    for page in ["/cases".to_owned(), place.clone()] {
        let page = auditor.page(&page).await;
        assert!(!page.contains(NAME) && !page.contains(NUMBER) && !page.contains("/cases/new"), "{page}");
    }
    assert!(auditor.page(&place).await.contains("shown to those who answer callers"));
    assert_eq!(auditor.get(&format!("{place}/candidates")).await.status, 403);
    for other in ["/cases/2026-9999", "/cases/..%2F..%2Fme", "/cases/x", "/cases/2026-0001/decide/burn"] {
        assert_eq!(auditor.get(other).await.status, 404, "{other}");
    }
}
