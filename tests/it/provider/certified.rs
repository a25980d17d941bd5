//! Against a certified provider that runs here: npm's `oidc-provider`, which signs with RS256 and tells groups at UserInfo.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use reqwest::Response;
use reqwest::header::LOCATION;

use super::{Visitor, browser, sections};
use crate::erasure::becomes;
use crate::server::{Server, Settings};

/// The provider; ended when dropped.
pub(crate) struct Certified {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    pub issuer: String,
    _dir: tempfile::TempDir,
}

impl Certified {
    /// `None`: Node.js or the package is missing.
    pub(crate) fn start(recorder: &str) -> Option<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let installed = root.join("target/tools/oidc-provider");
        let dir = std::env::var_os("OPTAG_OIDC_PROVIDER").map_or(installed, PathBuf::from);
        if !dir.join("node_modules/oidc-provider").exists() {
            println!("skipped: oidc-provider is not installed (./dev test installs it where npm is)");
            return None;
        }
        let mut node = Command::new("node");
        node.arg(root.join("tests/tools/oidc-provider.mjs")).arg(&dir).arg(recorder);
        let log_dir = tempfile::tempdir().unwrap();
        let log_file = log_dir.path().join("log.txt");
        let log = std::fs::File::create(&log_file).unwrap();
        let Ok(mut child) = node.stdout(Stdio::piped()).stderr(log).spawn() else {
            println!("skipped: Node.js is not installed");
            return None;
        };
        let mut issuer = String::new();
        let mut stdout = BufReader::new(child.stdout.take()?);
        stdout.read_line(&mut issuer).unwrap();
        let issuer = issuer.trim().to_owned();
        assert!(issuer.starts_with("http://"), "{:?}", std::fs::read_to_string(log_file));
        Some(Self { child, _stdout: stdout, issuer, _dir: log_dir })
    }
}

impl Drop for Certified {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A recorder at a fixed address, with the provider.
pub(crate) async fn recorder(
    dir: &std::path::Path,
    provider: &Certified,
    url: &str,
    ports: (u16, u16),
) -> Server {
    let mut settings = Settings::with_ports(ports);
    settings.extra = sections(&provider.issuer, dir, "");
    let listen = url.trim_start_matches("http://").to_owned();
    settings.env = vec![("OPTAG_API_LISTEN".into(), listen), ("OPTAG_SIGN_IN_URL".into(), url.into())];
    Server::start(dir, &settings).await
}

/// A browser at the provider: what it keeps for it.
struct There {
    http: reqwest::Client,
    cookies: Vec<(String, String)>,
    issuer: String,
}

impl There {
    async fn send(&mut self, address: &str, form: Option<&[(&str, &str)]>) -> Response {
        let address = match address.starts_with('/') {
            true => format!("{}{address}", self.issuer),
            false => address.to_owned(),
        };
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = match form {
            None => self.http.get(&address),
            Some(fields) => {
                let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
                let type_ = ("content-type", "application/x-www-form-urlencoded");
                self.http.post(&address).header(type_.0, type_.1).body(body)
            }
        };
        let answer = request.header("cookie", cookies.join("; ")).send().await.unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let (name, value) = set.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    /// Follows redirects until a page, or an address elsewhere.
    async fn follow(&mut self, mut answer: Response) -> Result<String, String> {
        while let Some(next) = answer.headers().get(LOCATION) {
            let next = next.to_str().unwrap().to_owned();
            if next.starts_with("http") && !next.starts_with(&self.issuer) {
                return Err(next);
            }
            answer = self.send(&next, None).await;
        }
        Ok(answer.text().await.unwrap())
    }
}

fn action(page: &str) -> String {
    let found = page.split_once("action=\"").unwrap_or_else(|| panic!("{page}")).1;
    found.split_once('"').unwrap().0.replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_and_out_by_a_certified_provider() {
    let url = "http://127.0.0.1:27401";
    let Some(provider) = Certified::start(url) else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = recorder(dir.path(), &provider, url, (27_402, 27_430)).await;
    let mut there = There { http: browser(), cookies: Vec::new(), issuer: provider.issuer.clone() };
    let mut here = Visitor { http: browser(), cookies: Vec::new() };
    let mut back = Vec::new();
    for name in ["per", "ada"] {
        let begun = here.begin(&server).await;
        let mut there = There { http: browser(), cookies: Vec::new(), issuer: provider.issuer.clone() };
        let answer = there.send(&begun, None).await;
        let form = there.follow(answer).await.expect("the form for a name");
        let fields = [("prompt", "login"), ("login", name), ("password", "x")];
        let answer = there.send(&action(&form), Some(&fields)).await;
        let form = there.follow(answer).await.expect("the form for consent");
        let answer = there.send(&action(&form), Some(&[("prompt", "consent")])).await;
        let returned = there.follow(answer).await.expect_err("it leads back");
        back.push((returned.strip_prefix(url).unwrap().to_owned(), there));
    }
    let (ada, mut of_ada) = back.pop().unwrap();
    let (per, _) = back.pop().unwrap();
    let refused = here.get(&server, &per).await;
    assert_eq!(refused.status(), 403, "{}", server.log());
    assert!(refused.text().await.unwrap().contains("ingen af dine grupper"));
    assert_eq!(here.get(&server, &ada).await.status(), 200, "{}", server.log());
    let me = here.me(&server).await;
    assert_eq!((me["name"].as_str(), me["roles"][0].as_str()), (Some("ada"), Some("listener")));

    // She signs out at the provider, which tells the recorder.
    let answer = of_ada.send("/session/end", None).await;
    let form = of_ada.follow(answer).await.expect("the form to sign out");
    let secret = form.split_once("name=\"xsrf\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    of_ada.send(&action(&form), Some(&[("xsrf", &secret), ("logout", "yes")])).await;
    becomes("she is out here", async || here.status(&server, "/api/v1/me").await == 401).await;

    // Signed in by what the provider remembers, and out from here.
    let begun = here.begin(&server).await;
    let answer = there.send(&begun, None).await;
    let form = there.follow(answer).await.unwrap();
    let fields = [("prompt", "login"), ("login", "ada"), ("password", "x")];
    let answer = there.send(&action(&form), Some(&fields)).await;
    let returned = match there.follow(answer).await {
        Err(returned) => returned,
        Ok(form) => {
            let answer = there.send(&action(&form), Some(&[("prompt", "consent")])).await;
            there.follow(answer).await.unwrap_err()
        }
    };
    assert_eq!(here.get(&server, returned.strip_prefix(url).unwrap()).await.status(), 200);
    let page = here.ask(&server, "POST", "/sign-out", &[("sec-fetch-site", "same-origin")]).await;
    let page = page.text().await.unwrap();
    let end = page.split_once("content=\"0;url=").unwrap().1.split_once('"').unwrap().0.replace("&amp;", "&");
    let answer = there.send(&end, None).await;
    let form = there.follow(answer).await.expect("the provider takes the hint and the way back");
    let secret = form.split_once("name=\"xsrf\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    let answer = there.send(&action(&form), Some(&[("xsrf", &secret), ("logout", "yes")])).await;
    let returned = there.follow(answer).await.unwrap_err();
    assert!(returned.starts_with(&format!("{url}/sign-in")), "{returned}");
}
