//! G.726 at 16, 24, 32 and 40 kbit/s. In: code words of 2 to 5 bits, packed into bytes. Out: 8 kHz
//! samples.
//!
//! Every value has the number of bits that the recommendation specifies, so that encoder and decoder stay
//! synchronised however long a stream runs. Names in capitals in the comments are the blocks of the
//! recommendation. Sources: ITU-T G.726 §3 and §4 (its annex A for linear samples); RFC 3551 §4.5.4 and ITU-T
//! I.366.2 annex E (packing).

use super::decoder::Decode;

/// Packing of code words into bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Packing {
    /// First code word in the least significant bits: `G726-32` and the other rates (RFC 3551 §4.5.4).
    Rtp,
    /// First code word in the most significant bits: `AAL2-G726-32` and the other rates.
    Aal2,
}

/// Bits per code word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rate {
    /// 2 bits: 16 kbit/s.
    Kbps16,
    /// 3 bits: 24 kbit/s.
    Kbps24,
    /// 4 bits: 32 kbit/s.
    Kbps32,
    /// 5 bits: 40 kbit/s.
    Kbps40,
}

impl Rate {
    /// Bits per code word.
    pub const fn bits(self) -> u32 {
        match self {
            Rate::Kbps16 => 2,
            Rate::Kbps24 => 3,
            Rate::Kbps32 => 4,
            Rate::Kbps40 => 5,
        }
    }

    const fn tables(self) -> &'static Tables {
        match self {
            Rate::Kbps16 => &KBPS_16,
            Rate::Kbps24 => &KBPS_24,
            Rate::Kbps32 => &KBPS_32,
            Rate::Kbps40 => &KBPS_40,
        }
    }
}

/// Tables that depend on the rate; all except the last indexed by the magnitude of a code word.
struct Tables {
    /// Base-2 logarithm of the difference, in 1/128 (RECONST).
    log: &'static [i16],
    /// Scale factor multiplier, as its logarithm (FUNCTW).
    scale: &'static [i16],
    /// Rate of change of the signal (FUNCTF).
    speed: &'static [i16],
    /// Right shift for the leakage of the zeros' coefficients (UPB).
    leak: u32,
    /// Lower decision level of each magnitude after the first (QUAN).
    decision: &'static [i16],
}

/// Logarithm of a difference of zero.
const NONE: i16 = -2_048;

// Source: ITU-T G.726, tables 1 to 4 (QUAN), 5 to 8 (RECONST), and those of FUNCTW and FUNCTF.
static KBPS_16: Tables =
    Tables { log: &[116, 365], scale: &[-22, 439], speed: &[0, 7], leak: 8, decision: &[261] };
static KBPS_24: Tables = Tables {
    log: &[NONE, 135, 273, 373],
    scale: &[-4, 30, 137, 582],
    speed: &[0, 1, 2, 7],
    leak: 8,
    decision: &[8, 218, 331],
};
static KBPS_32: Tables = Tables {
    log: &[NONE, 4, 135, 213, 273, 323, 373, 425],
    scale: &[-12, 18, 41, 64, 112, 198, 355, 1_122],
    speed: &[0, 0, 0, 1, 1, 1, 3, 7],
    leak: 8,
    decision: &[-124, 80, 178, 246, 300, 349, 400],
};
static KBPS_40: Tables = Tables {
    log: &[NONE, -66, 28, 104, 169, 224, 274, 318, 358, 395, 429, 459, 488, 514, 539, 566],
    scale: &[14, 14, 24, 39, 40, 41, 58, 100, 141, 179, 219, 280, 358, 440, 529, 696],
    speed: &[0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 6],
    leak: 9,
    decision: &[-122, -16, 68, 139, 198, 250, 298, 339, 378, 413, 445, 475, 502, 528, 553],
};

/// Bounds of the fast scale factor (LIMB).
const SCALE: (i32, i32) = (544, 5_120);
/// Maximum coefficient of the second pole (LIMC), and the bound of both together (LIMD).
const SECOND_POLE: i32 = 12_288;
const BOTH_POLES: i32 = 15_360;
/// A second pole below this indicates a tone or a modem (TONE).
const TONE: i32 = -11_776;
/// Scale factor below which the channel is considered idle (SUBTC).
const IDLE: i32 = 1_536;

