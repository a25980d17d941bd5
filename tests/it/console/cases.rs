//! The contact's work: a caller's request from intake to a closed case, in Danish, with the keyboard alone; and a copy as a
//! file and as a link.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::browser::Browser;
use super::{audited, sign_in};
use crate::conversation::recorded;
use crate::server::{Server, Settings};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
/// Elements that somebody passes with the Tab key before giving up.
const PASSED: usize = 150;
/// What of the caller must be gone in the end.
const NOTE: &str = "svar til det røde hus";

/// Starts a recorder and a browser that saves files in `dir`.
async fn start(dir: &Path, ports: (u16, u16)) -> Option<(Browser, Server)> {
    let Some(browser) = Browser::start().await else {
        println!("skipped: chromedriver is not installed (Debian packages chromium and chromium-driver)");
        return None;
    };
    let extra = "[disclosure]\npublic_url = \"https://calls.example\"\n".to_owned();
    let server = Server::start(dir, &Settings { extra, ..Settings::with_ports(ports) }).await;
    browser.saves_in(&dir.join("saved")).await;
    Some((browser, server))
}

/// Presses Tab until what has the focus fits, and looks whether the focus can be seen.
async fn tab_to(browser: &Browser, fits: &str) {
    let script = format!(
        "const e = document.activeElement; const shown = (e.labels?.[0] ?? e).innerText?.trim() ?? ''; \
         const seen = getComputedStyle(e).outlineStyle !== 'none' || e.tagName === 'AUDIO' || e === document.body; \
         return [Boolean({fits}), seen, shown];"
    );
    let mut passed = Vec::new();
    for _ in 0..PASSED {
        browser.press(TAB).await;
        let now = browser.run(&script).await;
        assert_eq!(now[1], true, "the focus cannot be seen on {}", now[2]);
        if now[0] == true {
            return;
        }
        passed.push(now[2].clone());
    }
    panic!("never: {fits}; passed {passed:?}");
}

/// Goes to a link or button by its text and presses Enter.
async fn enter(browser: &Browser, text: &str) {
    tab_to(browser, &format!("shown.startsWith({}) && ['A', 'BUTTON'].includes(e.tagName)", json!(text)))
        .await;
    browser.press(ENTER).await;
}

/// Goes to a field and writes into it, or chooses in it, by keys.
async fn fill(browser: &Browser, id: &str, keys: &str) {
    tab_to(browser, &format!("e.id === '{id}'")).await;
    browser.press(keys).await;
}

/// A day as the browser's own field for days takes it: the order is the browser's language's.
async fn day_keys(browser: &Browser, day: jiff::civil::Date) -> String {
    let order = browser
        .run("return new Intl.DateTimeFormat().formatToParts(new Date()).map((part) => part.type).filter((type) => type !== 'literal')")
        .await;
    let part = |name: &Value| match name.as_str() {
        Some("day") => format!("{:02}", day.day()),
        Some("month") => format!("{:02}", day.month()),
        _ => day.year().to_string(),
    };
    order.as_array().unwrap().iter().map(part).collect()
}

/// A time of day in the same way.
async fn time_keys(browser: &Browser, time: jiff::civil::Time) -> String {
    let twelve = "return new Intl.DateTimeFormat(undefined, {hour: 'numeric'}).resolvedOptions().hour12";
    match browser.run(twelve).await == true {
        true => time.strftime("%I%M%p").to_string(),
        false => time.strftime("%H%M").to_string(),
    }
}

/// The file that the browser saves next, whose name ends so.
async fn saved(dir: &Path, ending: &str) -> PathBuf {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let files = std::fs::read_dir(dir.join("saved")).into_iter().flatten().flatten();
        let found = files.map(|file| file.path()).find(|path| path.to_string_lossy().ends_with(ending));
        if let Some(path) = found {
            return path;
        }
        assert!(Instant::now() < until, "no {ending} was saved");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn optag_verifies(server: &Server, receipt: &Path) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
    command
        .args(["erase", "--verify-receipt"])
        .arg(receipt)
        .arg("--config")
        .arg(server.dir.join("optag.toml"));
    command.output().unwrap().status.success()
}

