//! Legal holds on several recorders: one placed on any node stops sweeps and erasures of all, and is lifted on any.

use std::path::Path;

use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use crate::conversation::Conversation;
use crate::erasure::becomes;
use crate::nodes::{Site, named, registry_is};
use crate::phone::voice;
use crate::server::{Server, files_below};

/// Holds are allowed, and each node sweeps every second.
const HOLDING: &str = "[retention]\nsweep_interval_s = 1\nlegal_hold = true\n[seal]\nescrow_to = \"store\"\n";

/// A recording of a node, in store and index.
pub(crate) async fn recorded(node: &Server, name: &str) -> String {
    let mut call = Conversation::admit_as(node, named(name)).await;
    let yes = json!({"answer": "yes", "how": "system"});
    assert_eq!(call.ask(node, "consent", Some(yes)).await.0, 200);
    call.speak(voice(1, 300), voice(2, 300)).await;
    let id = call.id.clone();
    assert_eq!(call.end(node).await, "recorded");
    node.stored(&id).await;
    id
}

/// Runs a statement in the database of the nodes.
pub(crate) async fn in_database(site: &Site, sql: String) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&site.postgres.address()).await.unwrap();
    sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}

/// The recording's time is over since an hour.
async fn expires(site: &Site, id: &str) {
    let over = jiff::Timestamp::now().as_microsecond() - 3_600_000_000;
    in_database(site, format!("UPDATE recordings SET expires_at_us = {over} WHERE id = '{id}'")).await;
}

fn copies(dir: &Path, id: &str) -> usize {
    let store = dir.join("store/recordings");
    files_below(&store).iter().filter(|(path, _)| path.display().to_string().contains(id)).count()
}

fn until(hours: i64) -> Value {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    json!({"until": at.to_string(), "reason": "case 17/2026"})
}

async fn hold(node: &Server, id: &str) -> (u16, Value) {
    node.ask("PUT", &format!("/api/v1/recordings/{id}/hold"), Some(until(24))).await
}

async fn lift(node: &Server, id: &str) -> u16 {
    node.ask("DELETE", &format!("/api/v1/recordings/{id}/hold"), None).await.0
}

pub(crate) async fn erase(node: &Server, id: &str) -> (u16, Value) {
    node.ask("DELETE", &format!("/api/v1/recordings/{id}?reason=asked&request=2026-17"), None).await
}

