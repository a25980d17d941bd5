//! Sign-ins by a provider, as the API sees them.

use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use tower::ServiceExt;

use crate::config::Config;
use crate::http::fakes::{Api, id};
use crate::index::{ProviderLogout, SignInRow, UserPut, UserRow};
use optag_core::clock::{Clock, OsClock};
use optag_core::hex::hex;

const SECRET: &str = "a secret of a browser";

/// An API with somebody who is signed in by the provider.
async fn signed_in() -> Api {
    let text = "[sign_in]\nurl = 'https://optag.example'\n[sign_in.oidc]\nissuer = 'https://login.example'\nclient_id = 'optag'\n\
                [[sign_in.oidc.mapping]]\ngroup = 'a'\nroles = 'listener'\ndepartments = 'all'\n";
    let api = Api::with_sign_in(Config::parse(text, []).unwrap().sign_in);
    let now = OsClock.wall();
    let row = UserRow {
        id: "1".into(),
        name: "ada".into(),
        display_name: "Ada".into(),
        roles: "listener".into(),
        departments: "\"all\"".into(),
        password: None,
        totp: None,
        totp_step: 0,
        epoch: 0,
        disabled: false,
        vouched_by: "identity provider".into(),
        created_at: now,
        used_at: None,
        subject: Some("subject".into()),
        confirmed_roles: None,
        confirmed_departments: None,
    };
    assert_eq!(api.index.put_user(&row, 10).await.unwrap(), UserPut::Done);
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SECRET.as_bytes());
    let sign_in = SignInRow {
        sha256: hex(sha256.as_ref()),
        id: "s".into(),
        token_sha256: "user 1 0".into(),
        provider_sid: Some("session".into()),
        id_token: None,
        created_at: now,
        used_at: now,
        expires_at: now.plus_micros(3_600_000_000),
    };
    api.index.put_sign_in(&sign_in, now.plus_micros(-1), 20).await.unwrap();
    api
}

#[tokio::test]
async fn a_playback_that_runs_is_cut_when_the_person_signs_out_at_the_provider() {
    let api = signed_in().await;
    api.fake.endless.store(true, std::sync::atomic::Ordering::Relaxed);
    let path = format!("/api/v1/recordings/{}/audio?purpose=training", id());
    let request = Request::get(path).header("cookie", format!("optag_session={SECRET}"));
    let answer = api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut playing = answer.into_body().into_data_stream();
    playing.next().await.unwrap().unwrap();
    let now = OsClock.wall();
    let logout = ProviderLogout {
        id: "n".into(),
        sid: Some("session".into()),
        subject: None,
        at: now,
        expires_at: now.plus_micros(1_000_000),
    };
    assert_eq!(api.index.provider_logout(&logout, now).await.unwrap(), Some(vec!["ada".to_owned()]));
    assert!(playing.next().await.unwrap().is_err());
}

#[tokio::test]
async fn without_a_provider_its_addresses_lead_nowhere() {
    let api = Api::new();
    for (path, status) in [("/sign-in/oidc", 404), ("/sign-in/oidc/callback?state=x", 404)] {
        let answer = api.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(String::from_utf8_lossy(&answer.bytes).contains("You cannot sign in this way here."));
    }
    let notice = Request::post("/sign-in/oidc/back-channel-logout");
    let notice = notice.header("content-type", "application/x-www-form-urlencoded");
    let answer = api.send(notice.body(Body::from("logout_token=x")).unwrap()).await;
    assert_eq!(answer.status.as_u16(), 404);
}
