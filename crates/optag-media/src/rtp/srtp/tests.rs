use super::*;
use optag_core::clock::MonoTime;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn at(seconds: u64) -> MonoTime {
    MonoTime::from_nanos(seconds * 1_000_000_000)
}

fn key(suite: Suite, seed: u8) -> SrtpKey {
    SrtpKey::new(suite, (0..suite.secret_bytes() as u8).map(|n| n.wrapping_mul(7) ^ seed).collect(), vec![])
        .unwrap()
}

fn plan(keys: &[SrtpKey]) -> SrtpPlan {
    SrtpPlan { receive: keys.to_vec(), send: None, required: true, roc: 0 }
}

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend(u32::from(sequence).wrapping_mul(160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([sequence as u8; 160]);
    packet
}

/// A sender, by sequence number.
struct Client(SrtpSender);

impl Client {
    fn new(key: &SrtpKey) -> Self {
        Self(SrtpSender::new(key))
    }

    fn send(&mut self, ssrc: u32, sequence: u16) -> Vec<u8> {
        let mut out = [0; 2_048];
        let length = self.0.protect(&rtp(ssrc, sequence), &mut out).unwrap();
        out[..length].to_vec()
    }
}

fn hear(receiver: &mut SrtpReceiver, seconds: u64, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut out = [0; 2_048];
    receiver.unprotect(at(seconds), packet, &mut out).map(|length| out[..length].to_vec())
}

/// Master key and salt of RFC 3711 B.3, used for libsrtp's own vectors.
fn rfc3711() -> SrtpKey {
    let secret = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    SrtpKey::new(Suite::AesCm128Sha1Tag80, secret, vec![]).unwrap()
}

#[test]
fn the_vectors_of_aes_cm_128_hold() {
    let mut receiver = SrtpReceiver::new(plan(&[rfc3711()]));
    let packet = hex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb");
    let plain = hex("800f1234decafbadcafebabeabababababababababababababababab");
    assert_eq!(hear(&mut receiver, 0, &packet).unwrap(), plain);
    let mut out = [0; 256];
    let mut sender = SrtpSender::new(&rfc3711());
    assert_eq!(sender.protect(&plain, &mut out), Some(packet.len()));
    assert_eq!(out[..packet.len()], packet);
    let rtcp = hex("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798");
    let length = receiver.unprotect_rtcp(&rtcp, &mut out).unwrap();
    assert_eq!(out[..length], hex("81c8000bcafebabeabababababababababababababababab"));
}

/// Made with libsrtp, from rtpengine's tests.
#[test]
fn a_packet_of_aes_cm_256_is_what_others_make_of_it() {
    let secret =
        hex("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6c173 c317f2dabe357793b6960b3aabe6");
    let key = SrtpKey::new(Suite::AesCm256Sha1Tag80, secret, vec![]).unwrap();
    let plain = hex("800f1234decafbadcafebabeabababababababababababababababab");
    let mut out = [0; 64];
    let length = SrtpSender::new(&key).protect(&plain, &mut out).unwrap();
    assert_eq!(
        out[..length],
        hex("800f1234decafbadcafebabe0098219f7ebdba1c3d22f4936f1eac9906f6b227c84961a7b428")
    );
}

/// Made with libsrtp; key and salt are those of its driver.
#[test]
fn a_packet_of_aes_gcm_is_what_others_make_of_it() {
    let secret = hex("000102030405060708090a0b0c0d0e0f a0a1a2a3a4a5a6a7a8a9aaab");
    let key = SrtpKey::new(Suite::AeadAes128Gcm, secret, vec![]).unwrap();
    let plain = hex("800f1234decafbadcafebabeabababababababababababababababab");
    let mut out = [0; 64];
    let length = SrtpSender::new(&key).protect(&plain, &mut out).unwrap();
    assert_eq!(
        out[..length],
        hex("800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392")
    );
}

#[test]
fn the_vectors_of_aes_256_key_derivation_hold() {
    let secret =
        hex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2");
    let key = SrtpKey::new(Suite::AesCm256Sha1Tag80, secret, vec![]).unwrap();
    let mut out = [0; 32];
    session::derive(&key, 0, &mut out);
    assert_eq!(out[..], hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"));
    session::derive(&key, 2, &mut out[..14]);
    assert_eq!(out[..14], hex("fa31791685ca444a9e07c6c64e93"));
    session::derive(&key, 1, &mut out[..20]);
    assert_eq!(out[..20], hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
}

/// RFC 7714 §16 gives session keys, not master keys.
#[test]
fn the_vectors_of_aes_gcm_hold() {
    let plain = hex(
        "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573",
    );
    let salt = hex("517569642070726f2071756f");
    for (suite, coded) in [
        (
            Suite::AeadAes128Gcm,
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a \
             51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        ),
        (
            Suite::AeadAes256Gcm,
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 \
             76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ),
    ] {
        let keys: Vec<u8> = (0..suite.key_bytes() as u8).collect();
        let session = session::Session::of_session_keys(suite, &keys, &salt);
        let mut out = [0; 128];
        let length = session.seal(&plain, 12, 0x5501_a0b2, 0xf17b, &mut out).unwrap();
        assert_eq!(out[..length], hex(coded), "{}", suite.name());
        let mut back = [0; 128];
        assert_eq!(session.open(&hex(coded), 12, 0x5501_a0b2, 0xf17b, &mut back), Some(plain.len()));
        assert_eq!(back[..plain.len()], plain);
    }
}

#[test]
fn every_suite_goes_there_and_back_with_and_without_an_identifier() {
    for suite in Suite::ALL {
        for mki in [vec![], vec![0, 0, 0, 1]] {
            let key = SrtpKey::new(suite, vec![9; suite.secret_bytes()], mki).unwrap();
            let mut receiver = SrtpReceiver::new(plan(std::slice::from_ref(&key)));
            let mut client = Client::new(&key);
            for sequence in [65_534, 65_535, 0, 2, 1] {
                let packet = client.send(7, sequence);
                assert_eq!(packet.len(), 172 + suite.tag_bytes() + key.mki().len());
                assert_eq!(hear(&mut receiver, 0, &packet), Ok(rtp(7, sequence)), "{}", suite.name());
                assert_eq!(hear(&mut receiver, 0, &packet), Err(SrtpError::Replayed));
            }
            for unencrypted_rtcp in [false, true] {
                let mut key = key.clone();
                key.unencrypted_rtcp = unencrypted_rtcp;
                let report = hex("81c90007 0badcafe 00000007 00000000 00000000 00000000 00000000 00000000");
                let (mut out, mut back) = ([0; 256], [0; 256]);
                let length = SrtpSender::at(&key, 5).protect_rtcp(&report, &mut out).unwrap();
                assert_eq!(out[8..32] == report[8..], unencrypted_rtcp);
                let mut receiver = SrtpReceiver::new(plan(&[key]));
                let plain = receiver.unprotect_rtcp(&out[..length], &mut back).unwrap();
                assert_eq!(back[..plain], report);
                assert_eq!(receiver.unprotect_rtcp(&out[..length], &mut back), Err(SrtpError::Replayed));
                out[4] ^= 1;
                assert_eq!(receiver.unprotect_rtcp(&out[..length], &mut back), Err(SrtpError::AuthFailed));
            }
        }
    }
}

#[test]
fn a_packet_that_fails_authentication_changes_nothing() {
    for suite in Suite::ALL {
        let mut receiver = SrtpReceiver::new(plan(&[key(suite, 1)]));
        let mut client = Client::new(&key(suite, 1));
        let packets: Vec<_> = (0..20).map(|n| client.send(7, n)).collect();
        hear(&mut receiver, 0, &packets[0]).unwrap();
        let before = receiver.state();
        for packet in &packets[1..] {
            for at in 0..packet.len() {
                let mut other = packet.clone();
                other[at] ^= 0x10;
                assert!(hear(&mut receiver, 0, &other).is_err(), "byte {at}");
            }
            for length in 0..packet.len() {
                assert!(hear(&mut receiver, 0, &packet[..length]).is_err());
            }
        }
        assert_eq!(receiver.state(), before);
        for (n, packet) in packets.iter().enumerate().skip(1) {
            assert_eq!(hear(&mut receiver, 0, packet), Ok(rtp(7, n as u16)), "none of them counts as seen");
        }
    }
}

#[test]
fn trap_m1_the_same_key_keeps_its_roll_over_counter_over_a_new_offer() {
    let key = key(Suite::AesCm128Sha1Tag80, 1);
    let mut receiver = SrtpReceiver::new(plan(std::slice::from_ref(&key)));
    let mut client = Client::new(&key);
    for n in 0..200_000u32 {
        let packet = client.send(7, n as u16);
        if n % 1_000 == 0 {
            receiver.renegotiate(at(u64::from(n / 50)), plan(std::slice::from_ref(&key)));
        }
        assert!(hear(&mut receiver, u64::from(n / 50), &packet).is_ok(), "{n}");
    }
    assert_eq!(receiver.state().sources[0].index, 199_999);
}

#[test]
fn trap_m1_after_a_new_offer_the_counter_may_start_anew_under_the_same_key() {
    let key = key(Suite::AeadAes128Gcm, 1);
    let mut receiver = SrtpReceiver::new(plan(std::slice::from_ref(&key)));
    let mut client = Client::new(&key);
    client.0.start_at(3 << 16);
    let mut state = receiver.state();
    state.sources = vec![SourceSnapshot { key: 0, ssrc: 7, index: 3 << 16 }];
    receiver = SrtpReceiver::resume(state);
    hear(&mut receiver, 0, &client.send(7, 1)).unwrap();
    let mut anew = Client::new(&key);
    assert_eq!(hear(&mut receiver, 1, &anew.send(7, 500)), Err(SrtpError::AuthFailed), "nothing was offered");
    receiver.renegotiate(at(2), plan(std::slice::from_ref(&key)));
    // Packets of both are still in flight.
    for n in 0..50 {
        assert!(hear(&mut receiver, 2, &client.send(7, 2 + n)).is_ok());
        assert!(hear(&mut receiver, 2, &anew.send(7, 501 + n)).is_ok());
    }
    assert!(hear(&mut receiver, 30, &anew.send(7, 551)).is_ok());
    assert!(hear(&mut receiver, 30, &client.send(7, 60)).is_err(), "the old counter is over");
}

#[test]
fn trap_m1_a_new_key_may_start_at_zero_or_go_on() {
    for goes_on in [false, true] {
        let (old, new) = (key(Suite::AesCm128Sha1Tag80, 1), key(Suite::AesCm128Sha1Tag80, 2));
        let mut receiver = SrtpReceiver::new(SrtpPlan { roc: 2, ..plan(std::slice::from_ref(&old)) });
        let mut first = Client::new(&old);
        first.0.start_at((2 << 16) + 65_500);
        for n in 0..40u16 {
            assert!(hear(&mut receiver, 0, &first.send(7, 65_501u16.wrapping_add(n))).is_ok());
        }
        receiver.renegotiate(at(1), plan(std::slice::from_ref(&new)));
        let mut second = Client::new(&new);
        if goes_on {
            second.0.start_at((3 << 16) + 10);
        }
        // During the key change, packets of both are accepted.
        for n in 0..20 {
            assert!(hear(&mut receiver, 1, &first.send(7, 5 + n)).is_ok());
            assert_eq!(hear(&mut receiver, 1, &second.send(7, 11 + n)), Ok(rtp(7, 11 + n)), "{goes_on}");
        }
        assert!(hear(&mut receiver, 12, &second.send(7, 100)).is_ok());
        assert_eq!(
            hear(&mut receiver, 12, &first.send(7, 100)),
            Err(SrtpError::AuthFailed),
            "the key is gone"
        );
    }
}

#[test]
fn several_keys_are_told_apart_by_their_identifiers() {
    let with = |n: u8| SrtpKey::new(Suite::AesCm128Sha1Tag32, vec![n; 30], vec![0, n]).unwrap();
    let mut receiver = SrtpReceiver::new(plan(&[with(1), with(2)]));
    let (mut one, mut two) = (Client::new(&with(1)), Client::new(&with(2)));
    for n in 0..10 {
        assert!(hear(&mut receiver, 0, &one.send(7, n)).is_ok());
        assert!(hear(&mut receiver, 0, &two.send(8, n)).is_ok());
    }
    let stranger = SrtpKey::new(Suite::AesCm128Sha1Tag32, vec![3; 30], vec![0, 3]).unwrap();
    assert_eq!(hear(&mut receiver, 0, &Client::new(&stranger).send(7, 10)), Err(SrtpError::AuthFailed));
}

#[test]
fn another_process_goes_on_where_one_stopped() {
    let key = key(Suite::AesCm256Sha1Tag80, 4);
    let mut receiver = SrtpReceiver::new(plan(std::slice::from_ref(&key)));
    let mut client = Client::new(&key);
    for n in 0..70_000u32 {
        hear(&mut receiver, 0, &client.send(7, n as u16)).unwrap();
    }
    let written = serde_json::to_string(&receiver.state()).unwrap();
    let last = client.send(7, 4_500);
    hear(&mut receiver, 0, &last).unwrap();
    for n in 4_501..5_000 {
        client.send(7, n);
    }
    let mut resumed = SrtpReceiver::resume(serde_json::from_str(&written).unwrap());
    assert!(hear(&mut resumed, 0, &client.send(7, 5_000)).is_ok());
    assert_eq!(resumed.state().sources[0].index, 65_536 + 5_000);
    assert!(!format!("{:?}", receiver.state()).contains(&written[40..60]), "no key is shown");
}

#[test]
fn senders_under_one_key_are_bounded() {
    let key = key(Suite::AeadAes256Gcm, 4);
    let mut receiver = SrtpReceiver::new(plan(std::slice::from_ref(&key)));
    for ssrc in 0..1_000 {
        hear(&mut receiver, 0, &Client::new(&key).send(ssrc, 1)).unwrap();
    }
    assert_eq!(receiver.state().sources.len(), 4);
}

#[test]
fn plain_packets_are_taken_only_until_the_first_protected_one() {
    let key = key(Suite::AesCm128Sha1Tag80, 1);
    let mut receiver = SrtpReceiver::new(SrtpPlan { required: false, ..plan(std::slice::from_ref(&key)) });
    assert!(receiver.takes_plain());
    assert!(hear(&mut receiver, 0, &rtp(7, 1)).is_err());
    assert!(receiver.takes_plain());
    hear(&mut receiver, 0, &Client::new(&key).send(7, 1)).unwrap();
    assert!(!receiver.takes_plain());
    assert!(!SrtpReceiver::new(plan(&[key])).takes_plain());
}

#[test]
fn any_bytes_are_survived() {
    for length in 0..200usize {
        exercise(&(0..length).map(|n| (n * 37 + length) as u8).collect::<Vec<_>>());
        let mut like_rtp = vec![length as u8, 0x80, 8];
        like_rtp.extend(vec![length as u8; length]);
        exercise(&like_rtp);
    }
}
