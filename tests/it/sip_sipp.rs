//! The recording server on real sockets: SIPp scenarios, and a TLS client of our own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use optag_core::clock::{OsClock, WallTime};
use optag_core::private::Private;
use optag_sip::sip::digest::{Algorithm, Credentials};
use optag_sip::sip::tls::TlsFiles;
use optag_sip::siprec::service::{Ending, Listen, SipServer};
use optag_sip::siprec::settings::{Config, UntilConsent};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::sip_feed::{FakeFeed, config};
use crate::sip_src::{SDP, SIPREC, Src, code, control_name};

/// A server on free ports of loopback, and the feed behind it.
async fn serve(edit: impl FnOnce(&mut Config, &mut Listen)) -> (SipServer, Arc<FakeFeed>) {
    let mut config = config();
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut listen = Listen { udp: vec![free], tcp: vec![free], ..Listen::default() };
    edit(&mut config, &mut listen);
    let feed = Arc::new(FakeFeed::default());
    let server =
        SipServer::start(listen, config, feed.clone(), Arc::new(OsClock), Arc::new(|_| {}), Vec::new()).await;
    (server.expect("loopback can be listened on"), feed)
}

/// Whether SIPp is installed; says so where it is not.
fn sipp_is_there() -> bool {
    let there = Command::new("sipp").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_err() {
        println!("skipped: sipp is not installed (Debian package sip-tester)");
    }
    there.is_ok()
}

/// Runs a scenario against `target`; its output where it fails.
async fn sipp(scenario: &str, target: SocketAddr, more: &[&str]) -> Result<(), String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(format!("{scenario}.xml"));
    let scratch = tempfile::tempdir().unwrap();
    let mut run = Command::new("sipp");
    run.arg("-sf").arg(file).arg(target.to_string());
    run.args(["-i", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "20s", "-timeout_error", "-trace_err"]);
    run.args(more).current_dir(scratch.path());
    let done = finish(run).await;
    if done.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&done.stderr).into_owned();
    for file in std::fs::read_dir(scratch.path()).unwrap().flatten() {
        text += &std::fs::read_to_string(file.path()).unwrap_or_default();
    }
    Err(format!("{scenario}: {}: {text}", done.status))
}

/// Runs a program that ends by itself.
async fn finish(mut run: Command) -> Output {
    run.stdin(Stdio::null());
    tokio::task::spawn_blocking(move || run.output()).await.unwrap().expect("it can be run")
}

fn controls(feed: &FakeFeed) -> Vec<Vec<&'static str>> {
    feed.seen().iter().map(|seen| seen.controls.iter().map(control_name).collect()).collect()
}

