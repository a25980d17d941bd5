//! What makers add to the metadata: who calls, which number was called, which queue took it, whose
//! calls are recorded, names of the call in other systems.
//!
//! In: an element. Out: fields of the [`Snapshot`]. The same words are understood from everyone: Oracle's
//! `callingParty`, Ribbon's `callData`, BroadWorks' `callType`, `userID`, `acd` and `redirectedCall`,
//! Genesys' `ani` and `dnis`, Avaya's UCID. Not here: which of them is believed first (`parties`).

use crate::siprec::metadata::Snapshot;
use crate::siprec::metadata::xml::Node;

/// Takes an element that the standard does not define.
pub(in crate::siprec) fn element(node: &Node, snapshot: &mut Snapshot) {
    match node.name.as_str() {
        // These say it by what is in them.
        "origcall" => snapshot.outgoing = Some(true),
        "termcall" => snapshot.outgoing = Some(false),
        _ if node.text.is_empty() => {}
        "ucid" | "gcid" | "avayaucid" | "genesysuuid" | "calluuid" => snapshot.ucids.push(node.text.clone()),
        "fromhdr" | "callingpartynumber" | "callingnumber" | "callernumber" | "ani" => {
            snapshot.caller.get_or_insert(node.text.clone());
        }
        // Where the call has gone since is more than where it went first.
        "redirectedtopartynumber" => snapshot.called = Some(node.text.clone()),
        "tohdr" | "calledpartynumber" | "callednumber" | "dnis" => {
            snapshot.called.get_or_insert(node.text.clone());
        }
        "acdnumber" | "huntgroupnumber" | "queuenumber" => {
            snapshot.queue.get_or_insert(node.text.clone());
        }
        "userid" | "recordeduser" => {
            snapshot.user.get_or_insert(node.text.clone());
        }
        _ => {}
    }
}

/// Whether an element of a participant says that it calls, or is called.
pub(in crate::siprec) fn calls(node: &Node) -> Option<bool> {
    let flag = node.text_of("callingparty").and_then(|text| match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    });
    let role = || {
        let role = node.attribute("role").or_else(|| node.text_of("role"))?;
        match role.to_ascii_lowercase().as_str() {
            "caller" | "calling" | "callingparty" | "customer" | "citizen" | "external" => Some(true),
            "callee" | "called" | "calledparty" | "agent" | "employee" => Some(false),
            _ => None,
        }
    };
    flag.or_else(role)
}
