//! Several nodes on one PostgreSQL: a sign-in is begun at one, ended at another, known at all, and ends at all.

use serde_json::json;

use super::fake::Fake;
use super::{Visitor, ada, browser, sections};
use crate::erasure::becomes;
use crate::nodes::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_goes_from_node_to_node_and_a_notice_at_one_ends_it_at_all() {
    let Some(site) = Site::new(27_500, 2) else { return };
    let fake = Fake::start().await;
    fake.acts().person = ada();
    let (one, two) = site.two_with(&sections(&fake.issuer, site.dir.path(), "")).await;
    let mut ada = Visitor { http: browser(), cookies: Vec::new() };
    let there = ada.begin(&one).await;
    let back = ada.at_provider(&there).await;
    let kept = ada.cookies.clone();
    assert_eq!(ada.get(&two, &back).await.status(), 200, "{}", two.log());
    let mut replayed = Visitor { http: browser(), cookies: kept };
    assert_eq!(replayed.get(&one, &back).await.status(), 400, "it was used at the other node");
    for node in [&one, &two] {
        assert_eq!(ada.me(node).await["roles"], json!(["listener"]));
    }
    let token =
        fake.signed(json!({"typ": "logout+jwt"}), fake.notice("n1", &json!({"sid": "s1", "sub": "1"})));
    for (node, status) in [(&two, 200), (&one, 400)] {
        let sent = browser().post(format!("{}/sign-in/oidc/back-channel-logout", node.api));
        let sent = sent.header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(sent.body(format!("logout_token={token}")).send().await.unwrap().status(), status);
    }
    for node in [&one, &two] {
        becomes("she is out", async || ada.status(node, "/api/v1/me").await == 401).await;
    }
    // Under way in that session at the time: in at no node.
    let there = ada.begin(&one).await;
    let back = ada.at_provider(&there).await;
    assert_eq!(ada.get(&one, &back).await.status(), 403);
    // The database does not answer: who is signed in stays so, and nobody learns anything wrong.
    fake.acts().person["sid"] = json!("s2");
    let there = ada.begin(&one).await;
    let back = ada.at_provider(&there).await;
    assert_eq!(ada.get(&one, &back).await.status(), 200);
    site.postgres.crash();
    let late = fake.signed(json!({"typ": "logout+jwt"}), fake.notice("n2", &json!({"sid": "s2"})));
    let sent = browser().post(format!("{}/sign-in/oidc/back-channel-logout", one.api));
    let sent = sent.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(sent.body(format!("logout_token={late}")).send().await.unwrap().status(), 400);
    site.postgres.begin();
    becomes("she is in", async || ada.status(&one, "/api/v1/me").await == 200).await;
    // What could not be carried out was not used up.
    let again = async || {
        let sent = browser().post(format!("{}/sign-in/oidc/back-channel-logout", one.api));
        let sent = sent.header("content-type", "application/x-www-form-urlencoded");
        sent.body(format!("logout_token={late}")).send().await.unwrap().status() == 200
    };
    becomes("it is carried out", again).await;
    assert_eq!(ada.status(&two, "/api/v1/me").await, 401);
}
