//! Both legs of a call, played from memory to the end.

use std::time::{Duration, Instant};

use super::chain::Player;

/// Plays both legs through a call, tick by tick; how long that took.
pub(crate) fn play(legs: &[Vec<Vec<u8>>; 2]) -> Duration {
    let mut player = Player::new(true);
    let started = Instant::now();
    let frames = legs[0].len().min(legs[1].len());
    for tick in 0..frames / 5 + 3 {
        for (stream, packets) in legs.iter().enumerate() {
            for (n, packet) in packets.iter().enumerate().skip(tick * 5).take(5) {
                player.hand(stream, n, packet);
            }
        }
        player.tick(tick);
    }
    let took = started.elapsed();
    let stats = player.stats;
    assert!(stats.frames_coded + stats.frames_repeated >= (frames * 2) as u64, "{stats:?}");
    took
}
