//! Signing in by an OpenID Connect provider, at a recorder as its owner runs it: the whole flow, and a provider that does what
//! none may do.

pub(crate) mod certified;
mod fake;
mod nodes;
mod signing_out;

use std::sync::Arc;

use reqwest::Response;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::erasure::becomes;
use crate::server::{Server, Settings};
use fake::{CLIENT, Fake, Mood, SECRET, Signing, now_s};

/// A recorder with a provider.
struct Site {
    fake: Arc<Fake>,
    server: Server,
    _dir: tempfile::TempDir,
}

/// Somebody's browser: what it keeps for the recorder.
struct Visitor {
    http: reqwest::Client,
    cookies: Vec<(String, String)>,
}

/// The sections for a provider.
fn sections(issuer: &str, dir: &std::path::Path, more: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let secret = dir.join("client-secret");
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let secret = secret.display();
    let mapping = |group: &str, roles: &str, departments: &str| {
        format!(
            "[[sign_in.oidc.mapping]]\ngroup = '{group}'\nroles = '{roles}'\ndepartments = '{departments}'\n"
        )
    };
    format!(
        "[sign_in]\nurl = 'http://127.0.0.1:8080'\n[sign_in.oidc]\nissuer = '{issuer}'\nclient_id = '{CLIENT}'\n\
         client_secret_file = '{secret}'\nname = 'City login'\nallow_http = true\n{more}\n{}{}{}{}",
        mapping("trainers", "listener", "demo"),
        mapping("all-trainers", "listener", "all"),
        mapping("auditors", "auditor", ""),
        mapping("administrators", "administrator", "all"),
    )
}

impl Site {
    async fn start(ports: (u16, u16), more: &str) -> Self {
        let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
        let mut settings = Settings::with_ports(ports);
        settings.extra = sections(&fake.issuer, dir.path(), more);
        fake.acts().person = ada();
        let server = Server::start(dir.path(), &settings).await;
        Self { fake, server, _dir: dir }
    }

    fn visitor(&self) -> Visitor {
        Visitor { http: browser(), cookies: Vec::new() }
    }

    /// Signs in whoever the provider says; returns the answer to the callback.
    async fn sign_in(&self, visitor: &mut Visitor) -> Response {
        let there = visitor.begin(&self.server).await;
        let back = visitor.at_provider(&there).await;
        visitor.get(&self.server, &back).await
    }

    /// Somebody who is signed in.
    async fn signed_in(&self) -> Visitor {
        let mut visitor = self.visitor();
        let answer = self.sign_in(&mut visitor).await;
        let status = answer.status();
        assert_eq!(status, 200, "{}\n{}", answer.text().await.unwrap(), self.server.log());
        visitor
    }

    /// How many sign-ins by the provider had this result.
    async fn counted(&self, result: &str) -> f64 {
        self.server.metric("optag_provider_sign_ins_total", &format!("\"{result}\"")).await
    }
}

fn browser() -> reqwest::Client {
    reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap()
}

fn ada() -> Value {
    json!({"sub": "1", "preferred_username": "ada", "name": "Ada Møller", "groups": ["trainers"], "sid": "s1"})
}

impl Visitor {
    async fn get(&mut self, server: &Server, path: &str) -> Response {
        self.ask(server, "GET", path, &[]).await
    }

