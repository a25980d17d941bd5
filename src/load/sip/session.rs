//! The client side of one recording session: INVITE, requests during the session, BYE. In: the call's data.
//! Out: where the server wants the streams. The server's requests are answered: a re-INVITE opens or closes
//! the streams, a BYE ends the session.
//!
//! Source: RFC 3261 §12 to §15 and §17.1; RFC 7866 §7.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::dialog::Dialog;
use super::link::Link;
use super::message::Message;
use super::shape::{CRYPTO_TAG, CallInfo, Direction, Shape, offer, sdp};
use super::{Identity, Target, Transport, digest};

/// First retransmission interval. Source: RFC 3261 §17.1.1.1.
const T1: Duration = Duration::from_millis(500);
/// Maximum retransmission interval, for all requests except INVITE.
const T2: Duration = Duration::from_secs(4);
/// Timeout of a request.
const GIVE_UP: Duration = Duration::from_secs(32);
/// The field with the recorder's id of the call.
const NAME_FIELD: &str = "x-optag-call";

/// Events during sessions, summed over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Met {
    /// Retransmitted requests.
    pub repeated: u64,
    /// Our re-INVITEs that were answered.
    pub re_invites: u64,
    /// Re-INVITEs of the server.
    pub server_re_invites: u64,
    /// Sessions that the server ended.
    pub ended_by_server: u64,
}

impl Met {
    /// Adds the events of another session.
    pub fn add(&mut self, other: Self) {
        self.repeated += other.repeated;
        self.re_invites += other.re_invites;
        self.server_re_invites += other.server_re_invites;
        self.ended_by_server += other.ended_by_server;
    }
}

/// A session accepted by the server.
pub struct Session {
    link: Arc<Link>,
    target: Target,
    shape: Shape,
    info: CallInfo,
    inbox: mpsc::Receiver<Message>,
    to: String,
    contact: String,
    dialog: Dialog,
    number: u32,
    version: u32,
    direction: Direction,
    acknowledged: Option<(u32, Vec<u8>)>,
    over: bool,
    echoed: [Option<u32>; 2],
    /// Whether the server currently accepts the streams.
    pub open: bool,
    /// Destinations of the caller's and the employee's stream.
    pub streams: [SocketAddr; 2],
    /// The recorder's id of the call; empty if it is not reported.
    pub call: String,
    /// From the INVITE to its final response, including a challenge.
    pub answered_after: Duration,
    /// Its events.
    pub met: Met,
}

