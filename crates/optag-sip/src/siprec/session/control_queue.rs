//! The controls of one session on their way to the feed: one in flight, the others waiting.
//!
//! In: controls that the session wants, completions. Out: the next control to carry out.
//! Queue: bounded; a newer control supersedes an older one of its kind, and a full queue drops
//! the oldest description first. Not here: which controls a session wants (`session`).

use std::collections::VecDeque;

use crate::feed::{Control, NewStream, StreamMedia};

/// Controls that may wait for the one in flight. Beyond it, the oldest description is dropped.
pub(crate) const WAITING: usize = 32;

/// The kind of the control in flight, where its completion matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::siprec) enum InFlight {
    AddStream,
    Transfer,
    Other,
}

/// The controls of one session.
#[derive(Debug, Default)]
pub(in crate::siprec) struct ControlQueue {
    waiting: VecDeque<Control>,
    in_flight: Option<InFlight>,
    /// Lines whose streams are being added, in the order of their controls.
    adding: VecDeque<(usize, StreamMedia)>,
    closed: bool,
}

impl ControlQueue {
    /// Queues a control and drops those that it supersedes. A client that sends faster than the
    /// feed works loses descriptions, never a pause, a transfer or an answer.
    pub(crate) fn push(&mut self, control: Control) {
        let superseded = |waiting: &Control| match (&control, waiting) {
            (Control::Pause | Control::Resume, Control::Pause | Control::Resume) => true,
            (Control::Renegotiate { stream, .. }, Control::Renegotiate { stream: old, .. }) => stream == old,
            (Control::DropStream { stream }, Control::DropStream { stream: old }) => stream == old,
            // Only the last department counts.
            (Control::Transfer { .. }, Control::Transfer { .. }) => true,
            // A call that is admitted after its session was ended is ended once.
            (Control::End, Control::End) => true,
            _ => false,
        };
        self.waiting.retain(|waiting| !superseded(waiting));
        if self.waiting.len() >= WAITING {
            let describes = |control: &Control| matches!(control, Control::Describe(_));
            if let Some(oldest) = self.waiting.iter().position(describes) {
                self.waiting.remove(oldest);
            }
        }
        let needed = matches!(
            control,
            Control::Pause
                | Control::Resume
                | Control::Transfer { .. }
                | Control::Withdraw { .. }
                | Control::Answer { .. }
                | Control::AddStream(_)
                | Control::End
        );
        if needed || self.waiting.len() < WAITING * 4 {
            self.waiting.push_back(control);
        }
    }

    /// Queues the addition of a stream for the m= line at this index.
    pub(crate) fn add_stream(&mut self, line: usize, stream: NewStream) {
        self.adding.push_back((line, stream.media.clone()));
        self.push(Control::AddStream(Box::new(stream)));
    }

    /// The next control, which is then in flight; `None` while another one is.
    pub(crate) fn next(&mut self) -> Option<Control> {
        if self.in_flight.is_some() || self.closed {
            return None;
        }
        let control = self.waiting.pop_front()?;
        self.in_flight = Some(match control {
            Control::AddStream(_) => InFlight::AddStream,
            Control::Transfer { .. } => InFlight::Transfer,
            _ => InFlight::Other,
        });
        Some(control)
    }

    /// Takes the control in flight off the queue: the feed has carried it out or refused it.
    pub(crate) fn finish(&mut self) -> Option<InFlight> {
        self.in_flight.take()
    }

    /// The line of the stream, and what it carries, whose addition has finished.
    pub(crate) fn finish_stream(&mut self) -> Option<(usize, StreamMedia)> {
        self.adding.pop_front()
    }

    /// Streams that were asked for and have no port yet.
    pub(crate) fn streams_pending(&self) -> usize {
        self.adding.len()
    }

    /// Whether no transfer is waiting or in flight.
    pub(crate) fn transfers_done(&self) -> bool {
        self.in_flight != Some(InFlight::Transfer)
            && !self.waiting.iter().any(|control| matches!(control, Control::Transfer { .. }))
    }

    /// The feed no longer has the call: nothing more is handed out.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether nothing is in flight, and nothing waits that could still be handed out.
    pub(crate) fn is_idle(&self, has_call: bool) -> bool {
        self.in_flight.is_none() && (self.waiting.is_empty() || !has_call || self.closed)
    }
}
