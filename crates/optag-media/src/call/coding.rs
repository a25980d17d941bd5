//! How a call's frames are coded: at which complexity, and whether at once. In: decisions of the engine. Out: the form of the
//! following blocks.

use super::Call;
use crate::fact::Form;
use crate::stream::coder::When;

impl Call {
    /// Encodes the following frames with this complexity, 0 to 10.
    pub fn set_complexity(&mut self, complexity: u8) {
        // What is encoded later is encoded as well as ever.
        if self.encodes_later() || complexity == self.settings.capture.opus.complexity {
            return;
        }
        self.settings.capture.opus.complexity = complexity;
        for capture in self.streams.iter_mut().filter_map(|stream| stream.capture.as_mut()) {
            capture.set_complexity(complexity);
        }
    }

    /// Packs its audio from the next frame on, to be encoded later with this complexity, 0 to 10. False: it is packed
    /// already, or frames wait for their block; ask again at the next tick.
    pub fn encode_later(&mut self, complexity: u8) -> bool {
        let mut captures = self.streams.iter_mut().filter_map(|stream| stream.capture.as_mut());
        if self.settings.capture.encodes_later()
            || captures.any(|capture| !capture.encoded.lengths.is_empty())
        {
            return false;
        }
        self.settings.capture.encodes = When::Later;
        self.settings.capture.opus.complexity = complexity;
        for capture in self.streams.iter_mut().filter_map(|stream| stream.capture.as_mut()) {
            capture.encode_later(complexity);
        }
        true
    }

    /// What its blocks hold.
    pub(super) fn form(&self) -> Form {
        match self.settings.capture.encodes {
            When::Now => Form::Opus,
            When::Later => Form::Packed(self.settings.capture.opus.into()),
        }
    }

    /// Whether its audio is packed, to be encoded later.
    pub fn encodes_later(&self) -> bool {
        self.settings.capture.encodes_later()
    }
}
