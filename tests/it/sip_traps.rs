//! One test per trap: what real clients send that a stricter server would reject.

use optag_core::call::{Answer, ConsentHow, LinkKind, StreamRole};
use optag_sip::feed::{Control, EventFormat};
use optag_sip::sip::flow::Transport;
use optag_sip::siprec::settings::MediaSource;

use crate::sip_src::{SDP, SIPREC, Src, code, header, media, with_metadata};

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../data/siprec/", $name))
    };
}

fn multipart(boundary: &str) -> String {
    format!("{SIPREC}Content-Type: multipart/mixed;boundary={boundary}\r\n")
}

fn xml(root: &str, participants: &str) -> String {
    format!(
        "<?xml version='1.0'?><{root}><datamode>complete</datamode>{participants}</{}>",
        root.split(' ').next().unwrap()
    )
}

const TWO: &str = "<participant participant_id='a'><nameID aor='sip:88888888@h'><name>Ida</name></nameID></participant>\
    <participant participant_id='b'><nameID aor='sip:70102030@h'/></participant>\
    <stream stream_id='s1'><label>1</label></stream><stream stream_id='s2'><label>2</label></stream>\
    <participantstreamassoc participant_id='a'><send>s2</send><recv>s1</recv></participantstreamassoc>\
    <participantstreamassoc participant_id='b'><send>s1</send><recv>s2</recv></participantstreamassoc>";

fn roles(src: &Src) -> Vec<(String, StreamRole)> {
    src.call().new.streams.iter().map(|s| (s.label.clone(), s.role)).collect()
}

#[test]
fn t1_every_metadata_root_is_read() {
    for root in [
        "recording xmlns='urn:ietf:params:xml:ns:recording:1'",
        "recording xmlns='urn:ietf:params:xml:ns:recording'",
        "recording",
        "tns:recording xmlns:tns='urn:ietf:params:xml:ns:recording'",
        "recording_metadata xmlns='urn:ietf:params:xml:ns:siprec'",
    ] {
        let mut src = Src::new();
        src.invite(SIPREC, &with_metadata(SDP, &xml(root, TWO)));
        assert_eq!(src.call().new.caller_number.reveal(), "88888888", "{root}");
        assert_eq!(src.call().new.caller_name.unwrap().reveal(), "Ida");
    }
}

#[test]
fn t2_ids_are_read_in_both_spellings() {
    let mut src = Src::new();
    let old = TWO.replace("participant_id=", "id=").replace("stream_id=", "id=");
    let old = old.replace("<participantstreamassoc id=", "<participantstreamassoc participant=");
    src.invite(SIPREC, &with_metadata(SDP, &xml("recording", &old).replace("datamode", "dataMode")));
    assert_eq!(roles(&src), [("2".into(), StreamRole::Caller), ("1".into(), StreamRole::Employee)]);
}

#[test]
fn t3_vendor_bodies_are_taken_as_they_are() {
    for (boundary, body, labels) in [
        ("unique-boundary-1", sample!("acme-siprec-offer.txt"), vec!["16777227", "16777228"]),
        ("\"UniqueBroadWorksBoundary\"", sample!("broadworks-offer.txt"), vec!["1"]),
        ("uniqueBoundary", sample!("cisco-siprec-offer.txt"), vec!["1", "2"]),
        ("sonus-content-delim", sample!("sonus-siprec-offer.txt"), vec!["1", "2"]),
    ] {
        for transport in [Transport::Udp, Transport::Tls] {
            let mut src = Src::with(|config| config.media_source = MediaSource::Learned);
            src.transport = transport;
            let (answer, _) = src.invite(&multipart(boundary), body);
            assert_eq!(code(&answer), 200, "{answer}");
            let answered = media(&answer);
            assert_eq!(answered.len(), labels.len());
            for (section, label) in answered.iter().zip(&labels) {
                assert!(
                    section.contains(&format!("|a=label:{label}|")) && section.contains("|a=recvonly|"),
                    "{section}"
                );
            }
            let kept = src.call().new.context.raw;
            assert!(kept.len() >= 2, "the header and the metadata are kept");
            assert!(kept[0].text.reveal().starts_with("INVITE sip:srs@127.0.0.1\n"));
        }
    }
}

