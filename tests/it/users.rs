//! Users of a recorder as its owner runs it: from the file of the first start to a sign-in that ends.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::erasure::becomes;
use crate::server::{Server, Settings};

const PASSWORD: &str = "fire gode heste";

/// Runs `optag user`; returns what it prints.
fn user(home: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
    let done = command.arg("user").args(args).arg("--config").arg(home.join("optag.toml")).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// A browser that does not follow redirections.
fn browser() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).unwrap_or_else(|| panic!("{text}")).1.split_once(after).unwrap().0
}

fn encoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

async fn send(address: &str, fields: &[(&str, &str)]) -> reqwest::Response {
    let request = browser().post(address).header("sec-fetch-site", "same-origin");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(encoded(fields));
    request.send().await.unwrap()
}

/// Uses a link; returns a recovery code.
async fn enrol(link: &str, name: &str) -> String {
    let page = browser().get(link).send().await.unwrap().text().await.unwrap();
    let secret = between(&page, "<code id=\"secret\">", "<").replace(' ', "");
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let code = totp_rs::Builder::new().with_secret(secret).build().unwrap().generate(now_s).to_string();
    let display_name = ("display_name", "Ada Møller");
    let fields = [("name", name), display_name, ("password", PASSWORD), ("again", PASSWORD), ("code", &code)];
    let done = send(link, &fields).await;
    assert_eq!(done.status(), 200);
    let done = done.text().await.unwrap();
    between(&done, "<ol id=\"codes\"><li><code>", "<").to_owned()
}

/// Signs in; returns the cookie.
async fn sign_in(server: &Server, name: &str, code: &str) -> String {
    let fields = [("name", name), ("password", PASSWORD), ("code", code)];
    let answer = send(&format!("{}/sign-in", server.api), &fields).await;
    assert_eq!(answer.status(), 303);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

async fn status(server: &Server, cookie: &str, path: &str) -> u16 {
    let asked = browser().get(format!("{}{path}", server.api)).header("cookie", cookie);
    asked.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_leaves_a_link_that_nobody_else_reads_and_users_come_and_go_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let config = Settings::with_ports((26_900, 26_930));
    let server = Server::start_bare(dir.path(), &config).await;
    let file = dir.path().join("data/first-sign-in");
    let link = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = link.rsplit('/').next().unwrap();
    assert!(!server.log().contains(secret), "it is in the log");
    let code = enrol(&link, "boss").await;
    let boss = sign_in(&server, "boss", &code).await;
    assert_eq!(status(&server, &boss, "/api/v1/users").await, 200);
    assert_eq!(status(&server, &boss, "/api/v1/recordings?purpose=training").await, 403);

    let link = user(dir.path(), &["add", "Ada", "--role", "listener", "--department", "demo"]);
    // The command knows the port as it is configured, which tests leave to the system.
    let link = format!("{}/enrol/{}", server.api, link.split_once("/enrol/").unwrap().1);
    let code = enrol(&link, "").await;
    let ada = sign_in(&server, "ada", &code).await;
    let search = "/api/v1/recordings?purpose=training";
    assert_eq!(status(&server, &ada, search).await, 200);
    let listed = user(dir.path(), &["list", "--json"]);
    assert!(listed.contains("\"Ada Møller\"") && listed.contains("\"active\""), "{listed}");
    user(dir.path(), &["roles", "ada", "--role", "auditor"]);
    becomes("the role counts", async || status(&server, &ada, search).await == 403).await;
    user(dir.path(), &["disable", "ada"]);
    becomes("the sign-in has ended", async || status(&server, &ada, "/api/v1/me").await == 401).await;
    assert_eq!(status(&server, &boss, "/api/v1/me").await, 200, "nobody else's has");
    drop(server);
    // What remains after a restart.
    let server = Server::start_bare(dir.path(), &config).await;
    assert_eq!(status(&server, &boss, "/api/v1/me").await, 200);
    assert!(!file.exists(), "somebody administers");
}