/// A number with 4 bits of exponent and 6 of mantissa, the format in which the predictors multiply.
#[derive(Clone, Copy)]
struct Float {
    negative: bool,
    exponent: i32,
    mantissa: i32,
}

impl Float {
    const ZERO: Self = Self { negative: false, exponent: 0, mantissa: 32 };

    fn new(negative: bool, magnitude: i32) -> Self {
        let exponent = (32 - magnitude.leading_zeros()) as i32;
        let mantissa = if magnitude == 0 { 32 } else { (magnitude << 6) >> exponent };
        Self { negative, exponent, mantissa }
    }

    /// Multiplies by a coefficient (FMULT).
    fn times(self, coefficient: i32) -> i32 {
        let coefficient = coefficient >> 2;
        let other = Self::new(coefficient < 0, coefficient.abs() & 8_191);
        let exponent = self.exponent + other.exponent;
        let mantissa = (self.mantissa * other.mantissa + 48) >> 4;
        let magnitude = match exponent {
            ..=26 => (mantissa << 7) >> (26 - exponent),
            _ => ((mantissa << 7) << (exponent - 26)) & 32_767,
        };
        if self.negative == other.negative { magnitude } else { -magnitude }
    }
}

/// The adaptation shared by encoder and decoder.
#[derive(Clone)]
pub struct Adaptation {
    rate: Rate,
    /// Scale factors: fast (YU), slow (YL).
    quick: i32,
    slow: i32,
    /// Short-term and long-term speed of the signal (DMS, DML), and the weight of the fast scale factor (AP).
    short_speed: i32,
    long_speed: i32,
    control: i32,
    /// Whether the signal is a tone (TD).
    tone: bool,
    poles: [i32; 2],
    zeros: [i32; 6],
    /// The last differences and reconstructed samples, newest first.
    differences: [Float; 6],
    samples: [Float; 2],
    /// Signs of the last sums of difference and zeros' estimate (PK).
    negative: [bool; 2],
}

/// The prediction of the next sample.
#[derive(Clone, Copy)]
struct Estimate {
    /// From the zeros only (SEZ), and in total (SE).
    zeros: i32,
    all: i32,
    /// Scale factor (Y).
    scale: i32,
}

impl Adaptation {
    /// The initial state at both ends of a stream.
    pub const fn new(rate: Rate) -> Self {
        Self {
            rate,
            quick: SCALE.0,
            slow: 34_816,
            short_speed: 0,
            long_speed: 0,
            control: 0,
            tone: false,
            poles: [0; 2],
            zeros: [0; 6],
            differences: [Float::ZERO; 6],
            samples: [Float::ZERO; 2],
            negative: [false; 2],
        }
    }

    /// The sample of a code word; bits above the rate's are ignored. Units: 14 bits or more; a loud signal
    /// may exceed them.
    pub fn decode(&mut self, code: u8) -> i32 {
        let estimate = self.estimate();
        self.adapt(estimate, code)
    }

    /// The code word of a sample. Units: 14 bits.
    pub fn encode(&mut self, sample: i32) -> u8 {
        let estimate = self.estimate();
        let difference = sample - estimate.all;
        // LOG and SUBTB.
        let exponent = (31 - difference.unsigned_abs().max(1).leading_zeros()) as i32;
        let fraction = (difference.abs() << 7 >> exponent) & 127;
        let log = (exponent << 7) + fraction - (estimate.scale >> 2);
        let decision = self.rate.tables().decision;
        let magnitude = decision.iter().filter(|&&least| log >= i32::from(least)).count() as u8;
        let mask = (1 << self.rate.bits()) - 1;
        let code = match (difference < 0, magnitude, self.rate) {
            (true, ..) => !magnitude & mask,
            // The all-zero code word is not sent, to maintain the density of ones on the line.
            (false, 0, rate) if rate != Rate::Kbps16 => mask,
            _ => magnitude,
        };
        self.adapt(estimate, code);
        code
    }

