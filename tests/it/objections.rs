//! Employees who object to being recorded: nothing that they say after the caller's yes is written anywhere.

use serde_json::{Value, json};

use crate::canary::{FOUND, decoded_spool, loudest, tone};
use crate::conversation::{Conversation, wav_channels};
use crate::phone::{talk, voice};
use crate::server::{Server, Settings, call_request};
use crate::sip_recorder::{Client, apart};
use crate::sip_src::{code, header};

fn settings(ports: (u16, u16), employees: &str) -> Settings {
    Settings { extra: format!("[employees]\n{employees}\n"), ..Settings::with_ports(ports) }
}

/// A call whose employee is this one.
fn request(speaker: &str) -> Value {
    let mut request = call_request("demo", "pcmu");
    request["streams"][1]["speaker"] = json!(speaker);
    request
}

/// Channels whose audio is left out because of an objection.
fn objected(recording: &Value) -> Vec<u64> {
    let gaps = recording["gaps"].as_array().unwrap().iter();
    let mut streams: Vec<u64> =
        gaps.filter(|gap| gap["reason"] == "objected").map(|gap| gap["stream"].as_u64().unwrap()).collect();
    streams.dedup();
    streams
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_employee_who_objects_says_is_nowhere_and_the_caller_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings((28_800, 28_840), "objecting = \"agent7; 81xx\"");
    let server = Server::start(dir.path(), &settings).await;
    let mut delivered = Conversation::admit_as(&server, request("sip:Agent7@pbx")).await;
    let mut spooled = Conversation::admit_as(&server, request("8142")).await;
    let mut control = Conversation::admit_as(&server, request("8200")).await;
    tokio::join!(delivered.press("1"), spooled.press("1"), control.press("1"));
    tokio::join!(
        delivered.speak(voice(61, 1_200), tone(1_200)),
        spooled.speak(voice(63, 1_200), tone(1_200)),
        control.speak(voice(65, 1_200), tone(1_200)),
    );
    let id = delivered.id.clone();
    assert_eq!(delivered.end(&server).await, "recorded");
    assert_eq!(objected(&server.recording(&id).await), [1]);
    let wav = server.bytes(&format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training")).await;
    let [caller, employee] = &wav_channels(&wav)[..] else { panic!("two channels") };
    assert!(caller.iter().any(|sample| sample.abs() > 1_000), "the caller is heard");
    assert!(loudest(employee) < FOUND, "the employee is in the recording: {}", loudest(employee));

    let (withheld, kept) = (spooled.id.clone(), control.id.clone());
    let data = server.dir.join("data");
    tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    server.kill();
    let decoded = decoded_spool(&data);
    let level = |id: &str| {
        let samples = decoded.iter().find(|(call, _)| call == id).map(|(_, samples)| samples).unwrap();
        assert!(samples.len() > 8_000, "{id} has {} samples in the spool", samples.len());
        loudest(samples)
    };
    assert!(level(&withheld) < FOUND, "the employee is in the spool: {}", level(&withheld));
    assert!(level(&kept) > 4_000.0, "the search finds no tone: {}", level(&kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_employee_who_objects_is_known_by_the_metadata_of_siprec() {
    for (n, then, outcome) in [(0, "others_only", "recorded"), (1, "not_recorded", "no_audio")] {
        let dir = tempfile::tempdir().unwrap();
        let employees = format!("objecting = \"Bo Berg; 4711\"\non_objection = \"{then}\"");
        let server =
            Server::start(dir.path(), &settings((28_850 + n * 20, 28_868 + n * 20), &employees)).await;
        let mut client = Client::new(&server, "objects").await;
        let (answer, legs) = client.begin("X-Recording-Consent: yes\r\n").await;
        let id = header(&answer, "X-Optag-Call").unwrap();
        // The metadata has the caller on the second stream.
        drop(apart(legs, |legs| talk(legs, &[&tone(1_200), &voice(2, 1_200)])).await);
        assert_eq!(code(&client.ask("BYE", "", "").await), 200);
        let mut call = Value::Null;
        for _ in 0..100 {
            call = server.ask("GET", &format!("/api/v1/calls/{id}"), None).await.1;
            if !call["outcome"].is_null() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(call["outcome"]["outcome"], outcome, "{then}: {call}");
        if outcome == "recorded" {
            assert_eq!(objected(&server.recording(&id).await).len(), 1);
            let audio = format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training");
            let channels = wav_channels(&server.bytes(&audio).await);
            let speech = |samples: &Vec<i16>| samples.iter().any(|sample| sample.abs() > 1_000);
            assert_eq!(channels.iter().filter(|samples| speech(samples)).count(), 1);
            assert!(channels.iter().all(|samples| loudest(samples) < FOUND));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_changes_for_calls_in_progress_with_the_next_word_about_who_speaks() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &settings((28_900, 28_918), "objecting = \"\"")).await;
    let mut call = Conversation::admit_as(&server, request("agent7")).await;
    call.press("1").await;
    call.speak(voice(61, 600), voice(62, 600)).await;
    let path = server.dir.join("optag.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("objecting = \"\"", "objecting = \"agent7\"")).unwrap();
    server.signal(libc::SIGHUP);
    server.logs("configuration reloaded").await;
    let mut stream = request("agent7")["streams"][1].clone();
    stream["role"] = json!("employee");
    let path = format!("/api/v1/calls/{}/streams/employee", call.id);
    let (status, answer) = server.ask("PUT", &path, Some(stream)).await;
    assert_eq!(status, 200, "{answer}");
    call.speak(voice(63, 1_000), tone(1_000)).await;
    let id = call.id.clone();
    assert_eq!(call.end(&server).await, "recorded");
    assert_eq!(objected(&server.recording(&id).await), [1]);
    let wav = server.bytes(&format!("/api/v1/recordings/{id}/audio?format=wav&purpose=training")).await;
    let [_, employee] = &wav_channels(&wav)[..] else { panic!("two channels") };
    assert!(employee.iter().any(|sample| sample.abs() > 1_000), "what was said before is kept");
    assert!(loudest(employee) < FOUND, "what was said afterwards is kept: {}", loudest(employee));
}
