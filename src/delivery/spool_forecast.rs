//! Forecasts when the spool will be full from its recent growth. In: its size over time. Out: the time left until new
//! calls are refused.

use std::collections::VecDeque;
use std::time::Duration;

use optag_core::clock::MonoTime;

/// Period over which growth is measured.
const WINDOW: Duration = Duration::from_secs(600);
/// Interval between samples.
const STEP: Duration = Duration::from_secs(10);
/// Minimum period for an estimate.
const LEAST: Duration = Duration::from_secs(30);

/// Tracks the spool's size.
#[derive(Debug, Default)]
pub struct SpoolForecast {
    looks: VecDeque<(MonoTime, u64)>,
}

impl SpoolForecast {
    /// Adds a sample: `used` of `refused_at`, at which new calls are refused, in any unit. Returns the time left at
    /// the current rate; `None` if the spool is not growing, or it is too soon to say.
    pub fn look(&mut self, now: MonoTime, used: u64, refused_at: u64) -> Option<Duration> {
        while self.looks.front().is_some_and(|(at, _)| now.since(*at) > WINDOW) {
            self.looks.pop_front();
        }
        if self.looks.back().is_none_or(|(at, _)| now.since(*at) >= STEP) {
            self.looks.push_back((now, used));
        }
        let &(at, before) = self.looks.front()?;
        let (took, grown) = (now.since(at), used.checked_sub(before).filter(|&grown| grown > 0)?);
        if took < LEAST {
            return None;
        }
        let left = refused_at.saturating_sub(used) as f64 * took.as_secs_f64() / grown as f64;
        Some(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> MonoTime {
        MonoTime::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn the_time_left_follows_from_the_growth_of_the_last_minutes() {
        let mut forecast = SpoolForecast::default();
        assert_eq!(forecast.look(at(0), 1_000, 100_000), None);
        assert_eq!(forecast.look(at(10), 2_000, 100_000), None, "too soon to say");
        // 100 bytes per second, 94,000 left.
        assert_eq!(forecast.look(at(50), 6_000, 100_000), Some(Duration::from_secs(940)));
        for minute in 1..=20 {
            forecast.look(at(50 + minute * 60), 6_000, 100_000);
        }
        assert_eq!(forecast.look(at(1_300), 6_000, 100_000), None, "it has stopped growing");
        assert_eq!(forecast.look(at(1_310), 5_000, 100_000), None, "it shrinks");
    }

    #[test]
    fn a_full_spool_has_no_time_left() {
        let mut forecast = SpoolForecast::default();
        forecast.look(at(0), 0, 100);
        assert_eq!(forecast.look(at(60), 120, 100), Some(Duration::ZERO));
    }
}
