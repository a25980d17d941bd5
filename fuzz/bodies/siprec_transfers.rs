//! What must hold for any sequence of metadata documents in a call: audio is kept only while nobody takes
//! part whose department the caller has not said yes to.
//!
//! The bytes choose who comes, who goes, how it is spelled and when the caller answers; what is left of
//! them is a document as it is. The truth is kept apart from what is tested.

use std::collections::BTreeSet;
use std::time::Duration;

use optag_core::call::consent::{ConsentInput, ConsentMachine};
use optag_core::call::{Answer, ConsentHow, ConsentKeys, ConsentState, Department, Evidence};
use optag_core::clock::{MonoTime, WallTime};
use optag_sip::siprec::metadata::merged::{KEPT, View};
use optag_sip::siprec::metadata::parse;
use optag_sip::siprec::parties::departments::Departments;
use optag_sip::siprec::parties::transfer::{Seen, Transfers};
use optag_sip::siprec::parties::{Hints, PartyRules, resolve};
use optag_sip::siprec::settings::UnknownParty;

/// Numbers of the parties on the organisation's side, and whose each is.
const PARTIES: [(&str, Option<&str>); 6] = [
    ("70101010", Some("one")),
    ("70202020", Some("two")),
    ("70303030", Some("three")),
    ("8101", None),
    ("agent7", None),
    ("99999999", None),
];

struct Call {
    view: View,
    transfers: Transfers,
    machine: ConsentMachine,
    departments: Departments,
    caller: Option<String>,
    documents: usize,
    /// Who takes part, in truth.
    present: BTreeSet<usize>,
    /// Departments that the caller has said yes to, in truth.
    agreed: BTreeSet<&'static str>,
    /// Those who were there while a question was open.
    met: BTreeSet<usize>,
}

fn departments() -> Departments {
    let department = |(id, number): (&str, &str)| Department {
        id: id.into(),
        name: id.into(),
        numbers: vec![number.into()],
        record: true,
        retention_days: 90,
        keys: ConsentKeys::default(),
        consent_timeout: Duration::from_secs(3_600),
        prompts: Vec::new(),
        asked_before: false,
    };
    let listed = PARTIES.iter().filter_map(|(number, id)| Some(((*id)?, *number)));
    Departments { all: listed.map(department).collect(), country_code: "45".into(), otherwise: None }
}

impl Call {
    fn new(present: BTreeSet<usize>, spelling: u8) -> Self {
        let departments = departments();
        let machine = ConsentMachine::new(departments.all[0].question(), None, MonoTime::default());
        let mut call = Self {
            view: View::default(),
            transfers: Transfers::default(),
            machine,
            departments,
            caller: None,
            documents: 0,
            met: present.clone(),
            present,
            agreed: BTreeSet::new(),
        };
        let text = call.whole(spelling);
        call.read(text.as_bytes());
        let seen = call.seen();
        call.transfers.begin("one", &seen);
        call
    }

    fn seen(&mut self) -> Seen {
        let (hints, rules) = (Hints::default(), PartyRules::default());
        let parties = resolve(&self.view, &hints, &rules, &self.departments, self.caller.as_deref());
        if let Some(at) = parties.caller {
            self.caller = Some(self.view.participants[at].id.clone());
        }
        Seen::of(&self.view, &hints, &parties, &rules, &self.departments)
    }

    fn read(&mut self, bytes: &[u8]) {
        self.documents += 1;
        match parse(bytes) {
            Ok(document) => {
                self.view.apply(&document, WallTime::from_unix_micros(self.documents as i64));
                if !document.partial && !document.cut && !document.participants.is_empty() {
                    self.transfers.resolved();
                }
                if document.cut || self.view.overflowed {
                    self.transfers.doubt();
                }
            }
            Err(_) => self.transfers.doubt(),
        }
        assert!(self.view.participants.len() <= KEPT && self.view.streams.len() <= KEPT);
    }

