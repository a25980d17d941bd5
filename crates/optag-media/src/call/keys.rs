//! What key presses in a call's streams mean for the call. Part of [`Call`]: in, key presses from accepted
//! senders; out, answers with their evidence.

use crate::call::{Call, Now};
use crate::dtmf::keypad::KeyPress;
use crate::dtmf::sequences::Meaning;
use optag_core::call::consent::ConsentInput;
use optag_core::call::{Answer, ConsentHow, ConsentState, Evidence};
use optag_core::private::Private;

impl Call {
    pub(crate) fn take_presses(&mut self, now: Now, stream: usize) {
        while let Some(press) = self.streams[stream].take_press() {
            if self.streams[stream].role().may_answer() {
                self.press(now, stream, press);
            }
        }
    }

    fn press(&mut self, now: Now, stream: usize, press: KeyPress) {
        let asked = self.consent.state() == ConsentState::Asked;
        self.changed = true;
        let matched = match press.negotiated {
            true => self.matcher.press(press.at, press.key, asked),
            false => self.matcher.press_unnamed(press.at, press.key, asked),
        };
        let Some((meaning, keys)) = matched else { return };
        let input = match meaning {
            Meaning::Yes => ConsentInput::Answer(Answer::Yes),
            Meaning::No => ConsentInput::Answer(Answer::No),
            Meaning::Withdraw => ConsentInput::Withdraw,
        };
        let KeyPress { at, timestamp: rtp_timestamp, ssrc, by, .. } = press;
        let source = press.source.map(Private::new);
        let evidence = Evidence::Keys { keys, stream: stream as u8, rtp_timestamp, ssrc, by, source };
        // A key press forbidden by the rules has no effect; nothing can be reported to the caller over RTP.
        let _ = self.consent_input(now, at, input, ConsentHow::Key, None, evidence);
    }
}
