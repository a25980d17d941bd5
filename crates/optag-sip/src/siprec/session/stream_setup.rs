//! What the engine knows of a stream from signalling; kept to send it only what changes.

use crate::feed::{EventFormat, ExpectedSource, NewStream, PayloadFormat, RtcpPlan, SrtpPlan};

/// Payload formats, telephone events, comfort-noise payload types, expected source, SRTP and RTCP.
pub type StreamSetup =
    (Vec<PayloadFormat>, Vec<EventFormat>, Vec<u8>, ExpectedSource, Option<SrtpPlan>, RtcpPlan);

/// The setup of a stream as it is asked for.
pub(super) fn setup_of(stream: NewStream) -> StreamSetup {
    let NewStream { formats, telephone_event, comfort_noise, source, srtp, rtcp, .. } = stream;
    (formats, telephone_event, comfort_noise, source, srtp, rtcp)
}
