use super::*;
use crate::testing::{Random, has_avx2};

unsafe extern "C" {
    fn opus_lanes_test_quantiser(call: *mut Quantiser, states: i32);
}

/// Everything that a call points to.
#[derive(Clone)]
struct Frame {
    nsq: NsqState,
    indices: Indices,
    input: [i16; FRAME],
    pulses: [i8; FRAME],
    lpc: [i16; 32],
    ltp: [i16; 20],
    ar: [i16; 96],
    harmonic: [i32; 4],
    tilt: [i32; 4],
    lf: [i32; 4],
    gains: [i32; 4],
    lags: [i32; 4],
    lambda: i32,
    ltp_scale: i32,
    shaping_order: i32,
    warping: i32,
}

impl Frame {
    fn new() -> Self {
        // SAFETY: zeros are valid numbers.
        let mut frame: Self = unsafe { std::mem::zeroed() };
        frame.nsq.last_gain = 65_536;
        frame.nsq.last_lag = 100;
        frame
    }

    /// The next frame of a stream, such as an encoder might ask for.
    fn next(&mut self, random: &mut Random, rate_khz: i32) {
        let kind = random.between(0, 9);
        self.indices.signal = if kind < 5 { VOICED } else { (kind % 2) as i8 };
        self.indices.offset = random.between(0, 1) as i8;
        self.indices.interpolation = random.between(0, 4) as i8;
        self.indices.seed = random.between(0, 3) as i8;
        let loudness = random.between(0, 4_000);
        let step = random.unit() * 0.2;
        for (t, sample) in self.input.iter_mut().enumerate() {
            let tone = (t as f64 * step).sin() * f64::from(loudness);
            *sample = (tone + random.unit() * f64::from(loudness) * 0.3) as i16;
        }
        for half in self.lpc.chunks_mut(16) {
            half.iter_mut()
                .enumerate()
                .for_each(|(j, tap)| *tap = (random.unit() * 5_000.0 / (j + 1) as f64) as i16);
        }
        if self.indices.interpolation == 4 {
            self.lpc.copy_within(16.., 0);
        }
        self.ltp =
            std::array::from_fn(|j| (random.unit() * if j % 5 == 2 { 9_000.0 } else { 2_000.0 }) as i16);
        self.ar = std::array::from_fn(|j| (random.unit() * 6_000.0 / (j % 24 + 1) as f64) as i16);
        self.harmonic = std::array::from_fn(|_| random.between(0, 6_000));
        self.tilt = std::array::from_fn(|_| random.between(-6_000, 0));
        self.lf = std::array::from_fn(|_| random.between(-3_000, 3_000) << 16 | random.between(0, 15_000));
        let base = random.between(60_000, 40_000_000);
        let steady = random.between(0, 3) == 0;
        self.gains = std::array::from_fn(|_| if steady { base } else { base / 8 * random.between(4, 12) });
        let lag = random.between(2 * rate_khz + 2, 18 * rate_khz - 2);
        self.lags = std::array::from_fn(|_| lag + random.between(-2, 2));
        if self.indices.signal != VOICED {
            self.lags = [0; 4];
        }
        self.lambda = random.between(400, 3_000);
        self.ltp_scale = [15_565, 12_288, 8_192][random.between(0, 2) as usize];
        self.shaping_order = [12, 14, 16][random.between(0, 2) as usize];
        self.warping = if self.shaping_order == 16 { rate_khz * 983 } else { 0 };
    }

    fn call(&mut self, rate_khz: i32) -> Quantiser {
        Quantiser {
            encoder: std::ptr::null(),
            nsq: &mut self.nsq,
            indices: &mut self.indices,
            input: self.input.as_ptr(),
            pulses: self.pulses.as_mut_ptr(),
            lpc: self.lpc.as_ptr(),
            ltp: self.ltp.as_ptr(),
            ar: self.ar.as_ptr(),
            harmonic: self.harmonic.as_ptr(),
            tilt: self.tilt.as_ptr(),
            lf: self.lf.as_ptr(),
            gains: self.gains.as_ptr(),
            lags: self.lags.as_ptr(),
            lambda: self.lambda,
            ltp_scale: self.ltp_scale,
            shaping_order: self.shaping_order,
            warping: self.warping,
            subframe: 5 * rate_khz,
            lpc_order: if rate_khz == 8 { 10 } else { 16 },
        }
    }

    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let (a, b) = (&self.nsq, &other.nsq);
        let parts = [
            ("pulses", self.pulses == other.pulses),
            ("seed", self.indices.seed == other.indices.seed),
            ("out", a.out == b.out),
            ("shaping", a.shaping == b.shaping),
            ("lpc", a.lpc == b.lpc),
            ("ar", a.ar == b.ar),
            ("lf_ar", a.lf_ar == b.lf_ar),
            ("difference", a.difference == b.difference),
            ("last_lag", a.last_lag == b.last_lag),
            ("last_gain", a.last_gain == b.last_gain),
            ("dither", a.seed == b.seed),
            ("places", (a.ltp_at, a.shaping_at, a.rewhitened) == (b.ltp_at, b.shaping_at, b.rewhitened)),
        ];
        parts.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}

