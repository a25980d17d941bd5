use super::*;
use optag_core::private::Private;

fn at(seconds: i64) -> WallTime {
    WallTime::from_unix_micros((1_800_000_000 + seconds) * 1_000_000)
}

fn by() -> Pseudonyms {
    Pseudonyms::new(&[1; 32], "45")
}

fn session(seconds: i64, number: &str, call: Option<CallId>) -> AnnouncedCallRow {
    AnnouncedCallRow {
        id: format!("a{seconds}"),
        began_at: at(seconds),
        ended_at: Some(at(seconds + 60)),
        client: "192.0.2.1".into(),
        department: "tax".into(),
        call,
        outcome: None,
        caller: by().number(number),
        called: by().number("70102030"),
        names: by().names(&format!("call-{seconds}")),
        refused_streams: Default::default(),
    }
}

fn recording(id: CallId) -> IndexRow {
    IndexRow {
        id,
        department: "tax".into(),
        started_at: id.admitted_at(),
        recording_started_at: id.admitted_at(),
        ended_at: id.admitted_at(),
        duration_ms: 1,
        caller_number: Some("88888888".to_owned().into()),
        called_number: None,
        caller_name: None,
        external_id: None,
        object_bytes: 100,
        object_sha256: String::new(),
        expires_at: at(9_000_000),
        erased_at: None,
        verdicts: Vec::new(),
        streams: Vec::new(),
    }
}

fn facts() -> Facts {
    Facts {
        day: "2027-01-15".into(),
        from: at(0),
        to: at(86_400),
        sessions: vec![],
        calls: vec![],
        recordings: vec![],
        objects: HashMap::new(),
        spooled: HashSet::new(),
        cdr: None,
        tolerance: Duration::from_secs(30),
        now: at(90_000),
    }
}

fn called(id: CallId, outcome: &str, cause: &str) -> (CallId, String, String, String) {
    (id, "tax".into(), outcome.into(), cause.into())
}

fn cdr(line: u64, seconds: i64, number: &str, id: &str) -> CdrRow {
    let some = |text: &str| (!text.is_empty()).then(|| Private::new(text.to_owned()));
    CdrRow {
        line,
        start: at(seconds),
        caller: some(number),
        called: None,
        ids: some(id).into_iter().collect(),
    }
}

#[test]
fn each_call_has_one_outcome_and_what_should_not_be_is_a_fault() {
    let id = |seconds| CallId::new_at(at(seconds));
    let (stored, gone, lost, erased, waiting) = (id(1), id(2), id(3), id(4), id(5));
    let mut facts = facts();
    for (n, call) in [stored, gone, lost, erased, waiting].into_iter().enumerate() {
        facts.sessions.push(session(n as i64 + 1, "88888888", Some(call)));
    }
    let draining =
        AnnouncedCallRow { outcome: Some(("lost".into(), "draining".into())), ..session(6, "1", None) };
    let unselected =
        AnnouncedCallRow { outcome: Some(("not_selected".into(), String::new())), ..session(7, "1", None) };
    let died = AnnouncedCallRow { ended_at: None, ..session(8, "1", None) };
    facts.sessions.extend([draining, unselected, died]);
    facts.calls = vec![
        called(stored, "recorded", ""),
        called(gone, "recorded", ""),
        called(lost, "no_audio", "no_packets"),
        called(erased, "withdrawn", ""),
        called(waiting, "recorded", ""),
    ];
    facts.recordings = vec![recording(stored), recording(gone)];
    facts.objects = [(stored, 100)].into();
    facts.spooled = [waiting].into();
    let report = reconcile(&facts, &by());
    let seen: Vec<(String, Object)> =
        report.calls.iter().map(|l| (format!("{}/{}", l.outcome, l.cause), l.object)).collect();
    let expect = [
        ("recorded/", Object::Stored),
        ("recorded/", Object::Missing),
        ("no_audio/no_packets", Object::None),
        ("withdrawn/", Object::Erased),
        ("recorded/", Object::Waiting),
        ("lost/draining", Object::None),
        ("not_selected/", Object::None),
        ("lost/restart", Object::None),
    ];
    assert_eq!(seen, expect.map(|(text, object)| (text.to_owned(), object)));
    assert_eq!(report.outcomes.values().sum::<u64>(), 8);
    assert_eq!(report.faults.len(), 4, "{:#?}", report.faults);
}

