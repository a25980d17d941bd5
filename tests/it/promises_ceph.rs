//! The owner's four promises to callers, from end to end against a real S3 that keeps versions:
//! a Ceph RADOS Gateway whose lifecycle days last a second. `s3` starts it once for all.

use std::process::Command;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use serde_json::{Value, json};

use crate::conversation::{Conversation, recorded, wav_channels};
use crate::phone::voice;
use crate::s3::Gateway;
use crate::server::{PATIENCE, Server, Settings};

const BUCKET: &str = "promises";

/// All four, by name, one after the other.
pub(crate) async fn hold(gateway: &Gateway, client: &Client) {
    client.create_bucket().bucket(BUCKET).send().await.unwrap();
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket(BUCKET).versioning_configuration(on).send().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((22_950, 22_990));
    settings.extra = format!(
        "[store]\nkind = \"s3\"\nbucket = \"{BUCKET}\"\nendpoint = \"{}\"\nregion = \"us-east-1\"\nallow_http = true\n\
         [retention]\nsweep_interval_s = 1\n",
        gateway.endpoint
    );
    let var = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    settings.env = vec![var("AWS_ACCESS_KEY_ID", "testkey"), var("AWS_SECRET_ACCESS_KEY", "testsecret")];
    let server = Server::start(dir.path(), &settings).await;
    promise_1_the_caller_is_asked_and_recorded_only_on_yes(&server, client).await;
    promise_2_a_yes_is_taken_back_in_the_call_and_nothing_is_left(&server, client).await;
    promise_2_afterwards_staff_find_the_recording_and_erase_it_everywhere(&server, client).await;
    promise_3_the_caller_is_handed_the_recording_as_a_file(&server).await;
    promise_4_only_those_who_need_it_have_access_and_every_look_leaves_an_entry(&server).await;
    promise_4_nothing_lives_longer_than_90_days(server, &settings, gateway, client).await;
}

/// Versions and markers of recordings. Keys and the head of the deletion log lie elsewhere.
async fn versions(client: &Client) -> usize {
    let listed = client.list_object_versions().bucket(BUCKET).prefix("recordings/").send().await.unwrap();
    listed.versions.unwrap_or_default().len() + listed.delete_markers.unwrap_or_default().len()
}