    async fn ask(&mut self, server: &Server, method: &str, path: &str, more: &[(&str, &str)]) -> Response {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", server.api));
        request = request.header("cookie", cookies.join("; ")).header("accept-language", "da");
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let set = set.to_str().unwrap();
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    /// Follows the link to the provider; returns its address.
    async fn begin(&mut self, server: &Server) -> String {
        let answer = self.get(server, "/sign-in/oidc?lang=da").await;
        assert_eq!(answer.status(), 303, "{}", server.log());
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("SameSite=Lax") && cookie.contains("HttpOnly"), "{cookie}");
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    /// Signs in there; returns where it leads back to.
    async fn at_provider(&self, address: &str) -> String {
        let answer = self.http.get(address).send().await.unwrap();
        let back = answer.headers()["location"].to_str().unwrap();
        back.strip_prefix("http://127.0.0.1:8080").unwrap().to_owned()
    }

    async fn me(&mut self, server: &Server) -> Value {
        let answer = self.get(server, "/api/v1/me").await;
        answer.json().await.unwrap_or(Value::Null)
    }

    async fn status(&mut self, server: &Server, path: &str) -> u16 {
        self.get(server, path).await.status().as_u16()
    }
}

async fn audited(server: &Server) -> String {
    server.ask("GET", "/api/v1/audit", None).await.1.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_the_provider_sends_has_the_rights_of_their_groups_until_the_next_sign_in() {
    let site = Site::start((27_000, 27_030), "").await;
    let server = &site.server;
    let page = site.visitor().get(server, "/sign-in?lang=da").await.text().await.unwrap();
    assert!(page.contains("Log ind med City login") && page.contains("name=\"password\""), "{page}");
    let mut ada = site.visitor();
    let answer = site.sign_in(&mut ada).await;
    let cookies: Vec<_> =
        answer.headers().get_all("set-cookie").iter().map(|one| one.to_str().unwrap()).collect();
    assert!(
        cookies.iter().any(|one| one.contains("SameSite=Strict") && one.contains("HttpOnly")),
        "{cookies:?}"
    );
    assert!(cookies.iter().any(|one| one.starts_with("optag_attempt_") && one.contains("Max-Age=0")));
    let page = answer.text().await.unwrap();
    assert!(page.contains("content=\"0;url=/\"") && page.contains("Du er logget ind."), "{page}");
    let me = ada.me(server).await;
    assert_eq!(
        (&me["name"], &me["roles"], &me["departments"]),
        (&json!("ada"), &json!(["listener"]), &json!(["demo"]))
    );
    assert_eq!(ada.status(server, "/api/v1/recordings?purpose=training").await, 200);
    assert_eq!(ada.status(server, "/api/v1/users").await, 403);

    // Other groups count from the next sign-in on, for the earlier one too.
    site.fake.acts().person["groups"] = json!(["auditors"]);
    let mut again = site.signed_in().await;
    assert_eq!(again.me(server).await["roles"], json!(["auditor"]));
    assert_eq!(ada.status(server, "/api/v1/recordings?purpose=training").await, 403);
    // No group, no way in, and an end to the ways that there were.
    site.fake.acts().person["groups"] = json!(["staff"]);
    let refused = site.sign_in(&mut site.visitor()).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.text().await.unwrap().contains("ingen af dine grupper giver adgang her"));
    assert_eq!(again.status(server, "/api/v1/me").await, 401);
    site.fake.acts().person["groups"] = json!(["trainers", "auditors"]);
    let refused = site.sign_in(&mut site.visitor()).await;
    assert!(refused.text().await.unwrap().contains("forskellige roller i forskellige afdelinger"));
    assert_eq!((site.counted("signed_in").await, site.counted("no_rights").await), (2.0, 2.0));
    let log = audited(server).await;
    for entry in
        ["by the provider: listener; departments demo", "sign_in_refused", "none of the person's 1 groups"]
    {
        assert!(log.contains(entry), "{entry}: {log}");
    }

    // Somebody else of the same user name is somebody else here.
    site.fake.acts().person = json!({"sub": "2", "preferred_username": "Ada", "roles": "trainers"});
    let mut other = site.signed_in().await;
    assert_eq!(other.me(server).await["name"], "ada@127.0.0.1");
    // Rights and passwords of these users are the provider's.
    let (status, problem) = server.ask("POST", "/api/v1/users/ada@127.0.0.1/reset", None).await;
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("provider"), "{problem}");
    let (status, user) = server.ask("POST", "/api/v1/users/ada@127.0.0.1/disable", None).await;
    assert!(status == 200 && user["by_provider"] == true && user["state"] == "disabled", "{user}");
    becomes("disabled", async || other.status(server, "/api/v1/me").await == 401).await;
    let refused = site.sign_in(&mut site.visitor()).await;
    assert!(refused.status() == 403 && refused.text().await.unwrap().contains("Din bruger er spærret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_administers_by_the_provider_hears_nothing_until_a_second_administrator_confirms() {
    let site = Site::start((27_040, 27_070), "").await;
    let server = &site.server;
    site.fake.acts().person["groups"] = json!(["administrators", "all-trainers"]);
    let mut ada = site.signed_in().await;
    assert_eq!(ada.me(server).await["roles"], json!(["administrator"]));
    let waiting = ada.get(server, "/api/v1/user-requests").await.json::<Value>().await.unwrap();
    let id = waiting[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&waiting[0]["user"], &waiting[0]["roles"]),
        (&json!("ada"), &json!(["administrator", "listener"]))
    );
    let key = ada.me(server).await["change_key"].as_str().unwrap().to_owned();
    let own = [("optag-change", key.as_str()), ("sec-fetch-site", "same-origin")];
    let confirm = format!("/api/v1/user-requests/{id}/confirm");
    assert_eq!(ada.ask(server, "POST", &confirm, &own).await.status(), 403, "her own request");
    // Asked for once, however often she signs in.
    site.signed_in().await;
    let again = ada.get(server, "/api/v1/user-requests").await.json::<Value>().await.unwrap();
    assert_eq!((again.as_array().unwrap().len(), &again[0]["id"]), (1, &json!(id)));
    assert_eq!(server.ask("POST", &confirm, None).await.0, 200);
    assert_eq!(ada.me(server).await["roles"], json!(["administrator", "listener"]));
    let mut later = site.signed_in().await;
    assert_eq!(later.me(server).await["roles"], json!(["administrator", "listener"]), "it was confirmed");
    // Once it was taken from her at the provider, it must be confirmed anew.
    site.fake.acts().person["groups"] = json!(["administrators"]);
    site.signed_in().await;
    site.fake.acts().person["groups"] = json!(["administrators", "all-trainers"]);
    assert_eq!(site.signed_in().await.me(server).await["roles"], json!(["administrator"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_wrong_in_any_way_signs_nobody_in() {
    let site = Site::start((27_080, 27_110), "").await;
    let server = &site.server;
    type Wrong = (&'static str, fn(&mut Value, &mut Value));
    let wrong: [Wrong; 18] = [
        ("issuer", |_, claims| claims["iss"] = json!("http://127.0.0.1/realms/other")),
        ("no issuer", |_, claims| drop(claims.as_object_mut().unwrap().remove("iss"))),
        ("audience", |_, claims| claims["aud"] = json!("other")),
        ("no audience", |_, claims| drop(claims.as_object_mut().unwrap().remove("aud"))),
        ("another audience as well", |_, claims| claims["aud"] = json!([CLIENT, "other"])),
        ("party", |_, claims| claims["azp"] = json!("other")),
        ("nonce", |_, claims| claims["nonce"] = json!("other")),
        ("no nonce", |_, claims| drop(claims.as_object_mut().unwrap().remove("nonce"))),
        ("expired", |_, claims| claims["exp"] = json!(now_s() - 61)),
        ("no expiry", |_, claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        ("of the future", |_, claims| claims["iat"] = json!(now_s() + 90)),
        ("of long ago", |_, claims| claims["iat"] = json!(now_s() - 700)),
        ("not yet valid", |_, claims| claims["nbf"] = json!(now_s() + 90)),
        ("no subject", |_, claims| drop(claims.as_object_mut().unwrap().remove("sub"))),
        ("access token", |_, claims| claims["at_hash"] = json!("AAAAAAAAAAAAAAAAAAAAAA")),
        ("type", |header, _| header["typ"] = json!("logout+jwt")),
        ("critical", |header, _| header["crit"] = json!(["exp"])),
        ("algorithm of another key", |header, _| header["alg"] = json!("RS256")),
    ];
    let mut refused = 0.0;
    for (name, change) in wrong {
        site.fake.acts().change = Arc::new(change);
        let mut visitor = site.visitor();
        let answer = site.sign_in(&mut visitor).await;
        let status = answer.status();
        let page = answer.text().await.unwrap();
        assert!(status == 401 && page.contains("kunne ikke bekræftes"), "{name}: {status} {page}");
        assert_eq!(visitor.status(server, "/api/v1/me").await, 401, "{name}");
        refused += 1.0;
    }
    site.fake.acts().change = Arc::new(|_, _| {});
    for signing in [Signing::Forged, Signing::None, Signing::Secret] {
        site.fake.acts().signing = signing;
        let answer = site.sign_in(&mut site.visitor()).await;
        assert_eq!(answer.status(), 401, "{signing:?}");
        refused += 1.0;
    }
    site.fake.acts().signing = Signing::Own;
    assert_eq!((site.counted("invalid").await, site.counted("signed_in").await), (refused, 0.0));
    // Clocks may differ by a minute.
    for change in
        [(|_, claims| claims["exp"] = json!(now_s() - 50)) as fn(&mut Value, &mut Value), |_, claims| {
            claims["iat"] = json!(now_s() + 50)
        }]
    {
        site.fake.acts().change = Arc::new(change);
        site.signed_in().await;
    }
    let log = audited(server).await;
    assert!(log.contains("sign_in_failed") && log.contains("the ID token is refused"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_once_and_in_the_browser_that_began() {
    let site = Site::start((27_120, 27_150), "").await;
    let server = &site.server;
    let mut ada = site.visitor();
    let back = {
        let there = ada.begin(server).await;
        ada.at_provider(&there).await
    };
    // Somebody else follows the link that was meant for her, and leads her to his own account with his.
    let mut mallory = site.visitor();
    assert_eq!(mallory.get(server, &back).await.status(), 400);
    let there = mallory.begin(server).await;
    let his = mallory.at_provider(&there).await;
    let mut misled = Visitor { http: browser(), cookies: ada.cookies.clone() };
    assert_eq!(misled.get(server, &his).await.status(), 400);
    // A state of one attempt with the code of another.
    let code = |back: &str| {
        url::Url::parse(&format!("http://a{back}")).unwrap().query_pairs().next().unwrap().1.into_owned()
    };
    let swapped = back.replace(&code(&back), &code(&his));
    let mut tried = Visitor { http: browser(), cookies: ada.cookies.clone() };
    assert_eq!(tried.get(server, &swapped).await.status(), 401, "the verifier is of another attempt");
    // The state was used by that.
    assert_eq!(ada.get(server, &back).await.status(), 400);

    let there = ada.begin(server).await;
    let back = ada.at_provider(&there).await;
    let kept = ada.cookies.clone();
    assert_eq!(ada.get(server, &back).await.status(), 200);
    let mut replayed = Visitor { http: browser(), cookies: kept };
    let answer = replayed.get(server, &back).await;
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("Begynd forfra"));
    // A code that was used, under a state that was not.
    let there = ada.begin(server).await;
    let fresh = ada.at_provider(&there).await;
    let reused = fresh.replace(&code(&fresh), &code(&back));
    assert_eq!(ada.get(server, &reused).await.status(), 401);

    for (change, status) in [
        ("error=access_denied", 401),
        ("error=%3Cscript%3Ealert(1)%3C/script%3E", 401),
        ("iss=http%3A%2F%2Felsewhere.example&code=x", 401),
        ("iss=", 401),
    ] {
        let mut visitor = site.visitor();
        let there = visitor.begin(server).await;
        let state = url::Url::parse(&there).unwrap();
        let state = state.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let answer = visitor.get(server, &format!("/sign-in/oidc/callback?state={state}&{change}")).await;
        assert_eq!(answer.status(), status, "{change}");
        assert!(!answer.text().await.unwrap().contains("<script"));
    }
    // A good answer that another provider is said to have given, or, where it always says so, nobody.
    site.fake.acts().description = json!({"authorization_response_iss_parameter_supported": true});
    becomes("the recorder knows that", async || {
        // Not so often that the address is slowed.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let mut visitor = site.visitor();
        let there = visitor.begin(server).await;
        let back = visitor.at_provider(&there).await;
        let nobody = back.split("&iss=").next().unwrap();
        visitor.get(server, nobody).await.status() == 401
    })
    .await;
    let mut visitor = site.visitor();
    let there = visitor.begin(server).await;
    let back = visitor.at_provider(&there).await;
    let other = back.replace("realms%2Fcity", "realms%2Fother");
    assert_ne!(back, other);
    assert_eq!(visitor.get(server, &other).await.status(), 401);
    for nothing in
        ["", "?state=", "?code=x", "?code=x&state=0000000000000000", "?code=x&state=..%2F..%2F..%2Fetc"]
    {
        let answer = site.visitor().get(server, &format!("/sign-in/oidc/callback{nothing}")).await;
        assert_eq!(answer.status(), 400, "{nothing}");
    }
    // Another site begins nothing.
    let begun = site.visitor().ask(server, "GET", "/sign-in/oidc", &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!((begun.status().as_u16(), begun.headers().get("set-cookie")), (403, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_and_keys_that_were_withdrawn_or_made_up_sign_nobody_in() {
    let site = Site::start((27_160, 27_190), "").await;
    site.signed_in().await;
    // A new key, that the recorder has not read.
    {
        let mut acts = site.fake.acts();
        (acts.signs, acts.published) = (1, vec![0, 1]);
    }
    site.signed_in().await;
    // A key that is not published.
    site.fake.acts().signs = 2;
    assert_eq!(site.sign_in(&mut site.visitor()).await.status(), 401);
    // Whoever names keys that nobody has makes the recorder read a few times, and no more.
    let before = site.fake.acts().read;
    for number in 0..20 {
        let claims = site.fake.notice(&format!("n{number}"), &json!({"sid": "s1"}));
        let token = site.fake.signed(json!({"typ": "logout+jwt"}), claims);
        let url = format!("{}/sign-in/oidc/back-channel-logout", site.server.api);
        let body = format!("logout_token={token}");
        let sent = browser().post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
        assert_eq!(sent.send().await.unwrap().status(), 400);
    }
    assert!(site.fake.acts().read - before <= 4, "{} times", site.fake.acts().read - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_only_user_info_tells_count_and_only_of_the_same_person() {
    let site = Site::start((27_200, 27_230), "").await;
    site.fake.acts().person = json!({"sub": "1"});
    site.fake.acts().told_beside =
        json!({"sub": "1", "preferred_username": "ole", "groups": ["trainers"], "iss": "x"});
    let mut ole = site.signed_in().await;
    assert_eq!(ole.me(&site.server).await["name"], "ole");
    site.fake.acts().told_beside["sub"] = json!("2");
    assert_eq!(site.sign_in(&mut site.visitor()).await.status(), 401);
    // What stands in the ID token is not replaced.
    site.fake.acts().person = json!({"sub": "1", "groups": ["auditors"]});
    site.fake.acts().told_beside["sub"] = json!("1");
    assert_eq!(site.signed_in().await.me(&site.server).await["roles"], json!(["auditor"]));
    for mood in [Mood::Broken, Mood::Html, Mood::Huge, Mood::Elsewhere] {
        site.fake.acts().user_info = mood;
        let status = site.sign_in(&mut site.visitor()).await.status();
        assert!(status == 401 || status == 503, "{mood:?}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_provider_nobody_new_comes_in_and_nobody_is_put_out() {
    let site = Site::start((27_240, 27_270), "").await;
    let server = &site.server;
    let mut ada = site.signed_in().await;
    let mut on_the_way = site.visitor();
    let there = on_the_way.begin(server).await;
    let back = on_the_way.at_provider(&there).await;
    for mood in [Mood::Broken, Mood::Huge, Mood::Elsewhere, Mood::Html, Mood::Silent] {
        site.fake.acts().token = mood;
        let status = site.sign_in(&mut site.visitor()).await.status();
        let expected = if [Mood::Elsewhere, Mood::Html].contains(&mood) { 401 } else { 503 };
        assert_eq!(status, expected, "{mood:?}");
    }
    site.fake.acts().token = Mood::Good;
    site.fake.acts().down = true;
    let answer = on_the_way.get(server, &back).await;
    assert!(answer.status() == 503 && answer.text().await.unwrap().contains("svarer ikke lige nu"));
    becomes("it is seen", async || server.metric("optag_sign_in_provider_away", "").await == 1.0).await;
    let answer = site.visitor().get(server, "/sign-in/oidc").await;
    assert_eq!(answer.status(), 503);
    let page = site.visitor().get(server, "/sign-in?lang=da").await.text().await.unwrap();
    assert!(page.contains("City login svarer ikke lige nu"), "{page}");
    assert_eq!(ada.status(server, "/api/v1/recordings?purpose=training").await, 200, "she stays");
    site.fake.acts().down = false;
    becomes("it is back", async || server.metric("optag_sign_in_provider_away", "").await == 0.0).await;
    site.signed_in().await;
    // A description that is not the provider's own, or leads where the recorder must not go.
    for (wrong, _) in [
        (json!({"issuer": "http://127.0.0.1/realms/other"}), 0),
        (json!({"jwks_uri": "http://127.0.0.1:1/keys"}), 0),
        (json!({"token_endpoint": "ftp://127.0.0.1/token"}), 0),
        (json!({"authorization_endpoint": "javascript:alert(1)"}), 0),
    ] {
        site.fake.acts().description = wrong.clone();
        becomes(&format!("{wrong}"), async || {
            site.visitor().get(server, "/sign-in/oidc").await.status() == 503
        })
        .await;
        site.fake.acts().description = json!({});
        becomes("it is right again", async || {
            site.visitor().get(server, "/sign-in/oidc").await.status() == 303
        })
        .await;
    }
}

/// Runs a command on a recorder's configuration; returns whether it succeeded, and all that it says.
fn command(server: &Server, args: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_optag"));
    let done = command.args(args).arg("--config").arg(server.dir.join("optag.toml")).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_is_wrong_with_the_provider_and_an_upgrade_does_not_wait_for_it() {
    let mut site = Site::start((27_760, 27_790), "").await;
    let (_, said) = command(&site.server, &["doctor"]);
    assert!(said.contains("the provider answers; 1 of its keys can be used"), "{said}");
    let (checked, said) = command(&site.server, &["serve", "--check"]);
    assert!(checked && said.is_empty(), "{said}");
    site.fake.acts().description = json!({"issuer": "http://127.0.0.1/realms/other"});
    let (sound, said) = command(&site.server, &["doctor"]);
    assert!(!sound && said.contains("unexpected issuer URI `http://127.0.0.1/realms/other`"), "{said}");
    let (checked, said) = command(&site.server, &["serve", "--check"]);
    assert!(checked && said.contains("warning: sign_in.oidc"), "{said}");
    site.server.upgrade();
    site.fake.acts().description = json!({});
    becomes("it is right again", async || {
        site.visitor().get(&site.server, "/sign-in/oidc").await.status() == 303
    })
    .await;
    site.signed_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_provider_is_the_only_way_in_passwords_and_tokens_are_none() {
    let site = Site::start((27_800, 27_830), "").await;
    let Site { fake, server, _dir } = site;
    let form = async |server: &Server| {
        let sent = browser().post(format!("{}/sign-in", server.api)).header("sec-fetch-site", "same-origin");
        let sent = sent.header("content-type", "application/x-www-form-urlencoded");
        sent.body(format!("secret={}", server.token)).send().await.unwrap()
    };
    let answer = form(&server).await;
    assert_eq!(answer.status(), 303);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let (name, value) = cookie.split_once('=').unwrap();
    let mut by_token = Visitor { http: browser(), cookies: vec![(name.to_owned(), value.to_owned())] };
    assert_eq!(by_token.status(&server, "/api/v1/me").await, 200);
    let dir = server.dir.clone();
    drop(server);
    let mut settings = Settings::with_ports((27_800, 27_830));
    settings.extra = sections(&fake.issuer, &dir, "").replace("[sign_in]\n", "[sign_in]\nlocal = false\n");
    let server = Server::start(&dir, &settings).await;
    assert_eq!(by_token.status(&server, "/api/v1/me").await, 401, "that way was closed");
    let answer = form(&server).await;
    assert_eq!((answer.status().as_u16(), answer.headers().get("set-cookie")), (403, None));
    let page =
        Visitor { http: browser(), cookies: Vec::new() }.get(&server, "/sign-in").await.text().await.unwrap();
    assert!(page.contains("Log ind med City login") && !page.contains("<form"), "{page}");
    let site = Site { fake, server, _dir };
    site.signed_in().await;
    assert_eq!(site.server.ask("GET", "/api/v1/me", None).await.0, 200, "programs have their tokens");
}
