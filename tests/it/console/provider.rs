//! Signing in and out in a browser by a provider at another site: whether the cookies come along, and the policies let it.

use super::browser::Browser;
use super::{go, press};
use crate::provider::certified::{Certified, recorder};

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_by_the_provider_in_a_browser_and_out_at_both() {
    let url = "http://127.0.0.1:27441";
    let Some(provider) = Certified::start(url) else { return };
    let Some(browser) = Browser::start().await else {
        println!("skipped: chromedriver is not installed (Debian packages chromium and chromium-driver)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let server = recorder(dir.path(), &provider, url, (27_442, 27_470)).await;
    // Where somebody wanted to go is where they are afterwards.
    browser.open(&format!("{}/recordings?q=Lovelace", server.api)).await;
    browser.run("document.cookie = 'optag_language=en; path=/'").await;
    browser.open(&format!("{}/recordings?q=Lovelace", server.api)).await;
    go(&browser, "Sign in with City login").await;
    browser.write("//input[@name='login']", "ada").await;
    browser.write("//input[@name='password']", "x").await;
    press(&browser, "Sign-in").await;
    press(&browser, "Continue").await;
    browser.until_shown("Sign out (ada)").await;
    assert_eq!(browser.place().await, "/recordings?q=Lovelace");
    // No script reads the cookie of whoever is signed in, and a reload keeps it.
    let cookies = browser.run("return document.cookie").await;
    assert!(!cookies.as_str().unwrap().contains("optag_session"), "{cookies}");
    browser.reload().await;
    browser.until_shown("Sign out (ada)").await;

    press(&browser, "Sign out (ada)").await;
    press(&browser, "Yes, sign me out").await;
    browser.until_shown("Sign in with City login").await;
    assert!(browser.place().await.starts_with("/sign-in"));
    browser.open(&format!("{}/recordings", server.api)).await;
    browser.until_shown("Sign in with City login").await;
    // The provider has forgotten too.
    go(&browser, "Sign in with City login").await;
    browser.until("document.querySelector(\"input[name='login']\")").await;
    let blocked = browser.log().await;
    let blocked = blocked.iter().filter(|one| one["message"].to_string().contains("Content Security Policy"));
    assert_eq!(blocked.collect::<Vec<_>>(), Vec::<&serde_json::Value>::new());
    browser.close().await;
}