impl Session {
    /// Starts a session. `extra` are further header fields, with line ends.
    ///
    /// Errors: the server rejects it, does not answer, or does not describe two streams.
    pub async fn begin(
        link: Arc<Link>,
        target: Target,
        identity: &Identity,
        shape: Shape,
        info: CallInfo,
        extra: &str,
    ) -> anyhow::Result<Self> {
        let call_id = format!("{}@load", info.name);
        let transport = match link.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.name().to_ascii_lowercase()),
        };
        let mut session = Self {
            inbox: link.listen(&call_id),
            to: format!("<{}>", uri(&target)),
            contact: format!("<sip:load@{}{transport}>;+sip.src", link.local),
            dialog: Dialog { target: uri(&target), route: String::new() },
            link,
            target,
            shape,
            info,
            number: 0,
            version: 1,
            direction: Direction::Sendonly,
            acknowledged: None,
            over: false,
            echoed: [None; 2],
            open: false,
            streams: [SocketAddr::from(([0, 0, 0, 0], 0)); 2],
            call: String::new(),
            answered_after: Duration::ZERO,
            met: Met::default(),
        };
        let offer = offer(shape, &session.info);
        let fields = format!("{}{extra}", offer.fields);
        let asked = Instant::now();
        let mut answer = session.ask("INVITE", &fields, &offer.body).await?;
        if answer.code() == 401
            && let Some((user, password)) = &identity.credentials
        {
            let challenges: Vec<&str> = answer.all("www-authenticate").collect();
            let uri = uri(&session.target);
            let login = (user.as_str(), password.as_str());
            let proof = digest::authorization(&challenges, login, "INVITE", &uri, &session.info.name);
            let proof = proof.context("unsupported authentication challenge")?;
            let fields = format!("{fields}Authorization: {proof}\r\n");
            answer = session.ask("INVITE", &fields, &offer.body).await?;
        }
        session.answered_after = asked.elapsed();
        if answer.code() >= 300 {
            session.link.forget(&call_id);
            bail!("{}", answer.start);
        }
        session.to = answer.field("to").unwrap_or_default().to_owned();
        session.call = answer.field(NAME_FIELD).unwrap_or_default().to_owned();
        session.dialog.answered(&answer);
        session.described(&answer.body);
        let ours = (shape == Shape::Delayed).then(|| session.sdp());
        session.acknowledge(&answer, ours.unwrap_or_default()).await?;
        if session.streams.iter().any(|address| address.port() == 0) {
            session.end().await?;
            bail!("the server did not accept two streams");
        }
        // In a delayed offer our keys come last, in the ACK.
        let echo_due = session.info.keys.is_some() && shape != Shape::Delayed;
        if echo_due && session.echoed != [Some(CRYPTO_TAG); 2] {
            session.end().await?;
            bail!(
                "the server did not accept our keys: it answered {:?} for tag {CRYPTO_TAG}",
                session.echoed
            );
        }
        Ok(session)
    }

    /// Holds or resumes the call by a re-INVITE.
    ///
    /// Errors: the server rejects it or does not answer.
    pub async fn hold(&mut self, held: bool) -> anyhow::Result<()> {
        self.direction = if held { Direction::Inactive } else { Direction::Sendonly };
        self.version += 1;
        let body = self.sdp();
        loop {
            let answer =
                self.ask("INVITE", "Content-Type: application/sdp\r\nRequire: siprec\r\n", &body).await?;
            match answer.code() {
                // The server has a re-INVITE of its own in progress (RFC 3261 §14.1).
                491 => self.serve(Duration::from_millis(2_100)).await?,
                200..300 => {
                    self.met.re_invites += 1;
                    self.described(&answer.body);
                    return self.acknowledge(&answer, String::new()).await;
                }
                _ => bail!("re-INVITE: {}", answer.start),
            }
        }
    }

    /// Relays key presses by INFO.
    ///
    /// Errors: the server rejects them or does not answer.
    pub async fn keys(&mut self, keys: &str) -> anyhow::Result<()> {
        for key in keys.chars() {
            let body = format!("Signal={key}\r\nDuration=160\r\n");
            let answer = self.ask("INFO", "Content-Type: application/dtmf-relay\r\n", &body).await?;
            if answer.code() >= 300 {
                bail!("INFO: {}", answer.start);
            }
        }
        Ok(())
    }

    /// Waits, answering the server's requests.
    ///
    /// Errors: the connection to the server is lost.
    pub async fn serve(&mut self, span: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + span;
        while let Ok(message) = timeout_at(until, self.inbox.recv()).await {
            let message = message.context("connection to the server lost")?;
            self.take(message).await?;
        }
        Ok(())
    }

    /// Waits at most this long until the server accepts the streams; returns whether it does.
    ///
    /// Errors: the connection to the server is lost.
    pub async fn until_open(&mut self, span: Duration) -> anyhow::Result<bool> {
        let until = Instant::now() + span;
        while !self.open && !self.over {
            match timeout_at(until, self.inbox.recv()).await {
                Ok(message) => self.take(message.context("connection to the server lost")?).await?,
                Err(_) => break,
            }
        }
        Ok(self.open)
    }

    /// Ends the session, unless the server has ended it.
    ///
    /// Errors: the server does not answer.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        let done = match self.over {
            true => Ok(()),
            false => self.ask("BYE", "", "").await.map(drop),
        };
        self.over = true;
        self.link.forget(&format!("{}@load", self.info.name));
        done
    }

    /// Sends a request and waits for its final response.
    async fn ask(&mut self, method: &str, fields: &str, body: &str) -> anyhow::Result<Message> {
        self.number += 1;
        let bytes = self.request(method, self.number, &self.to, method, fields, body);
        self.link.send(bytes.clone()).await?;
        let gives_up = Instant::now() + GIVE_UP;
        let mut pause = T1;
        let mut again = Instant::now() + pause;
        let mut heard = self.link.transport != Transport::Udp;
        loop {
            let until = if heard { gives_up } else { again.min(gives_up) };
            match timeout_at(until, self.inbox.recv()).await {
                Ok(None) => bail!("connection to the server lost"),
                Ok(Some(message)) if self.answers(&message, method) => match message.code() {
                    100..200 => heard |= method == "INVITE",
                    300.. if method == "INVITE" => {
                        // It belongs to the transaction that it acknowledges.
                        let to = message.field("to").unwrap_or_default();
                        let ack = self.request("ACK", self.number, to, "INVITE", "", "");
                        self.link.send(ack).await?;
                        return Ok(message);
                    }
                    _ => return Ok(message),
                },
                Ok(Some(message)) => self.take(message).await?,
                Err(_) if Instant::now() >= gives_up => bail!("no response to {method}"),
                Err(_) => {
                    self.met.repeated += 1;
                    self.link.send(bytes.clone()).await?;
                    pause = if method == "INVITE" { pause * 2 } else { (pause * 2).min(T2) };
                    again = Instant::now() + pause;
                }
            }
        }
    }

    fn answers(&self, message: &Message, method: &str) -> bool {
        message.code() > 0 && message.method() == method && message.number() == self.number
    }

    /// Handles a message other than the awaited response: a retransmission, or a request of the server.
    async fn take(&mut self, message: Message) -> anyhow::Result<()> {
        if message.code() > 0 {
            // A retransmitted success response means that its ACK was lost.
            let again = self.acknowledged.as_ref().filter(|(number, _)| *number == message.number());
            if let Some((_, ack)) = again.filter(|_| message.method() == "INVITE") {
                self.link.send(ack.clone()).await?;
            }
            return Ok(());
        }
        let answer = match message.method() {
            "ACK" => return Ok(()),
            "INVITE" => {
                self.met.server_re_invites += 1;
                self.version += 1;
                self.described(&message.body);
                message.answer(200, Some(&self.contact), &self.sdp())
            }
            "UPDATE" => message.answer(200, Some(&self.contact), ""),
            "BYE" => {
                self.over = true;
                self.met.ended_by_server += 1;
                message.answer(200, None, "")
            }
            _ => message.answer(200, None, ""),
        };
        self.link.send(answer).await
    }

    async fn acknowledge(&mut self, answer: &Message, body: String) -> anyhow::Result<()> {
        let fields = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let ack = self.request("ACK", answer.number(), &self.to, "ACK", fields, &body);
        self.acknowledged = Some((answer.number(), ack.clone()));
        self.link.send(ack).await
    }

    /// Reads the server's description: where it wants the streams, and whether it accepts them.
    fn described(&mut self, body: &str) {
        let Some(lines) = read_sdp(body) else { return };
        self.open = lines.iter().any(|line| line.receives);
        let caller = self.shape.caller_line();
        if let (Some(caller), Some(employee)) = (lines.get(caller), lines.get(1 - caller)) {
            self.streams = [caller.address, employee.address];
            self.echoed = [caller.crypto_tag, employee.crypto_tag];
        }
    }

    fn sdp(&self) -> String {
        sdp(self.shape, &self.info, self.direction, self.version)
    }

    fn request(
        &self,
        method: &str,
        number: u32,
        to: &str,
        branch: &str,
        fields: &str,
        body: &str,
    ) -> Vec<u8> {
        let Self { info, link, contact, dialog: Dialog { target, route }, .. } = self;
        let name = &info.name;
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bK{name}-{number}{branch};rport\r\n\
             Max-Forwards: 70\r\n{route}From: \"load\" <sip:load@{local}>;tag={name}\r\nTo: {to}\r\n\
             Call-ID: {name}@load\r\nCSeq: {number} {method}\r\nContact: {contact}\r\n\
             Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO\r\nSupported: timer\r\n{fields}\
             Content-Length: {length}\r\n\r\n{body}",
            transport = link.transport.name(),
            local = link.local,
            length = body.len(),
        )
        .into_bytes()
    }
}

