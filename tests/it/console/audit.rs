//! The auditor's work: who did what, whether the log is as it was written, and what is worth asking about.

use super::browser::Browser;
use super::{go, press, sign_in};
use crate::conversation::recorded;
use crate::server::{Server, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_finds_who_listened_and_sees_at_once_that_the_log_was_changed() {
    let Some(browser) = Browser::start().await else {
        println!("skipped: chromedriver is not installed (Debian packages chromium and chromium-driver)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((23_180, 23_210))).await;
    let mut ids = Vec::new();
    for seed in [41, 43, 45] {
        let id = recorded(&server, seed, 400).await;
        server.stored(&id).await;
        server.bytes(&format!("/api/v1/recordings/{id}/audio?purpose=training")).await;
        ids.push(id);
    }
    sign_in(&browser, &server, &server.token_of("auditor")).await;
    browser.until_shown("Audit log").await;
    go(&browser, "Audit log").await;
    browser.until_shown("The log is unchanged").await;
    browser.click("//select[@id='action']/option[@value='playback']").await;
    press(&browser, "Search").await;
    browser.until("document.querySelectorAll('tbody tr').length === 3").await;
    let page = browser.text().await;
    assert!(page.contains("Training") && page.contains("Listening"), "{page}");
    assert!(!page.contains("Lovelace") && !page.contains("12 34 56 78"), "{page}");
    let place = browser.place().await;
    // Everything about one recording, and back.
    browser.click(&format!("//tbody//a[@title='{}']", ids[0])).await;
    browser.until(&format!("location.search.includes('{}')", ids[0])).await;
    browser.until_shown("Listening").await;
    browser.back().await;
    assert_eq!(browser.place().await, place);
    go(&browser, "Unusual listening").await;
    browser.until_shown("Recordings of one caller: 3").await;

    // Somebody rewrites who it was.
    let log = dir.path().join("data/audit.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    let at = text.find("\"action\":\"playback\"").unwrap();
    let line = text[..at].rfind('\n').unwrap() + 1;
    let rewritten = text[line..].replacen("\"actor\":\"", "\"actor\":\"x", 1);
    std::fs::write(&log, format!("{}{rewritten}", &text[..line])).unwrap();
    browser.open(&format!("{}/audit", server.api)).await;
    browser.until_shown("The log was changed").await;
    browser.until_shown("was modified").await;
    press(&browser, "Dansk").await;
    browser.until_shown("Loggen er ændret").await;
    browser.close().await;
}
