//! Feeds one call to a recorder: announces it over HTTP, sends a tone as RTP for both parties, says yes, ends it.
//!
//! `OPTAG_TOKEN=optag_… cargo run --example feed_call -- http://127.0.0.1:8080`. The token is that of a `feed`
//! (`optag token create pbx-1 --role feed`). Prints the call as the recorder sees it at the end.

use std::f64::consts::TAU;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

/// Samples of a packet: 20 ms at 8 kHz.
const SAMPLES: usize = 160;
/// Packets of each party: five seconds.
const PACKETS: usize = 250;
/// Payload type of G.711 A-law. Source: RFC 3551 §6.
const PCMA: u8 = 8;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let token = std::env::var("OPTAG_TOKEN").context("OPTAG_TOKEN is not set")?;
    let client = reqwest::Client::new();
    let ask = async |method: reqwest::Method, path: &str, body: Value| -> anyhow::Result<Value> {
        let request = client.request(method, format!("{server}{path}")).bearer_auth(&token).json(&body);
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        anyhow::ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    };

    // One socket a party. Naming address and port keeps packets of anybody else out.
    let sockets = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    let source = |socket: &UdpSocket| -> anyhow::Result<Value> {
        let address = socket.local_addr()?;
        Ok(json!({"ip": address.ip(), "port": address.port()}))
    };
    let call = ask(
        reqwest::Method::POST,
        "/api/v1/calls",
        json!({
            "department": "demo", "caller_number": "+45 12 34 56 78", "called_number": "+45 87 65 43 21",
            "streams": [
                {"label": "caller", "codec": "pcma", "source": source(&sockets[0])?},
                {"label": "employee", "codec": "pcma", "source": source(&sockets[1])?},
            ],
        }),
    )
    .await?;
    let id = call["id"].as_str().context("the answer names no call")?;
    println!("announced: {id}");

    // Nothing is kept until the caller has said yes. Here the telephone system has asked.
    let yes = json!({"answer": "yes", "how": "system"});
    ask(reqwest::Method::POST, &format!("/api/v1/calls/{id}/consent"), yes).await?;

    for (party, socket) in sockets.iter().enumerate() {
        let stream = &call["streams"][party];
        let port = stream["port"].as_u64().context("no port")? as u16;
        socket.connect((stream["address"].as_str().context("no address")?, port))?;
    }
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    for n in 0..PACKETS {
        clock.tick().await;
        for (party, socket) in sockets.iter().enumerate() {
            let ssrc = call["streams"][party]["ssrc"].as_u64().unwrap_or(1) as u32;
            socket.send(&packet(n, ssrc, 300.0 + 200.0 * party as f64))?;
        }
    }
    ask(reqwest::Method::POST, &format!("/api/v1/calls/{id}/end"), Value::Null).await?;
    let ended = ask(reqwest::Method::GET, &format!("/api/v1/calls/{id}"), Value::Null).await?;
    println!("{ended:#}");
    Ok(())
}

/// An RTP packet of 20 ms of a tone. Source: RFC 3550 §5.1.
fn packet(n: usize, ssrc: u32, hz: f64) -> Vec<u8> {
    let mut bytes = vec![0x80, PCMA];
    bytes.extend((n as u16).to_be_bytes());
    bytes.extend(((n * SAMPLES) as u32).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend((n * SAMPLES..(n + 1) * SAMPLES).map(|at| {
        let sample = (at as f64 * hz * TAU / 8_000.0).sin() * 8_000.0;
        alaw(sample as i16)
    }));
    bytes
}

/// Source: ITU-T G.711, table 1a.
fn alaw(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = i32::from(if sample >= 0 { sample } else { !sample });
    let code = match magnitude {
        0..256 => magnitude >> 4,
        _ => {
            let segment = 24 - magnitude.leading_zeros() as i32;
            segment << 4 | magnitude >> (segment + 3) & 0x0f
        }
    };
    (sign | code as u8) ^ 0x55
}
