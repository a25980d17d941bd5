//! Protected packets against libsrtp, both ways, through its Python binding.

use std::io::Write;
use std::process::{Command, Stdio};

use optag_core::clock::MonoTime;
use optag_media::rtp::srtp::{SrtpKey, SrtpPlan, SrtpReceiver, SrtpSender, Suite};

/// Lines of `profile key direction packet`, all but the first in hexadecimal; each is answered.
const SCRIPT: &str = r#"
import sys
from pylibsrtp import Policy, Session
sessions = {}
for line in sys.stdin:
    profile, key, kind, packet = line.split()
    out = kind in ("protect", "protect_rtcp")
    at = (profile, key, out)
    if at not in sessions:
        policy = Policy(key=bytes.fromhex(key), ssrc_type=Policy.SSRC_ANY_OUTBOUND if out else Policy.SSRC_ANY_INBOUND,
            srtp_profile=getattr(Policy, "SRTP_PROFILE_" + profile))
        sessions[at] = Session(policy=policy)
    print(getattr(sessions[at], kind)(bytes.fromhex(packet)).hex())
"#;

const PROFILES: [(Suite, &str); 4] = [
    (Suite::AesCm128Sha1Tag80, "AES128_CM_SHA1_80"),
    (Suite::AesCm128Sha1Tag32, "AES128_CM_SHA1_32"),
    (Suite::AeadAes128Gcm, "AEAD_AES_128_GCM"),
    (Suite::AeadAes256Gcm, "AEAD_AES_256_GCM"),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A packet with a header extension and a CSRC now and then.
fn rtp(n: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend((65_500u16.wrapping_add(n)).to_be_bytes());
    packet.extend((u32::from(n) * 160).to_be_bytes());
    packet.extend(7u32.to_be_bytes());
    if n % 3 == 1 {
        packet[0] |= 0x11;
        packet.extend([0, 0, 0, 9, 0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
    }
    packet.extend((0..n % 170).map(|byte| byte as u8));
    packet
}

fn rtcp(n: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6, 0, 0, 0, 7];
    packet.extend((0..20).map(|byte| byte + n as u8));
    packet
}

fn key(suite: Suite) -> SrtpKey {
    SrtpKey::new(suite, (0..suite.secret_bytes() as u8).map(|n| n * 5 + 1).collect(), vec![]).unwrap()
}

/// What the peer answers to each line; `None` where it is not installed.
fn peer(lines: &[String]) -> Option<Vec<Vec<u8>>> {
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take().unwrap();
    let text = lines.concat();
    let writing = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writing.join();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("No module named") {
        return None;
    }
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap().lines().map(unhex).collect())
}

#[test]
fn libsrtp_understands_what_we_protect_and_we_what_it_protects() {
    let now = MonoTime::default();
    let mut lines = Vec::new();
    for (suite, profile) in PROFILES {
        let secret = hex(key(suite).secret().reveal());
        let mut sender = SrtpSender::new(&key(suite));
        let mut out = [0; 2_048];
        for n in 0..150 {
            let length = sender.protect(&rtp(n), &mut out).unwrap();
            lines.push(format!("{profile} {secret} unprotect {}\n", hex(&out[..length])));
            lines.push(format!("{profile} {secret} protect {}\n", hex(&rtp(n))));
            let length = sender.protect_rtcp(&rtcp(n), &mut out).unwrap();
            lines.push(format!("{profile} {secret} unprotect_rtcp {}\n", hex(&out[..length])));
            lines.push(format!("{profile} {secret} protect_rtcp {}\n", hex(&rtcp(n))));
        }
    }
    let Some(answers) = peer(&lines) else {
        println!("skipped: python3-pylibsrtp is not installed");
        return;
    };
    let mut answers = answers.into_iter();
    for (suite, profile) in PROFILES {
        let plan = SrtpPlan { receive: vec![key(suite)], send: None, required: true, roc: 0 };
        let mut receiver = SrtpReceiver::new(plan);
        let mut out = [0; 2_048];
        for n in 0..150 {
            assert_eq!(answers.next().unwrap(), rtp(n), "{profile} {n}");
            let length = receiver.unprotect(now, &answers.next().unwrap(), &mut out).unwrap();
            assert_eq!(out[..length], rtp(n), "{profile} {n}");
            assert_eq!(answers.next().unwrap(), rtcp(n), "{profile} {n}");
            let length = receiver.unprotect_rtcp(&answers.next().unwrap(), &mut out).unwrap();
            assert_eq!(out[..length], rtcp(n), "{profile} {n}");
        }
    }
}
