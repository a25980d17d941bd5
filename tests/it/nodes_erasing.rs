//! Erasures on several recorders: what is ordered on one node is known on every node at once, wherever the recording lies,
//! and its receipt can be fetched from any.

use serde_json::json;

use crate::conversation::Conversation;
use crate::erasure::becomes;
use crate::nodes::{Site, named};
use crate::nodes_holds::{erase, in_database, recorded};
use crate::phone::voice;
use crate::server::{Server, call_request, files_below};

const SWEEPING: &str = "[retention]\nsweep_interval_s = 1\n[seal]\nescrow_to = \"store\"\n";

async fn receipt(node: &Server, id: &str) -> (u16, serde_json::Value) {
    node.ask("GET", &format!("/api/v1/recordings/{id}/erasure"), None).await
}

async fn is_done(node: &Server, id: &str) -> bool {
    receipt(node, id).await.1["state"] == "done"
}

async fn shown(node: &Server, id: &str) -> u16 {
    node.ask("GET", &format!("/api/v1/recordings/{id}?purpose=administration"), None).await.0
}

fn stored(site: &Site, id: &str) -> usize {
    let store = site.dir.path().join("store/recordings");
    let all = files_below(&store);
    all.iter().filter(|(path, _)| path.display().to_string().contains(id)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_an_erasure_ordered_on_one_node_is_known_on_every_node_with_its_receipt() {
    let Some(site) = Site::new(28_000, 3) else { return };
    let (one, two) = site.two_with(SWEEPING).await;
    let ids = [recorded(&one, "first").await, recorded(&two, "second").await];
    for id in &ids {
        let (status, answer) = erase(&two, id).await;
        assert_eq!((status, &answer["state"]), (200, &json!("done")), "{answer}\n{}", two.log());
        // At once, not once the other node has heard of it.
        assert_eq!((shown(&one, id).await, shown(&two, id).await), (410, 410));
        assert_eq!(one.recordings().await, ids.iter().rev().position(|one| one == id).unwrap() as u64);
    }
    let (_, theirs) = receipt(&two, &ids[0]).await;
    two.kill();
    let (status, ours) = receipt(&one, &ids[0]).await;
    assert_eq!((status, &ours["state"]), (200, &json!("done")), "{ours}");
    let document = |answer: &serde_json::Value| {
        let text = answer["receipt"]["document"].as_str().map(str::to_owned);
        text.unwrap_or_else(|| answer["receipt"].to_string())
    };
    for part in ["2026-17", &ids[0], ".opus"] {
        assert!(document(&ours).contains(part), "{part}: {ours} {theirs}");
    }
    // A node that joins later knows them as well.
    let three = site.start_with(2, SWEEPING).await;
    assert_eq!(receipt(&three, &ids[1]).await.1["state"], "done");
    assert_eq!(shown(&three, &ids[1]).await, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_what_waits_in_the_spool_of_another_node_is_erased_from_any_and_never_stored() {
    let Some(site) = Site::new(28_400, 2) else { return };
    let (one, two) = site.two_with(SWEEPING).await;
    let first = recorded(&one, "marks the store").await;
    let (store, aside) = (site.dir.path().join("store"), site.dir.path().join("aside"));
    std::fs::rename(&store, &aside).unwrap();
    let mut ids = Vec::new();
    for name in ["waits", "waits-2"] {
        let mut call = Conversation::admit_as(&one, named(name)).await;
        let yes = json!({"answer": "yes", "how": "system"});
        assert_eq!(call.ask(&one, "consent", Some(yes)).await.0, 200);
        call.speak(voice(1, 300), voice(2, 300)).await;
        ids.push(call.id.clone());
        assert_eq!(erase(&two, &call.id).await.0, 409, "a call in progress, whichever node is asked");
        assert_eq!(call.end(&one).await, "recorded");
    }
    let (status, answer) = erase(&two, &ids[0]).await;
    assert_eq!((status, &answer["state"]), (202, &json!("pending")), "{answer}\n{}", one.log());
    assert_eq!(receipt(&two, &ids[0]).await.1["state"], "pending");
    // The node that has it is not reached: nobody says that there is no such recording.
    one.kill();
    let (status, problem) = erase(&two, &ids[1]).await;
    assert_eq!(status, 503, "{problem}");
    std::fs::rename(&aside, &store).unwrap();
    let one = site.start_with(0, SWEEPING).await;
    becomes("the other is stored", async || stored(&site, &ids[1]) == 2).await;
    becomes("the erasure is complete", async || is_done(&two, &ids[0]).await).await;
    assert_eq!((stored(&site, &ids[0]), stored(&site, &first)), (0, 2));
    assert_eq!((shown(&one, &ids[0]).await, shown(&two, &ids[0]).await), (410, 410));
    // What was refused is asked for again.
    becomes("it is erased", async || erase(&two, &ids[1]).await.0 == 200).await;
    assert_eq!(stored(&site, &ids[1]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_07_an_order_that_came_while_a_node_was_down_is_known_before_it_delivers() {
    let Some(site) = Site::new(28_700, 2) else { return };
    let (one, two) = site.two_with(SWEEPING).await;
    let first = recorded(&one, "marks the store").await;
    let (store, aside) = (site.dir.path().join("store"), site.dir.path().join("aside"));
    std::fs::rename(&store, &aside).unwrap();
    let mut call = Conversation::admit_as(&one, named("down")).await;
    let yes = json!({"answer": "yes", "how": "system"});
    assert_eq!(call.ask(&one, "consent", Some(yes)).await.0, 200);
    call.speak(voice(1, 300), voice(2, 300)).await;
    let id = call.id.clone();
    assert_eq!(call.end(&one).await, "recorded");
    one.kill();
    // Ordered by a node that has taken its spool's place in the registry's eyes, here by hand.
    let now = jiff::Timestamp::now().as_microsecond();
    in_database(
        &site,
        format!(
            "INSERT INTO deletion_orders (id, cause, request, ordered_at_us, node, changed_at_us)
             VALUES ('{id}', 'request', '2026-17', {now}, 2, {now})"
        ),
    )
    .await;
    becomes("the other node has it", async || receipt(&two, &id).await.0 == 202).await;
    std::fs::rename(&aside, &store).unwrap();
    two.logs("has not confirmed that its spool has nothing").await;
    assert_eq!(receipt(&two, &id).await.1["state"], "pending");
    let one = site.start_with(0, SWEEPING).await;
    becomes("the erasure is complete", async || is_done(&two, &id).await).await;
    assert_eq!((stored(&site, &id), stored(&site, &first)), (0, 2));
    assert_eq!(shown(&one, &id).await, 410);
    assert_eq!(files_below(&one.dir.join("data/spool/keys")).len(), 0, "its key is gone");
    becomes("and known there", async || is_done(&one, &id).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_what_a_node_had_claimed_when_it_ended_is_erased_by_another() {
    let Some(site) = Site::new(26_500, 2) else { return };
    let (one, two) = site.two_with(SWEEPING).await;
    let id = recorded(&one, "claimed").await;
    one.kill();
    let now = jiff::Timestamp::now().as_microsecond();
    let claimed = format!(
        "INSERT INTO deletion_orders (id, cause, ordered_at_us, node, changed_at_us)
         VALUES ('{id}', 'expiry', {now}, 1, {now})"
    );
    in_database(&site, claimed).await;
    assert_eq!(shown(&two, &id).await, 410);
    // Not heard for more than a minute.
    in_database(&site, "UPDATE nodes SET heartbeat_us = 0 WHERE number = 1".into()).await;
    becomes("another node has erased it", async || stored(&site, &id) == 0).await;
    becomes("it is complete", async || is_done(&two, &id).await).await;
    // It comes back, and does nothing again.
    let one = site.start_with(0, SWEEPING).await;
    assert_eq!(receipt(&one, &id).await.1["state"], "done");
    assert_eq!(one.metric("optag_erasures_total", "").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_all_of_a_callers_are_erased_also_what_waits_in_another_nodes_spool() {
    let Some(site) = Site::new(26_800, 2) else { return };
    let (one, two) = site.two_with(SWEEPING).await;
    let stored_before = recorded(&one, "stored").await;
    let (store, aside) = (site.dir.path().join("store"), site.dir.path().join("aside"));
    std::fs::rename(&store, &aside).unwrap();
    let mut call = Conversation::admit_as(&one, named("waits")).await;
    let yes = json!({"answer": "yes", "how": "system"});
    assert_eq!(call.ask(&one, "consent", Some(yes)).await.0, 200);
    call.speak(voice(1, 300), voice(2, 300)).await;
    let waiting = call.id.clone();
    assert_eq!(call.end(&one).await, "recorded");
    let asked = |dry_run: bool| {
        let number = call_request("patient", "pcmu")["caller_number"].clone();
        json!({"caller_number": number, "reason": "asked", "request": "2026-17", "dry_run": dry_run})
    };
    let (status, shown) = two.ask("POST", "/api/v1/erasures", Some(asked(true))).await;
    let state = |id: &str| {
        let all = shown["previews"].as_array().unwrap();
        all.iter().find(|one| one["id"] == id).map(|one| one["state"].clone())
    };
    assert_eq!(status, 200, "{shown}");
    assert_eq!(
        (state(&stored_before), state(&waiting)),
        (Some(json!("stored")), Some(json!("spooled"))),
        "{shown}"
    );
    // Where the node that has it is not reached, nobody says that this is all, and nothing is erased.
    one.kill();
    let (status, problem) = two.ask("POST", "/api/v1/erasures", Some(asked(false))).await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("node 1 cannot be reached"), "{problem}");
    let one = site.start_with(0, SWEEPING).await;
    becomes("both are ordered to be erased", async || {
        let (status, answer) = two.ask("POST", "/api/v1/erasures", Some(asked(false))).await;
        let all = answer["erasures"].as_array().map(Vec::len).unwrap_or_default();
        assert!(status == 503 || all == 2, "{status} {answer}\n{}", one.log());
        status == 202
    })
    .await;
    std::fs::rename(&aside, &store).unwrap();
    for id in [&stored_before, &waiting] {
        becomes("the erasure is complete", async || is_done(&two, id).await).await;
        assert_eq!(stored(&site, id), 0);
    }
}
