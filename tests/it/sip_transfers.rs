//! Transfers told by metadata in the spellings of several makers, against the server without sockets:
//! the recording is closed while a department has the call that the yes did not name.

use optag_core::call::{ConsentState, StreamRole};
use optag_sip::siprec::settings::UnknownParty;

use crate::sip_src::{Dialog, SDP, SIPREC, Src, code, with_metadata};

/// A participant as the metadata tells of it: its address, and the line that carries its voice.
type Party = (&'static str, usize);

const CALLER: Party = ("+4588888888", 1);
/// The number of the department `demo`.
const DEMO: Party = ("+4570102030", 2);
/// The number of the department `roads`.
const ROADS: Party = ("+4570102032", 2);
/// Nobody's that the configuration knows.
const ELSEWHERE: Party = ("+4599999999", 2);
const AGENT: Party = ("agent7", 2);
const COLLEAGUE: Party = ("agent8", 2);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Spelling {
    /// RFC 7865: attributes, associations on their own.
    Standard,
    /// The same with associations inside the participants.
    Nested,
    /// The same with every id as an element.
    Elements,
    /// BroadWorks and Webex Calling; the extension stays as it was at first.
    BroadWorks,
    /// The same with all ids new in each document.
    Renamed,
    /// Older ids, `send` inside the participant, a word for who calls.
    Oracle,
    /// Prefixes, call data that stays as it was at first.
    Ribbon,
    /// Two participants and their associations, in Cisco's order.
    Cisco,
    /// One stream of all, no associations.
    Bare,
}

use Spelling::*;

const ALL: [Spelling; 9] = [Standard, Nested, Elements, BroadWorks, Renamed, Oracle, Ribbon, Cisco, Bare];

/// A complete document. `n` counts the documents of a call.
fn document(spelling: Spelling, parties: &[Party], n: usize) -> String {
    let streams = |tag: &str, id: &str| -> String {
        (1..=2).map(|line| format!("<{tag} {id}='s{line}'><label>{line}</label></{tag}>")).collect()
    };
    let id = |party: &Party| format!("p-{}", party.0.trim_start_matches('+'));
    let each = |text: &dyn Fn(&Party) -> String| parties.iter().map(text).collect::<String>();
    match spelling {
        Standard => format!(
            "<recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>complete</datamode><session session_id='x'/>{}{}{}</recording>",
            each(&|p| format!(
                "<participant participant_id='{}'><nameID aor='sip:{}@h'/></participant>\
                 <participantsessionassoc participant_id='{0}' session_id='x'><associate-time>t</associate-time></participantsessionassoc>",
                id(p),
                p.0
            )),
            streams("stream", "stream_id"),
            each(&|p| format!(
                "<participantstreamassoc participant_id='{}'><send>s{}</send></participantstreamassoc>",
                id(p),
                p.1
            )),
        ),
        Nested => format!(
            "<recording><dataMode>Complete</dataMode>{}{}</recording>",
            each(&|p| format!(
                "<participant id='{}'><nameID><aor>sip:{}@h</aor></nameID><participantsessionassoc session='x'/>\
                 <participantstreamassoc><send><id>s{}</id></send></participantstreamassoc></participant>",
                id(p),
                p.0,
                p.1
            )),
            streams("stream", "id"),
        ),
        Elements => format!(
            "<recording><datamode>complete</datamode>{}{}{}</recording>",
            each(&|p| format!(
                "<participant><participant_id>{}</participant_id><nameID><aor>tel:{}</aor></nameID></participant>",
                id(p),
                p.0
            )),
            (1..=2)
                .map(|n| format!("<stream><stream_id>s{n}</stream_id><label>{n}</label></stream>"))
                .collect::<String>(),
            each(&|p| format!(
                "<participantstreamassoc><participant_id>{}</participant_id><send stream_id='s{}'/></participantstreamassoc>",
                id(p),
                p.1
            )),
        ),
        BroadWorks | Renamed => {
            let new = if spelling == Renamed { format!("-{n}") } else { String::new() };
            format!(
                "<?xml version='1.0' encoding='UTF-8'?><recording_metadata xmlns='urn:ietf:params:xml:ns:siprec'>\
                 <dataMode>complete</dataMode><session id='x{new}' group='g'/>{}{}\
                 <extensiondata id='e' parent='x{new}'><broadWorksRecordingMetadata xmlns='http://schema.broadsoft.com/broadworksCallRecording' version='3.0'>\
                 <callType><termCall><callingPartyNumber>sip:+4588888888@h;user=phone</callingPartyNumber>\
                 <calledPartyNumber>sip:+4570102030@h</calledPartyNumber></termCall></callType></broadWorksRecordingMetadata></extensiondata>\
                 </recording_metadata>",
                each(&|p| format!(
                    "<participant id='{}{new}' session='x{new}'><aor>sip:{}@h;user=phone</aor><send><id>s{}{new}</id></send></participant>",
                    id(p), p.0, p.1
                )),
                (1..=2).map(|n| format!("<stream id='s{n}{new}' session='x{new}'><label>{n}</label><mode>separate</mode></stream>"))
                    .collect::<String>(),
            )
        }
        Oracle => format!(
            "<recording xmlns='urn:ietf:params:xml:ns:recording'><datamode>complete</datamode>{}{}</recording>",
            each(&|p| format!(
                "<participant id='{}' session='x'><nameID aor='sip:{}@h'><name>N</name></nameID><send>s{}</send>\
                 <extensiondata xmlns:apkt='http://acmepacket.com/siprec/extensiondata'><apkt:callingParty>{}</apkt:callingParty></extensiondata></participant>",
                id(p),
                p.0,
                p.1,
                *p == CALLER
            )),
            streams("stream", "id"),
        ),
        Ribbon => format!(
            "<tns:recording xmlns:tns='urn:ietf:params:xml:ns:recording'><tns:datamode>complete</tns:datamode><tns:group group_id='g'>\
             <callData xmlns='urn:ietf:params:xml:ns:callData'><fromhdr>&lt;sip:+4588888888@h&gt;;tag=a</fromhdr>\
             <tohdr>&lt;sip:+4570102030@h&gt;</tohdr></callData></tns:group>{}{}{}</tns:recording>",
            each(&|p| format!(
                "<tns:participant participant_id='{}'><tns:nameID aor='{}@h'/></tns:participant>",
                id(p),
                p.0
            )),
            streams("tns:stream", "stream_id"),
            each(&|p| format!(
                "<tns:participantstreamassoc participant_id='{}'><tns:send>s{}</tns:send></tns:participantstreamassoc>",
                id(p),
                p.1
            )),
        ),
        Cisco => format!(
            "<recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>complete</datamode>{}{}</recording>",
            each(&|p| format!(
                "<participant participant_id='{}'><nameID aor='sip:{}@h'></nameID></participant>\
                 <stream stream_id='s{}' session_id='x'><label>{2}</label></stream>",
                id(p),
                p.0,
                p.1
            )),
            each(&|p| format!(
                "<participantstreamassoc participant_id='{}'><send>s{}</send></participantstreamassoc>",
                id(p),
                p.1
            )),
        ),
        Bare => format!(
            "<recording><datamode>complete</datamode>{}</recording>",
            each(&|p| format!(
                "<participant participant_id='{}'><nameID aor='sip:{}@h'/></participant>",
                id(p),
                p.0
            )),
        ),
    }
}

fn server() -> Src {
    where_strangers(UnknownParty::Pause)
}

fn where_strangers(unknown_party: UnknownParty) -> Src {
    Src::with(|config| {
        config.unknown_party = unknown_party;
        let mut roads = config.departments.all[0].clone();
        (roads.id, roads.numbers) = ("roads".into(), vec!["70102032".into()]);
        config.departments.all.push(roads);
    })
}

/// A call in progress, recorded after a yes to `demo`.
struct Call {
    src: Src,
    dialog: Dialog,
    spelling: Spelling,
    documents: usize,
}

impl Call {
    fn with(spelling: Spelling, parties: &[Party]) -> Self {
        Self::at(server(), spelling, parties)
    }

    fn at(mut src: Src, spelling: Spelling, parties: &[Party]) -> Self {
        let body = with_metadata(SDP, &document(spelling, parties, 0));
        let (answer, dialog) = src.invite(&format!("{SIPREC}X-Recording-Consent: yes\r\n"), &body);
        assert_eq!(code(&answer), 200);
        let call = Self { src, dialog, spelling, documents: 0 };
        assert!(call.is_open(), "{spelling:?}: {:?}", call.src.call().view);
        assert_eq!(call.src.call().view.department, "demo");
        call
    }

    fn is_open(&self) -> bool {
        self.src.call().is_open()
    }

    fn stands(&self) -> (String, ConsentState) {
        let view = self.src.call().view;
        (view.department, view.consent)
    }

    fn send(&mut self, method: &str, xml: &str) {
        let kind = "Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n";
        let answer = self.src.ask(&mut self.dialog, method, kind, xml);
        assert_eq!(code(&answer), 200, "{answer}");
        if method == "INVITE" {
            self.src.ask(&mut self.dialog, "ACK", "", "");
        }
    }

    /// Metadata that names these, by one method after the other.
    fn tell(&mut self, parties: &[Party]) -> bool {
        self.documents += 1;
        // Nobody sends hundreds of requests in no time.
        self.src.wait(std::time::Duration::from_secs(1));
        let method = ["UPDATE", "INVITE", "INFO"][self.documents % 3];
        self.send(method, &document(self.spelling, parties, self.documents));
        self.is_open()
    }
}

#[test]
fn invariant_02_a_transfer_in_any_spelling_closes_what_the_yes_did_not_name() {
    for spelling in ALL {
        let mut call = Call::with(spelling, &[CALLER, DEMO]);
        assert!(call.tell(&[CALLER, DEMO]), "{spelling:?}: nothing has changed");
        assert!(!call.tell(&[CALLER, ROADS]), "{spelling:?}: roads was not named");
        assert_eq!(call.stands(), ("roads".into(), ConsentState::Asked), "{spelling:?}");
        assert!(!call.tell(&[CALLER, ROADS]), "{spelling:?}: told again");
        assert!(call.tell(&[CALLER, DEMO]), "{spelling:?}: the yes names the one who is back");
        assert!(!call.tell(&[CALLER, ("+4570102031", 2)]), "{spelling:?}");
        assert_eq!(call.stands(), ("private".into(), ConsentState::Unknown), "{spelling:?}");
        assert_eq!(call.src.server.stats().transfers, 3, "{spelling:?}");
    }
}

#[test]
fn invariant_02_a_call_that_goes_to_nobody_known_is_paused_and_goes_on_when_it_is_back() {
    for spelling in ALL {
        let mut call = Call::with(spelling, &[CALLER, DEMO]);
        for stranger in [ELSEWHERE, COLLEAGUE] {
            assert!(!call.tell(&[CALLER, stranger]), "{spelling:?}: {stranger:?} is of no department");
            assert!(!call.tell(&[CALLER, stranger]), "{spelling:?}: said again");
            assert!(call.tell(&[CALLER, DEMO]), "{spelling:?}");
        }
        assert!(!call.tell(&[CALLER]), "{spelling:?}: nobody is there");
        assert!(call.tell(&[DEMO, CALLER]), "{spelling:?}");
        assert_eq!(call.src.server.stats().departments_unknown, 3, "{spelling:?}");
    }
}

#[test]
fn where_the_owner_says_so_a_call_that_goes_to_nobody_known_stays_open_and_one_that_is_listed_closes_it() {
    for spelling in ALL {
        let mut call = Call::at(where_strangers(UnknownParty::Stay), spelling, &[CALLER, DEMO]);
        for stranger in [ELSEWHERE, COLLEAGUE] {
            assert!(call.tell(&[CALLER, stranger]), "{spelling:?}: {stranger:?} is of no department");
            assert_eq!(call.stands().0, "demo");
        }
        assert!(!call.tell(&[CALLER, ROADS]), "{spelling:?}: a department that the yes did not name");
        assert_eq!(call.stands().0, "roads");
        assert_eq!(call.src.server.stats().departments_unknown, 0, "{spelling:?}");
    }
}

#[test]
fn whoever_is_there_when_the_yes_is_given_belongs_to_the_department() {
    for spelling in ALL {
        if matches!(spelling, Oracle | BroadWorks | Renamed | Ribbon) {
            let mut call = Call::with(spelling, &[CALLER, AGENT]);
            assert!(call.tell(&[CALLER, AGENT]), "{spelling:?}");
            assert!(call.tell(&[CALLER, AGENT, COLLEAGUE]), "{spelling:?}: a colleague listens in");
            assert!(!call.tell(&[CALLER, COLLEAGUE]), "{spelling:?}: and has the call alone");
            assert!(!call.tell(&[CALLER, ROADS]), "{spelling:?}");
            assert!(call.tell(&[CALLER, AGENT]), "{spelling:?}");
        }
    }
}

#[test]
fn invariant_02_a_department_that_joins_closes_the_recording_until_it_leaves() {
    for spelling in ALL {
        let mut call = Call::with(spelling, &[CALLER, DEMO]);
        assert!(!call.tell(&[CALLER, DEMO, ROADS]), "{spelling:?}");
        assert!(!call.tell(&[CALLER, DEMO, ROADS, AGENT]), "{spelling:?}");
        assert!(!call.tell(&[CALLER, DEMO, ROADS, ("+4570102031", 2)]), "{spelling:?}: two at once");
        assert!(call.tell(&[CALLER, DEMO]), "{spelling:?}");
    }
}

#[test]
fn invariant_02_partial_documents_close_the_recording_as_well() {
    let joins = "<participant participant_id='r'><nameID aor='sip:+4570102032@h'/></participant>";
    let stranger = "<participant participant_id='r'><nameID aor='sip:+4599999999@h'/></participant>";
    let leaves = |id: &str| {
        format!(
            "<participantsessionassoc participant_id='{id}' session_id='x'><associate-time>t</associate-time><disassociate-time>u</disassociate-time></participantsessionassoc>"
        )
    };
    let comes = "<participantsessionassoc participant_id='p-4570102030' session_id='x'><associate-time>v</associate-time></participantsessionassoc>";
    let demo = "p-4570102030";
    for (what, document, after) in [
        ("joins and leaves in one", format!("{joins}{}", leaves(demo)), "roads"),
        ("leaves by attributes", format!("{joins}<participantsessionassoc participant_id='{demo}' disassociate-time='u'/>"), "roads"),
        ("leaves by elements", format!("{joins}<participantsessionassoc><participant_id>{demo}</participant_id><disassociate-time/></participantsessionassoc>"), "roads"),
        ("leaves inside itself", format!("{joins}<participant participant_id='{demo}'><disassociate-time>u</disassociate-time></participant>"), "roads"),
        ("leaves alone", leaves(demo), "demo"),
        ("a stranger instead", format!("{stranger}{}", leaves(demo)), "demo"),
        ("the session ends", "<sessionrecordingassoc session_id='x'><disassociate-time>u</disassociate-time></sessionrecordingassoc>".to_owned(), "demo"),
        ("the stream ends, and another's begins", format!("{joins}<participantstreamassoc participant_id='{demo}'><send>s2</send><disassociate-time>u</disassociate-time></participantstreamassoc><participantstreamassoc participant_id='r'><send>s2</send></participantstreamassoc>"), "roads"),
        ("the stream of the department ends, and a stranger's begins", format!("{stranger}<participantstreamassoc participant_id='{demo}'><send>s2</send><disassociate-time>u</disassociate-time></participantstreamassoc><participantstreamassoc participant_id='r'><send>s2</send></participantstreamassoc>"), "demo"),
    ] {
        for root in ["recording", "recording_metadata"] {
            for mode in ["<datamode>partial</datamode>", "<dataMode>Partial</dataMode>"] {
                let mut call = Call::with(Standard, &[CALLER, DEMO]);
                call.send("UPDATE", &format!("<{root}>{mode}{document}</{root}>"));
                assert!(!call.is_open(), "{what}: {:?}", call.src.call().view);
                assert_eq!(call.stands().0, after, "{what}");
                if what == "leaves alone" {
                    call.send("UPDATE", &format!("<{root}>{mode}{comes}</{root}>"));
                    assert!(call.is_open(), "{what}, and comes back");
                }
            }
        }
    }
}

#[test]
fn invariant_02_a_number_called_that_changes_closes_the_recording() {
    let with = |agent: &str, extension: &str| {
        format!(
            "<recording><datamode>complete</datamode><participant participant_id='c'><nameID aor='sip:+4588888888@h'/></participant>\
             <participant participant_id='e'><nameID aor='sip:{agent}@h'/></participant>{extension}</recording>"
        )
    };
    let broadworks = |number: &str| {
        format!(
            "<extensiondata><broadWorksRecordingMetadata><callType><termCall><callingPartyNumber>+4588888888</callingPartyNumber><calledPartyNumber>tel:{number}</calledPartyNumber></termCall></callType></broadWorksRecordingMetadata></extensiondata>"
        )
    };
    let ribbon = |number: &str| {
        format!(
            "<callData><fromhdr>&lt;sip:+4588888888@h&gt;</fromhdr><tohdr>&lt;sip:{number}@h&gt;;tag=1</tohdr></callData>"
        )
    };
    let genesys =
        |number: &str| format!("<extensiondata><ani>88888888</ani><dnis>{number}</dnis></extensiondata>");
    let queue = |number: &str| {
        format!(
            "<extensiondata><broadWorksRecordingMetadata><acd><acdName>Q</acdName><acdNumber countryCode='45'>tel:{number}</acdNumber></acd></broadWorksRecordingMetadata></extensiondata>"
        )
    };
    let makers: [&dyn Fn(&str) -> String; 4] = [&broadworks, &ribbon, &genesys, &queue];
    for maker in makers {
        for (number, department) in [("+4570102032", "roads"), ("+4599999999", "demo")] {
            let mut src = server();
            let first = with_metadata(SDP, &with("agent7", &maker("+4570102030")));
            let (_, dialog) = src.invite(&format!("{SIPREC}X-Recording-Consent: yes\r\n"), &first);
            let mut call = Call { src, dialog, spelling: Standard, documents: 0 };
            assert!(call.is_open());
            call.send("UPDATE", &with("agent7", &maker("004570102030")));
            assert!(call.is_open(), "the same number in another spelling");
            call.send("UPDATE", &with("agent7", &maker(number)));
            assert!(!call.is_open(), "{}", maker(number));
            assert_eq!(call.stands().0, department);
            call.send("UPDATE", &with("agent7", &maker(number)));
            assert!(!call.is_open(), "told again");
            call.send("UPDATE", &with("agent7", &maker("+4570102030")));
            assert!(call.is_open(), "the first number again");
        }
        let redirected = format!(
            "{}<redirectedCall><redirectedToPartynumber>sip:+4570102032@h</redirectedToPartynumber></redirectedCall>",
            broadworks("+4570102030")
        );
        let mut call = Call::with(Standard, &[CALLER, DEMO]);
        call.send("UPDATE", &with("agent7", &redirected));
        assert!(!call.is_open());
    }
}

#[test]
fn invariant_02_cisco_header_fields_of_a_later_request_close_the_recording() {
    let fields = |number: &str| {
        format!(
            "{SIPREC}X-Recording-Consent: yes\r\nX-Cisco-Recording-Participant: sip:+4588888888@h;media-index=\"0\"\r\n\
             X-Cisco-Recording-Participant: sip:{number}@h;media-index=\"1\"\r\n"
        )
    };
    for (number, department) in [("+4570102032", "roads"), ("20053", "demo")] {
        let mut src = server();
        let (_, mut dialog) = src.invite(&fields("+4570102030"), SDP);
        assert!(src.call().is_open());
        for (again, open) in [("+4570102030", true), (number, false), (number, false), ("+4570102030", true)]
        {
            src.ask(&mut dialog, "INVITE", &fields(again), SDP);
            src.ask(&mut dialog, "ACK", "", "");
            assert_eq!(src.call().is_open(), open, "{again}");
        }
        src.ask(&mut dialog, "UPDATE", &fields(number), "");
        assert_eq!(src.call().view.department, department);
    }
}

#[test]
fn a_client_that_names_a_dummy_until_someone_answers_is_recorded() {
    let with = |party: &str| {
        format!(
            "<recording><dataMode>complete</dataMode><participant participant_id='c'><nameID aor='sip:+4588888888@h'/></participant>\
             <participantstreamassoc participant_id='c'><send>s1</send></participantstreamassoc>{party}\
             <stream stream_id='s1'><label>1</label></stream><stream stream_id='s2'><label>2</label></stream></recording>"
        )
    };
    let dummy = with(
        "<participant participant_id='d'><nameID aor='sip:ASBCE@asbce.com'/></participant><participantstreamassoc participant_id='d'></participantstreamassoc>",
    );
    let real = |number: &str| {
        with(&format!(
            "<participant participant_id='e'><nameID aor='sip:{number}@h'/></participant><participantstreamassoc participant_id='e'><send>s2</send></participantstreamassoc>"
        ))
    };
    for first in [dummy, with("")] {
        for (number, open) in [("7204", true), ("70102030", true), ("70102032", false)] {
            let mut src = server();
            let (_, dialog) =
                src.invite(&format!("{SIPREC}X-Recording-Consent: yes\r\n"), &with_metadata(SDP, &first));
            let mut call = Call { src, dialog, spelling: Standard, documents: 0 };
            call.send("UPDATE", &real(number));
            assert_eq!(call.is_open(), open, "{number}");
            call.send("UPDATE", &real("7205"));
            assert!(!call.is_open(), "and someone else after that");
        }
    }
}

#[test]
fn a_document_that_cannot_be_read_pauses_the_recording_until_one_can() {
    for broken in ["<!DOCTYPE r><r/>", "no xml", "<recording><datamode>partial</datamode><participant part"] {
        let mut call = Call::with(Standard, &[CALLER, DEMO]);
        call.send("UPDATE", broken);
        assert!(!call.is_open(), "{broken}");
        assert!(call.tell(&[CALLER, DEMO]), "a whole document says who is there: {broken}");
    }
    // Where metadata never told anything, it does not tell of transfers.
    let mut src = server();
    let (_, mut dialog) = src.invite(&format!("{SIPREC}X-Recording-Consent: yes\r\n"), SDP);
    src.ask(&mut dialog, "UPDATE", "Content-Type: application/rs-metadata+xml\r\n", "no xml");
    assert!(src.call().is_open());
}

#[test]
fn a_call_of_many_documents_forgets_nobody_and_stays_open() {
    let mut call = Call::with(Renamed, &[CALLER, DEMO]);
    for _ in 0..200 {
        assert!(call.tell(&[CALLER, DEMO]));
    }
    assert!(!call.tell(&[CALLER, ROADS]));
    for n in 0..80 {
        let name: &'static str = Box::leak(format!("agent{n}x").into_boxed_str());
        assert!(!call.tell(&[CALLER, (name, 2)]));
    }
    assert!(!call.tell(&[CALLER, ROADS]), "more parties than there is room for");
}

#[test]
fn the_caller_and_the_recorded_user_are_told_apart_in_metadata_spelled_as_elements() {
    let document = |kind: &str, calling: &str, called: &str, aors: [&str; 2]| {
        format!(
            "<recording_metadata xmlns='urn:ietf:params:xml:ns:siprec'><dataMode>complete</dataMode>\
             <participant id='p1' session='x'><aor>{}</aor><send><id>a</id></send></participant>\
             <participant id='p2' session='x'><aor>{}</aor><send><id>b</id></send></participant>\
             <stream id='a' session='x'><label>1</label></stream><stream id='b' session='x'><label>2</label></stream>\
             <extensiondata id='e' parent='x'><broadWorksRecordingMetadata><userID>yztpfzzvkq@kommune.example</userID>\
             <callType><{kind}><callingPartyNumber>{calling}</callingPartyNumber><calledPartyNumber>{called}</calledPartyNumber></{kind}></callType>\
             </broadWorksRecordingMetadata></extensiondata></recording_metadata>",
            aors[0], aors[1]
        )
    };
    let (user, citizen) = ("sip:yztpfzzvkq@kommune.example", "sip:88888888@10.0.0.1;user=phone");
    let (number, own) = ("sip:+4588888888@10.0.0.1", "sip:+4570102030@10.0.0.1");
    use StreamRole::{Caller, Employee};
    for (kind, calling, called, aors, labels) in [
        ("termCall", number, own, [user, citizen], ["2", "1"]),
        ("termCall", number, own, [citizen, user], ["1", "2"]),
        ("origCall", own, number, [user, citizen], ["2", "1"]),
        ("origCall", own, number, [citizen, user], ["1", "2"]),
    ] {
        let mut src = server();
        src.invite(SIPREC, &with_metadata(SDP, &document(kind, calling, called, aors)));
        let new = src.call().new;
        let streams: Vec<_> = new.streams.iter().map(|s| (s.label.as_str(), s.role)).collect();
        assert_eq!(streams, [(labels[0], Caller), (labels[1], Employee)], "{kind} {aors:?}");
        let digits = |text: &str| text.trim_start_matches("sip:").split('@').next().unwrap().to_owned();
        assert_eq!(new.caller_number.reveal(), &digits(calling), "{kind}");
        assert_eq!(new.called_number.reveal(), &digits(called), "{kind}");
        assert_eq!(new.department, "demo");
        assert_eq!(src.server.stats().callers_guessed, 0);
    }
}