#[test]
fn t3_media_types_with_and_without_xml_are_metadata() {
    for kind in [
        "application/rs-metadata",
        "application/rs-metadata+xml;charset=utf-8",
        "Application/RS-Metadata+XML",
    ] {
        let mut src = Src::new();
        let body = with_metadata(SDP, &xml("recording", TWO))
            .replace(": application/rs-metadata+xml", &format!(":{kind}"));
        src.invite("Contact: <sip:a@b>\r\n", &body);
        assert_eq!(src.call().new.caller_number.reveal(), "88888888", "{kind}");
    }
}

#[test]
fn t4_bare_line_feeds_a_missing_content_length_and_64_kilobytes_are_taken() {
    let mut src = Src::new();
    let mut dialog = Default::default();
    let long = format!("<!--{}-->", "x".repeat(60_000));
    let text = src.request(
        &mut dialog,
        "INVITE",
        SIPREC,
        &with_metadata(SDP, &xml("recording", &format!("{long}{TWO}"))),
    );
    let text = text.replace("To: \r\n", "To: <sip:srs@h>\r\n").replace("Call-ID: \r\n", "Call-ID: 4\r\n");
    let start = text.find("Content-Length").unwrap();
    let end = start + text[start..].find("\r\n").unwrap() + 2;
    let text = format!("{}{}", &text[..start], &text[end..]).replace('\r', "");
    let answer = src.raw(text.as_bytes()).pop().unwrap();
    assert_eq!(code(&answer), 200);
    assert_eq!(src.call().new.caller_number.reveal(), "88888888");
}

#[test]
fn t5_any_one_mark_makes_it_a_recording_session() {
    for (headers, body) in [
        ("Require: siprec\r\n", SDP.to_owned()),
        ("Contact: <sip:a@b>;+sip.src\r\n", SDP.to_owned()),
        ("Contact: <sip:a@b>;src\r\n", SDP.to_owned()),
        ("Contact: <sip:a@b>;isFocus\r\n", SDP.to_owned()),
        ("Contact: <sip:a@b>\r\n", with_metadata(SDP, "<recording/>")),
        ("X-Cisco-Recording-Participant: sip:1@b;media-index=\"0\"\r\n", SDP.to_owned()),
    ] {
        assert_eq!(code(&Src::new().invite(headers, &body).0), 200, "{headers}");
    }
    let mut src = Src::new();
    assert_eq!(code(&src.invite("Contact: <sip:a@b>\r\n", SDP).0), 403);
    assert_eq!(src.server.stats().refused_plain, 1);
    let mut plain = Src::with(|config| config.plain_calls = true);
    assert_eq!(code(&plain.invite("Contact: <sip:a@b>\r\n", &SDP.replace("sendonly", "sendrecv")).0), 200);
}

#[test]
fn t6_a_client_without_metadata_is_recorded() {
    let mut src = Src::new();
    src.invite(
        &format!(
            "{SIPREC}X-Cisco-Recording-Participant: sip:88888888@b;media-index=\"0\"\r\n\
             X-Cisco-Recording-Participant: sip:70102030@b;media-index=\"1\"\r\nCisco-Guid: 1-2-3-4\r\n"
        ),
        SDP,
    );
    let call = src.call().new;
    assert_eq!((call.caller_number.reveal().as_str(), call.department.as_str()), ("88888888", "demo"));
    assert_eq!(roles(&src), [("1".into(), StreamRole::Caller), ("2".into(), StreamRole::Employee)]);
    assert!(
        call.context.links.iter().any(|l| l.kind == LinkKind::CiscoGuid && l.value.reveal() == "1-2-3-4")
    );
}

