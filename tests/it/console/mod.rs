//! The web pages in a real browser, against a running recorder.

mod accessibility;
mod audit;
mod browser;
mod cases;
mod oversight;
mod provider;
mod recordings;
mod states;

use serde_json::Value;

use crate::conversation::Conversation;
use crate::phone::voice;
use crate::server::{Server, Settings};
use browser::Browser;

/// Clicks the button with this text.
async fn press(browser: &Browser, text: &str) {
    browser.click(&format!("//button[normalize-space()='{text}']")).await;
}

/// Follows the link with this text.
async fn go(browser: &Browser, text: &str) {
    browser.click(&format!("//a[normalize-space()='{text}']")).await;
}

async fn sign_in(browser: &Browser, server: &Server, token: &str) {
    browser.open(&format!("{}/sign-in?lang=en&with=token", server.api)).await;
    browser.run("document.cookie = 'optag_language=en; path=/'").await;
    browser.write("//input[@name='secret']", token).await;
    press(browser, "Sign in").await;
}

async fn audited(server: &Server) -> Vec<String> {
    let (_, page) = server.ask("GET", "/api/v1/audit", None).await;
    let text = page["lines"].as_array().cloned().unwrap_or_default();
    text.iter().map(Value::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_pass_on_a_withdrawal_in_a_browser() {
    let Some(browser) = Browser::start().await else {
        println!("skipped: chromedriver is not installed (Debian packages chromium and chromium-driver)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((26_800, 26_830))).await;

    sign_in(&browser, &server, "optag_wrong").await;
    browser.until_shown("This access token is not valid").await;
    sign_in(&browser, &server, &server.token).await;
    browser.until_shown("Requests from callers").await;

    press(&browser, "Dansk").await;
    browser.until_shown("Borgerhenvendelser").await;

    // A caller changes their mind during the call.
    let mut call = Conversation::admit(&server, "demo").await;
    call.press("1").await;
    call.speak(voice(3, 600), voice(4, 600)).await;
    go(&browser, "Opkald").await;
    browser
        .click(&format!("//tr[@data-call='{}']//a[normalize-space()='Borgeren fortryder']", call.id))
        .await;
    browser.write("//input[@name='reason']", "borgeren har fortrudt").await;
    press(&browser, "Slet optagelsen").await;
    browser.until_shown("Samtykket er trukket tilbage").await;
    assert_eq!(call.end(&server).await, "withdrawn");

    // Nothing was blocked by the page's own policy, and nothing went wrong but the wrong token.
    let log = browser.log().await;
    let bad = log.iter().filter(|entry| {
        let text = entry["message"].as_str().unwrap_or_default();
        entry["level"] == "SEVERE" && !text.contains("401") && !text.contains("favicon")
    });
    assert_eq!(bad.collect::<Vec<_>>(), Vec::<&Value>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_show_each_role_its_own_work() {
    let Some(browser) = Browser::start().await else {
        println!("skipped: chromedriver is not installed (Debian packages chromium and chromium-driver)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((26_840, 26_870))).await;
    let roles = [
        ("listener", "Recordings", vec!["Requests from callers", "Calls"]),
        ("contact", "Requests from callers", vec!["Recordings", "Calls"]),
        ("supervisor", "Calls", vec!["Recordings"]),
        ("auditor", "Audit log", vec!["Recordings", "Calls"]),
    ];
    for (role, shown, hidden) in roles {
        sign_in(&browser, &server, &server.token_of(role)).await;
        browser.until_shown(&format!("({role})")).await;
        browser.until_shown(shown).await;
        let page = browser.run("return document.body.innerText").await.as_str().unwrap().to_owned();
        for text in hidden {
            assert!(!page.contains(text), "{role} sees {text}: {page}");
        }
        press(&browser, &format!("Sign out ({role})")).await;
    }
    for machine in ["feed", "agent"] {
        sign_in(&browser, &server, &server.token_of(machine)).await;
        browser.until_shown("This token belongs to a machine").await;
    }
    browser.close().await;
}
