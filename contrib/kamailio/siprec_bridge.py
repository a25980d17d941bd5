#!/usr/bin/env python3
"""Records calls of Kamailio and rtpengine: the recording client (SRC) that Kamailio is not.

Kamailio sends a copy of each answer to an INVITE and of each BYE (its module siptrace does that
over UDP, and waits for nobody). This program then subscribes to both parties at
rtpengine, announces the call to a recording server by SIPREC (RFC 7866), and connects the two.
The call itself never waits for any of it and never depends on it.

Needs Python 3.9 and nothing else. See kamailio.cfg beside it, and docs/guide/feeding.md of optag.
"""

import argparse
import asyncio
import re
import secrets
import sys
from xml.sax.saxutils import quoteattr

REPEATS = (0.5, 1, 2, 4, 8)  # seconds between two tries of a request over UDP
CALLS = 5000  # calls in progress; more are not recorded, and said so on stderr


def bencode(value):
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(k) + bencode(v) for k, v in value.items()) + b"e"


def bdecode(data, at=0):
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at : at + 1] != b"e":
            item, at = bdecode(data, at)
            items.append(item)
        return (items if kind == b"l" else dict(zip(items[::2], items[1::2]))), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end].decode("utf-8", "replace"), end


class Exchange(asyncio.DatagramProtocol):
    """Requests over UDP whose answers are found by a key."""

    def __init__(self, key_of, on_other=None):
        self.key_of, self.on_other, self.waiting = key_of, on_other, {}

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, _addr):
        key = self.key_of(data)
        future = self.waiting.get(key)
        if future and not future.done():
            future.set_result(data)
        elif key is None and self.on_other:
            self.on_other(data)

    async def ask(self, key, data):
        self.waiting[key] = future = asyncio.get_running_loop().create_future()
        try:
            for pause in REPEATS:
                self.transport.sendto(data)
                done, _ = await asyncio.wait([future], timeout=pause)
                if done:
                    return future.result()
            raise TimeoutError("no answer")
        finally:
            self.waiting.pop(key, None)


def field(message, name):
    found = re.search(rf"^{name}[ \t]*:[ \t]*(.*?)\r?$", message, re.M | re.I)
    return found.group(1) if found else ""


def tag(value):
    found = re.search(r";tag=([^;>\s]+)", value)
    return found.group(1) if found else ""


def user(value):
    found = re.search(r"(?:sips?|tel):([^@;>\s]+)", value)
    return found.group(1) if found else ""


def display(value):
    found = re.match(r'"((?:[^"\\]|\\.)*)"', value)
    return found.group(1) if found else ""


def final_of(data):
    """The key of a final response: branch and number; None for everything else."""
    text = data.decode("utf-8", "replace")
    code = re.match(r"SIP/2\.0 ([2-6])\d\d", text)
    if text.startswith("SIP/2.0 1"):
        return "provisional"
    return (field(text, "Call-ID"), field(text, "CSeq")) if code else None


