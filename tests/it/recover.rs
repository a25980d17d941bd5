//! After a loss: a dead recorder's disk is delivered from another machine, a lost index is rebuilt.

use std::path::Path;
use std::process::Command;

use crate::phone::{Leg, talk, voice};
use crate::server::{Server, Settings, call_request, files_below};

/// Runs a command on a data directory; returns its output.
fn optag(args: &[&str], data: &Path) -> (bool, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_optag")).args(args).arg("--data").arg(data).output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A call of half a second, with or without its end. Its id.
async fn call(server: &Server, ends: bool) -> String {
    let (_, admitted) = server.ask("POST", "/api/v1/calls", Some(call_request("demo", "pcmu"))).await;
    let id = admitted["id"].as_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || {
        let mut legs = [Leg::new(&admitted, 0, 0, 7), Leg::new(&admitted, 1, 0, 8)];
        legs[0].key('1');
        talk(&mut legs, &[&voice(1, 500), &voice(2, 500)]);
    })
    .await
    .unwrap();
    if ends {
        server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    }
    id
}

fn stored(data: &Path) -> Vec<String> {
    let files = files_below(&data.join("store")).into_iter();
    files.map(|(path, _)| path.display().to_string()).filter(|path| path.ends_with(".opus.age")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_recorders_spool_is_delivered_from_elsewhere_once() {
    let (dead, alive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut settings = Settings::with_ports((21_800, 21_840));
    // An unreachable store: everything waits in the spool.
    settings.extra = "[store]\nkind = \"s3\"\nbucket = \"calls\"\nendpoint = \"http://127.0.0.1:9\"\n\
                      allow_http = true\nmanage_lifecycle = false\n"
        .into();
    settings.env =
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name.into(), "x".into())).into();
    let server = Server::start(dead.path(), &settings).await;
    let (kept, erased) = (call(&server, true).await, call(&server, true).await);
    let (status, answer) =
        server.ask("DELETE", &format!("/api/v1/recordings/{erased}?reason=asked"), None).await;
    assert_eq!(status, 202, "{answer}");
    server.kill();

    // The node that takes over has its own data.
    let other = Server::start(alive.path(), &Settings::with_ports((21_841, 21_849))).await;
    assert_eq!(other.terminate().code(), Some(0));
    let (spool, data) = (dead.path().join("data/spool"), alive.path().join("data"));
    let spool = spool.to_str().unwrap();
    let (good, said) = optag(&["recover", "--spool", spool], &data);
    assert!(good && said.contains("1 erasures imported"), "{said}");
    let files = stored(&data);
    assert!(files.len() == 1 && files[0].contains(&kept), "{files:?}\n{said}");
    let (good, said) = optag(&["recover", "--spool", spool], &data);
    assert!(good && said.contains("0 calls to deliver"), "{said}");
    assert_eq!(stored(&data), files);
    let (good, said) = optag(&["search", "--purpose", "administration", "--number", "12345678"], &data);
    assert!(good && said.contains(&kept) && !said.contains(&erased), "{said}");
    let (good, said) = optag(&["check"], &data);
    assert!(good, "{said}");
    let (good, said) = optag(&["recover", "--spool", data.to_str().unwrap()], &data);
    assert!(!good && said.contains("is not a spool"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_of_a_node_with_the_same_master_key_from_elsewhere_is_delivered_without_a_file_of_it() {
    let (dead, alive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut settings = Settings::with_ports((21_891, 21_899));
    let master = ("OPTAG_MASTER_KEY".to_owned(), "07".repeat(32));
    settings.extra = "[store]\nkind = \"s3\"\nbucket = \"calls\"\nendpoint = \"http://127.0.0.1:9\"\n\
                      allow_http = true\nmanage_lifecycle = false\n"
        .into();
    settings.env =
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name.into(), "x".into())).into();
    settings.env.push(master.clone());
    let server = Server::start(dead.path(), &settings).await;
    let id = call(&server, true).await;
    server.kill();
    let mut settings = Settings::with_ports((21_891, 21_899));
    settings.env.push(master.clone());
    assert_eq!(Server::start(alive.path(), &settings).await.terminate().code(), Some(0));
    let (spool, data) = (dead.path().join("data/spool"), alive.path().join("data"));
    let recover = |master: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_optag"));
        command.args(["recover", "--spool"]).arg(&spool).arg("--data").arg(&data);
        command.envs(master.map(|master| ("OPTAG_MASTER_KEY", master)));
        let done = command.output().unwrap();
        (done.status.success(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
    };
    let (good, said) = recover(None);
    assert!(!good && said.contains("no master key"), "{said}");
    let (good, said) = recover(Some(&master.1));
    assert!(good && said.contains("1 calls delivered"), "{said}");
    let files = stored(&data);
    assert!(files.len() == 1 && files[0].contains(&id), "{files:?}\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_index_comes_back_from_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &Settings::with_ports((21_850, 21_890))).await;
    let (kept, erased) = (call(&server, true).await, call(&server, true).await);
    server.recording(&kept).await;
    server.recording(&erased).await;
    let data = dir.path().join("data");
    // What a backup older than the erasure brings back.
    let before: Vec<_> = files_below(&data.join("store"));
    let (status, _) = server.ask("DELETE", &format!("/api/v1/recordings/{erased}?reason=asked"), None).await;
    assert_eq!(status, 200);
    assert_eq!(server.terminate().code(), Some(0));
    for (path, bytes) in before {
        std::fs::write(path, bytes).unwrap();
    }
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("index.sqlite{end}")));
    }
    let stray = data.join("store/recordings/2026/11/24/stray.bin");
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(&stray, b"?").unwrap();

    let (good, said) = optag(&["check"], &data);
    assert!(!good && said.contains(&format!("{kept}: in the store, but not in the index")), "{said}");
    assert!(said.contains(&format!("{erased}: erased, but present again")), "{said}");
    let (_, said) = optag(&["check", "--repair"], &data);
    assert!(said.contains("3 differences, 2 repaired"), "{said}");
    std::fs::remove_file(&stray).unwrap();
    let (good, said) = optag(&["check"], &data);
    assert!(good && said.contains("0 differences"), "{said}");
    let (_, said) = optag(&["search", "--purpose", "administration", "--number", "12345678"], &data);
    assert!(said.contains(&kept) && !said.contains(&erased), "{said}");
    assert_eq!(stored(&data).len(), 1);
    // The reverse: a row whose object is missing is reported, and nothing is invented.
    std::fs::remove_file(&stored(&data)[0]).unwrap();
    let (good, said) = optag(&["check", "--repair"], &data);
    assert!(!good && said.contains("its audio is not in the store"), "{said}");
}