    fn estimate(&self) -> Estimate {
        // ACCUM.
        let zeros: i32 = self.differences.iter().zip(self.zeros).map(|(d, b)| d.times(b)).sum();
        let poles: i32 = self.samples.iter().zip(self.poles).map(|(s, a)| s.times(a)).sum();
        // LIMA and MIX.
        let share = if self.control >= 256 { 64 } else { self.control >> 2 };
        let slow = self.slow >> 6;
        let away = self.quick - slow;
        let mixed = (away.abs() * share) >> 6;
        let scale = slow + if away < 0 { -mixed } else { mixed };
        Estimate { zeros: wrap(zeros) >> 1, all: wrap(zeros + poles) >> 1, scale }
    }

    fn adapt(&mut self, estimate: Estimate, code: u8) -> i32 {
        let tables = self.rate.tables();
        let negative = code >> (self.rate.bits() - 1) & 1 == 1;
        let mask = tables.log.len() - 1;
        let at = usize::from(if negative { !code } else { code }) & mask;
        // ADDA and ANTILOG.
        let log = i32::from(tables.log[at]) + (estimate.scale >> 2);
        let magnitude = if log < 0 { 0 } else { ((128 + (log & 127)) << 7) >> (14 - ((log >> 7) & 15)) };
        let difference = if negative { -magnitude } else { magnitude };
        let sample = wrap(estimate.all + difference);
        let changed = self.tone && magnitude > self.transition();
        self.predict(estimate, (negative, magnitude), sample, changed);
        self.rescale(estimate.scale, (tables.scale[at], tables.speed[at]), changed);
        sample
    }

    /// Difference above which a tone is considered ended (TRANS).
    fn transition(&self) -> i32 {
        let (whole, fraction) = (self.slow >> 15, (self.slow >> 10) & 31);
        let threshold = if whole > 9 { 31 << 10 } else { (32 + fraction) << whole };
        (threshold + (threshold >> 1)) >> 1
    }

    /// Adapts both predictors; when a tone has ended they are reset (TRIGB).
    fn predict(
        &mut self,
        estimate: Estimate,
        (negative, magnitude): (bool, i32),
        sample: i32,
        changed: bool,
    ) {
        let difference = if negative { -magnitude } else { magnitude };
        // ADDC.
        let sum = wrap(estimate.zeros + difference);
        let is_negative = sum < 0;
        if changed {
            (self.poles, self.zeros) = ([0; 2], [0; 6]);
        } else {
            self.adapt_poles(sum == 0, is_negative);
            let leak = self.rate.tables().leak;
            for (zero, before) in self.zeros.iter_mut().zip(&self.differences) {
                // XOR and UPB.
                let towards = match (magnitude, before.negative == negative) {
                    (0, _) => 0,
                    (_, true) => 128,
                    (_, false) => -128,
                };
                *zero = wrap(*zero + towards - (*zero >> leak));
            }
        }
        self.tone = self.poles[1] < TONE;
        self.negative = [is_negative, self.negative[0]];
        self.differences.rotate_right(1);
        self.differences[0] = Float::new(negative, magnitude);
        self.samples = [Float::new(sample < 0, sample.abs() & 32_767), self.samples[0]];
    }

    /// UPA2, LIMC, UPA1 and LIMD.
    fn adapt_poles(&mut self, is_zero: bool, is_negative: bool) {
        let [first, second] = self.poles;
        let toward = |turned: bool, by: i32| match (is_zero, turned) {
            (true, _) => 0,
            (false, true) => -by,
            (false, false) => by,
        };
        let (turned, turned_before) = (is_negative != self.negative[0], is_negative != self.negative[1]);
        let bounded = first.clamp(-8_191, 8_191) << 2;
        let coupled = if turned { bounded } else { -bounded };
        let second_gain =
            if is_zero { 0 } else { (if turned_before { -16_384 } else { 16_384 } + coupled) >> 7 };
        let second = (second + second_gain - (second >> 7)).clamp(-SECOND_POLE, SECOND_POLE);
        let most = BOTH_POLES - second;
        let first = (first + toward(turned, 192) - (first >> 8)).clamp(-most, most);
        self.poles = [first, second];
    }

