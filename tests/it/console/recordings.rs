//! The trainer's work: finding a recording, listening, and seeing who else did.

use serde_json::{Value, json};

use super::browser::Browser;
use super::{audited, go, press, sign_in};
use crate::conversation::{Conversation, recorded};
use crate::phone::voice;
use crate::server::{Server, Settings, call_request};

const DANISH: &str = "document.cookie = 'optag_language=da; path=/'";

/// Names that try to be something else.
const HOSTILE: [&str; 14] = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror=window.hacked=1>",
    "\"><svg onload=window.hacked=1>",
    "' onmouseover='window.hacked=1",
    "Ada \u{202e}nesnaH\u{202c} Hansen",
    "\u{2067}עברית\u{2069}",
    "محمد الأحمد",
    "Z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}algo",
    "👩‍👩‍👧‍👦🇩🇰",
    "{{7*7}} ${7*7} <%= 7 %>",
    "javascript:window.hacked=1",
    "&lt;b&gt;Bold&amp;",
    "Sørensen-Østergård; DROP TABLE recordings;--",
    "AVeryLongNameWithoutAnySpaceAVeryLongNameWithoutAnySpaceAVeryLongNameWithoutAnySpaceAVeryLongNameWithoutAnySpace",
];

async fn start() -> Option<(Browser, Server, tempfile::TempDir)> {
    let Some(browser) = Browser::start().await else {
        println!("skipped: chromedriver is not installed (Debian packages chromium and chromium-driver)");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((26_900, 26_990))).await;
    Some((browser, server, dir))
}