fn uri(target: &Target) -> String {
    format!("sip:{}@{}", target.user, target.address)
}

/// An m= line of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    address: SocketAddr,
    receives: bool,
    crypto_tag: Option<u32>,
}

fn read_sdp(body: &str) -> Option<Vec<Line>> {
    let mut session = None;
    let mut lines: Vec<Line> = Vec::new();
    for text in body.lines() {
        let (kind, value) = text.split_once('=')?;
        match kind {
            "c" => {
                let ip = value.split(' ').nth(2)?.parse().ok()?;
                match lines.last_mut() {
                    Some(line) => line.address.set_ip(ip),
                    None => session = Some(ip),
                }
            }
            "m" => {
                let port = value.split(' ').nth(1)?.parse().ok()?;
                let address = SocketAddr::new(session?, port);
                lines.push(Line { address, receives: port != 0, crypto_tag: None });
            }
            "a" if value == "inactive" || value == "sendonly" => {
                if let Some(line) = lines.last_mut() {
                    line.receives = false;
                }
            }
            "a" => {
                let tag = value.strip_prefix("crypto:").and_then(|rest| rest.split(' ').next()?.parse().ok());
                if let Some(line) = lines.last_mut() {
                    line.crypto_tag = line.crypto_tag.or(tag);
                }
            }
            _ => {}
        }
    }
    (!lines.is_empty()).then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_description_says_where_and_whether() {
        let body = "v=0\r\no=- 1 1 IN IP4 9.9.9.9\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
            m=audio 2000 RTP/SAVP 8\r\na=crypto:37 AEAD_AES_128_GCM inline:x\r\na=recvonly\r\nm=audio 2002 RTP/AVP 8\r\nc=IN IP4 10.0.0.2\r\na=inactive\r\n";
        let lines = read_sdp(body).unwrap();
        assert_eq!(
            lines[0],
            Line { address: "10.0.0.1:2000".parse().unwrap(), receives: true, crypto_tag: Some(37) }
        );
        assert_eq!(
            lines[1],
            Line { address: "10.0.0.2:2002".parse().unwrap(), receives: false, crypto_tag: None }
        );
        assert_eq!(read_sdp(""), None);
    }
}