    /// Adapts the scale factors and their speed control.
    fn rescale(&mut self, scale: i32, (step, speed): (i16, i16), changed: bool) {
        let (step, speed) = (i32::from(step), i32::from(speed));
        // FILTA and FILTB.
        self.short_speed += ((speed << 9) - self.short_speed) >> 5;
        self.long_speed += ((speed << 11) - self.long_speed) >> 7;
        // SUBTC, FILTC and TRIGA.
        let uneven = ((self.short_speed << 2) - self.long_speed).abs() >= self.long_speed >> 3;
        let quickly = scale < IDLE || uneven || self.tone;
        self.control = match changed {
            true => 256,
            false => self.control + (((i32::from(quickly) << 9) - self.control) >> 4),
        };
        // FILTD, LIMB and FILTE.
        self.quick = (scale + (((step << 5) - scale) >> 5)).clamp(SCALE.0, SCALE.1);
        self.slow += self.quick + (-self.slow >> 6);
    }
}

/// The low 16 bits as a signed number.
const fn wrap(value: i32) -> i32 {
    value as i16 as i32
}

/// The decoder of one stream.
pub struct G726Decoder {
    adaptation: Adaptation,
    packing: Packing,
}

impl G726Decoder {
    /// A decoder in its initial state.
    pub const fn new(rate: Rate, packing: Packing) -> Self {
        Self { adaptation: Adaptation::new(rate), packing }
    }
}

impl Decode for G726Decoder {
    /// Trailing bits that form no code word are ignored.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let mut out = out.iter_mut();
        let length = out.len();
        unpack(self.adaptation.rate, self.packing, payload, |code| {
            // Annex A: 14 bits, at the top of 16.
            let sample = self.adaptation.decode(code).clamp(-8_192, 8_191);
            out.next().map(|place| *place = (sample << 2) as i16).is_some()
        });
        length - out.len()
    }
}

/// Passes the code words of a payload to `each` until it accepts no more. Bits above a code word's own may be
/// set.
fn unpack(rate: Rate, packing: Packing, payload: &[u8], mut each: impl FnMut(u8) -> bool) {
    let bits = rate.bits();
    let (mut held, mut held_bits) = (0u32, 0);
    for &byte in payload {
        match packing {
            Packing::Rtp => held |= u32::from(byte) << held_bits,
            Packing::Aal2 => held = held << 8 | u32::from(byte),
        }
        held_bits += 8;
        while held_bits >= bits {
            held_bits -= bits;
            let code = match packing {
                Packing::Rtp => {
                    let code = held;
                    held >>= bits;
                    code
                }
                Packing::Aal2 => held >> held_bits,
            };
            if !each(code as u8) {
                return;
            }
        }
    }
}

