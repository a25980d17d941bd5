use super::*;

const ACME: &[u8] = include_bytes!("../../../../tests/data/siprec/acme-siprec-offer.txt");
const BROADWORKS: &[u8] = include_bytes!("../../../../tests/data/siprec/broadworks-offer.txt");
const SONUS: &[u8] = include_bytes!("../../../../tests/data/siprec/sonus-siprec-offer.txt");

fn own() -> IpAddr {
    "198.51.100.5".parse().unwrap()
}

fn answer(offer: &str) -> String {
    let offer = parse(offer.as_bytes()).unwrap();
    let mut ours = Description::new(7);
    ours.follow(&offer);
    for (at, media) in offer.media.iter().enumerate() {
        if media.is_audio() && !media.codecs.is_empty() {
            let address = format!("198.51.100.5:{}", 20_000 + 2 * at).parse().unwrap();
            ours.lines[at].taken = Some(Taken { stream: Some(at as u8), address });
        }
    }
    let text = String::from_utf8(ours.text(own(), offer.media.len(), true)).unwrap();
    sdp_types::Session::parse(text.as_bytes()).expect("another parser takes the answer");
    text
}

#[test]
fn a_sendonly_offer_is_answered_recvonly_with_every_label_in_order() {
    let text = answer(
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n\
         m=audio 4000 RTP/AVP 0 8\na=label:a_leg\na=sendonly\n\
         m=video 4002 RTP/AVP 96\na=rtpmap:96 H264/90000\na=label:v\na=sendonly\n\
         m=audio 4004 RTP/AVP 18 8\na=label:16777227\na=inactive\na=rtcp-mux\n",
    );
    assert_eq!(
        text,
        "v=0\r\no=optag 7 7 IN IP4 198.51.100.5\r\ns=-\r\nc=IN IP4 198.51.100.5\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=label:a_leg\r\na=recvonly\r\n\
         m=video 0 RTP/AVP 96\r\na=label:v\r\n\
         m=audio 20004 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=label:16777227\r\na=rtcp-mux\r\na=inactive\r\n"
    );
}

#[test]
fn two_telephone_events_and_static_types_without_rtpmap_are_understood() {
    let offer = parse(
        b"m=audio 4000 RTP/AVP 9 0 96 97 101 13\r\na=rtpmap:96 OPUS/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n\
          a=rtpmap:97 telephone-event/48000\r\n",
    )
    .unwrap();
    assert_eq!(offer.media[0].events, [(97, 48_000), (101, 8_000)]);
    assert_eq!(offer.media[0].codecs.iter().map(|c| c.payload_type).collect::<Vec<_>>(), [9, 0, 96]);
    assert_eq!(offer.media[0].address, None, "a missing c= is no error");
}

#[test]
fn addresses_are_taken_from_the_stream_before_the_session() {
    let offer = parse(
        b"v=0\nc=IN IP4 192.0.2.1\nm=audio 1 RTP/AVP 0\nc=IN IP4 192.0.2.2/127\nm=audio 2 RTP/AVP 0\n\
          m=audio 3 RTP/AVP 0\nc=IN IP6 2001:db8::1\nm=audio 4 RTP/AVP 0\nc=IN IP4 host.example\n",
    )
    .unwrap();
    let offer = offer.heard_from("198.51.100.9".parse().unwrap());
    let addresses: Vec<String> = offer.media.iter().map(|m| m.sender().unwrap().to_string()).collect();
    // A host's name is not looked up: the one who wrote it counts.
    assert_eq!(addresses, ["192.0.2.2", "192.0.2.1", "2001:db8::1", "198.51.100.9"]);
}

#[test]
fn hold_is_seen_in_both_its_forms() {
    let held = |text: &str| parse(text.as_bytes()).unwrap().media[0].is_held();
    assert!(held("m=audio 4 RTP/AVP 0\nc=IN IP4 0.0.0.0\na=sendonly\n"));
    assert!(held("a=inactive\nm=audio 4 RTP/AVP 0\nc=IN IP4 192.0.2.1\n"));
    assert!(!held("a=inactive\nm=audio 4 RTP/AVP 0\na=sendonly\n"), "the stream's own direction wins");
    assert!(!held("m=audio 4 RTP/AVP 0\n"), "no direction means both ways");
}

#[test]
fn the_version_goes_up_only_when_the_text_changes() {
    let offer = parse(b"m=audio 4 RTP/AVP 0\na=sendonly\n").unwrap();
    let hold = parse(b"m=audio 4 RTP/AVP 0\na=inactive\n").unwrap();
    let mut ours = Description::new(100);
    let mut version = |offer: &Offer| {
        ours.follow(offer);
        ours.lines[0].taken = Some(Taken { stream: Some(0), address: "198.51.100.5:20000".parse().unwrap() });
        let text = String::from_utf8(ours.text(own(), 1, true)).unwrap();
        text.split(' ').nth(2).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!([version(&offer), version(&offer), version(&hold), version(&offer)], [100, 100, 101, 102]);
}

#[test]
fn encrypted_streams_keep_their_profile_and_show_their_keys() {
    let offer = parse(
        b"m=audio 4 RTP/SAVP 0\na=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:bad\n\
          a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n",
    )
    .unwrap();
    assert!(offer.media[0].is_secure());
    assert_eq!(offer.media[0].crypto.iter().map(|c| c.tag).collect::<Vec<_>>(), [2]);
}

#[test]
fn vendor_offers_are_read() {
    for (body, labels, ports) in [
        (ACME, vec!["16777227", "16777228"], vec![20106, 20110]),
        (BROADWORKS, vec!["1"], vec![22294]),
        (SONUS, vec!["1", "2"], vec![48932, 48926]),
    ] {
        let offer = parse(body).unwrap();
        let seen: Vec<_> = offer.media.iter().map(|m| m.label.clone().unwrap()).collect();
        assert_eq!(seen, labels);
        assert_eq!(offer.media.iter().map(|m| m.port).collect::<Vec<_>>(), ports);
        assert!(offer.media.iter().all(|m| m.is_audio() && !m.codecs.is_empty()));
    }
}

#[test]
fn nothing_hostile_is_read_or_grows() {
    assert_eq!(parse(b""), Err(SdpError::NoMedia));
    assert_eq!(parse(b"m=audio x RTP/AVP 0\n"), Err(SdpError::NoMedia));
    assert_eq!(parse(&b"m=audio 1 RTP/AVP 0\n".repeat(MEDIA_LINES + 1)), Err(SdpError::TooLong));
    assert_eq!(parse(&vec![b'a'; SDP_BYTES + 1]), Err(SdpError::TooLong));
    assert!(parse(b"\xff\xfe=\nm=audio 1 RTP/AVP 300 -1 0\na=rtpmap:999 x\na=crypto:\n").is_ok());
}
