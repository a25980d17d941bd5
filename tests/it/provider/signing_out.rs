//! Signing out: here and there, and by the provider's notice.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fake::{CLIENT, Signing, now_s};
use super::{Site, Visitor, audited, browser};

const BACK_CHANNEL: &str = "/sign-in/oidc/back-channel-logout";

/// Gives notice; returns the status and what is wrong.
async fn notify(site: &Site, token: &str) -> (u16, String) {
    let sent = browser().post(format!("{}{BACK_CHANNEL}", site.server.api));
    let sent = sent.header("content-type", "application/x-www-form-urlencoded");
    let answer = sent.body(format!("logout_token={token}")).send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let status = answer.status().as_u16();
    let told: Value = answer.json().await.unwrap_or_default();
    (status, told["error_description"].as_str().unwrap_or_default().to_owned())
}

/// Gives a good notice of this.
async fn told(site: &Site, jti: &str, of: Value) -> u16 {
    let token = site.fake.signed(json!({"typ": "logout+jwt"}), site.fake.notice(jti, &of));
    notify(site, &token).await.0
}

async fn is_in(site: &Site, visitor: &mut Visitor) -> bool {
    visitor.status(&site.server, "/api/v1/me").await == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_here_is_led_to_sign_out_at_the_provider() {
    let site = Site::start((27_280, 27_310), "").await;
    let mut ada = site.signed_in().await;
    let answer = ada.ask(&site.server, "POST", "/sign-out", &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(answer.status(), 200);
    let page = answer.text().await.unwrap();
    let address =
        page.split_once("content=\"0;url=").unwrap().1.split_once('"').unwrap().0.replace("&amp;", "&");
    assert!(address.starts_with(&format!("{}/end?", site.fake.issuer)), "{address}");
    let address = url::Url::parse(&address).unwrap();
    let query: std::collections::HashMap<_, _> = address.query_pairs().into_owned().collect();
    assert_eq!(
        (query["client_id"].as_str(), query["post_logout_redirect_uri"].as_str()),
        (CLIENT, "http://127.0.0.1:8080/sign-in")
    );
    assert_eq!(query["id_token_hint"].split('.').count(), 3);
    assert!(page.contains("Du er logget ud her.") && !is_in(&site, &mut ada).await);
    // The token is in the database for nobody to read.
    site.signed_in().await;
    let header = query["id_token_hint"].split('.').next().unwrap();
    for (path, bytes) in crate::server::files_below(&site.server.dir.join("data")) {
        assert!(memchr::memmem::find(&bytes, header.as_bytes()).is_none(), "{}", path.display());
    }
    // While the provider is away, one signs out here.
    site.fake.acts().description = json!({"end_session_endpoint": null});
    let mut ada = site.signed_in().await;
    site.fake.acts().down = true;
    let answer = ada.ask(&site.server, "POST", "/sign-out", &[("sec-fetch-site", "same-origin")]).await;
    assert!(answer.status() == 200 || answer.status() == 303);
    assert!(!is_in(&site, &mut ada).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_of_the_provider_ends_the_session_that_it_names_or_all_of_the_person() {
    let site = Site::start((27_320, 27_350), "").await;
    let mut first = site.signed_in().await;
    site.fake.acts().person["sid"] = json!("s2");
    let mut second = site.signed_in().await;
    site.fake.acts().person =
        json!({"sub": "2", "preferred_username": "ole", "groups": ["trainers"], "sid": "s3"});
    let mut other = site.signed_in().await;
    assert_eq!(told(&site, "n1", json!({"sid": "s1"})).await, 200);
    assert!(
        !is_in(&site, &mut first).await && is_in(&site, &mut second).await && is_in(&site, &mut other).await
    );
    assert_eq!(told(&site, "n2", json!({"sid": "s3", "sub": "1"})).await, 200);
    assert!(is_in(&site, &mut other).await, "the session is not of that person");
    assert_eq!(told(&site, "n3", json!({"sub": "1"})).await, 200);
    assert!(!is_in(&site, &mut second).await && is_in(&site, &mut other).await);
    assert_eq!(told(&site, "n4", json!({"sub": "nobody"})).await, 200);
    assert_eq!(told(&site, "n5", json!({"sid": "s3", "sub": "2"})).await, 200);
    assert!(!is_in(&site, &mut other).await);
    // Whoever was on the way in that session does not get in by it any more.
    let late = site.sign_in(&mut site.visitor()).await;
    assert!(late.status() == 403 && late.text().await.unwrap().contains("logget ud i mellemtiden"));
    site.fake.acts().person["sid"] = json!("s4");
    let mut again = site.signed_in().await;
    assert!(is_in(&site, &mut again).await);
    // A provider that names no sessions in its ID tokens.
    site.fake.acts().person = json!({"sub": "3", "preferred_username": "eva", "groups": ["trainers"]});
    let mut eva = site.signed_in().await;
    assert_eq!(told(&site, "n6", json!({"sid": "s9", "sub": "3"})).await, 200);
    assert!(!is_in(&site, &mut eva).await && is_in(&site, &mut again).await);
    let log = audited(&site.server).await;
    assert!(log.contains("signed out at the provider"), "{log}");
    let ended = site.server.metric("optag_provider_logouts_total", "\"ended\"").await;
    assert_eq!(ended, 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_is_wrong_in_any_way_or_comes_again_ends_nothing() {
    let site = Site::start((27_360, 27_390), "").await;
    let mut ada = site.signed_in().await;
    type Wrong = (&'static str, fn(&mut Value, &mut Value));
    let wrong: [Wrong; 21] = [
        ("issuer", |_, claims| claims["iss"] = json!("http://127.0.0.1/realms/other")),
        ("no issuer", |_, claims| drop(claims.as_object_mut().unwrap().remove("iss"))),
        ("audience", |_, claims| claims["aud"] = json!(["other"])),
        ("no audience", |_, claims| drop(claims.as_object_mut().unwrap().remove("aud"))),
        ("expired", |_, claims| claims["exp"] = json!(now_s() - 61)),
        ("no expiry", |_, claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        ("of the future", |_, claims| claims["iat"] = json!(now_s() + 90)),
        ("of long ago", |_, claims| claims["iat"] = json!(now_s() - 700)),
        ("no time", |_, claims| drop(claims.as_object_mut().unwrap().remove("iat"))),
        ("no event", |_, claims| drop(claims.as_object_mut().unwrap().remove("events"))),
        ("another event", |_, claims| {
            claims["events"] = json!({"http://schemas.openid.net/event/other": {}})
        }),
        ("event of a text", |_, claims| {
            claims["events"] = json!({"http://schemas.openid.net/event/backchannel-logout": "yes"});
        }),
        ("nonce", |_, claims| claims["nonce"] = json!("x")),
        ("nobody", |_, claims| drop(claims.as_object_mut().unwrap().remove("sid"))),
        ("no id", |_, claims| drop(claims.as_object_mut().unwrap().remove("jti"))),
        ("empty id", |_, claims| claims["jti"] = json!("")),
        ("type", |header, _| header["typ"] = json!("at+jwt")),
        ("critical", |header, _| header["crit"] = json!(["exp"])),
        ("unknown key", |header, _| header["kid"] = json!("key-9")),
        ("algorithm of another key", |header, _| header["alg"] = json!("RS256")),
        ("unknown algorithm", |header, _| header["alg"] = json!("ES000")),
    ];
    for (at, (name, change)) in wrong.into_iter().enumerate() {
        site.fake.acts().change = Arc::new(change);
        assert_eq!(told(&site, &format!("w{at}"), json!({"sid": "s1"})).await, 400, "{name}");
    }
    site.fake.acts().change = Arc::new(|_, _| {});
    for signing in [Signing::Forged, Signing::None, Signing::Secret] {
        site.fake.acts().signing = signing;
        assert_eq!(told(&site, "f", json!({"sid": "s1"})).await, 400, "{signing:?}");
    }
    site.fake.acts().signing = Signing::Own;
    let long = "a".repeat(20_000);
    for token in ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", long.as_str(), "e30.e30.", "bnVsbA.bnVsbA.bnVsbA"]
    {
        assert_eq!(notify(&site, token).await.0, 400, "{token:.20}");
    }
    for (form, body) in [(true, "token=x"), (false, "logout_token=x"), (true, "")] {
        let sent = browser().post(format!("{}{BACK_CHANNEL}", site.server.api)).body(body);
        let kind = if form { "application/x-www-form-urlencoded" } else { "text/plain" };
        assert_eq!(sent.header("content-type", kind).send().await.unwrap().status(), 400, "{body}");
    }
    assert!(is_in(&site, &mut ada).await);
    // Nothing of a refused notice was used up; a good one counts once.
    let token = site.fake.signed(json!({"typ": "logout+jwt"}), site.fake.notice("w0", &json!({"sub": "1"})));
    assert_eq!(notify(&site, &token).await.0, 200);
    assert!(!is_in(&site, &mut ada).await);
    site.fake.acts().person["sid"] = json!("s7");
    // The person signs in again, a second later than the notice.
    site.fake.acts().change = Arc::new(|_, claims| claims["iat"] = json!(now_s() + 5));
    let mut again = site.signed_in().await;
    site.fake.acts().change = Arc::new(|_, _| {});
    let (status, why) = notify(&site, &token).await;
    assert!(status == 400 && why.contains("used before"), "{why}");
    assert!(is_in(&site, &mut again).await);
    let other = browser().get(format!("{}{BACK_CHANNEL}", site.server.api)).send().await.unwrap();
    assert_eq!(other.status(), 405);
}
