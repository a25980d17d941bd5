use super::*;
use crate::sip::parse::{Framing, Parsed, parse};
use crate::siprec::metadata;
use optag_core::call::{ConsentKeys, Department};
use optag_core::clock::WallTime;

fn departments() -> Departments {
    let department = |id: &str, number: &str| Department {
        id: id.into(),
        name: id.into(),
        numbers: vec![number.into()],
        record: true,
        retention_days: 90,
        keys: ConsentKeys::default(),
        consent_timeout: std::time::Duration::from_secs(30),
        prompts: Default::default(),
        asked_before: false,
    };
    Departments {
        all: vec![department("tax", "+45 70 10 20 30"), department("roads", "70102031")],
        country_code: "45".into(),
        otherwise: None,
    }
}

fn hints(uri: &str, headers: &str) -> Hints {
    let text = format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\n{headers}Call-ID: i\r\nCSeq: 1 INVITE\r\n\r\n"
    );
    match parse(text.as_bytes(), Framing::Datagram) {
        Ok(Parsed::Request(request)) => Hints::of(&request, &PartyRules::default()),
        other => panic!("{other:?}"),
    }
}

fn view(xml: &str) -> View {
    let mut view = View::default();
    if !xml.is_empty() {
        view.apply(&metadata::parse(xml.as_bytes()).unwrap(), WallTime::from_unix_micros(0));
    }
    view
}

fn found(xml: &str, uri: &str, headers: &str) -> Parties {
    resolve(&view(xml), &hints(uri, headers), &PartyRules::default(), &departments(), None)
}

const FROM_TO: &str = "From: <sip:src@sbc>;tag=1\r\nTo: <sip:srs@r>\r\n";

#[test]
fn t9_who_calls_is_told_by_extension_then_call_data_then_department_and_not_by_order() {
    let two = |first: &str, second: &str, extra: &str| {
        format!(
            "<recording>{extra}<participant participant_id='a'><nameID aor='sip:+4570102030@h'/>{first}</participant>\
             <participant participant_id='b'><nameID aor='sip:+4588888888@h'><name>Ida B</name></nameID>{second}</participant></recording>"
        )
    };
    let flag = |value: &str| {
        format!("<extensiondata><apkt:callingParty>{value}</apkt:callingParty></extensiondata>")
    };
    for xml in [
        two(&flag("false"), &flag("true"), ""),
        two(&flag("false"), "", ""),
        two("", "", "<callData><fromhdr>\"x\" &lt;sip:+4588888888@z&gt;;tag=1</fromhdr></callData>"),
        two(
            "",
            "",
            "<termCall><calledPartyNumber>sip:+4570102030@z;user=phone</calledPartyNumber></termCall>",
        ),
        two("", "", ""),
    ] {
        let parties = found(&xml, "sip:srs@r", FROM_TO);
        assert_eq!(parties.caller, Some(1), "{xml}");
        assert!(!parties.guessed);
        assert_eq!(parties.caller_number, "+4588888888");
        assert_eq!(parties.department.as_deref(), Some("tax"));
    }
}

#[test]
fn t6_without_metadata_headers_name_the_parties() {
    let cube = found(
        "",
        "sip:srs@r",
        "From: <sip:cube@gw>;tag=1\r\nTo: <sip:srs@r>\r\n\
         X-Cisco-Recording-Participant: sip:+4588888888@10.0.0.1;media-index=\"0\"\r\n\
         X-Cisco-Recording-Participant: sip:70102031@10.0.0.1;media-index=\"1\"\r\n",
    );
    assert_eq!((cube.caller_number.as_str(), cube.department.as_deref()), ("+4588888888", Some("roads")));
    let cucm_headers = "From: <sip:8123@cucm;x-farend;x-refci=27298698;x-nearenddevice=SEP1;x-nearendaddr=70102030;\
         x-farendrefci=27298699;x-farendaddr=+4588888888>;tag=1\r\nTo: <sip:srs@r>\r\n";
    let cucm = found("", "sip:srs@r", cucm_headers);
    assert_eq!((cucm.caller_number.as_str(), cucm.called_number.as_str()), ("+4588888888", "70102030"));
    assert_eq!(cucm.department.as_deref(), Some("tax"));
    let hints = hints("sip:srs@r", cucm_headers);
    assert_eq!(role(&View::default(), &hints, &cucm, "", 0, 1), StreamRole::Caller);
}

