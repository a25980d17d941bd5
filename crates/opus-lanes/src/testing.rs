//! What the kernels' tests share.

/// Numbers as random as tests need them.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) as u32
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i32, high: i32) -> i32 {
        low + (u64::from(self.next()) % (i64::from(high) - i64::from(low) + 1) as u64) as i32
    }

    /// From -1 to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(self.next()) / f64::from(u32::MAX) * 2.0 - 1.0
    }
}

/// Whether the kernels run here; says so where they do not.
pub(crate) fn has_avx2() -> bool {
    let has = crate::Path::available().contains(&crate::Path::Avx2);
    if !has {
        println!("skipped: the processor has no AVX2");
    }
    has
}