async fn is_shown(node: &Server, id: &str) -> u16 {
    node.ask("GET", &format!("/api/v1/recordings/{id}?purpose=administration"), None).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_a_hold_of_one_node_stops_sweeps_and_erasures_of_every_node_until_it_is_lifted_on_any() {
    let Some(site) = Site::new(27_000, 2) else { return };
    let (one, two) = site.two_with(HOLDING).await;
    let (held, free, later) =
        (recorded(&one, "held").await, recorded(&one, "free").await, recorded(&one, "later").await);
    assert_eq!(hold(&one, &held).await.0, 200);
    let (status, listed) = two.ask("GET", "/api/v1/holds", None).await;
    assert_eq!((status, &listed[0]["id"]), (200, &json!(held)), "{listed}");
    for node in [&one, &two] {
        let (status, problem) = erase(node, &held).await;
        assert_eq!(status, 409, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("case 17/2026"), "{problem}");
    }
    // A sweep takes the oldest first: whoever swept the second has passed over the first.
    expires(&site, &held).await;
    expires(&site, &free).await;
    becomes("what is not held is swept", async || copies(site.dir.path(), &free) == 0).await;
    one.kill();
    expires(&site, &later).await;
    becomes("the other node sweeps", async || copies(site.dir.path(), &later) == 0).await;
    assert_eq!(copies(site.dir.path(), &held), 2);
    assert_eq!(is_shown(&two, &held).await, 200, "what is held past its time is served by any node");
    assert_eq!(lift(&two, &held).await, 204);
    assert_eq!(lift(&two, &held).await, 404);
    becomes("it is swept", async || copies(site.dir.path(), &held) == 0).await;
    // The node that placed it comes back, and its file does not bring the hold back.
    let one = site.start_with(0, HOLDING).await;
    becomes("no hold is left", async || one.ask("GET", "/api/v1/holds", None).await.1 == json!([])).await;
    assert_eq!(hold(&one, &held).await.0, 409, "what is over cannot be held");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_of_a_hold_and_an_erasure_on_two_nodes_at_once_one_wins() {
    let Some(site) = Site::new(27_270, 2) else { return };
    let (one, two) = site.two_with(HOLDING).await;
    for n in 0..6 {
        let id = recorded(&one, &format!("race-{n}")).await;
        let (held, erased) = tokio::join!(hold(&one, &id), erase(&two, &id));
        match (held.0, erased.0) {
            (200, 409) => assert_eq!(copies(site.dir.path(), &id), 2),
            (410, 200 | 202) => {
                becomes("it is erased", async || copies(site.dir.path(), &id) == 0).await;
            }
            both => panic!("{both:?}: {held:?} {erased:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_while_postgresql_is_away_no_hold_is_acknowledged_and_nothing_is_erased() {
    let Some(site) = Site::new(27_540, 2) else { return };
    let (one, two) = site.two_with(HOLDING).await;
    let (id, other) = (recorded(&one, "away").await, recorded(&one, "away-2").await);
    // A node that has not seen a token yet knows nobody of that name while PostgreSQL is away.
    assert_eq!(two.ask("GET", "/api/v1/holds", None).await.0, 200);
    site.postgres.crash();
    for node in [&one, &two] {
        registry_is(node, 0.0).await;
    }
    let ((status, problem), (erased, answer)) = tokio::join!(hold(&two, &id), erase(&two, &other));
    assert_eq!((status, erased), (503, 503), "{problem} {answer}");
    site.postgres.begin();
    for node in [&one, &two] {
        registry_is(node, 1.0).await;
    }
    assert_eq!(
        one.ask("GET", "/api/v1/holds", None).await.1,
        json!([]),
        "what was not acknowledged is not there"
    );
    assert_eq!((is_shown(&one, &other).await, copies(site.dir.path(), &other)), (200, 2));
    assert_eq!(hold(&two, &id).await.0, 200);
    assert_eq!(erase(&one, &id).await.0, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_holds_of_a_node_of_an_earlier_version_bind_every_node_and_are_waited_for() {
    let Some(site) = Site::new(27_810, 2) else { return };
    let (one, two) = site.two_with(HOLDING).await;
    let (held, other) = (recorded(&one, "before").await, recorded(&one, "other").await);
    let file = one.dir.join("data/holds.json");
    // As the earlier version left it: a hold in a file, and a node of which nobody knows that it has entered its own.
    one.kill();
    let at = jiff::Timestamp::now();
    let later = at + jiff::SignedDuration::from_hours(24);
    let before = json!([{"id": held, "until": later.to_string(), "reason": "case 17/2026", "lawful_basis": null,
        "by": "ada", "at": at.to_string()}]);
    std::fs::write(&file, before.to_string()).unwrap();
    in_database(&site, "UPDATE nodes SET holds_shared = 0 WHERE number = 1".into()).await;
    for id in [&held, &other] {
        let (status, problem) = erase(&two, id).await;
        assert_eq!(status, 503, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("node 1 has not entered"), "{problem}");
        expires(&site, id).await;
    }
    two.logs("cannot sweep the index").await;
    assert_eq!((copies(site.dir.path(), &held), copies(site.dir.path(), &other)), (2, 2));
    let one = site.start_with(0, HOLDING).await;
    becomes("what is not held is swept", async || copies(site.dir.path(), &other) == 0).await;
    let (status, problem) = erase(&two, &held).await;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(copies(site.dir.path(), &held), 2);
    drop(one);
}
