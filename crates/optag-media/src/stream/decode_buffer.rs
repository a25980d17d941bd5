//! A thread's decode buffer, used for one packet after another: too long to have one per stream. It is wiped
//! after each stream.

use std::cell::RefCell;

use zeroize::Zeroize;

use crate::codec::decoder::LONGEST_SAMPLES;

thread_local! {
    static SAMPLES: RefCell<[i16; LONGEST_SAMPLES]> = const { RefCell::new([0; LONGEST_SAMPLES]) };
}

/// A thread's samples.
pub struct Decoded<'a> {
    /// The samples. Report writes with [`Decoded::wrote`].
    pub pcm: &'a mut [i16; LONGEST_SAMPLES],
    longest: usize,
}

impl Decoded<'_> {
    /// Lends a thread's samples to `work`.
    pub fn lend<T>(work: impl FnOnce(&mut Decoded<'_>) -> T) -> T {
        SAMPLES.with_borrow_mut(|pcm| work(&mut Decoded { pcm, longest: 0 }))
    }

    /// Reports that up to this many samples at the front may have been written.
    pub fn wrote(&mut self, samples: usize) {
        self.longest = self.longest.max(samples);
    }
}

impl Drop for Decoded<'_> {
    fn drop(&mut self) {
        // After a panic it is unknown what was written.
        let written = if std::thread::panicking() { LONGEST_SAMPLES } else { self.longest };
        self.pcm[..written].zeroize();
    }
}

/// Whether this thread holds no sample.
#[cfg(test)]
pub(crate) fn is_wiped() -> bool {
    SAMPLES.with_borrow(|pcm| pcm.iter().all(|&sample| sample == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_decoded_is_overwritten_even_where_the_work_fails() {
        Decoded::lend(|decoded| {
            decoded.pcm[..320].fill(7);
            decoded.wrote(320);
            decoded.pcm[..160].fill(8);
            decoded.wrote(160);
        });
        assert!(is_wiped());
        let failed = std::panic::catch_unwind(|| {
            Decoded::lend(|decoded| {
                decoded.pcm.fill(9);
                panic!("a decoder fails");
            });
        });
        assert!(failed.is_err() && is_wiped());
    }
}
