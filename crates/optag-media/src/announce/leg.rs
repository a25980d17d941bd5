//! One leg: a player, and a listener that keeps nothing. In: datagrams, the tick. Out: packets and events.

use std::net::SocketAddr;

use aws_lc_rs::rand;

use crate::announce::player::Player;
use crate::announce::{AnnounceEvent, LegPlan};
use crate::dtmf::tone_listener::ToneSettings;
use crate::net::port_pool::StreamSockets;
use crate::rtp::rtcp::feedback::Port;
use crate::rtp::rtcp::{Reports, cname};
use crate::stats::TickStats;
use crate::stream::plan::StreamPlan;
use crate::stream::{Permit, Stream};
use optag_core::call::StreamRole;
use optag_core::clock::{Clock, MonoTime};

/// Keys are heard, and nothing is kept.
const LISTEN: Permit = Permit { keep: false, listen: true };
/// Ticks for one reading of the RTCP port.
const RTCP_EVERY: u8 = 5;

/// A caller's leg.
pub(super) struct Leg {
    player: Player,
    stream: Stream,
    sockets: StreamSockets,
    to: SocketAddr,
    to_sender: bool,
    heard: bool,
    until_rtcp: u8,
    lost: u32,
}

impl Leg {
    /// A leg of this plan. Panics: never; without random numbers its names are the same as another's, which
    /// costs at most its reports.
    pub(super) fn new(plan: LegPlan, tones: ToneSettings) -> Self {
        let LegPlan { media, to, to_sender, payload_type, codec, key, sockets } = plan;
        let mut chance = [0; 26];
        let _ = rand::fill(&mut chance);
        let (own, call) = chance.split_at(10);
        let mut first = [0; 10];
        first.copy_from_slice(own);
        let player = Player::new(codec, payload_type, key.as_ref(), first);
        let plan = StreamPlan { role: StreamRole::Caller, withheld: false, media };
        let mut stream = Stream::new(plan, tones, Reports::new(cname(call), 0));
        stream.sends(player.ssrc());
        if let Some(sender) = sockets.last_sender() {
            stream.reject_stale(sender);
        }
        Self { player, stream, sockets, to, to_sender, heard: false, until_rtcp: RTCP_EVERY, lost: 0 }
    }

    /// What to play from now on.
    pub(super) fn player(&mut self) -> &mut Player {
        &mut self.player
    }

    /// One tick: hears what has arrived, sends the next packet.
    pub(super) fn tick(
        &mut self,
        clock: &dyn Clock,
        now: MonoTime,
        stats: &mut TickStats,
        mut tell: impl FnMut(AnnounceEvent),
    ) {
        let Self { stream, sockets, .. } = self;
        stats.kernel_dropped += sockets.rtp.read(clock, |arrival, from, datagram| {
            stream.handle(arrival, from, datagram, LISTEN, stats);
        });
        self.until_rtcp -= 1;
        if self.until_rtcp == 0 {
            self.until_rtcp = RTCP_EVERY;
            if let Some(socket) = &mut sockets.rtcp {
                socket.read(clock, |arrival, from, datagram| {
                    stream.handle_rtcp(arrival, (Port::Rtcp, from), datagram, stats);
                });
            }
        }
        sockets.sent_by(stream.sender());
        if !self.heard && stream.counts().received > 0 {
            self.heard = true;
            tell(AnnounceEvent::Heard);
        }
        if let Some(loss) = stream.take_own_loss().filter(|loss| loss.lost > self.lost) {
            self.lost = loss.lost;
            tell(AnnounceEvent::Lost { packets: loss.lost });
        }
        while let Some(press) = stream.take_press() {
            tell(AnnounceEvent::Key(press));
        }
        let sender = stream.sender().filter(|_| self.to_sender).map(|(address, _)| address);
        let (bytes, ended) = self.player.next();
        if let Some(bytes) = bytes {
            sockets.rtp.send(sender.unwrap_or(self.to), bytes);
        }
        if let Some(clip) = ended {
            tell(AnnounceEvent::Played { clip });
        }
        stream.report(now, stats, &mut |report| sockets.send(report.port, report.to, report.bytes));
    }
}