/// What the browser complained of, but for answers that a test provokes.
async fn complaints(browser: &Browser) -> Vec<Value> {
    let log = browser.log().await;
    log.into_iter().filter(|entry| entry["level"] == "SEVERE").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_finds_a_recording_listens_and_sees_who_listened() {
    let Some((browser, server, _dir)) = start().await else { return };
    let id = recorded(&server, 1, 6_000).await;
    server.stored(&id).await;
    recorded(&server, 5, 600).await;
    sign_in(&browser, &server, &server.token_of("listener")).await;
    browser.until_shown("2 recordings").await;

    // Today, by a name that is misspelt; then the language, which keeps the page.
    go(&browser, "Today").await;
    browser.until("location.search.includes('from=')").await;
    browser.until_shown("2 recordings").await;
    browser.write("//input[@name='q']", "Ada Lovelase").await;
    press(&browser, "Search").await;
    browser.until_shown("Nothing matches exactly").await;
    browser.until("document.querySelectorAll('tr[data-recording]').length === 2").await;
    let place = browser.place().await;
    press(&browser, "Dansk").await;
    browser.until_shown("Intet passer præcist").await;
    assert_eq!(browser.place().await, place);
    press(&browser, "English").await;
    browser.until_shown("Nothing matches exactly").await;

    // Page, address and search survive Back and Reload.
    browser.click(&format!("//tr[@data-recording='{id}']//a")).await;
    browser.until_shown("Who listened").await;
    browser.until("document.getElementById('player').dataset.drawn === '2'").await;
    assert_eq!(browser.place().await, format!("/recordings/{id}?purpose=training"));
    let text = browser.text().await;
    for shown in ["never recorded", "Nobody has listened", "the caller pressed 1", "Demo", "Ada Lovelace"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    browser.back().await;
    browser.until_shown("Nothing matches exactly").await;
    assert_eq!(browser.place().await, place);
    browser.open(&format!("{}/recordings/{id}?purpose=training#t=3.5", server.api)).await;
    browser.until("document.querySelector('audio').currentTime === 3.5").await;

    // It plays from there, and seeks.
    let played = "document.querySelector('audio')";
    press(&browser, "Play").await;
    browser
        .until(&format!(
            "!{played}.error && {played}.currentTime > 4 && {played}.webkitAudioDecodedByteCount > 0"
        ))
        .await;
    browser
        .until("[...document.querySelectorAll('button')].some((one) => one.textContent === 'Pause')")
        .await;
    press(&browser, "Pause").await;
    browser.run("document.getElementById('player').focus()").await;
    browser.press("\u{e011}").await;
    browser.until(&format!("{played}.currentTime === 0")).await;
    browser.press("l").await;
    browser.until(&format!("{played}.currentTime > 5")).await;
    browser.press("\u{e012}").await;
    browser.until(&format!("{played}.currentTime > 0.5 && {played}.currentTime < 3")).await;
    browser.press("k").await;
    browser.until(&format!("!{played}.paused")).await;
    browser.press(" ").await;
    browser.until(&format!("{played}.paused")).await;
    browser.click("//select[@id='speed']/option[@value='2']").await;
    browser.until(&format!("{played}.playbackRate === 2 && {played}.preservesPitch")).await;

    // One party alone, and a part again and again.
    let volumes = "document.getElementById('player').dataset.volumes";
    browser.click("//button[@name='mute-0']").await;
    browser.until(&format!("{volumes} === '0 1'")).await;
    browser.click("//button[@name='mute-0']").await;
    browser.click("//button[@name='solo-0']").await;
    browser.until(&format!("{volumes} === '1 0'")).await;
    browser.run(&format!("{played}.currentTime = 1")).await;
    press(&browser, "Repeat from here").await;
    browser.run(&format!("{played}.currentTime = 2")).await;
    press(&browser, "Repeat to here").await;
    browser.until_shown("Repeats: 0:01 – 0:02").await;
    press(&browser, "Play").await;
    browser.run(&format!("window.least = 9; window.most = 0; {played}.addEventListener('timeupdate', (e) => {{ \
        window.least = Math.min(window.least, e.target.currentTime); window.most = Math.max(window.most, e.target.currentTime); }})")).await;
    browser.until("window.least < 1.5 && window.most > 1.5").await;
    let most = browser.run("return window.most").await.as_f64().unwrap();
    assert!(most < 3.0, "{most}");
    press(&browser, "Link to this moment").await;
    browser.until("location.hash.startsWith('#t=')").await;

    // The audit has it before the first sound, and the page tells it.
    browser.reload().await;
    browser.until_shown("listened").await;
    let who = browser.run("return document.querySelector('.accesses').innerText").await;
    assert!(who.as_str().unwrap().contains("listener listened"), "{who}");
    assert!(who.as_str().unwrap().contains("Training"), "{who}");
    let trail = audited(&server).await.join("\n");
    assert!(trail.contains("playback") && trail.contains("training") && trail.contains(&id), "{trail}");
    assert_eq!(complaints(&browser).await, Vec::<Value>::new());
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_of_another_department_sees_or_hears_a_recording() {
    let Some((browser, server, _dir)) = start().await else { return };
    let id = recorded(&server, 1, 600).await;
    server.stored(&id).await;
    let token = server.token_within("other", "listener", "private");
    sign_in(&browser, &server, &token).await;
    browser.until_shown("Nothing found").await;
    let options = browser.run("return document.getElementById('department').innerText").await;
    assert!(!options.as_str().unwrap().contains("Demo"), "{options}");
    browser.open(&format!("{}/recordings?department=demo&q=Ada", server.api)).await;
    browser.until_shown("Nothing found").await;
    browser.open(&format!("{}/recordings/{id}", server.api)).await;
    browser.until_shown("Not found").await;
    let text = browser.text().await;
    assert!(!text.contains("Lovelace") && !text.contains("12 34 56 78"), "{text}");
    assert_eq!(browser.run("return document.querySelectorAll('audio, canvas').length").await, 0);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_try_to_be_something_else_stay_text_on_a_telephone_too() {
    let Some((browser, server, _dir)) = start().await else { return };
    let mut ids = Vec::new();
    for (name, n) in HOSTILE.iter().zip(0..) {
        let mut request = call_request("demo", "pcmu");
        request["caller_name"] = json!(name);
        let mut call = Conversation::admit_as(&server, request).await;
        call.press("1").await;
        call.speak(voice(n, 300), voice(n + 1, 300)).await;
        ids.push(call.id.clone());
        call.end(&server).await;
    }
    for id in &ids {
        server.stored(id).await;
    }
    // And as what a caller says. What hides or reorders text is refused there, so fewer cases than names.
    let mut pages = vec!["/recordings".to_owned(), "/cases".to_owned()];
    for name in HOSTILE {
        let told = json!({"number": "12 34 56 78", "name": name});
        let opened = json!({"department": "demo", "asked": "erase", "told": told});
        let (status, case) = server.ask("POST", "/api/v1/cases", Some(opened)).await;
        assert!(status == 201 || case["field"] == "told.name", "{case}");
        pages.extend(case["number"].as_str().map(|number| format!("/cases/{number}")));
    }
    assert!(pages.len() > 12, "{pages:?}");
    // All fourteen are candidates of a case that tells no name.
    let opened = json!({"department": "demo", "asked": "erase", "told": {"number": "12 34 56 78"}});
    let (_, case) = server.ask("POST", "/api/v1/cases", Some(opened)).await;
    let candidates = format!("/cases/{}/candidates", case["number"].as_str().unwrap());
    pages.push(candidates.clone());
    pages.extend(ids.iter().map(|id| format!("/recordings/{id}")));
    sign_in(&browser, &server, &server.token).await;
    browser.until_shown("Requests from callers").await;
    browser.run(DANISH).await;
    for width in [320, 1_280] {
        browser.as_wide_as(width).await;
        for page in &pages {
            browser.open(&format!("{}{page}", server.api)).await;
            browser.until("document.querySelector('main bdi')").await;
            let found = browser
                .run("return [window.hacked ?? 0, document.querySelectorAll('main svg, main img, main script').length, \
                     document.documentElement.scrollWidth]")
                .await;
            assert_eq!((&found[0], &found[1]), (&json!(0), &json!(0)), "{page}");
            assert!(found[2].as_u64().unwrap() <= u64::from(width), "{page} is {} wide at {width}", found[2]);
        }
    }
    for page in ["/recordings", &candidates] {
        browser.open(&format!("{}{page}", server.api)).await;
        let names = browser
            .run("return [...document.querySelectorAll('main td bdi')].map((one) => one.textContent)")
            .await;
        let names = names.to_string();
        for part in
            ["<script>window.hacked = 1</script>", "&lt;b&gt;Bold&amp;", "{{7*7}} ${7*7}", "DROP TABLE"]
        {
            assert!(names.contains(part), "{page}: {part}: {names}");
        }
        assert!(!names.contains('\u{202e}'), "{names}");
    }
    assert_eq!(browser.run("return document.querySelectorAll('main input[type=checkbox]').length").await, 14);
    assert_eq!(complaints(&browser).await, Vec::<Value>::new());
    browser.close().await;
}
