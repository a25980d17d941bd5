//! What differs from client to client, and what no client may take from the others.

use std::time::Duration;

use optag_core::call::text::is_plain;
use optag_sip::sip::allow_list::AllowList;
use optag_sip::siprec::client_profile::Profile;
use optag_sip::siprec::server::Input;
use optag_sip::siprec::settings::{Config, MediaSource, WhenUnavailable};

use crate::sip_src::{Dialog, SDP, SIPREC, Src, code, header, media, with_metadata};

/// The usual values, for the clients at `addresses`.
fn profile(config: &Config, addresses: &str) -> Profile {
    Profile {
        clients: AllowList::parse([addresses]).unwrap(),
        departments: config.departments.clone(),
        rules: config.rules.clone(),
        consent: config.consent.clone(),
        until_consent: config.until_consent,
        plain_calls: config.plain_calls,
        when_unavailable: config.when_unavailable,
        media_source: config.media_source,
        info_keys: config.info_keys,
        unknown_party: config.unknown_party,
        silence: None,
    }
}

#[test]
fn the_first_profile_that_names_the_client_counts_and_others_are_as_usual() {
    let mut src = Src::with(|config| {
        let mut odd = profile(config, "192.0.2.0/24");
        odd.plain_calls = true;
        odd.media_source = MediaSource::Learned;
        odd.when_unavailable = WhenUnavailable::Refuse;
        odd.rules.caller = vec!["header:x-caller".parse().unwrap()];
        odd.consent.header = Some("x-ok".into());
        odd.departments.otherwise = Some("private".into());
        odd.silence = Some(Duration::from_secs(300));
        let mut later = profile(config, "192.0.2.7");
        later.plain_calls = false;
        config.profiles = vec![odd, later];
    });
    src.peer = "192.0.2.7:5060".parse().unwrap();
    let filler =
        format!("X-Caller: <tel:4711>\r\nX-Filler: {}\r\nContact: <sip:a@192.0.2.7>\r\n", "x".repeat(1_500));
    let (answer, _) = src.invite(&filler, SDP);
    assert_eq!(code(&answer), 200, "{answer}");
    let call = src.call();
    assert_eq!((call.new.caller_number.reveal().as_str(), call.new.department.as_str()), ("4711", "private"));
    assert!(call.new.streams.iter().all(|stream| stream.media.source.ip.is_none()), "the source is learned");
    assert_eq!(src.silences, [(call.view.id, Duration::from_secs(300))]);
    assert_eq!(src.server.silences(), src.silences);

    src.peer = "127.0.0.1:5070".parse().unwrap();
    assert_eq!(code(&src.invite(&filler, SDP).0), 403, "as usual");
    let (_, _) = src.invite(SIPREC, SDP);
    let usual = src.feed.seen().pop().unwrap();
    assert_eq!(usual.new.department, "demo");
    assert!(usual.new.streams.iter().all(|stream| stream.media.source.ip.is_some()));

    src.play(Input::Drain);
    assert_eq!(code(&src.invite(SIPREC, SDP).0), 200);
    src.peer = "192.0.2.7:5060".parse().unwrap();
    assert_eq!(code(&src.invite(&filler, SDP).0), 503, "this client has another recorder to go to");
    src.peer = "198.51.100.1:5060".parse().unwrap();
    assert_eq!(src.invite(&filler, SDP).0, "", "no profile and not on the list");
}

#[test]
fn invariant_12_one_client_cannot_take_every_port() {
    let mut src = Src::with(|config| {
        config.clients = AllowList::parse(["10.0.0.0/8"]).unwrap();
        config.streams_per_client = 8;
        config.streams_max = 12;
    });
    let taken = |src: &mut Src, client: &str| {
        src.peer = client.parse().unwrap();
        (0..10)
            .map(|n| {
                let headers = format!("{SIPREC}X-Filler: {}\r\n", "x".repeat(1_500));
                let mut dialog = Dialog { call_id: format!("{client}-{n}"), to: "<sip:s@h>".into(), cseq: 0 };
                let answer = src.ask(&mut dialog, "INVITE", &headers, SDP);
                dialog.to = header(&answer, "To").unwrap();
                src.ask(&mut dialog, "ACK", "", "");
                usize::from(media(&answer)[0].contains("a=recvonly"))
            })
            .sum::<usize>()
    };
    assert_eq!(taken(&mut src, "10.0.0.1:5060"), 4, "of two streams each");
    assert_eq!(taken(&mut src, "10.0.0.2:5060"), 2, "what is left for SIPREC");
    assert_eq!(src.server.stats().over_quota, 14);
}

#[test]
fn invariant_12_streams_that_join_later_count_as_well() {
    let mut src = Src::with(|config| config.streams_per_client = 8);
    let (_, _) = src.invite(SIPREC, SDP);
    let (_, mut dialog) = src.invite(SIPREC, SDP);
    // Four are taken, and four more may be.
    let line = "m=audio 40010 RTP/AVP 8\r\na=sendonly\r\n";
    let answer = src.ask(&mut dialog, "INVITE", SIPREC, &format!("{SDP}{}", line.repeat(6)));
    src.ask(&mut dialog, "ACK", "", "");
    let taken = media(&answer).iter().filter(|line| !line.starts_with("m=audio 0 ")).count();
    assert_eq!((media(&answer).len(), taken), (8, 6), "{answer}");
    assert_eq!(src.server.stats().over_quota, 2);
}

#[test]
fn nothing_that_a_terminal_obeys_comes_in_by_signalling() {
    let evil = "Bo\u{1b}[2J\u{202e}x\u{7}\u{200b}";
    let xml = format!(
        "<recording><datamode>complete</datamode><participant participant_id='a'><nameID aor='sip:88888888\u{202e}@h'>\
         <name>{}</name></nameID></participant><stream stream_id='s1'><label>1\u{202e}</label></stream>\
         <participantstreamassoc participant_id='a'><send>s1</send></participantstreamassoc></recording>",
        evil.replace(['\u{1b}', '\u{7}'], "\u{9b}")
    );
    for body in [SDP.replace("label:1", &format!("label:1{evil}")), with_metadata(SDP, &xml)] {
        let mut src = Src::new();
        let mut dialog = Dialog { call_id: format!("id{evil}"), to: "<sip:srs@h>".into(), cseq: 0 };
        let headers = format!(
            "{SIPREC}P-Asserted-Identity: \"{evil}\" <sip:+4588888888{evil}@h>\r\nSession-ID: {evil}\r\n\
             Cisco-Guid: {evil}\r\nUser-To-User: {evil}\r\n"
        );
        src.ask(&mut dialog, "INVITE", &headers, &body);
        let new = src.call().new;
        let mut texts = vec![new.caller_number, new.called_number];
        texts.extend(new.caller_name.into_iter().chain(new.external_id));
        texts.extend(new.context.links.into_iter().map(|link| link.value));
        for member in new.context.participants {
            texts.extend(member.addresses.into_iter().chain(member.name));
            texts.extend(member.labels.into_iter().map(Into::into));
        }
        texts.extend(new.streams.into_iter().map(|stream| stream.label.into()));
        for account in &src.accounts {
            texts.extend([account.caller_number.clone(), account.called_number.clone()]);
            texts.extend(account.names.iter().cloned());
        }
        assert!(texts.len() > 10);
        for text in texts {
            assert!(is_plain(text.reveal()), "{:?}", text.reveal());
        }
    }
}