async fn complaints(browser: &Browser) -> Vec<Value> {
    let log = browser.log().await;
    log.into_iter().filter(|entry| entry["level"] == "SEVERE").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_citizens_request_goes_from_intake_to_a_closed_case_in_danish_with_the_keyboard_alone() {
    let dir = tempfile::tempdir().unwrap();
    let Some((browser, server)) = start(dir.path(), (23_100, 23_130)).await else { return };
    let ids = [recorded(&server, 31, 2_000).await, recorded(&server, 33, 1_000).await];
    for id in &ids {
        server.stored(id).await;
    }
    let now = jiff::Timestamp::now().in_tz("Europe/Copenhagen").unwrap();
    sign_in(&browser, &server, &server.token_of("contact")).await;
    browser.until_shown("No open cases").await;
    enter(&browser, "Dansk").await;
    browser.until_shown("Ingen åbne sager").await;

    // What the caller says, with a misspelt name.
    enter(&browser, "Ny henvendelse").await;
    browser.until_shown("Fristen på en måned").await;
    fill(&browser, "department", "Demo").await;
    fill(&browser, "number", "12 34 56 78").await;
    fill(&browser, "name", "Ada Lovelase").await;
    let day = day_keys(&browser, now.date()).await;
    fill(&browser, "date", &day).await;
    let time = time_keys(&browser, now.time()).await;
    fill(&browser, "time", &time).await;
    fill(&browser, "note", NOTE).await;
    fill(&browser, "how", "Ringet").await;
    enter(&browser, "Opret sagen").await;
    browser.until_shown("Sagen er oprettet").await;
    browser.until_shown("Ringet op på det nummer").await;
    let place = browser.place().await;
    let case = place.trim_end_matches("?done=open").to_owned();

    // Both recordings are meant. One is heard to make sure.
    enter(&browser, "Find og vælg optagelser").await;
    browser.until_shown("2 optagelser kan være de rigtige").await;
    for shown in ["samme nummer", "navnet ligner", "Demo"] {
        browser.until_shown(shown).await;
    }
    for id in &ids {
        tab_to(&browser, &format!("e.value === '{id}'")).await;
        browser.press(" ").await;
    }
    enter(&browser, "Gem valget").await;
    browser.until_shown("Valget er gemt").await;
    tab_to(&browser, "e.tagName === 'AUDIO'").await;
    browser.press(" ").await;
    browser
        .until("document.querySelector('audio').played.length > 0 && !document.querySelector('audio').error")
        .await;

    // What goes is shown before it goes; a second press of Enter does nothing twice.
    enter(&browser, "Slet …").await;
    browser.until_shown("Det bliver slettet").await;
    browser.until_shown("kopier i lageret").await;
    enter(&browser, "Slet nu").await;
    browser.press(ENTER).await;
    browser.until_shown("Afgørelsen er udført").await;
    let page = browser.text().await;
    assert_eq!(page.matches("alle kopier er væk").count(), 2, "{page}");
    assert_eq!(
        browser.run("return document.querySelectorAll('input[type=checkbox], a[href*=decide]').length").await,
        0
    );
    for id in &ids {
        let path = format!("/api/v1/recordings/{id}?purpose=administration");
        assert_eq!(server.ask("GET", &path, None).await.0, 410);
    }

    // The receipt as the page saves it, and the letter.
    enter(&browser, "Gem kvittering").await;
    let receipt = saved(dir.path(), ".json").await;
    enter(&browser, "Brev på dansk").await;
    browser.until_shown("Ada Lovelase").await;
    browser.until_shown("slettet").await;
    browser.back().await;
    browser.until_shown("Afgørelsen er udført").await;

    enter(&browser, "Luk sagen").await;
    browser.until_shown("Sagen er lukket").await;
    let page = browser.text().await;
    assert!(!page.contains("Lovelase") && !page.contains("12 34 56 78") && page.contains(": 2"), "{page}");
    let trail = audited(&server).await.join("\n");
    let number = case.rsplit('/').next().unwrap();
    for step in ["open", "identify", "choose", "decide", "letter", "close"] {
        assert!(trail.contains(&format!(r#"\"step\":\"{step}\""#)), "{step}: {trail}");
    }
    assert!(trail.contains("playback") && trail.contains(&format!("request {number}")), "{trail}");
    assert_eq!(crate::index::found_in_files(&dir.path().join("data"), &[NOTE]), Vec::<String>::new());

    // Everybody can have the receipt verified: pasted, as a file, and by the program.
    let text = std::fs::read_to_string(&receipt).unwrap();
    browser.open(&format!("{}/verify", server.api)).await;
    fill(&browser, "receipt", &text).await;
    enter(&browser, "Kontrollér").await;
    browser.until_shown("Ægte").await;
    browser.until_shown(number).await;
    let forged = dir.path().join("forged.json");
    std::fs::write(&forged, text.replace(number, "2026-9999")).unwrap();
    browser.write("//input[@type='file']", forged.to_str().unwrap()).await;
    browser.until_shown("Filen er læst").await;
    enter(&browser, "Kontrollér").await;
    browser.until_shown("Ikke ægte").await;
    assert!(optag_verifies(&server, &receipt) && !optag_verifies(&server, &forged));
    assert_eq!(complaints(&browser).await, Vec::<Value>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_handed_out_as_a_file_and_by_a_link_that_is_copied_listed_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let Some((browser, server)) = start(dir.path(), (23_140, 23_170)).await else { return };
    let id = recorded(&server, 35, 1_000).await;
    server.stored(&id).await;
    let opened = json!({"department": "demo", "asked": "hand_out", "told": {"name": "Ada"}});
    let (_, case) = server.ask("POST", "/api/v1/cases", Some(opened)).await;
    let place = format!("/cases/{}", case["number"].as_str().unwrap());
    for (step, body) in [
        ("identity", json!({"revision": 1, "how": "in_person"})),
        ("recordings", json!({"revision": 2, "recordings": [id]})),
    ] {
        let (status, answer) = server.ask("POST", &format!("/api/v1{place}/{step}"), Some(body)).await;
        assert_eq!(status, 200, "{answer}");
    }
    sign_in(&browser, &server, &server.token_within("inger", "contact", "demo")).await;
    browser.until_shown(place.rsplit('/').next().unwrap()).await;
    browser.open(&format!("{}{place}", server.api)).await;
    enter(&browser, "Hand out …").await;
    browser.until_shown("Nothing is erased").await;
    enter(&browser, "Hand out").await;
    browser.until_shown("Handing out is decided").await;

    // A file: complete, and the case knows.
    enter(&browser, "File or link").await;
    browser.until_shown("As a file").await;
    enter(&browser, "Save the file").await;
    let zip = std::fs::read(saved(dir.path(), ".zip").await).unwrap();
    assert!(zip.starts_with(b"PK") && zip.windows(9).any(|part| part == b"cover.txt"));
    browser.open(&format!("{}{place}", server.api)).await;
    browser.until_shown("Handed out completely").await;

    // A link: shown once it is made, copied, known to the case, and revoked there.
    enter(&browser, "File or link").await;
    browser.until_shown("As a link").await;
    enter(&browser, "Make the link").await;
    browser.until_shown("The link works once").await;
    enter(&browser, "Copy").await;
    browser.until_shown("Copied").await;
    let url = browser.run("return document.getElementById('made').value").await;
    let url = url.as_str().unwrap().replace("https://calls.example", &server.api);
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 200);
    browser.reload().await;
    browser.until_shown("The link works once").await;
    enter(&browser, "Back to the case").await;
    browser.until_shown("A link that has not been used until").await;
    enter(&browser, "Revoke the link").await;
    browser.until_shown("The link is revoked").await;
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 404);

    // Whoever answers for another department does not learn that there is a case.
    sign_in(&browser, &server, &server.token_within("other", "contact", "private")).await;
    browser.until_shown("No open cases").await;
    browser.open(&format!("{}{place}", server.api)).await;
    browser.until_shown("Not found").await;
    browser.close().await;
}
