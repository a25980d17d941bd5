//! Several recorders on one PostgreSQL: who listened, which links are used up, and which calls there are, is the same
//! whichever node is asked.

use serde_json::{Value, json};

use crate::conversation::Conversation;
use crate::erasure::becomes;
use crate::handouts::{OWNER, file, post};
use crate::nodes::Site;
use crate::phone::voice;
use crate::server::{Server, call_request};

async fn start(site: &Site, node: u16) -> Server {
    let mut settings = site.settings(node, true);
    settings.extra += OWNER;
    settings.extra += "[seal]\nescrow_to = \"store\"\n";
    Server::start(&site.home(node), &settings).await
}

/// Two nodes that hand out, and a recording that the first one made.
async fn two_that_hand_out(site: &Site) -> (Server, Server, String) {
    let (one, two) = (start(site, 0).await, start(site, 1).await);
    for node in [&one, &two] {
        becomes("both nodes are known", async || node.metric("optag_nodes", "ready").await == 2.0).await;
    }
    let mut call = Conversation::admit_as(&one, call_request("patient", "pcmu")).await;
    let yes = Some(json!({"answer": "yes", "how": "system"}));
    assert_eq!(call.ask(&one, "consent", yes).await.0, 200);
    call.speak(voice(61, 400), voice(62, 400)).await;
    let id = call.id.clone();
    assert_eq!(call.end(&one).await, "recorded");
    for node in [&one, &two] {
        node.stored(&id).await;
    }
    (one, two, id)
}

async fn link(node: &Server, id: &str) -> String {
    let path = format!("/api/v1/recordings/{id}/links?purpose=caller_request");
    let (status, answer) = post(node, &path, &json!({})).await;
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    answer["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

/// The accesses that a cover sheet made by this node lists.
async fn listed(node: &Server, id: &str) -> (usize, usize, String) {
    let path = format!("/api/v1/recordings/{id}/handout?purpose=caller_request");
    let (status, package) = post(node, &path, &json!({})).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&package));
    let sheet = String::from_utf8(file(&package, "cover.txt")).unwrap();
    (sheet.matches(": played").count(), sheet.matches("copy handed out").count(), sheet)
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_a_link_works_once_on_whichever_nodes_it_is_opened() {
    let Some(site) = Site::new(16_100, 2) else { return };
    let (one, two, id) = two_that_hand_out(&site).await;
    let client = reqwest::Client::new();
    let open = |node: &Server, token: &str| client.post(format!("{}/handout/{token}", node.api)).send();
    for round in 0..4 {
        // Made here, opened there, by several browsers at once.
        let token = link(&one, &id).await;
        let page = client.get(format!("{}/handout/{token}", two.api)).send().await.unwrap();
        assert_eq!(page.status(), 200);
        let all = (0..6).map(|n| open(if n % 2 == 0 { &one } else { &two }, &token));
        let mut taken = 0;
        for answer in futures::future::join_all(all).await {
            let answer = answer.unwrap();
            match answer.status().as_u16() {
                200 => taken += 1,
                status => assert_eq!(status, 404),
            }
        }
        assert_eq!(taken, 1, "round {round}");
        for node in [&one, &two] {
            assert_eq!(open(node, &token).await.unwrap().status(), 404);
        }
    }
    // The browser that used one may go on at another node, and no other browser.
    let token = link(&two, &id).await;
    let first = open(&one, &token).await.unwrap();
    let cookie = first.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(first.status(), 200);
    let again = client.post(format!("{}/handout/{token}", two.api)).header("cookie", cookie);
    assert_eq!(again.send().await.unwrap().status(), 200);
    assert_eq!(open(&two, &token).await.unwrap().status(), 404);
    // While the index is away nothing is handed out by a link, and the link is as good as before once it is back.
    let token = link(&one, &id).await;
    site.postgres.crash();
    assert_eq!(open(&two, &token).await.unwrap().status(), 503);
    site.postgres.begin();
    becomes("the link works again", async || open(&two, &token).await.unwrap().status() == 200).await;
    assert_eq!(open(&one, &token).await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_14_a_cover_sheet_lists_who_listened_on_whichever_node() {
    let Some(site) = Site::new(16_400, 2) else { return };
    let (one, two, id) = two_that_hand_out(&site).await;
    let audio = format!("/api/v1/recordings/{id}/audio?purpose=training");
    one.bytes(&audio).await;
    two.bytes(&audio).await;
    let (played, handed, sheet) = listed(&one, &id).await;
    assert_eq!((played, handed), (2, 1), "{sheet}");
    let (played, handed, sheet) = listed(&two, &id).await;
    assert_eq!((played, handed), (2, 2), "{sheet}");
    // What cannot be shared is not served, and no letter says that it was.
    site.postgres.crash();
    assert_eq!(one.ask("GET", &audio, None).await.0, 503);
    site.postgres.begin();
    becomes("it is served again", async || one.ask("GET", &audio, None).await.0 == 200).await;
    let log = std::fs::read_to_string(site.home(0).join("data/audit.jsonl")).unwrap();
    let heard = log.matches("\"playback\"").count() - log.matches("\"not_served\"").count();
    let (played, _, sheet) = listed(&two, &id).await;
    assert_eq!(played, 1 + heard, "{sheet}\n{log}");
    // A node whose accesses the index has lost gives them again from its log.
    one.terminate();
    site.postgres.execute(&["DELETE FROM accesses", "DELETE FROM accesses_copied"]);
    let one = start(&site, 0).await;
    let (played, _, sheet) = listed(&one, &id).await;
    assert!(played == heard || played == 1 + heard, "{sheet}");
    becomes("both logs are there again", async || listed(&two, &id).await.0 == 1 + heard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_16_the_list_of_calls_is_that_of_all_nodes_and_says_which_one_is_missing() {
    let Some(site) = Site::new(16_700, 2) else { return };
    let (one, two) = site.two().await;
    let mut ids = Vec::new();
    for node in [&one, &two, &one] {
        let (status, admitted) =
            node.ask("POST", "/api/v1/calls", Some(call_request("patient", "pcmu"))).await;
        assert_eq!(status, 201, "{admitted}");
        ids.insert(0, admitted["id"].clone());
    }
    let list = async |node: &Server| {
        let asked = reqwest::Client::new().get(format!("{}/api/v1/calls", node.api)).bearer_auth(&node.token);
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let missing =
            answer.headers().get("optag-nodes-missing").map(|value| value.to_str().unwrap().to_owned());
        let calls: Vec<Value> = answer.json().await.unwrap();
        (calls, missing)
    };
    for node in [&one, &two] {
        let (calls, missing) = list(node).await;
        assert_eq!(calls.iter().map(|call| call["id"].clone()).collect::<Vec<_>>(), ids, "newest first");
        assert!(calls.iter().all(|call| call["consent"] == "asked" && call["streams"][1]["port"].is_u64()));
        assert_eq!(missing, None);
    }
    // Who may not list calls here may not there.
    let asked = reqwest::Client::new().get(format!("{}/api/v1/calls", two.api));
    assert_eq!(asked.bearer_auth(two.token_of("listener")).send().await.unwrap().status(), 403);
    let number = u16::from_str_radix(&ids[0].as_str().unwrap()[32..], 16).unwrap().to_string();
    one.kill();
    let (calls, missing) = list(&two).await;
    assert_eq!((calls.len(), missing), (1, Some(number)), "what is missing is said");
}
