//! What the client of a dialog knows of its server. In: the response that makes the dialog. Out: request URI and route of
//! the requests within it.

use super::message::Message;

/// Where requests within the dialog go, and by which proxies. Source: RFC 3261 §12.1.2, §12.2.1.1.
pub struct Dialog {
    /// The request URI.
    pub target: String,
    /// Route fields, with line ends.
    pub route: String,
}

impl Dialog {
    /// Learns both from the response that makes the dialog. Proxies are expected to be loose routers.
    pub fn answered(&mut self, answer: &Message) {
        let mut hops: Vec<&str> = answer.all("record-route").flat_map(addresses).collect();
        hops.reverse();
        self.route = hops.iter().map(|hop| format!("Route: {hop}\r\n")).collect();
        let contact = answer.field("contact").unwrap_or_default();
        let bare = contact.split(';').next().unwrap_or_default();
        let target =
            contact.split_once('<').and_then(|(_, rest)| Some(rest.split_once('>')?.0)).unwrap_or(bare);
        if !target.trim().is_empty() {
            target.trim().clone_into(&mut self.target);
        }
    }
}

/// Addresses of a field that may list several, which are all in angle brackets.
fn addresses(field: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    let parts = field.split(move |c| {
        inside = (inside || c == '<') && c != '>';
        c == ',' && !inside
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_within_a_dialog_go_by_the_proxies_of_its_answer_to_the_servers_contact() {
        let answer = "SIP/2.0 200 OK\r\nRecord-Route: <sip:b;lr>;x=1, <sip:a,1;lr>\r\nRecord-Route: <sip:c>\r\n\
            Contact: \"srs\" <sip:srs@192.0.2.1:5060>;+sip.srs\r\n\r\n";
        let mut dialog = Dialog { target: "sip:proxy".into(), route: String::new() };
        dialog.answered(&Message::parse(answer.as_bytes()).unwrap());
        assert_eq!(dialog.target, "sip:srs@192.0.2.1:5060");
        assert_eq!(dialog.route, "Route: <sip:c>\r\nRoute: <sip:a,1;lr>\r\nRoute: <sip:b;lr>;x=1\r\n");
        let plain = Message::parse(b"SIP/2.0 200 OK\r\nContact: sip:srs@h;x\r\n\r\n").unwrap();
        dialog.answered(&plain);
        assert_eq!((dialog.target.as_str(), dialog.route.as_str()), ("sip:srs@h", ""));
    }
}
