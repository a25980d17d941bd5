//! Bits into bytes and back, the highest first. In: numbers of up to 32 bits, Rice codes. Out: the
//! same. Reading past the end is `None`.

/// Ones that begin a Rice code, at most: a longer one is given as a plain number instead.
const LONGEST_RUN: u32 = 20;

/// Appends bits to a list of bytes.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    waiting: u64,
    bits: u32,
}

impl<'a> BitWriter<'a> {
    /// Appends to `out`.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, waiting: 0, bits: 0 }
    }

    /// Appends the lowest `bits` of `value`, 32 at most.
    pub(super) fn put(&mut self, value: u32, bits: u32) {
        debug_assert!(bits <= 32);
        self.waiting = self.waiting << bits | u64::from(value) & ((1 << bits) - 1);
        self.bits += bits;
        while self.bits >= 8 {
            self.bits -= 8;
            self.out.push((self.waiting >> self.bits) as u8);
        }
    }

    /// Appends a number as a Rice code with `k` low bits; `plain` bits hold every number that may come.
    pub(super) fn put_rice(&mut self, value: u32, k: u32, plain: u32) {
        let run = value >> k;
        if run < LONGEST_RUN {
            self.put((1 << (run + 1)) - 2, run + 1);
            self.put(value, k);
        } else {
            self.put((1 << LONGEST_RUN) - 1, LONGEST_RUN);
            self.put(value, plain);
        }
    }

    /// Ends the last byte with zeros.
    pub(super) fn finish(mut self) {
        if self.bits > 0 {
            self.put(0, 8 - self.bits);
        }
    }
}

/// Bits of a Rice code.
pub(super) fn rice_bits(value: u32, k: u32, plain: u32) -> u32 {
    let run = value >> k;
    if run < LONGEST_RUN { run + 1 + k } else { LONGEST_RUN + plain }
}

/// Takes bits from bytes.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    waiting: u64,
    bits: u32,
}

impl<'a> BitReader<'a> {
    /// Reads `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, waiting: 0, bits: 0 }
    }

    /// The next `bits`, 32 at most.
    pub(super) fn take(&mut self, bits: u32) -> Option<u32> {
        self.fill();
        self.bits = self.bits.checked_sub(bits)?;
        Some((self.waiting >> self.bits) as u32 & ((1u64 << bits) - 1) as u32)
    }

    /// The next Rice code, as [`BitWriter::put_rice`] writes it.
    pub(super) fn take_rice(&mut self, k: u32, plain: u32) -> Option<u32> {
        self.fill();
        let ahead = self.waiting << (64 - self.bits.max(1));
        let run = if self.bits == 0 { 0 } else { ahead.leading_ones().min(self.bits) };
        if run >= LONGEST_RUN {
            self.bits -= LONGEST_RUN;
            return self.take(plain);
        }
        self.bits = self.bits.checked_sub(run + 1)?;
        Some(run << k | self.take(k)?)
    }

    /// Whether nothing but the zeros that end the last byte is left.
    pub(super) fn ends(mut self) -> bool {
        self.fill();
        self.bytes.is_empty() && self.bits < 8 && self.waiting & ((1 << self.bits) - 1) == 0
    }

    fn fill(&mut self) {
        while self.bits <= 48
            && let Some((&byte, rest)) = self.bytes.split_first()
        {
            self.waiting = self.waiting << 8 | u64::from(byte);
            self.bits += 8;
            self.bytes = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_codes_come_back_and_their_length_is_as_told() {
        let values = [0u32, 1, 5, 19, 20, 21, 255, 511, 65_535, 131_071];
        for k in 0..15 {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            writer.put(5, 3);
            values.iter().for_each(|&value| writer.put_rice(value, k, 17));
            writer.put(u32::MAX, 32);
            writer.finish();
            let bits = 3 + 32 + values.iter().map(|&value| rice_bits(value, k, 17)).sum::<u32>();
            assert_eq!(bytes.len() as u32, bits.div_ceil(8));
            let mut reader = BitReader::new(&bytes);
            assert_eq!(reader.take(3), Some(5));
            for value in values {
                assert_eq!(reader.take_rice(k, 17), Some(value), "k {k}");
            }
            assert_eq!(reader.take(32), Some(u32::MAX));
            assert!(reader.ends());
        }
    }

    #[test]
    fn reading_past_the_end_is_none() {
        assert_eq!(BitReader::new(&[]).take(1), None);
        assert_eq!(BitReader::new(&[]).take_rice(3, 9), None);
        assert_eq!(BitReader::new(&[0xff]).take_rice(3, 9), None, "a run without its end");
        assert_eq!(BitReader::new(&[0xff; 3]).take_rice(3, 9), None, "a plain number that is cut off");
        assert_eq!(BitReader::new(&[0x7f]).take_rice(8, 9), None);
        assert!(!BitReader::new(&[0, 0]).ends() && !BitReader::new(&[1]).ends());
    }
}