async fn promise_1_the_caller_is_asked_and_recorded_only_on_yes(server: &Server, client: &Client) {
    let mut calls = Vec::new();
    for (department, keys, outcome) in
        [("demo", "2", "refused"), ("demo", "", "no_answer"), ("private", "1", "not_selected")]
    {
        let mut call = Conversation::admit(server, department).await;
        call.press(keys).await;
        call.speak(voice(101, 300), voice(102, 300)).await;
        calls.push((call, outcome));
    }
    for (call, outcome) in calls {
        assert_eq!(call.end(server).await, outcome);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((versions(client).await, server.recordings().await), (0, 0));
    recorded(server, 103, 600).await;
    assert_eq!(versions(client).await, 2, "audio and manifest");
    println!("promise 1 holds");
}

async fn promise_2_a_yes_is_taken_back_in_the_call_and_nothing_is_left(server: &Server, client: &Client) {
    let before = versions(client).await;
    let mut by_key = Conversation::admit(server, "demo").await;
    by_key.press("1").await;
    by_key.speak(voice(105, 400), voice(106, 400)).await;
    by_key.press("*9").await;
    let mut told = Conversation::admit(server, "demo").await;
    told.press("1").await;
    told.speak(voice(107, 400), voice(108, 400)).await;
    let told_staff = json!({"how": "staff", "staff": "BKJ"});
    assert_eq!(told.ask(server, "withdraw", Some(told_staff)).await.0, 200);
    for call in [by_key, told] {
        let key = server.dir.join(format!("data/spool/keys/{}.key", call.id));
        let until = Instant::now() + PATIENCE;
        while key.exists() {
            assert!(Instant::now() < until, "the call can still be read");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(call.end(server).await, "withdrawn");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(versions(client).await, before);
    println!("promise 2 holds in the call");
}

async fn promise_2_afterwards_staff_find_the_recording_and_erase_it_everywhere(
    server: &Server,
    client: &Client,
) {
    let before = versions(client).await;
    let id = recorded(server, 109, 600).await;
    let search = "/api/v1/recordings?number=004512345678&name=ada+lovelace&purpose=caller_request";
    let (_, found) = server.ask("GET", search, None).await;
    assert!(found["recordings"].to_string().contains(&id), "{found}");
    let erase = format!("/api/v1/recordings/{id}?reason=case+4711&purpose=caller_request");
    let (status, receipt) = server.ask("DELETE", &erase, None).await;
    assert_eq!((status, &receipt["state"]), (200, &json!("done")), "{receipt}");
    assert_eq!(versions(client).await, before, "every version and marker is gone");
    let (status, _) =
        server.ask("GET", &format!("/api/v1/recordings/{id}?purpose=caller_request"), None).await;
    assert_eq!(status, 410);
    println!("promise 2 holds afterwards");
}

async fn promise_3_the_caller_is_handed_the_recording_as_a_file(server: &Server) {
    let id = recorded(server, 111, 600).await;
    let request = reqwest::Client::new()
        .post(format!("{}/api/v1/recordings/{id}/handout?purpose=caller_request", server.api))
        .bearer_auth(&server.token)
        .json(&json!({"own_voice_only": true, "language": "da"}));
    let package = request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(package)).unwrap();
    let mut wav = Vec::new();
    std::io::Read::read_to_end(&mut archive.by_name("recording.wav").unwrap(), &mut wav).unwrap();
    let channels = wav_channels(&wav);
    assert!(channels.len() == 1 && channels[0].iter().any(|sample| sample.abs() > 1_000));
    assert!(archive.by_name("cover.txt").is_ok() && archive.by_name("cover.html").is_ok());
    println!("promise 3 holds");
}

async fn promise_4_only_those_who_need_it_have_access_and_every_look_leaves_an_entry(server: &Server) {
    let id = recorded(server, 113, 600).await;
    let ask = async |token: &str, path: &str| {
        let request = reqwest::Client::new().get(format!("{}{path}", server.api)).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    let (listener, agent) = (server.token_of("listener"), server.token_of("agent"));
    let audio = format!("/api/v1/recordings/{id}/audio?purpose=");
    assert_eq!(ask(&listener, &format!("{audio}training")).await, 200);
    assert_eq!(ask(&listener, &format!("{audio}administration")).await, 403);
    assert_eq!(ask(&listener, &format!("{audio}training&export=true")).await, 403);
    assert_eq!(ask(&listener, audio.trim_end_matches("?purpose=")).await, 400);
    assert_eq!(ask(&agent, &format!("{audio}training")).await, 403);
    assert_eq!(ask("optag_nobody", &format!("{audio}training")).await, 401);
    let trail = std::fs::read_to_string(server.dir.join("data/audit.jsonl")).unwrap();
    let entries = trail.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone());
    let heard: Vec<_> = entries
        .filter(|entry| entry["recording"] == json!(id) && entry["action"] == "playback")
        .map(|entry| (entry["actor"].clone(), entry["purpose"].clone()))
        .collect();
    assert_eq!(heard, [(json!("listener"), json!("training"))]);
    println!("promise 4 holds for access");
}

/// A recording that an earlier system made 90 days ago less a moment is taken in; the sweeper ends
/// it at its time. And what a dead recorder leaves behind, the bucket's own rule ends.
async fn promise_4_nothing_lives_longer_than_90_days(
    server: Server,
    settings: &Settings,
    gateway: &Gateway,
    client: &Client,
) {
    let dir = server.dir.clone();
    assert_eq!(server.terminate().code(), Some(0));
    let samples: Vec<u8> = voice(115, 1_000).iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend(8_000u32.to_le_bytes());
    wav.extend(16_000u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((samples.len() as u32).to_le_bytes());
    wav.extend(&samples);
    let length = (wav.len() as u32 - 8).to_le_bytes();
    wav[4..8].copy_from_slice(&length);
    std::fs::write(dir.join("old.wav"), wav).unwrap();
    let left = jiff::SignedDuration::from_secs(20);
    let began = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * 90) + left;
    let table = format!("file,started_at,department,caller_number,consent\nold.wav,{began},demo,1,yes\n");
    std::fs::write(dir.join("old.csv"), table).unwrap();
    let mut import = Command::new(env!("CARGO_BIN_EXE_optag"));
    import
        .args(["import", "--json", "--csv"])
        .arg(dir.join("old.csv"))
        .arg("--config")
        .arg(dir.join("optag.toml"));
    let output = import.arg(&dir).envs(settings.env.iter().cloned()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["totals"]["imported"], 1, "{report}");
    let id = report["files"][0]["id"].as_str().unwrap().to_owned();
    let before = versions(client).await;

    let server = Server::start(&dir, settings).await;
    let path = format!("/api/v1/recordings/{id}?purpose=administration");
    let until = Instant::now() + PATIENCE * 2;
    while server.ask("GET", &path, None).await.0 != 410 || versions(client).await > before - 2 {
        assert!(Instant::now() < until, "a recording outlives its 90 days:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(jiff::Timestamp::now() - began >= jiff::SignedDuration::from_hours(24 * 90), "erased too early");
    server.kill();
    // Days are seconds here; three of them instead of 90 keep the test short.
    gateway.store(BUCKET).admin().unwrap().install_lifecycle(3).await.unwrap();
    // Markers that an expired object leaves behind hold nothing; the versions are what must go.
    let left = async || {
        let listed = client.list_object_versions().bucket(BUCKET).prefix("recordings/").send().await.unwrap();
        listed.versions.unwrap_or_default().len()
    };
    let until = Instant::now() + Duration::from_secs(90);
    while left().await > 0 {
        assert!(Instant::now() < until, "the bucket's rule leaves {} versions", left().await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!("promise 4 holds for time");
}