#[test]
fn t6_an_invite_without_an_offer_gets_one_and_its_ack_the_answer() {
    let mut src = Src::new();
    let from = "From: <sip:8123@cucm;x-nearend;x-refci=27298698;x-nearendaddr=70102030;x-farendaddr=88888888>;tag=src";
    let mut dialog = crate::sip_src::Dialog { call_id: "cucm".into(), to: "<sip:srs@h>".into(), cseq: 0 };
    let cucm = |text: String| text.replace("From: <sip:src@127.0.0.1>;tag=src", from);
    let invite = cucm(src.request(&mut dialog, "INVITE", "", ""));
    let answer = src.raw(invite.as_bytes()).pop().unwrap();
    assert_eq!(media(&answer)[0].split("|a=rtpmap").next(), Some("m=audio 20000 RTP/AVP 0 8 101"));
    assert!(answer.contains("a=recvonly"));
    dialog.to = header(&answer, "To").unwrap();
    let sdp = "v=0\r\nc=IN IP4 127.0.0.9\r\nm=audio 24000 RTP/AVP 8\r\na=sendonly\r\n";
    let ack = cucm(src.request(&mut dialog, "ACK", "", sdp));
    assert!(src.raw(ack.as_bytes()).is_empty());
    let call = src.call();
    assert_eq!(
        (call.new.caller_number.reveal().as_str(), call.new.streams[0].role),
        ("88888888", StreamRole::Employee)
    );
    assert!(
        call.new
            .context
            .links
            .iter()
            .any(|l| l.kind == LinkKind::ForkReference && l.value.reveal() == "27298698")
    );
    let [Control::Renegotiate { stream: 0, media }] = &call.controls[..] else {
        panic!("{:?}", call.controls)
    };
    assert_eq!((media.formats[0].payload_type, media.source.ip), (8, Some("127.0.0.9".parse().unwrap())));
    assert!(src.wait(std::time::Duration::from_secs(60)).is_empty(), "acknowledged: nothing is repeated");
}

