use super::*;
use crate::sip::multipart::parts;
use crate::siprec::metadata::parse;

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../../tests/data/siprec/", $name)).as_slice()
    };
}

fn at(secs: i64) -> WallTime {
    WallTime::from_unix_micros(secs * 1_000_000)
}

/// The metadata part of a body.
fn metadata(boundary: &str, body: &'static [u8]) -> Snapshot {
    let all = parts(&format!("multipart/mixed;boundary={boundary}"), body);
    let part = all.iter().find(|p| p.content.windows(9).any(|w| w == b"recording")).expect("a metadata part");
    parse(&part.content).expect("readable")
}

fn view(document: &Snapshot) -> View {
    let mut view = View::default();
    view.apply(document, at(1));
    view
}

fn speaker_of<'a>(view: &'a View, label: &str) -> &'a str {
    let [one] = view.speakers(label)[..] else { panic!("{label}: {:?}", view.speakers(label)) };
    view.participants[one].aors[0].reveal()
}

#[test]
fn t1_t2_oracle_ids_without_prefix_and_send_inside_participant() {
    let acme = view(&metadata("unique-boundary-1", sample!("acme-siprec-offer.txt")));
    assert_eq!(speaker_of(&acme, "16777227"), "sip:9000@192.0.2.20");
    assert_eq!(speaker_of(&acme, "16777228"), "sip:1002@192.0.2.21");
    assert_eq!([acme.participants[0].calls, acme.participants[1].calls], [Some(true), Some(false)]);
}

#[test]
fn t1_t9_ribbon_prefixes_and_associations_against_the_label_order() {
    let document = metadata("sonus-content-delim", sample!("sonus-siprec-offer.txt"));
    let sonus = view(&document);
    assert_eq!(speaker_of(&sonus, "2"), "4555501012@192.0.2.17");
    assert_eq!(speaker_of(&sonus, "1"), "4555501013@192.0.2.18");
    assert!(document.caller.unwrap().starts_with("\"Extension 8500\" <sip:4555501012@"));
    assert_eq!(sonus.groups, ["MTQ3YzA3YzAtNjdkNy0xMA=="]);
    assert_eq!(sonus.ucids, ["241205267"]);
}

#[test]
fn t1_broadworks_metadata_without_structure_is_no_error() {
    let document = metadata("UniqueBroadWorksBoundary", sample!("broadworks-offer.txt"));
    assert!(view(&document).is_empty());
}

#[test]
fn t3_t17_cisco_parts_without_a_closing_boundary_and_session_ids_with_remote() {
    let cisco = view(&metadata("uniqueBoundary", sample!("cisco-siprec-offer.txt")));
    assert_eq!(speaker_of(&cisco, "1"), "sip:7301@192.0.2.14");
    assert!(cisco.sip_session_ids[0].contains(";remote="));
}

#[test]
fn t7_two_streams_of_one_participant_have_one_speaker_each() {
    let four = view(&parse(sample!("rfc7865-style-complete-4streams.xml")).unwrap());
    assert_eq!(
        ["96", "97", "98", "99"].map(|label| speaker_of(&four, label)),
        ["sip:bob@biloxi.com", "sip:bob@biloxi.com", "sip:Paul@biloxi.com", "sip:Paul@biloxi.com"]
    );
}

#[test]
fn a_partial_document_adds_and_a_complete_one_ends_who_is_not_in_it() {
    let mut merged = view(&parse(sample!("metadata-complete.xml")).unwrap());
    merged.apply(&parse(sample!("metadata-partial_join.xml")).unwrap(), at(2));
    assert_eq!(merged.participants.len(), 3);
    assert!(merged.participants.iter().all(|p| p.left_at.is_none()), "nobody left by not being named");
    assert_eq!(merged.participants[2].joined_at, at(2));
    assert_eq!(speaker_of(&merged, "3"), "sip:carol@example.com");

    merged.apply(&parse(sample!("metadata-complete.xml")).unwrap(), at(3));
    assert_eq!(merged.participants[2].left_at, Some(at(3)), "a complete document names everyone");
    assert_eq!(merged.participants.len(), 3, "and yet nobody is forgotten");
}

#[test]
fn a_partial_document_ends_only_by_a_disassociate_time() {
    let mut merged = view(&parse(sample!("metadata-complete.xml")).unwrap());
    let leave = b"<recording><datamode>Partial</datamode><participantsessionassoc \
        participant_id='zSfPoSGiSVKGsxDT2SBjRQ==' session_id='x'><disassociate-time>now</disassociate-time>\
        </participantsessionassoc></recording>";
    merged.apply(&parse(leave).unwrap(), at(9));
    assert_eq!([merged.participants[0].left_at, merged.participants[1].left_at], [None, Some(at(9))]);
}

#[test]
fn t2_empty_and_missing_ids_still_tie_streams_to_their_speakers() {
    let document = b"<recording><dataMode>complete</dataMode>\
        <participant participant_id=''><nameID aor='tel:+4511111111'><name>A \"quoted\";x=1</name></nameID>\
        <send>10</send></participant>\
        <participant><nameID aor='4522222222@h;user=phone'/><send>20</send></participant>\
        <stream stream_id=''><label>10</label></stream><stream stream_id=''><label>20</label></stream></recording>";
    let odd = view(&parse(document).unwrap());
    assert_eq!(speaker_of(&odd, "10"), "tel:+4511111111");
    assert_eq!(speaker_of(&odd, "20"), "4522222222@h;user=phone");
}

#[test]
fn nothing_grows_without_end() {
    let mut many = View::default();
    for n in 0..500 {
        let text =
            format!("<r><participant id='{n}'/><stream id='{n}'/><group id='{n}'/><session id='{n}'/></r>");
        many.apply(&parse(text.as_bytes()).unwrap(), at(n));
    }
    assert_eq!((many.participants.len(), many.streams.len(), many.groups.len()), (KEPT, KEPT, KEPT));
}

#[test]
fn who_is_put_on_hold_is_so_from_then_until_the_stream_goes_on() {
    let xml = "<recording><participant participant_id='a'/><participant participant_id='b'/>\
        <stream stream_id='s1'><label>1</label></stream><stream stream_id='s2'><label>2</label></stream>\
        <participantstreamassoc participant_id='a'><send>s1</send></participantstreamassoc>\
        <participantstreamassoc participant_id='b'><send>s2</send></participantstreamassoc></recording>";
    let mut view = View::default();
    view.apply(&parse(xml.as_bytes()).unwrap(), at(0));
    assert!(!view.hold("1", false, at(1)), "it was not on hold");
    assert!(view.hold("1", true, at(2)));
    assert!(!view.hold("1", true, at(3)), "said again");
    assert!(view.hold("1", false, at(4)));
    assert!(view.hold("1", true, at(5)));
    assert!(!view.hold("9", true, at(5)), "nobody's");
    let held = |at: usize| view.participants[at].held.clone();
    let span = |from, until: Option<i64>| Held { from: at(from), until: until.map(at) };
    assert_eq!(held(0), [span(2, Some(4)), span(5, None)]);
    assert_eq!(held(1), []);
}
