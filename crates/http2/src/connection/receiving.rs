//! What came.

use std::time::Duration;

use super::{Connection, GOODBYE, Going};
use crate::event::{Event, Fatal, Nuisance, ResetBy, StreamFault};
use crate::frame::{
    ErrorCode, Frame, Setting, Settings, StreamId, WINDOW_MAX, write_go_away, write_ping,
    write_reset, write_settings_ack,
};
use crate::hpack::Pseudo;
use crate::message::{Malformed, Section};
use crate::priority::Priority;
use crate::streams::Stream;

/// What there is of a `DATA` frame: some of its octets, and what else it takes and tells.
#[derive(Clone, Copy)]
struct Part<'a> {
    data: &'a [u8],
    flow: u32,
    ahead: u32,
    ends: bool,
}

impl Connection {
    /// What happened next in `input`, which moves behind it; `None` where more has to come, and then
    /// `input` is empty. What has to be answered is appended to `out`.
    ///
    /// `now` is the time since some beginning, always the same.
    ///
    /// # Errors
    ///
    /// The connection has to end: `GOAWAY` is in `out`, and nothing more can be read.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Fatal> {
        self.advance(input, now, out).inspect_err(|fatal| {
            self.go_away_at_once(fatal.code(), fatal.to_string().as_bytes(), out);
        })
    }

    fn advance<'a>(
        &mut self,
        input: &mut &'a [u8],
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Fatal> {
        if let Some(stream) = self.next_left_out() {
            self.streams.remove(stream);
            return Ok(Some(Event::Reset { stream, why: ResetBy::GoAway }));
        }
        loop {
            let frame = match self.frames.next(input) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(bad) => {
                    let Some(stream) = bad.stream else { return Err(Fatal::Frame(bad)) };
                    if self.is_unopened(stream) {
                        return Err(Fatal::Frame(bad));
                    }
                    if let Some(why) = self.fault(stream, ResetBy::Frame(bad), now, out)? {
                        return Ok(Some(Event::Reset { stream, why }));
                    }
                    continue;
                }
            };
            if let Some(event) = self.take(frame, now, out)? {
                return Ok(Some(event));
            }
        }
    }

    /// A stream of this end's that the peer, going away, has not seen to.
    fn next_left_out(&self) -> Option<StreamId> {
        let last = self.peer_last?;
        let own = |stream: &&Stream| !self.is_peers(stream.id) && stream.id > last;
        self.streams.iter().find(own).map(|stream| stream.id)
    }

    fn take<'a>(
        &mut self,
        frame: Frame<'a>,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Fatal> {
        match frame {
            Frame::Data { stream, data, flow, ahead, is_frame_end, ends, is_end } => {
                if data.is_empty() && is_frame_end && !is_end {
                    self.empty(now)?;
                }
                let part = Part { data, flow, ahead, ends };
                self.data(stream, part, now, out)
            }
            Frame::Headers { stream, block, is_end } => {
                self.headers(stream, &block, is_end, now, out)
            }
            Frame::Priority { .. } | Frame::Unknown { .. } => self.empty(now).map(|()| None),
            Frame::Reset { stream, code } => self.peer_reset(stream, code, now, out),
            Frame::Settings(settings) => {
                Self::nuisance(&mut self.settings, self.limits.settings, now, Nuisance::Settings)?;
                self.settings(&settings)?;
                write_settings_ack(out);
                Ok(Some(Event::Settings))
            }
            Frame::SettingsAck => {
                self.unacknowledged = self.unacknowledged.checked_sub(1).ok_or(Fatal::StrayAck)?;
                self.settle_windows();
                Ok(None)
            }
            Frame::PushPromise { promised, block, .. } => self.push(promised, &block, out),
            Frame::Ping { data, is_ack: false } => {
                Self::nuisance(&mut self.pings, self.limits.pings, now, Nuisance::Pings)?;
                write_ping(data, true, out);
                Ok(None)
            }
            Frame::Ping { data: GOODBYE, .. } if self.going == Going::Announced => {
                self.going = Going::Gone;
                write_go_away(self.highest, ErrorCode::NoError, b"", out);
                Ok(None)
            }
            Frame::Ping { data, .. } => Ok(Some(Event::Pong { data })),
            Frame::GoAway { last, code, .. } => {
                // A second one may name a lower stream, never a higher one (RFC 9113 6.8).
                let last = self.peer_last.map_or(last, |before| before.min(last));
                self.peer_last = Some(last);
                Ok(Some(Event::GoAway { last, code }))
            }
            Frame::WindowUpdate { stream, increment } => {
                self.window_update(stream, increment, now, out)
            }
            Frame::PriorityUpdate { stream, value } => {
                self.priority_update(stream, &value, now).map(|()| None)
            }
        }
    }

    /// RFC 9218 7.1: how a client prefers a stream, perhaps one that it has yet to open.
    fn priority_update(
        &mut self,
        stream: StreamId,
        value: &[u8],
        now: Duration,
    ) -> Result<(), Fatal> {
        if !self.is_server {
            return Err(Fatal::ServersPriority);
        }
        self.empty(now)?;
        if !self.is_peers(stream) {
            // Nothing is pushed, so that no such stream is ever open.
            return Err(Fatal::IdleStream { stream });
        }
        let priority = Priority::parse(value);
        if let Some(live) = self.streams.get_mut(stream) {
            live.priority = priority;
            return Ok(());
        }
        // What is over has no turn to wait for, and what is opened behind a farewell is not seen to.
        if !self.is_unopened(stream) || self.going == Going::Gone {
            return Ok(());
        }
        let max = self.limits.streams_max;
        if self.streams.prefer_early(stream, priority, max as usize) || !self.is_settled() {
            return Ok(());
        }
        Err(Fatal::TooManyPreferred { max })
    }

    fn update(&mut self, now: Duration) -> Result<(), Fatal> {
        Self::nuisance(&mut self.updates, self.limits.updates, now, Nuisance::Updates)
    }

    fn empty(&mut self, now: Duration) -> Result<(), Fatal> {
        Self::nuisance(&mut self.empties, self.limits.empties, now, Nuisance::Empties)
    }

    /// What is wrong with a frame is told by its first part, so that it is the same however it was cut.
    fn data<'a>(
        &mut self,
        stream: StreamId,
        part: Part<'a>,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Fatal> {
        let Part { data, flow, ahead, ends } = part;
        if self.receive_window < i64::from(flow) + i64::from(ahead) {
            return Err(Fatal::WindowExceeded);
        }
        self.receive_window -= i64::from(flow);
        if self.is_unopened(stream) {
            return Err(Fatal::IdleStream { stream });
        }
        let Some(live) = self.streams.get_mut(stream) else {
            self.frames.pass_over();
            self.receive_window -= i64::from(ahead);
            self.give_back(flow + ahead, out);
            return self.late_data(stream, flow + ahead, ends, now, out).map(|()| None);
        };
        live.receive_window -= i64::from(flow);
        live.unreleased += flow;
        let fault = if live.is_received {
            Some(ResetBy::Fault(StreamFault::Ended))
        } else if !live.has_head {
            Some(ResetBy::Malformed(Malformed::Missing(Pseudo::Status)))
        } else if live.receive_window < i64::from(ahead) {
            Some(ResetBy::Fault(StreamFault::WindowExceeded))
        } else if !live.counts(data.len() as u64, ahead, ends) {
            Some(ResetBy::Malformed(Malformed::WrongLength))
        } else {
            None
        };
        if let Some(why) = fault {
            self.frames.pass_over();
            self.receive_window -= i64::from(ahead);
            live.receive_window -= i64::from(ahead);
            live.unreleased += ahead;
            let why = self.fault(stream, why, now, out)?;
            return Ok(why.map(|why| Event::Reset { stream, why }));
        }
        let is_end = ends && ahead == 0;
        live.is_received = is_end;
        let is_dropped = live.is_dropped;
        // Padding, and what nobody looks at, is dealt with at once.
        let done = if is_dropped { flow as usize } else { flow as usize - data.len() };
        if done > 0 {
            self.release(stream, done, out);
        }
        if is_end {
            self.remove_if_over(stream, out);
        }
        let is_news = !is_dropped && (is_end || !data.is_empty());
        Ok(is_news.then_some(Event::Data { stream, data, is_end }))
    }

    /// A part of a body came for a stream that is over. What was under way when this end reset it is
    /// passed over, which is no more than its window had room for.
    fn late_data(
        &mut self,
        stream: StreamId,
        flow: u32,
        is_end: bool,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<(), Fatal> {
        match self.streams.take_late_data(stream, flow) {
            Some(true) if is_end => {
                self.streams.forget(stream);
            }
            Some(true) => (),
            Some(false) => return Err(Fatal::WindowExceeded),
            None => {
                self.fault(stream, ResetBy::Fault(StreamFault::Ended), now, out)?;
            }
        }
        Ok(())
    }

    fn headers<'a>(
        &mut self,
        stream: StreamId,
        block: &[u8],
        is_end: bool,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Fatal> {
        // Whatever becomes of it, it has to be read: the table is common to all streams.
        let mut section = Section::default();
        let list_max = self.limits.list_max;
        self.decoder.decode(block, |field| section.take(field, list_max)).map_err(Fatal::Hpack)?;
        if self.streams.get(stream).is_some() {
            return self.more_headers(stream, section, is_end, now, out);
        }
        if !self.is_peers(stream) {
            if self.is_unopened(stream) {
                return Err(Fatal::IdleStream { stream });
            }
        } else if stream > self.highest {
            return self.request(stream, section, is_end, now, out);
        }
        if !self.streams.take_late_section(stream) {
            return Err(Fatal::StreamClosed { stream });
        }
        if is_end {
            self.streams.forget(stream);
        }
        Ok(None)
    }

    /// A client opens a stream.
    fn request<'a>(
        &mut self,
        stream: StreamId,
        section: Section,
        is_end: bool,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Fatal> {
        if !self.is_server {
            return Err(Fatal::WrongParity { stream });
        }
        self.highest = stream;
        let early = self.streams.take_early(stream);
        // Named as not seen to; it may not have heard yet (RFC 9113 6.8).
        let is_left_out = self.going == Going::Gone;
        if is_left_out || self.streams.len() >= self.limits.streams_max as usize {
            Self::nuisance(&mut self.faults, self.limits.faults, now, Nuisance::Faults)?;
            if !is_left_out {
                write_reset(stream, ErrorCode::RefusedStream, out);
            }
            if !is_end {
                self.remember_unknown(stream);
            }
            return Ok(None);
        }
        let mut live = self.new_stream(stream);
        live.has_head = true;
        live.is_received = is_end;
        let has_connect = self.limits.has_connect;
        let early = early.or_else(|| section.priority());
        match section.into_request() {
            // RFC 8441 3: clients use it only where they were told that they may.
            Ok(head) if head.protocol.is_some() && !has_connect => {
                let why = Malformed::Misplaced(Pseudo::Protocol);
                self.fault(stream, ResetBy::Malformed(why), now, out)?;
            }
            Ok(head) => {
                live.left = head.length;
                // RFC 9218 7: what was said by itself is applied to the stream once it is open.
                live.priority = early.unwrap_or_default();
                let fits = !is_end || live.counts(0, 0, true);
                self.streams.add(live);
                if fits {
                    return Ok(Some(Event::Request { stream, head: Box::new(head), is_end }));
                }
                self.fault(stream, ResetBy::Malformed(Malformed::WrongLength), now, out)?;
            }
            Err(Malformed::TooLarge { .. }) => {
                live.is_dropped = true;
                self.streams.add(live);
                return Ok(Some(Event::TooLarge { stream }));
            }
            // Nobody was told of it, so nobody has to be told of its end.
            Err(why) => {
                self.fault(stream, ResetBy::Malformed(why), now, out)?;
            }
        }
        if is_end {
            self.streams.forget(stream);
        }
        Ok(None)
    }

    /// Fields on a stream that is open: an answer, or trailers.
    fn more_headers<'a>(
        &mut self,
        stream: StreamId,
        section: Section,
        is_end: bool,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Fatal> {
        let Some(live) = self.streams.get_mut(stream) else { return Ok(None) };
        let (is_dropped, has_head) = (live.is_dropped, live.has_head);
        let outcome = if live.is_received {
            Err(ResetBy::Fault(StreamFault::Ended))
        } else if has_head {
            trailers(live, section, is_end).map(|fields| Event::Trailers { stream, fields })
        } else {
            response(live, section, is_end).map(|head| Event::Response {
                stream,
                head: Box::new(head),
                is_end,
            })
        };
        match outcome {
            Ok(event) => {
                if is_end {
                    self.remove_if_over(stream, out);
                }
                Ok((!is_dropped).then_some(event))
            }
            Err(why) => {
                let why = self.fault(stream, why, now, out)?;
                Ok(why.filter(|_| !is_dropped).map(|why| Event::Reset { stream, why }))
            }
        }
    }

    fn peer_reset<'a>(
        &mut self,
        stream: StreamId,
        code: ErrorCode,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Fatal> {
        if self.is_unopened(stream) {
            return Err(Fatal::IdleStream { stream });
        }
        // Counted also where the stream is over: those that are taken back at once cost as much.
        if self.is_server {
            Self::nuisance(&mut self.resets, self.limits.resets, now, Nuisance::Resets)?;
        }
        let Some(ended) = self.streams.remove(stream) else {
            // A server says so once of each stream that it ended before the client had.
            if !self.streams.forget(stream) && !self.is_server {
                self.update(now)?;
            }
            return Ok(None);
        };
        self.give_back(ended.unreleased, out);
        // What the peer sent behind it, against the rule, is its fault; this end's frames that are
        // on their way are nobody's.
        let why = ResetBy::Peer(code);
        Ok((!ended.is_dropped).then_some(Event::Reset { stream, why }))
    }

    fn settings(&mut self, settings: &Settings) -> Result<(), Fatal> {
        let peer = &mut self.peer;
        peer.has_spoken = true;
        if let Some(max) = settings.get(Setting::HeaderTableSize) {
            self.encoder.set_table_max(max as usize);
        }
        if let Some(max) = settings.get(Setting::MaxConcurrentStreams) {
            peer.streams_max = max;
        }
        if let Some(max) = settings.get(Setting::MaxFrameSize) {
            peer.frame_max = max;
        }
        if let Some(max) = settings.get(Setting::MaxHeaderListSize) {
            peer.list_max = Some(max);
        }
        if let Some(value) = settings.get(Setting::NoRfc7540Priorities) {
            peer.has_priorities = value == 1;
        }
        // RFC 9113 6.5.2: a server that asks for pushes breaks a rule.
        if settings.get(Setting::EnablePush) == Some(1) && !self.is_server {
            return Err(Fatal::Pushed);
        }
        match settings.get(Setting::EnableConnectProtocol) {
            // RFC 8441 3: what was allowed is not taken back.
            Some(0) if peer.has_connect => return Err(Fatal::SettingTakenBack),
            Some(value) => peer.has_connect = value == 1,
            None => (),
        }
        if let Some(window) = settings.get(Setting::InitialWindowSize) {
            let more = i64::from(window) - i64::from(peer.window);
            peer.window = window;
            for stream in self.streams.iter_mut() {
                stream.send_window += more;
                if stream.send_window > i64::from(WINDOW_MAX) {
                    return Err(Fatal::WindowTooLarge);
                }
            }
        }
        Ok(())
    }

    /// RFC 9113 8.4: what was pushed before the server heard that it may not is refused.
    fn push<'a>(
        &mut self,
        promised: StreamId,
        block: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Fatal> {
        if self.is_server || self.unacknowledged == 0 {
            return Err(Fatal::Pushed);
        }
        if !self.is_peers(promised) || promised <= self.highest {
            return Err(Fatal::WrongParity { stream: promised });
        }
        self.decoder.decode(block, drop).map_err(Fatal::Hpack)?;
        self.highest = promised;
        write_reset(promised, ErrorCode::RefusedStream, out);
        self.remember_unknown(promised);
        Ok(None)
    }

    fn window_update<'a>(
        &mut self,
        stream: StreamId,
        increment: u32,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, Fatal> {
        self.update(now)?;
        if stream == 0 {
            self.send_window += i64::from(increment);
            if self.send_window > i64::from(WINDOW_MAX) {
                return Err(Fatal::WindowTooLarge);
            }
            return Ok(Some(Event::Writable));
        }
        if self.is_unopened(stream) {
            return Err(Fatal::IdleStream { stream });
        }
        let Some(live) = self.streams.get_mut(stream) else { return Ok(None) };
        live.send_window += i64::from(increment);
        if live.send_window > i64::from(WINDOW_MAX) {
            let is_dropped = live.is_dropped;
            let why = ResetBy::Fault(StreamFault::WindowTooLarge);
            let why = self.fault(stream, why, now, out)?;
            return Ok(why.filter(|_| !is_dropped).map(|why| Event::Reset { stream, why }));
        }
        Ok(Some(Event::Writable))
    }
}