class Bridge:
    def __init__(self, options):
        self.options, self.calls = options, {}

    async def run(self):
        loop, options = asyncio.get_running_loop(), self.options
        split = lambda text: (text.rsplit(":", 1)[0], int(text.rsplit(":", 1)[1]))
        _, self.engine = await loop.create_datagram_endpoint(
            lambda: Exchange(lambda data: data.split(b" ", 1)[0]), remote_addr=split(options.rtpengine)
        )
        _, self.sip = await loop.create_datagram_endpoint(
            lambda: Exchange(final_of, self.asked), remote_addr=split(options.recorder)
        )
        self.local = "%s:%d" % self.sip.transport.get_extra_info("sockname")[:2]
        await loop.create_datagram_endpoint(lambda: Ear(self), local_addr=split(options.listen))
        print("ready", flush=True)
        await asyncio.Event().wait()

    def told(self, message):
        """Kamailio saw this message."""
        call_id, begins = field(message, "Call-ID"), message.startswith("SIP/2.0 2")
        if begins and "INVITE" in field(message, "CSeq") and call_id not in self.calls:
            if len(self.calls) >= CALLS:
                return print("too many calls: one is not recorded", file=sys.stderr)
            self.calls[call_id] = asyncio.ensure_future(self.guarded(call_id, message))
        elif message.startswith("BYE ") and call_id in self.calls:
            self.calls.pop(call_id).cancel()

    async def guarded(self, call_id, message):
        try:
            await self.record(call_id, message)
        except (OSError, TimeoutError, ValueError) as error:
            print(f"a call is not recorded: {error}", file=sys.stderr, flush=True)
            self.calls.pop(call_id, None)

    async def ng(self, command, **more):
        cookie = secrets.token_hex(8).encode()
        request = {"command": command, **{k.replace("_", "-"): v for k, v in more.items()}}
        answer = await self.engine.ask(cookie, cookie + b" " + bencode(request))
        answer, _ = bdecode(answer, len(cookie) + 1)
        if answer.get("result") != "ok":
            raise ValueError(f"rtpengine: {command}: {answer.get('error-reason')}")
        return answer

    async def record(self, call_id, message):
        sides = [field(message, "From"), field(message, "To")]
        subscriptions = [
            await self.ng("subscribe request", call_id=call_id, from_tag=tag(side)) for side in sides
        ]
        session = Session(self, call_id, sides, [s["sdp"] for s in subscriptions])
        try:
            for subscription, sdp in zip(subscriptions, await session.begin()):
                await self.ng("subscribe answer", call_id=call_id, to_tag=subscription["to-tag"], sdp=sdp)
            await asyncio.Event().wait()
        finally:
            await asyncio.shield(session.end())
            for subscription in subscriptions:
                # Gone already where rtpengine has forgotten the call.
                try:
                    await self.ng("unsubscribe", call_id=call_id, to_tag=subscription["to-tag"])
                except ValueError:
                    pass

    def asked(self, data):
        """A request of the recording server, inside one of our sessions."""
        text = data.decode("utf-8", "replace")
        method = text.split(" ", 1)[0]
        if method in ("ACK", "") or text.startswith("SIP/"):
            return
        session = Session.of.get(field(text, "Call-ID"))
        body = session.offer if session and method == "INVITE" else ""
        code = "200 OK" if session else "481 Call Does Not Exist"
        copied = "".join(f"{name}: {field(text, name)}\r\n" for name in ("Via", "From", "To", "Call-ID", "CSeq"))
        kind = "Content-Type: application/sdp\r\n" if body else ""
        answer = f"SIP/2.0 {code}\r\n{copied}Contact: <sip:bridge@{self.local}>;+sip.src\r\n{kind}"
        self.sip.transport.sendto(f"{answer}Content-Length: {len(body)}\r\n\r\n{body}".encode())