#[test]
fn every_stream_is_accounted_for_whatever_its_role_and_so_are_those_that_were_refused() {
    use optag_core::call::{RefusedStreams, StreamAudio, StreamRole, StreamVerdict};
    let (good, poor, selected) =
        (CallId::new_at(at(1)), CallId::new_at(at(2)), RefusedStreams { encrypted: 3, ..Default::default() });
    let stream = |role, owed_ms, kept_ms| StreamAudio { role, owed_ms, kept_ms };
    let mut facts = facts();
    let refused = RefusedStreams { no_codec: 2, no_room: 1, ..RefusedStreams::default() };
    let unselected = AnnouncedCallRow {
        outcome: Some(("not_selected".into(), String::new())),
        refused_streams: selected,
        ..session(3, "1", None)
    };
    facts.sessions = vec![
        session(1, "1", Some(good)),
        AnnouncedCallRow { refused_streams: refused, ..session(2, "1", Some(poor)) },
        unselected,
    ];
    facts.calls = vec![called(good, "recorded", ""), called(poor, "recorded", "")];
    facts.objects = [(good, 100), (poor, 100)].into();
    facts.recordings = vec![
        IndexRow {
            // A side that sent nothing owes nothing.
            streams: vec![stream(StreamRole::Caller, 60_000, 58_000), stream(StreamRole::Other, 0, 0)],
            ..recording(good)
        },
        IndexRow {
            streams: vec![
                stream(StreamRole::Caller, 60_000, 60_000),
                stream(StreamRole::Other, 50_000, 10_000),
            ],
            verdicts: vec![StreamVerdict::Ok, StreamVerdict::PartlyRefused],
            ..recording(poor)
        },
    ];
    let report = reconcile(&facts, &by());
    let other = report.audio["other"];
    assert_eq!((other.streams, other.owed_ms, other.kept_ms), (2, 50_000, 10_000));
    assert_eq!((report.audio["caller"].owed_ms, report.audio["caller"].kept_ms), (120_000, 118_000));
    assert_eq!(report.refused_streams, [("no_codec", 2), ("no_room", 1)].into());
    assert_eq!(report.faults.len(), 3, "{:#?}", report.faults);
    assert!(report.faults[2].contains("stream 1 (other) 10000 of 50000 ms are kept: partly_refused"));
    let text = report.to_string();
    assert!(text.contains("audio of other: 2 streams, 0.2 of 0.8 minutes kept"), "{text}");
    assert!(text.contains("streams not recorded: 2 no_codec"), "{text}");
}

#[test]
fn records_of_the_pbx_are_matched_by_name_and_else_by_number_and_time() {
    let mut facts = facts();
    let unselected =
        |s: AnnouncedCallRow| AnnouncedCallRow { outcome: Some(("not_selected".into(), String::new())), ..s };
    facts.sessions = [
        session(100, "11111111", None),
        session(200, "22222222", None),
        session(205, "22222222", None),
        session(900, "33333333", None),
    ]
    .map(unselected)
    .to_vec();
    facts.cdr = Some(Cdrs {
        rows: vec![
            cdr(2, 5_000, "", "CALL-100"),
            cdr(3, 203, "004522222222", ""),
            cdr(4, 931, "33333333", ""),
            cdr(5, 400, "44444444", ""),
            cdr(6, -10, "55555555", ""),
        ],
        unreadable: vec![7],
    });
    let report = reconcile(&facts, &by());
    let lines: Vec<Option<u64>> = report.calls.iter().map(|line| line.cdr_line).collect();
    assert_eq!(lines, [Some(2), Some(3), Some(3), None], "one call may be recorded twice");
    assert_eq!(report.cdr, Some(Matched { rows: 4, matched: 2, unreadable: 1 }));
    assert_eq!(report.faults.len(), 4, "{:#?}", report.faults);
}

#[test]
fn an_object_that_nobody_announced_is_found_and_one_of_a_refused_call_is_a_fault() {
    let (orphan, refused) = (CallId::new_at(at(10)), CallId::new_at(at(20)));
    let mut facts = facts();
    facts.sessions = vec![session(20, "1", Some(refused))];
    facts.calls = vec![called(refused, "refused", "")];
    facts.objects = [(orphan, 5), (refused, 6)].into();
    let report = reconcile(&facts, &by());
    assert_eq!(report.calls.len(), 2);
    assert_eq!(report.faults.len(), 2, "{:#?}", report.faults);
    assert!(report.faults[0].contains("not in the index") && report.faults[1].contains("refused, yet"));
}
