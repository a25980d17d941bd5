//! The pages of whoever runs the recorder and of whoever watches over retention.

use super::browser::Browser;
use super::{audited, go, press, sign_in};
use crate::conversation::recorded;
use crate::server::{Server, Settings, files_below};

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_tests_the_store_and_prints_the_retention_report() {
    let Some(browser) = Browser::start().await else {
        println!("skipped: chromedriver is not installed (Debian packages chromium and chromium-driver)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((23_220, 23_250))).await;
    let id = recorded(&server, 51, 400).await;
    server.stored(&id).await;
    server.token_of("feed");
    sign_in(&browser, &server, &server.token_of("administrator")).await;
    browser.until_shown("Health").await;
    go(&browser, "Health").await;
    browser.until_shown("Everything works").await;
    let page = browser.text().await;
    for shown in ["feed", "never", "Recorded", "Demo"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // A real object is written and removed.
    let before = files_below(&dir.path().join("data/store")).len();
    press(&browser, "Test the store").await;
    browser.until_shown("an object was written, read and removed").await;
    assert_eq!(files_below(&dir.path().join("data/store")).len(), before);
    assert!(audited(&server).await.join("\n").contains("test_store"));

    go(&browser, "Retention").await;
    browser.until_shown("1 recordings").await;
    browser.until_shown("None is older than it may be").await;
    assert_eq!(browser.run("return document.querySelectorAll('.bars tbody tr').length").await, 10);
    go(&browser, "Make the report").await;
    browser.until_shown("Nothing is older than it may be").await;
    browser.until("!document.querySelector('[data-print]').hidden").await;
    browser.run("window.print = () => { window.printed = true }").await;
    press(&browser, "Print").await;
    browser.until("window.printed").await;

    // The store goes away.
    let store = dir.path().join("data/store");
    std::fs::rename(&store, dir.path().join("elsewhere")).unwrap();
    std::fs::write(&store, "a file in the way").unwrap();
    go(&browser, "Health").await;
    press(&browser, "Test the store").await;
    browser.until_shown("The store failed the test").await;
    browser.until("document.body.innerText.includes('Recordings wait on the disk') || (location.assign('/health'), false)").await;
    browser.until_shown("Calls are still recorded").await;
    browser.close().await;
}