/// Encodes samples for a simulated telephone. Unused bits at the end are zero.
pub fn encode(rate: Rate, packing: Packing, samples: &[i16]) -> Vec<u8> {
    let mut adaptation = Adaptation::new(rate);
    let bits = rate.bits() as usize;
    let mut coded = vec![0; (samples.len() * bits).div_ceil(8)];
    for (n, &sample) in samples.iter().enumerate() {
        let code = adaptation.encode(i32::from(sample) >> 2);
        for bit in 0..bits {
            let at = n * bits + bit;
            let (taken, shift) = match packing {
                Packing::Rtp => (code >> bit, at % 8),
                Packing::Aal2 => (code >> (bits - 1 - bit), 7 - at % 8),
            };
            coded[at / 8] |= (taken & 1) << shift;
        }
    }
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [Rate; 4] = [Rate::Kbps16, Rate::Kbps24, Rate::Kbps32, Rate::Kbps40];

    fn random(seed: &mut u32) -> u8 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*seed >> 24) as u8
    }

    /// FNV-1a over 64 bits.
    fn hash(samples: &[i16]) -> u64 {
        let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    fn decoded(rate: Rate, packing: Packing, coded: &[u8], packet: usize) -> Vec<i16> {
        let mut decoder = G726Decoder::new(rate, packing);
        let mut out = vec![0; coded.len() * 4];
        let mut written = 0;
        for payload in coded.chunks(packet) {
            written += decoder.decode(payload, &mut out[written..]);
        }
        out.truncate(written);
        out
    }

    /// Every code word in arbitrary order, which drives scale factors and predictors into all their bounds.
    /// The hashes are those of ITU-T's own program (G.191, Software Tools Library, module G726: the
    /// reconstructed signal, limited to 14 bits according to annex A).
    #[test]
    fn any_code_words_decode_to_what_the_reference_makes_of_them() {
        let golden: [u64; 4] =
            [0x90b9_8129_e12b_529c, 0x9a16_4720_e50d_95a8, 0x740c_f09f_2400_afd3, 0xf29f_fd4d_325d_04ed];
        for (rate, golden) in RATES.into_iter().zip(golden) {
            let mut seed = rate.bits();
            let codes: Vec<u8> = (0..200_000).map(|_| random(&mut seed) & ((1 << rate.bits()) - 1)).collect();
            let mut adaptation = Adaptation::new(rate);
            let samples: Vec<i16> = codes
                .iter()
                .map(|&code| (adaptation.decode(code).clamp(-8_192, 8_191) << 2) as i16)
                .collect();
            assert_eq!(hash(&samples), golden, "{rate:?}");
        }
    }

    #[test]
    fn both_packings_and_every_length_of_packets_give_the_same_samples() {
        let voice: Vec<i16> =
            (0..9_600).map(|n| ((f64::from(n) * 0.3).sin() * f64::from(n % 2_000) * 10.0) as i16).collect();
        for rate in RATES {
            let bits = rate.bits() as usize;
            let whole = decoded(rate, Packing::Rtp, &encode(rate, Packing::Rtp, &voice), usize::MAX);
            assert_eq!(whole.len(), voice.len());
            let error: f64 = whole.iter().zip(&voice).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let power: f64 = voice.iter().map(|&sample| f64::from(sample).powi(2)).sum();
            assert!(error < power / 20.0, "{rate:?}: {error} of {power}");
            for packing in [Packing::Rtp, Packing::Aal2] {
                let coded = encode(rate, packing, &voice);
                for ms in [10, 20, 30, 40, 60] {
                    assert_eq!(
                        decoded(rate, packing, &coded, ms * bits),
                        whole,
                        "{rate:?} {packing:?} {ms} ms"
                    );
                }
            }
        }
    }

    /// Source: RFC 3551 §4.5.4 and I.366.2 annex E, with `A` to `H` as in their figures.
    #[test]
    #[expect(clippy::unusual_byte_groupings, reason = "digits are grouped by code words")]
    fn code_words_lie_in_bytes_as_the_figures_show() {
        let words = |rate, packing, bytes: &[u8]| {
            let mut words = Vec::new();
            unpack(rate, packing, bytes, |code| {
                words.push(code & ((1 << rate.bits()) - 1));
                true
            });
            words
        };
        assert_eq!(words(Rate::Kbps32, Packing::Rtp, &[0x21, 0x43]), [1, 2, 3, 4]);
        assert_eq!(words(Rate::Kbps32, Packing::Aal2, &[0x12, 0x34]), [1, 2, 3, 4]);
        assert_eq!(words(Rate::Kbps16, Packing::Rtp, &[0b11_10_01_00]), [0, 1, 2, 3]);
        assert_eq!(words(Rate::Kbps16, Packing::Aal2, &[0b00_01_10_11]), [0, 1, 2, 3]);
        let eight = [0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(words(Rate::Kbps24, Packing::Rtp, &[0b10_001_000, 0b1_100_011_0, 0b111_110_10]), eight);
        assert_eq!(words(Rate::Kbps24, Packing::Aal2, &[0b000_001_01, 0b0_011_100_1, 0b01_110_111]), eight);
        assert_eq!(
            words(Rate::Kbps40, Packing::Rtp, &[0x41, 0x0c, 0x52, 0xcc, 0x41]),
            [1, 2, 3, 4, 5, 6, 7, 8]
        );
        assert_eq!(
            words(Rate::Kbps40, Packing::Aal2, &[0x08, 0x86, 0x42, 0x98, 0xe8]),
            [1, 2, 3, 4, 5, 6, 7, 8]
        );
    }

    #[test]
    fn bytes_of_any_length_give_whole_code_words_and_no_more_than_fits() {
        for rate in RATES {
            for length in 0..50usize {
                for packing in [Packing::Rtp, Packing::Aal2] {
                    let mut out = [0; 400];
                    let written = G726Decoder::new(rate, packing).decode(&vec![0xa5; length], &mut out);
                    assert_eq!(written, length * 8 / rate.bits() as usize);
                    assert_eq!(G726Decoder::new(rate, packing).decode(&[0xa5; 40], &mut out[..7]), 7);
                }
            }
        }
    }
}