#[test]
fn t7_mixed_and_third_streams_and_video_are_answered_in_order() {
    let mut src = Src::new();
    let sdp = format!(
        "{SDP}m=audio 40004 RTP/AVP 0\r\na=label:mix\r\na=sendonly\r\nm=video 40006 RTP/AVP 96\r\na=label:v\r\n"
    );
    let (answer, _) = src.invite(SIPREC, &with_metadata(&sdp, &xml("recording", TWO)));
    let ports: Vec<String> =
        media(&answer).iter().map(|m| m.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    // The caller speaks in the second line, and is the first channel.
    assert_eq!(ports, ["m=audio 20002", "m=audio 20000", "m=audio 20004", "m=video 0"]);
    assert_eq!(roles(&src)[2], ("mix".to_owned(), StreamRole::Other));

    let mut one = Src::new();
    one.invite(SIPREC, "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 40000 RTP/AVP 0\r\na=sendonly\r\n");
    assert_eq!(one.call().new.streams[0].role, StreamRole::Mixed);

    let mut many = Src::new();
    let (answer, _) =
        many.invite(SIPREC, &format!("v=0\r\n{}", "m=audio 40000 RTP/AVP 0\r\na=sendonly\r\n".repeat(10)));
    assert_eq!((many.call().new.streams.len(), media(&answer).len()), (8, 10));
    assert_eq!(many.server.stats().streams_too_many, 2);
}

#[test]
fn t8_labels_are_opaque_and_may_be_missing_or_doubled() {
    for labels in [["10", "20"], ["a_leg", "main-audio"], ["1", "1"], ["", ""]] {
        let mut src = Src::new();
        let mut sdp = SDP.to_owned();
        for (from, to) in ["a=label:1\r\n", "a=label:2\r\n"].iter().zip(labels) {
            let line = if to.is_empty() { String::new() } else { format!("a=label:{to}\r\n") };
            sdp = sdp.replacen(from, &line.replace("label", "LABEL"), 1);
        }
        let (answer, mut dialog) = src.invite(SIPREC, &sdp);
        for (section, label) in media(&answer).iter().zip(labels) {
            assert_eq!(section.contains("a=label"), !label.is_empty());
            assert!(label.is_empty() || section.contains(&format!("a=label:{label}|")));
        }
        let streams = src.call().new.streams;
        assert_ne!(streams[0].label, streams[1].label, "unique within the call");
        let again = src.ask(&mut dialog, "INVITE", SIPREC, &sdp.replace("a=LABEL:10\r\n", ""));
        assert_eq!(media(&again), media(&answer), "kept when a later offer leaves them out");
    }
}

#[test]
fn t9_associations_decide_who_speaks_and_not_the_order() {
    let mut src = Src::new();
    src.invite(SIPREC, &with_metadata(SDP, &xml("recording", TWO)));
    assert_eq!(roles(&src), [("2".into(), StreamRole::Caller), ("1".into(), StreamRole::Employee)]);
    let guess = TWO.replace("70102030", "99999999");
    let mut src = Src::new();
    src.invite(SIPREC, &with_metadata(SDP, &xml("recording", &guess)));
    assert_eq!(src.server.stats().callers_guessed, 1);
}

#[test]
fn t10_hold_pauses_and_the_answer_follows_each_offer() {
    let mut src = Src::new();
    let (answer, mut dialog) = src.invite(SIPREC, &SDP.replace("sendonly", "inactive"));
    assert!(media(&answer).iter().all(|m| m.contains("a=inactive")));
    assert_eq!(src.controls(), ["pause"]);
    let active = src.ask(&mut dialog, "INVITE", SIPREC, SDP);
    assert!(media(&active).iter().all(|m| m.contains("a=recvonly")));
    src.ask(&mut dialog, "ACK", "", "");
    let null = src.ask(&mut dialog, "INVITE", SIPREC, &SDP.replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0"));
    assert_eq!(code(&null), 200);
    src.ask(&mut dialog, "ACK", "", "");
    src.ask(&mut dialog, "INVITE", SIPREC, SDP);
    assert_eq!(src.controls(), ["pause", "resume", "pause", "resume"]);
    let half = SDP.replacen("a=sendonly", "a=inactive", 1);
    src.ask(&mut dialog, "INVITE", SIPREC, &half);
    assert_eq!(src.controls().len(), 4, "one party on hold is no pause of the call");
}

#[test]
fn t10_recording_indications_pause_as_well() {
    let mut src = Src::new();
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    src.ask(&mut dialog, "UPDATE", "", &format!("{SDP}a=record:paused\r\n"));
    src.ask(&mut dialog, "UPDATE", "", &format!("{SDP}a=record:on\r\n"));
    assert_eq!(src.controls(), ["pause", "resume"]);
}

#[test]
fn t11_every_re_invite_is_answered_in_full_on_the_same_ports() {
    let mut src = Src::new();
    let (first, mut dialog) = src.invite(SIPREC, SDP);
    let version = |answer: &str| -> u64 {
        let origin = answer.lines().find(|l| l.starts_with("o=")).unwrap().to_owned();
        origin.split(' ').nth(2).unwrap().parse().unwrap()
    };
    let same = src.ask(&mut dialog, "INVITE", SIPREC, SDP);
    assert_eq!((media(&same), version(&same)), (media(&first), version(&first)));
    src.ask(&mut dialog, "ACK", "", "");
    let moved = SDP
        .replace("40000", "41000")
        .replace("c=IN IP4 127.0.0.1", "c=IN IP4 127.0.0.2")
        .replace("8 0 101", "0 101");
    let answer = src.ask(&mut dialog, "INVITE", SIPREC, &moved);
    assert!(media(&answer)[0].starts_with("m=audio 20000 RTP/AVP 0 101|"));
    assert_eq!(version(&answer), version(&first) + 1);
    assert_eq!(src.controls(), ["renegotiate", "renegotiate"]);
    src.ask(&mut dialog, "ACK", "", "");
    let empty = src.ask(&mut dialog, "INVITE", SIPREC, "");
    assert_eq!(media(&empty), media(&answer), "without an offer the answer is our whole side");
    src.ask(&mut dialog, "ACK", "", &moved);
    let metadata = format!("Content-Type: application/rs-metadata\r\n{SIPREC}");
    let alone = src.ask(&mut dialog, "INVITE", &metadata, &xml("recording", TWO));
    assert_eq!(media(&alone), media(&answer), "metadata alone leaves the streams as they are");
    src.ask(&mut dialog, "ACK", "", "");
    for _ in 0..20 {
        let update = src.ask(&mut dialog, "UPDATE", &metadata, &xml("recording", TWO));
        assert_eq!((code(&update), media(&update).len()), (200, 0));
    }
    assert_eq!(src.controls().iter().filter(|name| **name == "describe").count(), 21);
}

#[test]
fn t11_a_stream_that_goes_and_comes_keeps_its_port() {
    let mut src = Src::new();
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    let gone = src.ask(&mut dialog, "UPDATE", "", &SDP.replace("m=audio 40002", "m=audio 0"));
    assert!(media(&gone)[1].starts_with("m=audio 0 "));
    let back = src.ask(&mut dialog, "UPDATE", "", SDP);
    assert!(media(&back)[1].starts_with("m=audio 20002 "));
    let more = src.ask(&mut dialog, "UPDATE", "", &format!("{SDP}m=audio 40004 RTP/AVP 0\r\na=label:3\r\n"));
    assert!(media(&more)[2].starts_with("m=audio 20004 ") && media(&more)[2].contains("a=label:3"));
    assert_eq!(src.controls(), ["drop stream", "renegotiate", "add stream"]);
}

#[test]
fn t12_the_real_party_may_come_later_and_nobody_is_forgotten() {
    let mut src = Src::new();
    let dummy = "<participant participant_id='x'><nameID aor='sip:dummy@h'/></participant>";
    let (_, mut dialog) = src.invite(
        &format!("{SIPREC}User-to-User: 00FA08001000;encoding=hex\r\n"),
        &with_metadata(SDP, &xml("recording", dummy)),
    );
    assert!(src.call().new.context.links.iter().any(|l| l.kind == LinkKind::Ucid));
    src.ask(&mut dialog, "UPDATE", "Content-Type: application/rs-metadata+xml\r\n", &xml("recording", TWO));
    let call = src.call();
    let Some(Control::Describe(context)) = call.controls.last() else { panic!("{:?}", call.controls) };
    assert_eq!(context.caller_number.as_ref().unwrap().reveal(), "88888888");
    assert_eq!(context.participants.len(), 3);
    assert!(context.participants[0].left_at.is_some());
    assert_eq!(context.participants[1].labels, ["2"]);
}

#[test]
fn t13_a_transfer_is_linked_by_its_group() {
    let mut src = Src::new();
    let group = "<group group_id='g=='><associate-time>now</associate-time></group><session session_id='s'><group-ref>g==</group-ref></session>";
    for _ in 0..2 {
        let (_, mut dialog) =
            src.invite(SIPREC, &with_metadata(SDP, &xml("recording", &format!("{group}{TWO}"))));
        src.ask(&mut dialog, "BYE", "", "");
    }
    let calls = src.feed.seen();
    assert_eq!(calls.len(), 2);
    for call in calls {
        let group =
            call.new.context.links.iter().find(|l| l.kind == LinkKind::Group).unwrap().value.reveal().clone();
        assert_eq!(group, "g==");
        assert!(matches!(call.controls.last(), Some(Control::End)));
    }
}

#[test]
fn t17_odd_times_addresses_and_names_never_fail_a_call() {
    let mut src = Src::new();
    let odd = "<session session_id='s'><sipSessionID>ab;remote=cd</sipSessionID><start-time>yesterday</start-time></session>\
        <participant participant_id='a'><nameID aor='88888888@h;user=phone'><name>A \"B\" &lt;C&gt;;x=1</name></nameID>\
        <associate-time>1970-01-01T00:00:00</associate-time></participant><participant/><stream/><nonsense/>";
    src.invite(SIPREC, &with_metadata(SDP, &xml("recording", odd)));
    let call = src.call().new;
    assert_eq!(call.caller_number.reveal(), "88888888");
    assert_eq!(call.caller_name.unwrap().reveal(), "A \"B\" <C>;x=1");
    for broken in ["<recording><participant", "not xml", "<!DOCTYPE r><r/>", "\u{0}"] {
        let mut src = Src::new();
        assert_eq!(code(&src.invite(SIPREC, &with_metadata(SDP, broken)).0), 200, "{broken}");
        assert_eq!(src.feed.seen().len(), 1);
    }
}

#[test]
fn t18_what_cannot_be_decoded_is_refused_by_port_and_counted() {
    let mut src = Src::new();
    let sdp = "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 40000 RTP/AVP 18 101\r\na=label:1\r\na=sendonly\r\n\
        m=audio 40002 RTP/AVP 111 8 97 101 13 19\r\na=rtpmap:111 OPUS/48000/2\r\na=rtpmap:97 telephone-event/48000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=label:2\r\na=sendonly\r\n";
    let (answer, _) = src.invite(SIPREC, sdp);
    assert!(media(&answer)[0].starts_with("m=audio 0 RTP/AVP 18 101|a=label:1|"));
    assert!(
        media(&answer)[1].contains("a=rtpmap:97 telephone-event/48000|")
            && media(&answer)[1].contains("a=rtpmap:8 PCMA/8000|")
            && media(&answer)[1].contains("a=rtpmap:13 CN/8000|")
    );
    let streams = src.call().new.streams;
    let event = |payload_type, clock_hz| EventFormat { payload_type, clock_hz };
    assert_eq!(
        (streams.len(), streams[0].media.telephone_event.clone()),
        (1, vec![event(97, 48_000), event(101, 8_000)])
    );
    assert_eq!(src.server.stats().streams_without_codec, 1);
}

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

/// The value of an attribute in each m= line of an answer.
fn crypto_of(answer: &str) -> Vec<String> {
    let one = |m: &String| m.split('|').find_map(|line| line.strip_prefix("a=crypto:").map(str::to_owned));
    media(answer).iter().filter_map(one).collect()
}

#[test]
fn t19_the_first_usable_key_is_taken_and_its_tag_echoed_with_a_key_of_our_own() {
    for profile in ["RTP/SAVP", "RTP/SAVPF", "RTP/AVP", "RTP/AVPF"] {
        let mut src = Src::new();
        let crypto = format!(
            "a=crypto:1 F8_128_HMAC_SHA1_80 inline:{KEY}\r\na=crypto:3 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^31|1:4\r\n\
             a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\na=rtcp:40003\r\na=candidate:1 1 UDP 1 127.0.0.1 4 typ host\r\n"
        );
        let sdp =
            SDP.replace("RTP/AVP", profile).replace("a=sendonly\r\n", &format!("a=sendonly\r\n{crypto}"));
        let (answer, mut dialog) = src.invite(SIPREC, &sdp);
        assert!(media(&answer).iter().all(|m| m.starts_with("m=audio 2") && m.contains(profile)), "{answer}");
        let ours = crypto_of(&answer);
        assert!(ours.iter().all(|line| line.starts_with("3 AES_CM_128_HMAC_SHA1_32 inline:")), "{ours:?}");
        assert!(
            ours.len() == 2 && ours[0] != ours[1] && !answer.contains(KEY),
            "each stream has its own key"
        );
        let stream = &src.call().new.streams[0];
        let srtp = stream.media.srtp.as_ref().unwrap();
        assert_eq!(srtp.required, profile.contains("SAVP"));
        assert_eq!((srtp.receive.len(), srtp.receive[0].mki()), (2, &[0, 0, 0, 1][..]));
        assert!(ours[0].contains(&optag_core::base64::encode(srtp.send.as_ref().unwrap().secret().reveal())));
        assert_eq!(stream.media.rtcp.port, Some(40_003));
        // The same offer again: the same answer, and nothing to tell the engine.
        let again = src.ask(&mut dialog, "INVITE", "", &sdp);
        assert_eq!(crypto_of(&again), ours);
        src.ask(&mut dialog, "ACK", "", "");
        assert_eq!(src.controls(), Vec::<&str>::new());
    }
}

#[test]
fn t19_a_key_that_changes_in_mid_call_is_told_to_the_engine() {
    let mut src = Src::new();
    let with = |key: &str| {
        let line = format!("a=sendonly\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n");
        SDP.replace("RTP/AVP", "RTP/SAVP").replace("a=sendonly\r\n", &line)
    };
    let (answer, mut dialog) = src.invite(SIPREC, &with(KEY));
    let other = KEY.replace('W', "X");
    let again = src.ask(&mut dialog, "INVITE", "", &with(&other));
    assert_eq!(crypto_of(&again), crypto_of(&answer), "our own key stays");
    let call = src.call();
    let [Control::Renegotiate { stream: 0, media }, Control::Renegotiate { stream: 1, .. }] =
        &call.controls[..]
    else {
        panic!("{:?}", src.controls());
    };
    let srtp = media.srtp.as_ref().expect("a key");
    assert_eq!(optag_core::base64::encode(srtp.receive[0].secret().reveal()), other);
}

#[test]
fn t19_streams_that_are_encrypted_with_nothing_usable_are_refused_clearly() {
    for (profile, crypto) in [
        ("RTP/SAVP", "".to_owned()),
        ("RTP/SAVP", format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP\r\n")),
        ("UDP/TLS/RTP/SAVPF", format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n")),
    ] {
        let mut src = Src::new();
        let sdp =
            SDP.replace("RTP/AVP", profile).replace("a=sendonly\r\n", &format!("a=sendonly\r\n{crypto}"));
        let (answer, mut dialog) = src.invite(SIPREC, &sdp);
        assert_eq!(code(&answer), 200);
        assert!(media(&answer).iter().all(|m| m.starts_with(&format!("m=audio 0 {profile}"))), "{answer}");
        assert_eq!((src.server.stats().streams_encrypted, src.server.stats().calls_without_stream), (2, 1));
        assert!(src.feed.seen().is_empty());
        assert_eq!(code(&src.ask(&mut dialog, "BYE", "", "")), 200);
        assert_eq!(src.server.open_sessions(), 0);
    }
}

#[test]
fn t11_a_line_that_a_later_offer_adds_becomes_a_stream_before_it_is_answered() {
    let mut src = Src::new();
    let (first, mut dialog) = src.invite(SIPREC, SDP);
    let third = "m=audio 40004 RTP/AVP 8\r\na=label:3\r\na=sendonly\r\n";
    let video = "m=video 40006 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=sendonly\r\n";
    let answer = src.ask(&mut dialog, "INVITE", "", &format!("{SDP}{third}{video}"));
    let lines = media(&answer);
    assert_eq!(lines[..2], media(&first)[..], "the old lines stay as they are");
    assert!(lines[2].starts_with("m=audio 20004 RTP/AVP 8") && lines[2].contains("a=label:3|"), "{answer}");
    assert!(lines[2].contains("a=recvonly") && lines[3].starts_with("m=video 0 "), "{answer}");
    src.ask(&mut dialog, "ACK", "", "");
    assert_eq!(src.controls(), ["add stream"]);
    // Dropped, and brought back with another codec: it is still the same stream.
    let gone = third.replace("40004", "0");
    let answer = src.ask(&mut dialog, "INVITE", "", &format!("{SDP}{gone}{video}"));
    assert!(media(&answer)[2].starts_with("m=audio 0 "), "{answer}");
    src.ask(&mut dialog, "ACK", "", "");
    let back = third.replace("AVP 8", "AVP 0");
    let answer = src.ask(&mut dialog, "INVITE", "", &format!("{SDP}{back}{video}"));
    assert!(media(&answer)[2].starts_with("m=audio 20004 RTP/AVP 0"), "{answer}");
    assert_eq!(src.controls(), ["add stream", "drop stream", "renegotiate"]);
}

#[test]
fn t11_a_line_for_which_there_is_no_port_is_refused_and_the_rest_goes_on() {
    let mut src = Src::new();
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    *src.feed.refuse_streams.lock().unwrap() = Some(optag_sip::feed::ControlError::PortsUsedUp);
    let third = "m=audio 40004 RTP/AVP 8\r\na=label:1\r\na=sendonly\r\n";
    let answer = src.ask(&mut dialog, "INVITE", "", &format!("{SDP}{third}"));
    assert_eq!(code(&answer), 200);
    assert!(media(&answer)[1].starts_with("m=audio 20002 ") && media(&answer)[2].starts_with("m=audio 0 "));
    src.ask(&mut dialog, "ACK", "", "");
    assert_eq!(src.server.stats().streams_too_many, 1);
    *src.feed.refuse_streams.lock().unwrap() = None;
    let answer = src.ask(&mut dialog, "UPDATE", "", &format!("{SDP}{third}"));
    assert!(media(&answer)[2].starts_with("m=audio 20004 "), "a later text asks again: {answer}");
    let call = src.call();
    assert!(matches!(call.controls.last(), Some(Control::AddStream(stream)) if stream.label == "1-3"));
}

#[test]
fn t20_the_same_call_twice_is_two_recordings_with_the_same_links() {
    let mut src = Src::new();
    for _ in 0..2 {
        src.invite(&format!("{SIPREC}Session-ID: ab30317f;remote=0\r\nCisco-Guid: 7\r\n"), SDP);
    }
    let links = |n: usize| {
        let calls = src.feed.seen();
        let mut links = calls[n].new.context.links.clone();
        links.retain(|link| link.kind != LinkKind::CallId);
        links
    };
    assert_eq!(links(0), links(1));
    assert_eq!(links(0).len(), 2);
}

#[test]
fn a_call_that_is_not_to_be_recorded_is_answered_and_not_refused() {
    let mut src = Src::with(|config| config.departments.otherwise = None);
    let (answer, mut dialog) = src.invite(SIPREC, SDP);
    assert_eq!(code(&answer), 200);
    assert!(media(&answer).iter().all(|m| m.contains("a=inactive") && !m.starts_with("m=audio 0 ")));
    assert!(src.feed.seen().is_empty());
    assert_eq!(code(&src.ask(&mut dialog, "INVITE", SIPREC, SDP)), 200);
    assert_eq!(code(&src.ask(&mut dialog, "BYE", "", "")), 200);
    assert_eq!(src.server.open_sessions(), 0);

    let mut private = Src::new();
    let to_private = with_metadata(SDP, &xml("recording", &TWO.replace("70102030", "70102031")));
    let (answer, _) = private.invite(SIPREC, &to_private);
    assert_eq!(private.call().new.department, "private");
    assert!(media(&answer).iter().all(|m| m.contains("a=inactive")));
}

#[test]
fn consent_that_was_given_before_comes_by_header_or_metadata_and_counts_once() {
    let answers = |src: &Src| -> Vec<(Answer, ConsentHow)> {
        let of = |control: &Control| match control {
            Control::Answer { answer, how, .. } => Some((*answer, *how)),
            _ => None,
        };
        src.call().controls.iter().filter_map(of).collect()
    };
    let mut by_header = Src::new();
    let (_, mut dialog) = by_header.invite(&format!("{SIPREC}X-Recording-Consent: Yes\r\n"), SDP);
    by_header.ask(&mut dialog, "UPDATE", "X-Recording-Consent: yes\r\n", "");
    assert_eq!(answers(&by_header), [(Answer::Yes, ConsentHow::System)]);
    by_header.ask(&mut dialog, "INFO", "X-Recording-Consent: no\r\n", "");
    assert_eq!(answers(&by_header).len(), 2);

    let mut by_element = Src::new();
    let element =
        "<extensiondata><my:recordingConsent xmlns:my='u'>granted</my:recordingConsent></extensiondata>";
    by_element.invite(SIPREC, &with_metadata(SDP, &xml("recording", element)));
    assert_eq!(answers(&by_element), [(Answer::Yes, ConsentHow::System)]);

    for unclear in ["maybe", "", "yes no"] {
        let mut src = Src::new();
        src.invite(&format!("{SIPREC}X-Recording-Consent: {unclear}\r\n"), SDP);
        assert_eq!(answers(&src), []);
    }
}

#[test]
fn an_answer_in_signalling_may_say_which_prompt_was_heard() {
    for (value, version) in [
        ("yes", None),
        ("Yes;prompt=7-da", Some("7-da")),
        ("yes ; x=1; Prompt = \"7-da\"", Some("7-da")),
        ("yes;prompt=", None),
    ] {
        let mut src = Src::new();
        src.invite(&format!("{SIPREC}X-Recording-Consent: {value}\r\n"), SDP);
        let answers: Vec<_> = src
            .call()
            .controls
            .iter()
            .filter_map(|control| match control {
                Control::Answer { prompt_version, .. } => Some(prompt_version.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(answers, [version.map(str::to_owned)], "{value}");
    }
}

#[test]
fn keys_relayed_by_info_answer_the_prompt_and_later_ones_do_not() {
    let mut src = Src::new();
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    let mut press = |src: &mut Src, kind: &str, body: &str| {
        let answer = src.ask(&mut dialog, "INFO", &format!("Content-Type: {kind}\r\n"), body);
        assert_eq!(code(&answer), 200);
    };
    press(&mut src, "application/dtmf-relay", "Signal=7\r\nDuration=160\r\n");
    assert!(src.controls().is_empty());
    press(&mut src, "application/dtmf-relay", "Signal= 1\r\nDuration=160\r\n");
    press(&mut src, "application/dtmf", "2");
    assert_eq!(src.controls(), ["answer"], "once answered, 2 is some other menu's key");
    press(&mut src, "application/dtmf-relay", "Signal=*\r\n");
    press(&mut src, "application/dtmf-relay", "Signal=9\r\n");
    assert_eq!(src.controls(), ["answer", "withdraw"]);
}

#[test]
fn after_a_transfer_relayed_keys_answer_the_department_that_has_the_call() {
    let mut src = Src::with(|config| {
        let mut far = config.departments.all[0].clone();
        (far.id, far.keys.yes) = ("far".into(), "5".into());
        config.departments.all.push(far);
    });
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    // The feed knows of the transfer, and says so with whatever it is asked next.
    for seen in src.feed.calls.lock().unwrap().values_mut() {
        seen.view.department = "far".into();
    }
    let kind = "Content-Type: application/rs-metadata+xml\r\n";
    src.ask(&mut dialog, "UPDATE", kind, "<recording><participant participant_id='c'/></recording>");
    let mut press = |src: &mut Src, key: char| {
        let body = format!("Signal={key}\r\nDuration=160\r\n");
        src.ask(&mut dialog, "INFO", "Content-Type: application/dtmf-relay\r\n", &body);
    };
    press(&mut src, '1');
    assert_eq!(src.controls(), ["describe"], "that was the other department's yes");
    press(&mut src, '5');
    assert_eq!(src.controls(), ["describe", "answer"]);
}