class Session:
    """One recording session."""

    of = {}

    def __init__(self, bridge, call_id, sides, offers):
        self.bridge, self.id, self.number, self.to = bridge, secrets.token_hex(12), 0, ""
        self.tag, self.uri = secrets.token_hex(6), f"sip:{bridge.options.user}@{bridge.options.recorder}"
        heads = [re.split(r"^(?=m=)", sdp, flags=re.M) for sdp in offers]
        # Each party is one m= line with a c= of its own, so that they fit into one text.
        lines = []
        for label, (head, *media) in enumerate(heads, 1):
            place = re.search(r"^c=.*$", head, re.M)
            for section in media[:1]:
                first, rest = section.split("\n", 1)
                own = "" if re.search(r"^c=", rest, re.M) or not place else place.group(0).strip() + "\r\n"
                lines.append(f"{first.strip()}\r\n{own}{rest.rstrip()}\r\na=label:{label}\r\n")
        top = "v=0\r\no=bridge 1 1 IN IP4 %s\r\ns=-\r\nt=0 0\r\n" % bridge.local.rsplit(":", 1)[0]
        self.offer = top + "".join(lines)
        names = [quoteattr(f"sip:{user(side)}@{bridge.options.domain}") for side in sides]
        shown = [f"<name>{display(side)}</name>" if display(side) else "" for side in sides]
        people = "".join(
            f'<participant participant_id="p{n}"><nameID aor={names[n]}>{shown[n]}</nameID></participant>'
            f'<stream stream_id="s{n}" session_id="c"><label>{n + 1}</label></stream>'
            f'<participantstreamassoc participant_id="p{n}"><send>s{n}</send></participantstreamassoc>'
            for n in (0, 1)
        )
        self.metadata = (
            '<?xml version="1.0" encoding="UTF-8"?><recording xmlns="urn:ietf:params:xml:ns:recording:1">'
            f'<datamode>complete</datamode><session session_id="c"><sipSessionID>{call_id}</sipSessionID></session>'
            f"{people}</recording>"
        )

    def request(self, method, more="", body=""):
        branch = "z9hG4bK" + secrets.token_hex(8)
        to = self.to or f"<{self.uri}>"
        return (
            f"{method} {self.uri} SIP/2.0\r\nVia: SIP/2.0/UDP {self.bridge.local};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:bridge@{self.bridge.local}>;tag={self.tag}\r\nTo: {to}\r\n"
            f"Call-ID: {self.id}\r\nCSeq: {self.number} {method}\r\n"
            f"Contact: <sip:bridge@{self.bridge.local}>;+sip.src\r\n"
            f"Allow: INVITE, ACK, BYE, UPDATE, OPTIONS\r\n{more}Content-Length: {len(body.encode())}\r\n\r\n{body}"
        ).encode()

    async def ask(self, method, more="", body=""):
        self.number += 1
        data = self.request(method, more, body)
        answer = await self.bridge.sip.ask((self.id, f"{self.number} {method}"), data)
        return answer.decode("utf-8", "replace")

    async def begin(self):
        """Announces the call; the server's description of each line."""
        part = "--bridge\r\nContent-Type: {}\r\n{}\r\n{}\r\n".format
        body = (
            part("application/sdp", "", self.offer)
            + part("application/rs-metadata+xml", "Content-Disposition: recording-session\r\n", self.metadata)
            + "--bridge--\r\n"
        )
        more = "Require: siprec\r\nContent-Type: multipart/mixed;boundary=bridge\r\n"
        answer = await self.ask("INVITE", more, body)
        if not answer.startswith("SIP/2.0 2"):
            raise ValueError("the recorder says " + answer.split("\r\n", 1)[0])
        self.to, Session.of[self.id] = field(answer, "To"), self
        self.bridge.sip.transport.sendto(self.request("ACK"))
        head, *media = re.split(r"^(?=m=)", answer.split("\r\n\r\n", 1)[1], flags=re.M)
        return [head + section for section in media]

    async def end(self):
        if Session.of.pop(self.id, None):
            await self.ask("BYE")


class Ear(asyncio.DatagramProtocol):
    """Hears what Kamailio tells."""

    def __init__(self, bridge):
        self.bridge = bridge

    def datagram_received(self, data, _addr):
        self.bridge.told(data.decode("utf-8", "replace"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--listen", default="127.0.0.1:2230", help="where Kamailio tells of calls")
    parser.add_argument("--rtpengine", default="127.0.0.1:2223", help="rtpengine's ng port")
    parser.add_argument("--recorder", default="127.0.0.1:5060", help="the recording server, over UDP")
    parser.add_argument("--user", default="recorder", help="user part of its address: optag's department")
    parser.add_argument("--domain", default="localhost", help="domain of the parties' addresses")
    options = parser.parse_args()
    return asyncio.run(Bridge(options).run())


if __name__ == "__main__":
    main()