    /// Follows a document, until nothing more is to be told.
    fn tell(&mut self, bytes: &[u8]) {
        self.read(bytes);
        for _ in 0..PARTIES.len() {
            let seen = self.seen();
            let consented = self.machine.state() == ConsentState::Granted;
            let Some(to) = self.transfers.follow(&seen, consented, UnknownParty::Pause) else { return };
            let question = self.departments.all.iter().find(|d| d.id == to).expect("a department").question();
            let evidence = Evidence::Clock;
            let _ = self.machine.transfer(MonoTime::default(), WallTime::default(), question, None, evidence);
            self.transfers.told(true);
            if self.machine.is_open() {
                self.transfers.covers(&to);
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        let input = ConsentInput::Answer(answer);
        let (mono, wall) = (MonoTime::default(), WallTime::default());
        let done = self.machine.handle(mono, wall, input, ConsentHow::System, None, Evidence::Clock);
        if let (Ok(Some(_)), Answer::Yes) = (done, answer) {
            let department = self.machine.department();
            self.agreed.extend(PARTIES.iter().filter_map(|(_, id)| id.filter(|id| *id == department)));
        }
    }

    fn is_open(&self) -> bool {
        self.machine.is_open() && !self.transfers.is_unknown()
    }

    /// Holds what was kept against the truth.
    fn check(&mut self) {
        let listed = |party: &usize| PARTIES[*party].1;
        if self.is_open() {
            let foreign = self.present.iter().filter_map(listed).find(|id| !self.agreed.contains(id));
            assert_eq!(foreign, None, "recorded while a department takes part that was not asked about");
            let known = |party: &usize| listed(party).is_some() || self.met.contains(party);
            assert!(self.present.iter().any(known), "recorded with nobody there who is known");
        }
        // Whoever is there while nobody has agreed is part of what is asked.
        if !self.agreed.contains(self.machine.department()) {
            self.met.extend(self.present.iter().filter(|party| listed(party).is_none()));
        }
    }

    fn whole(&self, spelling: u8) -> String {
        let n = self.documents;
        let tag = if spelling & 4 == 0 { String::new() } else { format!("-{n}") };
        let mut all = vec![("88888888", 0)];
        all.extend(self.present.iter().map(|party| (PARTIES[*party].0, party + 1)));
        if spelling & 8 != 0 {
            all.reverse();
        }
        let one = |(number, at): &(&str, usize)| match spelling & 3 {
            0 => format!(
                "<participant participant_id='p{at}{tag}'><nameID aor='sip:{number}@h'/><send>s{at}</send></participant>"
            ),
            1 => format!(
                "<participant id='p{at}{tag}' session='x'><aor>tel:{number}</aor><send><id>s{at}</id></send></participant>"
            ),
            2 => format!(
                "<participant id='p{at}{tag}'><nameID aor='{number}@h'/><send stream_id='s{at}'/><extensiondata><callingParty>{}</callingParty></extensiondata></participant>",
                *at == 0
            ),
            _ => format!(
                "<participant><participant_id>p{at}{tag}</participant_id><nameID><aor>sip:{number}@h;user=phone</aor></nameID>\
                 <participantsessionassoc session_id='x'/><participantstreamassoc><send>s{at}</send></participantstreamassoc></participant>"
            ),
        };
        let all: String = all.iter().map(one).collect();
        // Who calls is told by an extension that never changes.
        let called =
            "<callType><termCall><callingPartyNumber>88888888</callingPartyNumber></termCall></callType>";
        format!(
            "<recording><datamode>complete</datamode>{all}<extensiondata>{called}</extensiondata></recording>"
        )
    }

    /// A partial document in which one comes or goes. Ids are those of the documents before.
    fn partial(&mut self, party: usize, spelling: u8) -> String {
        let number = PARTIES[party].0;
        let holds = |member: &&optag_sip::siprec::metadata::merged::Member| {
            member.aors.iter().any(|aor| aor.reveal().contains(number))
        };
        // Of two under one address, the one that the latest whole document named.
        let all = || self.view.participants.iter().filter(holds);
        let id = all()
            .find(|member| member.is_here())
            .or_else(|| all().next_back())
            .map(|member| member.id.clone());
        let id = id.unwrap_or_else(|| format!("p{}", party + 1));
        let comes = self.present.insert(party);
        let text = if comes {
            format!(
                "<participant participant_id='{id}'><nameID aor='sip:{number}@h'/><send>s{}</send></participant>",
                party + 1
            )
        } else {
            self.present.remove(&party);
            match spelling & 3 {
                0 => format!(
                    "<participantsessionassoc participant_id='{id}' session_id='x'><disassociate-time>t</disassociate-time></participantsessionassoc>"
                ),
                1 => format!("<participantsessionassoc participant='{id}' disassociate-time='t'/>"),
                2 => format!("<participant id='{id}'><disassociate-time>t</disassociate-time></participant>"),
                _ => format!(
                    "<participantsessionassoc><participant_id>{id}</participant_id><disassociate-time/></participantsessionassoc>"
                ),
            }
        };
        format!("<recording><dataMode>partial</dataMode>{text}</recording>")
    }
}

/// Plays a call.
pub(super) fn run(data: &[u8]) {
    let [first, spelling, rest @ ..] = data else { return };
    let party = |byte: u8| usize::from(byte) % PARTIES.len();
    // The call begins with department one, or with somebody who is of none.
    let mut call = Call::new(BTreeSet::from([[0, 3, 4][usize::from(*first) % 3]]), *spelling);
    for (at, pair) in rest.chunks(2).enumerate().take(64) {
        let [what, with] = [pair[0], *pair.get(1).unwrap_or(&0)];
        match what % 8 {
            0 | 1 => {
                call.answer(Answer::Yes);
                // A yes while the caller waits alone is one to the department; the next document tells.
                if call.present.is_empty() {
                    continue;
                }
            }
            2 => {
                let text = call.partial(party(with), with >> 4);
                call.tell(text.as_bytes());
            }
            3..=5 => {
                // The lowest bits say who is there.
                call.present = (0..PARTIES.len()).filter(|party| with >> party & 1 == 1).collect();
                let text = call.whole(what >> 3);
                call.tell(text.as_bytes());
            }
            6 => {
                let (open, text) = (call.is_open(), call.whole(what >> 3));
                call.tell(text.as_bytes());
                assert!(
                    call.is_open() || !open || call.present.is_empty(),
                    "what is said again closes nothing"
                );
            }
            _ => {
                // Whatever it is, it must not open what is closed.
                let open = call.is_open();
                call.tell(&rest[(2 * at + 2).min(rest.len())..]);
                assert!(open || !call.is_open() || !call.agreed.is_empty());
                return;
            }
        }
        call.check();
    }
}