/// Waits until the feed has seen what it should.
async fn until(feed: &FakeFeed, what: impl Fn(&FakeFeed) -> bool) {
    for _ in 0..200 {
        if what(feed) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never came: {:?}", controls(feed));
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_plays_sessions_over_udp_and_tcp() {
    if !sipp_is_there() {
        return;
    }
    for (scenario, expect) in [
        ("basic", vec!["end"]),
        ("hold", vec!["pause", "describe", "resume", "describe", "end"]),
        ("update", vec!["describe", "end"]),
        ("delayed", vec!["renegotiate", "renegotiate", "end"]),
        ("overlap", vec!["renegotiate", "end"]),
    ] {
        for transport in ["u1", "t1"] {
            let (server, feed) = serve(|_, _| {}).await;
            let target = if transport == "u1" { server.bound().udp[0] } else { server.bound().tcp[0] };
            sipp(scenario, target, &["-t", transport]).await.unwrap();
            until(&feed, |feed| controls(feed).iter().any(|all| all.last() == Some(&"end"))).await;
            let all = controls(&feed);
            assert_eq!(all.len(), 1);
            if scenario != "delayed" {
                assert_eq!(all[0], expect, "{scenario} over {transport}");
            }
            server.stop(Ending::Bye).await;
        }
    }
}

/// The built SIPp may know no TLS, as Debian's does: socat, with OpenSSL, carries its connection.
#[tokio::test(flavor = "multi_thread")]
async fn sipp_plays_sessions_over_tls() {
    let socat = Command::new("socat").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if socat.is_err() {
        println!("skipped: socat is not installed");
        return;
    }
    if !sipp_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = certificate(folder.path(), "srs.example");
    let trusted = files.certificate.clone();
    let (server, feed) = serve(|_, listen| {
        listen.tls = vec!["127.0.0.1:0".parse().unwrap()];
        listen.tls_files = Some(files);
    })
    .await;
    let near = free_port().await;
    let far = format!(
        "OPENSSL:{},cafile={},openssl-commonname=srs.example,snihost=srs.example",
        server.bound().tls[0],
        trusted.display()
    );
    let mut carrier = Command::new("socat");
    carrier.arg(format!("TCP-LISTEN:{},bind=127.0.0.1,reuseaddr,fork", near.port())).arg(far);
    let mut carrier = tokio::process::Command::from(carrier).kill_on_drop(true).spawn().unwrap();
    while tokio::net::TcpStream::connect(near).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (n, scenario) in ["basic", "hold", "update"].into_iter().enumerate() {
        sipp(scenario, near, &["-t", "t1"]).await.unwrap();
        until(&feed, |feed| controls(feed).iter().filter(|all| all.last() == Some(&"end")).count() > n).await;
    }
    assert_eq!(
        controls(&feed),
        [vec!["end"], vec!["pause", "describe", "resume", "describe", "end"], vec!["describe", "end"]],
        "as over the other transports"
    );
    carrier.kill().await.unwrap();
    server.stop(Ending::Bye).await;
}

/// A port of loopback that nobody listens on.
async fn free_port() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_is_asked_for_its_streams_once_there_is_consent() {
    if !sipp_is_there() {
        return;
    }
    for transport in ["u1", "t1"] {
        let (server, feed) = serve(|config, _| config.until_consent = UntilConsent::Inactive).await;
        let target = if transport == "u1" { server.bound().udp[0] } else { server.bound().tcp[0] };
        sipp("consent", target, &["-t", transport]).await.unwrap();
        until(&feed, |feed| controls(feed) == [["pause", "answer", "resume", "end"]]).await;
        server.stop(Ending::Bye).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_cancels_an_invite_that_the_feed_is_slow_to_admit() {
    if !sipp_is_there() {
        return;
    }
    let (server, feed) = serve(|_, _| {}).await;
    *feed.slow.lock().unwrap() = Duration::from_millis(700);
    sipp("cancel", server.bound().udp[0], &[]).await.unwrap();
    until(&feed, |feed| controls(feed) == [["end"]]).await;
    server.stop(Ending::Bye).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_answers_a_challenge() {
    if !sipp_is_there() {
        return;
    }
    let users = vec![("src".to_owned(), Private::new("secret".to_owned()))];
    let credentials = Credentials { realm: "optag".into(), users, algorithms: vec![Algorithm::Md5] };
    let (server, feed) = serve(|config, _| config.credentials = Some(credentials)).await;
    sipp("digest", server.bound().udp[0], &[]).await.unwrap();
    assert_eq!(feed.seen().len(), 1);
    server.stop(Ending::Bye).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_sees_the_server_drain() {
    if !sipp_is_there() {
        return;
    }
    let (server, _) = serve(|_, _| {}).await;
    let target = server.bound().udp[0];
    sipp("options", target, &[]).await.unwrap();
    assert!(server.drain(Duration::from_secs(2)).await, "nothing is left to wait for");
    sipp("drain", target, &[]).await.unwrap();
    server.stop(Ending::Bye).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_that_never_hangs_up_is_hung_up_on_once_the_engine_ends_the_call() {
    if !sipp_is_there() {
        return;
    }
    let (server, feed) = serve(|_, _| {}).await;
    let target = server.bound().udp[0];
    let client = tokio::spawn(async move { sipp("lost_bye", target, &[]).await });
    until(&feed, |feed| feed.seen().len() == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    for seen in feed.calls.lock().unwrap().values_mut() {
        seen.view.ended_at = Some(WallTime::default());
    }
    client.await.unwrap().unwrap();
    server.stop(Ending::Bye).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute; run it with --ignored --nocapture for the figures"]
async fn sipp_sets_up_two_hundred_calls_a_second() {
    let (server, feed) = serve(|_, _| {}).await;
    let target = server.bound().udp[0];
    let more = ["-m", "3000", "-r", "200", "-l", "4000", "-timeout", "55s", "-trace_rtt", "-rtt_freq", "1"];
    let scratch = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp/load.xml");
    let mut run = Command::new("sipp");
    run.arg("-sf").arg(file).arg(target.to_string()).args(["-i", "127.0.0.1", "-nostdin"]).args(more);
    run.current_dir(scratch.path());
    let done = finish(run).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut times: Vec<f64> = Vec::new();
    for file in std::fs::read_dir(scratch.path()).unwrap().flatten() {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        times.extend(text.lines().filter_map(|line| line.split(';').nth(1)?.parse::<f64>().ok()));
    }
    times.sort_by(f64::total_cmp);
    assert_eq!(feed.seen().len(), 3_000);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{} answers; ms p50 {} p99 {} max {}; {:?}",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        server.stats()
    );
    assert!(at(0.99) < 100.0);
    server.stop(Ending::Bye).await;
}

/// A key and its certificate in `folder`, and the certificate for a client to trust.
pub(crate) fn certificate(folder: &Path, name: &str) -> (TlsFiles, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (certificate, key): (PathBuf, PathBuf) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (TlsFiles { certificate, key, client_ca: None }, made.cert.der().clone())
}

/// A TLS connection that trusts `root` alone.
pub(crate) async fn connect(
    target: SocketAddr,
    root: &CertificateDer<'static>,
    name: &'static str,
) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(target).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    connector.connect(ServerName::try_from(name).unwrap(), stream).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_connections_outlive_a_change_of_certificate_and_new_ones_see_it() {
    let folder = tempfile::tempdir().unwrap();
    let (files, first) = certificate(folder.path(), "one.example");
    let (server, feed) = serve(|_, listen| {
        listen.tls = vec!["127.0.0.1:0".parse().unwrap()];
        listen.tls_files = Some(files);
    })
    .await;
    let target = server.bound().tls[0];
    let mut old = connect(target, &first, "one.example").await.unwrap();

    let mut src = Src::new();
    src.transport = optag_sip::sip::flow::Transport::Tls;
    let mut dialog = crate::sip_src::Dialog { call_id: "tls".into(), to: "<sip:srs@h>".into(), cseq: 0 };
    let ask = async |text: String, stream: &mut tokio_rustls::client::TlsStream<tokio::net::TcpStream>| {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 8192];
        let bytes =
            tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&buffer[..bytes]).into_owned()
    };
    let answer = ask(src.request(&mut dialog, "INVITE", SIPREC, SDP), &mut old).await;
    assert_eq!(code(&answer), 200, "{answer}");
    assert!(crate::sip_src::header(&answer, "Contact").unwrap().contains(";transport=tls>"));
    dialog.to = crate::sip_src::header(&answer, "To").unwrap();
    old.write_all(src.request(&mut dialog, "ACK", "", "").as_bytes()).await.unwrap();

    tokio::time::sleep(Duration::from_millis(50)).await;
    let (_, second) = certificate(folder.path(), "two.example");
    let mut renewed = Err(std::io::Error::other("not yet"));
    for _ in 0..60 {
        renewed = connect(target, &second, "two.example").await;
        if renewed.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    renewed.expect("the new certificate is shown");
    let answer = ask(src.request(&mut dialog, "BYE", "", ""), &mut old).await;
    assert_eq!(code(&answer), 200, "the old connection still serves");
    until(&feed, |feed| controls(feed) == [["end"]]).await;
    server.stop(Ending::Bye).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_says_bye_or_leaves_sessions_to_be_resumed() {
    for (ending, saved, last) in [(Ending::Bye, 0, Some("end")), (Ending::Leave, 1, None)] {
        let (server, feed) = serve(|_, _| {}).await;
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server.bound().udp[0]).await.unwrap();
        let mut src = Src::new();
        let mut dialog = crate::sip_src::Dialog { call_id: "x".into(), to: "<sip:srs@h>".into(), cseq: 0 };
        socket.send(src.request(&mut dialog, "INVITE", SIPREC, SDP).as_bytes()).await.unwrap();
        until(&feed, |feed| feed.seen().len() == 1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!server.drain(Duration::from_millis(100)).await, "a session is left");
        assert_eq!(server.stop(ending).await.len(), saved);
        assert_eq!(controls(&feed)[0].last().copied(), last);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_its_certificate_where_one_is_asked_for_and_without_it_is_not_served() {
    use optag::load::sip::link::Link;
    use optag::load::sip::session::Session;
    use optag::load::sip::shape::{CallInfo, Shape};
    use optag::load::sip::{Identity, Target};
    use optag_media::codec::coded::Codec;

    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut files, _) = certificate(ours.path(), "127.0.0.1");
    let (client, _) = certificate(theirs.path(), "src.example");
    let ca_file = Some(files.certificate.clone());
    files.client_ca = Some(client.certificate.clone());
    let (server, feed) = serve(|_, listen| {
        listen.tls = vec!["127.0.0.1:0".parse().unwrap()];
        listen.tls_files = Some(files);
    })
    .await;
    let target = Target::parse(&format!("sips:srs@{}", server.bound().tls[0])).unwrap();
    let begin = async |certificate| {
        let identity = Identity { credentials: None, ca_file: ca_file.clone(), certificate };
        let link = Arc::new(Link::open(&target, &identity).await?);
        let info = CallInfo {
            name: "tls".into(),
            caller_number: "1".into(),
            called_number: "2".into(),
            caller_name: "x".into(),
            codec: Codec::Pcma,
            keys: None,
            ip: link.local.ip(),
        };
        let session = Session::begin(link, target.clone(), &identity, Shape::Plain, info, "");
        tokio::time::timeout(Duration::from_secs(5), session).await?
    };
    assert!(begin(None).await.is_err(), "no certificate");
    assert!(
        begin(Some((ours.path().join("cert.pem"), ours.path().join("key.pem")))).await.is_err(),
        "a foreign one"
    );
    assert!(feed.seen().is_empty());
    let mut session = begin(Some((client.certificate.clone(), client.key.clone()))).await.unwrap();
    assert!(session.open);
    session.end().await.unwrap();
    until(&feed, |feed| controls(feed) == [["end"]]).await;
    server.stop(Ending::Bye).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_client_proves_itself_by_either_digest() {
    use optag::load::sip::link::Link;
    use optag::load::sip::session::Session;
    use optag::load::sip::shape::{CallInfo, Shape};
    use optag::load::sip::{Identity, Target};
    use optag_media::codec::coded::Codec;

    for algorithms in [vec![Algorithm::Sha256], vec![Algorithm::Md5], vec![Algorithm::Sha256, Algorithm::Md5]]
    {
        let users = vec![("src".to_owned(), Private::new("secret".to_owned()))];
        let credentials = Credentials { realm: "optag".into(), users, algorithms };
        let (server, feed) = serve(|config, _| config.credentials = Some(credentials)).await;
        let target = Target::parse(&format!("sip:srs@{}", server.bound().udp[0])).unwrap();
        for (password, taken) in [("wrong", false), ("secret", true)] {
            let login = Some(("src".to_owned(), password.to_owned()));
            let identity = Identity { credentials: login, ..Identity::default() };
            let link = Arc::new(Link::open(&target, &identity).await.unwrap());
            let info = CallInfo {
                name: password.into(),
                caller_number: "1".into(),
                called_number: "2".into(),
                caller_name: "x".into(),
                codec: Codec::Pcma,
                keys: None,
                ip: link.local.ip(),
            };
            let session = Session::begin(link, target.clone(), &identity, Shape::Plain, info, "").await;
            assert_eq!(session.is_ok(), taken);
        }
        assert_eq!(feed.seen().len(), 1);
        server.stop(Ending::Bye).await;
    }
}
