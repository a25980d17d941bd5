//! What a data subject receives: the package, sealed or plain, and the single-use link.

use std::io::{Cursor, Read};

use serde_json::{Value, json};

use crate::conversation::{recorded, wav_channels};
use crate::server::{Server, Settings};

pub(crate) const OWNER: &str = r#"
[disclosure]
controller = "A town, Town Hall"
authority = "Datatilsynet"
time_zone = "UTC"
public_url = "http://127.0.0.1:1/"
"#;

pub(crate) async fn post(server: &Server, path: &str, body: &Value) -> (u16, Vec<u8>) {
    let request = reqwest::Client::new().post(format!("{}{path}", server.api)).bearer_auth(&server.token);
    let answer = request.json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

pub(crate) fn file(archive: &[u8], name: &str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// Output of opusinfo for a file, if installed.
async fn opusinfo(file: &[u8]) -> std::io::Result<String> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("alone.opus");
    std::fs::write(&path, file)?;
    let done = std::process::Command::new("opusinfo").arg(&path).output()?;
    Ok(String::from_utf8_lossy(&done.stdout).to_lowercase().replace("warning", "WARNING"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_citizen_is_handed_the_recording_with_a_sheet_that_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((22_850, 22_890));
    settings.extra = OWNER.into();
    let server = Server::start(dir.path(), &settings).await;
    let id = recorded(&server, 91, 1_000).await;
    server.bytes(&format!("/api/v1/recordings/{id}/audio?purpose=training")).await;

    let path = format!("/api/v1/recordings/{id}/handout?purpose=caller_request");
    let (status, both) = post(&server, &path, &json!({"language": "da"})).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&both));
    assert_eq!(wav_channels(&file(&both, "recording.wav")).len(), 2);
    let sheet = String::from_utf8(file(&both, "cover.txt")).unwrap();
    for part in [
        "A town, Town Hall",
        "Datatilsynet",
        "+45 12 34 56 78",
        "Ada Lovelace",
        "afspillet",
        "uddannelse",
        &id,
    ] {
        assert!(sheet.contains(part), "{part}: {sheet}");
    }
    assert!(file(&both, "cover.html").starts_with(b"<!doctype html>"));

    let sealed = json!({"own_voice_only": true, "passphrase": "correct horse battery"});
    let (status, sealed) = post(&server, &path, &sealed).await;
    assert_eq!(status, 200);
    let identity =
        age::scrypt::Identity::new(age::secrecy::SecretString::from("correct horse battery".to_owned()));
    let mut plain = Vec::new();
    let decryptor = age::Decryptor::new(&sealed[..]).unwrap();
    let identities = std::iter::once(&identity as &dyn age::Identity);
    decryptor.decrypt(identities).unwrap().read_to_end(&mut plain).unwrap();
    let own = wav_channels(&file(&plain, "recording.wav"));
    let caller = wav_channels(&file(&both, "recording.wav")).remove(0);
    assert_eq!(own, [caller], "the caller's voice and no other");
    let opus = post(&server, &path, &json!({"format": "opus"})).await.1;
    assert_eq!(&file(&opus, "recording.opus")[..4], b"OggS");
    // One party's stream is extracted from the file without re-encoding: it decodes to the same samples.
    let opus = post(&server, &path, &json!({"own_voice_only": true, "format": "opus"})).await.1;
    let alone = file(&opus, "recording.opus");
    use optag_storage::archive::render::{Renderer, Samples};
    let mut renderer = Renderer::new(Cursor::new(&alone[..]), 8_000).unwrap();
    assert_eq!(renderer.channels(), 1);
    let mut decoded = Vec::new();
    while let Some(block) = renderer.next_block().unwrap() {
        decoded.extend_from_slice(block);
    }
    assert_eq!([decoded], own[..], "the same voice");
    if let Ok(read) = opusinfo(&alone).await {
        assert!(read.contains("channels: 1") && !read.contains("WARNING"), "{read}");
    }
    let range = format!("/api/v1/recordings/{id}/audio?format=opus&channel=0&purpose=training");
    assert_eq!(server.bytes(&range).await, alone);

    for (body, status) in [(json!({"passphrase": "short"}), 422), (json!({"colour": "red"}), 422)] {
        assert_eq!(post(&server, &path, &body).await.0, status, "{body}");
    }
    let bare = format!("/api/v1/recordings/{id}/handout");
    assert_eq!(post(&server, &bare, &json!({})).await.0, 400);
    let trail = std::fs::read_to_string(dir.path().join("data/audit.jsonl")).unwrap();
    assert_eq!(trail.matches("\"hand_out\"").count(), 4, "{trail}");
    assert!(!trail.contains("correct horse"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_works_once_is_not_used_up_by_looking_and_dies_with_the_recording() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::with_ports((22_900, 22_940));
    settings.extra = OWNER.into();
    let server = Server::start(dir.path(), &settings).await;
    let id = recorded(&server, 91, 1_000).await;
    let path = format!("/api/v1/recordings/{id}/links?purpose=caller_request");
    let link = async |server: &Server, path: &str| -> String {
        let (status, answer) = post(server, path, &json!({"expires_hours": 24})).await;
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let token = answer["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        format!("{}/handout/{token}", server.api)
    };
    let (first, second) = (link(&server, &path).await, link(&server, &path).await);
    let client = reqwest::Client::new();
    for _ in 0..3 {
        let page = client.get(&first).send().await.unwrap();
        assert_eq!(
            (page.status().as_u16(), &page.headers()["cache-control"]),
            (200, &"no-store".parse().unwrap())
        );
        assert!(page.text().await.unwrap().contains("<form method=\"post\">"));
    }
    let got = client.post(&first).send().await.unwrap();
    assert_eq!(got.status().as_u16(), 200);
    assert_eq!(wav_channels(&file(&got.bytes().await.unwrap(), "recording.wav")).len(), 2);
    assert_eq!(client.post(&first).send().await.unwrap().status().as_u16(), 404);
    assert_eq!(client.get(&first).send().await.unwrap().status().as_u16(), 404);
    let guess = format!("{}/handout/{}", server.api, "0".repeat(64));
    assert_eq!(client.post(&guess).send().await.unwrap().status().as_u16(), 404);
    let trail = std::fs::read_to_string(dir.path().join("data/audit.jsonl")).unwrap();
    assert!(trail.contains("holder of a link") && trail.contains("by a link that admin made"), "{trail}");

    let (status, _) = server.ask("DELETE", &format!("/api/v1/recordings/{id}?reason=asked"), None).await;
    assert_eq!(status, 200);
    assert_eq!(client.post(&second).send().await.unwrap().status().as_u16(), 410);
    // Repeated guesses are slowed down.
    let mut answers = Vec::new();
    for _ in 0..60 {
        answers.push(client.get(&guess).send().await.unwrap().status().as_u16());
    }
    assert!(answers.contains(&429), "{answers:?}");
}