/// Takes the fields of a stream whose message has begun.
fn trailers(live: &mut Stream, section: Section, is_end: bool) -> Result<http::HeaderMap, ResetBy> {
    // RFC 9113 8.1: fields behind the body have to end it.
    if !is_end {
        return Err(ResetBy::Malformed(Malformed::UnfinishedTrailers));
    }
    live.is_received = true;
    if !live.counts(0, 0, true) {
        return Err(ResetBy::Malformed(Malformed::WrongLength));
    }
    if live.is_dropped {
        return Ok(http::HeaderMap::new());
    }
    section.into_trailers().map_err(ResetBy::Malformed)
}

/// Takes an answer's head, or that of an interim one.
fn response(
    live: &mut Stream,
    section: Section,
    is_end: bool,
) -> Result<crate::message::ResponseHead, ResetBy> {
    let head = section.into_response().map_err(ResetBy::Malformed)?;
    if head.status.is_informational() {
        return if is_end { Err(ResetBy::Malformed(Malformed::InterimEnd)) } else { Ok(head) };
    }
    live.has_head = true;
    live.is_received = is_end;
    let has_body = !live.is_bodiless && !matches!(head.status.as_u16(), 204 | 304);
    live.left = if has_body { head.length } else { Some(0) };
    if is_end && !live.counts(0, 0, true) {
        return Err(ResetBy::Malformed(Malformed::WrongLength));
    }
    Ok(head)
}

impl Stream {
    /// Counts a part of a body against the length that was announced; whether it fits.
    fn counts(&mut self, len: u64, ahead: u32, ends: bool) -> bool {
        let Some(left) = self.left else { return true };
        let Some(after) = left.checked_sub(len + u64::from(ahead)) else { return false };
        self.left = Some(left - len);
        after == 0 || !ends
    }
}
