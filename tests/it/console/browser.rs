//! A browser controlled through WebDriver (W3C): Chromium and its chromedriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The key of an element reference. Source: WebDriver §12.1.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser window; closed when dropped.
pub(super) struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// `None`: Chromium or its driver is missing.
    pub(super) async fn start() -> Option<Self> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(driver.stdout.take()?).lines();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        // It may say more, and nobody reads it: keep the pipe empty.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--autoplay-policy=no-user-gesture-required",
        ];
        let mut args: Vec<String> = args.map(str::to_owned).to_vec();
        args.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let base = format!("http://127.0.0.1:{}", port?);
        let made = http.post(format!("{base}/session")).json(&wanted).send().await.unwrap();
        let made: Value = made.json().await.unwrap();
        let Some(id) = made["value"]["sessionId"].as_str() else {
            println!("skipped: the browser does not start: {made}");
            let _ = driver.kill();
            return None;
        };
        Some(Self { driver, session: format!("{base}/session/{id}"), http, _profile: profile })
    }

    async fn post(&self, what: &str, body: Value) -> Result<Value, Value> {
        let answer = self.http.post(format!("{}/{what}", self.session)).json(&body).send().await.unwrap();
        let good = answer.status().is_success();
        let mut answer: Value = answer.json().await.unwrap();
        let value = answer["value"].take();
        if good { Ok(value) } else { Err(value) }
    }

    /// Opens an address.
    pub(super) async fn open(&self, url: &str) {
        self.post("url", json!({"url": url})).await.unwrap();
    }

    /// Returns the result of a script.
    pub(super) async fn run(&self, script: &str) -> Value {
        self.post("execute/sync", json!({"script": script, "args": []})).await.unwrap()
    }

    /// Waits until a script's value is true.
    pub(super) async fn until(&self, script: &str) {
        let end = Instant::now() + PATIENCE;
        while self.run(&format!("return Boolean({script})")).await != true {
            if Instant::now() > end {
                let page = self.run("return document.body.innerText").await;
                panic!("never: {script}\n{page}\n{:#?}", self.log().await);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns what a script gives to its callback, which is its last argument.
    pub(super) async fn run_async(&self, script: &str) -> Value {
        self.post("execute/async", json!({"script": script, "args": []})).await.unwrap()
    }

    /// Makes the window look as wide as a device. Units: CSS pixels.
    pub(super) async fn as_wide_as(&self, width: u32) {
        let params = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": params});
        self.post("goog/cdp/execute", command).await.unwrap();
    }

    /// Presses keys, as a person would: to whatever has the focus.
    pub(super) async fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()})))
            .collect();
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.post("actions", body).await.unwrap();
    }

    /// Saves files in a folder.
    pub(super) async fn saves_in(&self, dir: &std::path::Path) {
        let params = json!({"behavior": "allow", "downloadPath": dir});
        let command = json!({"cmd": "Browser.setDownloadBehavior", "params": params});
        self.post("goog/cdp/execute", command).await.unwrap();
    }

    /// Goes back in the history.
    pub(super) async fn back(&self) {
        self.post("back", json!({})).await.unwrap();
    }

    /// Loads the page again.
    pub(super) async fn reload(&self) {
        self.post("refresh", json!({})).await.unwrap();
    }

    /// The address of the page, without its server.
    pub(super) async fn place(&self) -> String {
        let place = self.run("return location.pathname + location.search + location.hash").await;
        place.as_str().unwrap().to_owned()
    }

    /// The text of the page.
    pub(super) async fn text(&self) -> String {
        self.run("return document.body.innerText").await.as_str().unwrap().to_owned()
    }

    /// Waits until the page shows a text.
    pub(super) async fn until_shown(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text))).await;
    }

    async fn element(&self, xpath: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.post("element", json!({"using": "xpath", "value": xpath})).await {
                Ok(found) => return found[ELEMENT].as_str().unwrap().to_owned(),
                Err(error) if Instant::now() > end => panic!("{xpath}: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Clicks the element that an XPath finds, as a person would.
    pub(super) async fn click(&self, xpath: &str) {
        let element = self.element(xpath).await;
        self.post(&format!("element/{element}/click"), json!({})).await.unwrap();
    }

    /// Types into the element that an XPath finds.
    pub(super) async fn write(&self, xpath: &str, text: &str) {
        let element = self.element(xpath).await;
        self.post(&format!("element/{element}/value"), json!({"text": text})).await.unwrap();
    }

    /// Messages of the browser's console.
    pub(super) async fn log(&self) -> Vec<Value> {
        let all = self.post("se/log", json!({"type": "browser"})).await.unwrap();
        all.as_array().cloned().unwrap_or_default()
    }

    /// Closes the browser.
    pub(super) async fn close(self) {
        let _ = self.http.delete(&self.session).send().await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