#[test]
fn the_department_is_found_by_its_id_or_any_header_that_has_its_number() {
    for (uri, headers) in [
        ("sip:tax@r", FROM_TO.to_owned()),
        ("sip:004570102030@r", FROM_TO.to_owned()),
        ("sip:srs@r", format!("{FROM_TO}Diversion: <sip:70102030@pbx>;reason=unconditional\r\n")),
        (
            "sip:srs@r",
            format!("{FROM_TO}History-Info: <sip:70102030@pbx>;index=1, <sip:7@pbx>;index=1.1\r\n"),
        ),
        ("sip:srs@r", "f: <sip:src@sbc>;tag=1\r\nt: <tel:+45-70-10-20-30>\r\n".to_owned()),
    ] {
        assert_eq!(found("", uri, &headers).department.as_deref(), Some("tax"), "{uri} {headers}");
    }
    assert_eq!(found("", "sip:srs@r", FROM_TO).department, None);
}

#[test]
fn t7_roles_follow_the_speakers_and_a_third_stream_is_nobodys() {
    let xml = "<recording><participant id='a'><nameID aor='tel:88888888'/><send>s1</send></participant>\
        <participant id='b'><nameID aor='tel:70102030'/><send>s2</send></participant>\
        <participant id='c'><nameID aor='tel:99999999'/><send>s3</send></participant>\
        <stream id='s1'><label>10</label></stream><stream id='s2'><label>20</label></stream>\
        <stream id='s3'><label>30</label></stream><stream id='s4'><label>mix</label></stream></recording>";
    let (view, hints) = (view(xml), hints("sip:srs@r", FROM_TO));
    let parties = resolve(&view, &hints, &PartyRules::default(), &departments(), None);
    let roles = ["20", "10", "30", "mix"].map(|label| role(&view, &hints, &parties, label, 0, 4));
    assert_eq!(roles, [StreamRole::Employee, StreamRole::Caller, StreamRole::Other, StreamRole::Other]);
    let none = Parties::default();
    assert_eq!(role(&View::default(), &hints, &none, "", 0, 1), StreamRole::Mixed);
}

#[test]
fn t17_addresses_and_names_of_every_form_are_understood() {
    for (aor, number) in [
        ("4555501012@192.0.2.17", "4555501012"),
        ("tel:+4512345678", "+4512345678"),
        ("sip:+4512345678@h;user=phone", "+4512345678"),
        ("sip:12345678;phone-context=+45@h", "+4512345678"),
        ("tel:1234;phone-context=pbx.example", "1234"),
        ("+45 12 34 56 78", "+45 12 34 56 78"),
        ("\"A, B\" <sip:123@h>;tag=7", "123"),
        ("anonymous@anonymous.invalid", "anonymous"),
    ] {
        assert_eq!(user_of(aor), number, "{aor}");
    }
}

#[test]
fn rules_are_read_from_text_and_odd_ones_are_refused() {
    for text in ["vendor", "participants", "request-uri", "header:x-dnis", "header:from;x-nearendaddr"] {
        assert_eq!(String::from(text.parse::<Source>().unwrap()), text);
    }
    assert!("header:".parse::<Source>().unwrap_err().contains("vendor, participants"));
}

#[test]
fn a_caller_stays_the_caller_after_leaving_unless_someone_takes_over_the_stream() {
    let member = |id: &str, number: &str, sends: &str| {
        format!("<participant id='{id}'><nameID aor='tel:{number}'/>{sends}</participant>")
    };
    let document = |members: String| format!("<recording><datamode>complete</datamode>{members}</recording>");
    let apply = |view: &mut View, text: String| {
        view.apply(&metadata::parse(text.as_bytes()).unwrap(), WallTime::from_unix_micros(1));
    };
    let agent = member("agent", "4711", "<send>s2</send>");
    let mut seen = view(&document(member("c", "88888888", "<send>s1</send>") + &agent));
    let hints = hints("sip:srs@r", FROM_TO);
    let caller =
        |view: &View| resolve(view, &hints, &PartyRules::default(), &departments(), Some("c")).caller_number;
    apply(&mut seen, document(agent.clone()));
    assert_eq!(caller(&seen), "88888888");
    apply(&mut seen, document(agent + &member("d", "77777777", "<send>s1</send>")));
    assert_eq!(caller(&seen), "77777777");
}
