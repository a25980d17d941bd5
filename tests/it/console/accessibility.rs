//! Every page in both languages and both themes under axe-core, which `./dev test` installs.

use std::path::PathBuf;

use serde_json::Value;

use super::browser::Browser;
use super::{sign_in, states};
use crate::conversation::recorded;
use crate::server::{Server, Settings};

/// Rules of WCAG 2.2 AA and good practice.
const RULES: &str = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}";

/// Pages besides that of a recording.
const PAGES: &[&str] = &[
    "/recordings",
    "/recordings?q=nobody",
    "/recordings?q=Ada+Lovelase",
    "/recordings?from=2026-11-31",
    "/calls",
    "/cases",
    "/cases?state=closed",
    "/cases/new",
    "/verify",
    "/audit",
    "/audit?action=playback&actor=nobody",
    "/audit?from=2026-11-31&recording=x",
    "/audit/unusual",
    "/retention",
    "/retention/report",
    "/health",
    "/nowhere",
];

/// The tester's source, if it is installed.
fn axe() -> Option<String> {
    let installed = "target/tools/axe/node_modules/axe-core/axe.min.js";
    let path = std::env::var_os("OPTAG_AXE")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(installed), PathBuf::from);
    std::fs::read_to_string(path).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_breaks_a_rule_of_accessibility_in_any_language_or_theme() {
    let Some(axe) = axe() else {
        println!("skipped: axe-core is not installed (./dev test installs it where npm is)");
        return;
    };
    let Some(browser) = Browser::start().await else {
        println!("skipped: chromedriver is not installed (Debian packages chromium and chromium-driver)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((26_872, 26_898))).await;
    let id = recorded(&server, 1, 1_000).await;
    server.stored(&id).await;
    let mut broken = Vec::new();
    for language in ["en", "da"] {
        browser.open(&format!("{}/sign-in?lang={language}", server.api)).await;
        look(&browser, &axe, &format!("sign-in {language}"), &mut broken).await;
    }
    sign_in(&browser, &server, &server.token).await;
    let mut pages: Vec<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    pages.extend([format!("/recordings/{id}"), format!("/recordings/{id}/erase")]);
    pages.extend(states::of_cases(&server, &id).await);
    for (language, theme, width) in
        [("en", "light", 1_280), ("en", "dark", 320), ("da", "light", 320), ("da", "dark", 1_280)]
    {
        browser.as_wide_as(width).await;
        browser.run(&format!("document.cookie = 'optag_language={language}; path=/'; document.cookie = 'optag_theme={theme}; path=/'")).await;
        for page in &pages {
            browser.open(&format!("{}{page}", server.api)).await;
            browser.until("document.querySelector('main h1')").await;
            if let Some(form) = states::sent(page) {
                browser.run(&format!("document.querySelector({form:?}).submit()")).await;
                browser.until("document.querySelector('main .bad')").await;
            }
            let wide = browser.run("return document.documentElement.scrollWidth").await.as_u64().unwrap();
            let place = format!("{page} {language} {theme} {width}");
            if wide > width.into() {
                broken.push(format!("{place}: {wide} pixels wide"));
            }
            let lang = browser
                .run("return document.documentElement.lang + ' ' + document.documentElement.dataset.theme")
                .await;
            // A letter is a document of its own, in one language, on white.
            if !states::is_document(page) {
                assert_eq!(lang, format!("{language} {theme}"), "{page}");
            }
            look(&browser, &axe, &place, &mut broken).await;
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    browser.close().await;
}

async fn look(browser: &Browser, axe: &str, place: &str, broken: &mut Vec<String>) {
    browser.run(axe).await;
    let script = format!(
        "const done = arguments[arguments.length - 1]; axe.run(document, {RULES}).then(\
        (found) => done(found.violations.map((one) => one.id + ' ' + one.nodes.map((node) => node.target.join(' ')).join(', '))),\
        (error) => done([String(error)]))"
    );
    let found = browser.run_async(&script).await;
    let found = found.as_array().cloned().unwrap_or_default();
    broken.extend(found.iter().map(|one: &Value| format!("{place}: {one}")));
}