/// Runs a batch of the given width with so many states; bits of streams that it leaves.
fn batch(states: i32, wide: bool, rate_khz: i32, z: &mut Scratch, calls: &[*mut Quantiser]) -> u32 {
    // SAFETY: the tests ask what the processor has; the calls are of distinct streams.
    unsafe {
        match (states, wide, rate_khz) {
            (1, false, 8) => quantise_one_avx2::<40, 10>(z, calls),
            (1, false, _) => quantise_one_avx2::<80, 16>(z, calls),
            (1, true, 8) => quantise_one_avx512::<40, 10>(z, calls),
            (1, true, _) => quantise_one_avx512::<80, 16>(z, calls),
            (_, false, 8) => quantise_avx2::<40, 10>(z, calls),
            (_, false, _) => quantise_avx2::<80, 16>(z, calls),
            (_, true, 8) => quantise_avx512::<40, 10>(z, calls),
            (_, true, _) => quantise_avx512::<80, 16>(z, calls),
        }
    }
}

fn widths() -> Vec<(bool, usize)> {
    if !has_avx2() {
        return Vec::new();
    }
    let wide = crate::Path::available().contains(&crate::Path::Avx512);
    if wide { vec![(false, 8), (true, 16)] } else { vec![(false, 8)] }
}

/// Runs random frames of random streams both ways; returns how many frames the batches left to libopus.
fn compare_with_libopus(states: i32, wide: bool, width: usize, rate_khz: i32) -> usize {
    let mut random = Random::new(rate_khz as u64 + width as u64);
    let mut z = Scratch::new();
    let mut left = 0;
    for _ in 0..40 {
        let mut streams: Vec<_> = (0..random.between(1, width as i32)).map(|_| Frame::new()).collect();
        for _ in 0..12 {
            streams.iter_mut().for_each(|stream| stream.next(&mut random, rate_khz));
            let mut expected = streams.clone();
            for stream in &mut expected {
                // SAFETY: what the call points to is valid.
                unsafe { opus_lanes_test_quantiser(&mut stream.call(rate_khz), states) };
            }
            let mut calls: Vec<_> = streams.iter_mut().map(|stream| stream.call(rate_khz)).collect();
            let pointers: Vec<*mut Quantiser> = calls.iter_mut().map(|call| call as *mut _).collect();
            let unfit = batch(states, wide, rate_khz, &mut z, &pointers);
            for (u, (stream, expected)) in streams.iter_mut().zip(&expected).enumerate() {
                if unfit & 1 << u != 0 {
                    left += 1;
                    // SAFETY: as above.
                    unsafe { opus_lanes_test_quantiser(&mut stream.call(rate_khz), states) };
                }
                let differences = stream.differences(expected);
                assert!(
                    differences.is_empty(),
                    "{states} states, {width} lanes, {rate_khz} kHz, stream {u}: {differences:?}"
                );
            }
        }
    }
    left
}

#[test]
fn states_and_pulses_are_those_of_libopus() {
    for (wide, width) in widths() {
        for rate_khz in [8, 16] {
            let left = compare_with_libopus(2, wide, width, rate_khz);
            assert!(left < 40 * 12, "{left} are left to libopus");
            assert_eq!(compare_with_libopus(1, wide, width, rate_khz), 0, "every lag is one of an encoder");
        }
    }
}

#[test]
fn what_is_too_large_is_left_as_it_was() {
    for (wide, width) in widths() {
        let mut random = Random::new(3);
        let mut streams: Vec<_> = (0..width).map(|_| Frame::new()).collect();
        streams.iter_mut().for_each(|stream| stream.next(&mut random, 8));
        streams[1].nsq.lpc[15] = i32::MAX - 5;
        streams[2].nsq.last_lag = 3_000;
        streams[2].indices.signal = 0;
        let before = streams.clone();
        let mut calls: Vec<_> = streams.iter_mut().map(|stream| stream.call(8)).collect();
        let pointers: Vec<*mut Quantiser> = calls.iter_mut().map(|call| call as *mut _).collect();
        let unfit = batch(2, wide, 8, &mut Scratch::new(), &pointers);
        assert_eq!(unfit & 0b111, 0b110);
        for u in [1, 2] {
            // What libopus writes before it reads may have changed.
            let (a, b) = (&streams[u].nsq, &before[u].nsq);
            assert!(a.out[..160] == b.out[..160] && a.shaping == b.shaping && a.lpc == b.lpc && a.ar == b.ar);
            assert_eq!((a.lf_ar, a.difference, a.last_gain), (b.lf_ar, b.difference, b.last_gain));
            assert_eq!(streams[u].indices.seed, before[u].indices.seed);
        }
    }
}

#[test]
fn scratch_is_wiped() {
    if !has_avx2() {
        return;
    }
    for states in [1, 2] {
        let mut random = Random::new(5);
        let mut z = Scratch::new();
        let mut streams: Vec<_> = (0..8).map(|_| Frame::new()).collect();
        streams.iter_mut().for_each(|stream| stream.next(&mut random, 8));
        let mut calls: Vec<_> = streams.iter_mut().map(|stream| stream.call(8)).collect();
        let pointers: Vec<*mut Quantiser> = calls.iter_mut().map(|call| call as *mut _).collect();
        batch(states, false, 8, &mut z, &pointers);
        let bytes = |z: &Scratch| {
            // SAFETY: the struct holds numbers only, without padding between.
            unsafe { std::slice::from_raw_parts(std::ptr::from_ref(z).cast::<u8>(), size_of::<Scratch>()) }
                .to_vec()
        };
        assert!(bytes(&z).iter().any(|&byte| byte != 0));
        z.wipe();
        assert!(bytes(&z).iter().all(|&byte| byte == 0));
    }
}
