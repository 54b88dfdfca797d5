//! The hub's thread, and the streams between it and clients.

use super::client::STREAMS;
use super::{Event, HUB_TICK, World};
use crate::clock::{MILLISECOND, Micros};
use crate::host::{Actor, HubCommand, Outlet, Process};
use crate::plan::Op;
use crate::requests;
use drystone_api::etcdserverpb::{ResponseHeader, WatchCancelRequest, WatchResponse};
use drystone_judge::{StreamEnd, StreamEvent, StreamHeard, WatchStream};
use drystone_member::{LazyHistory, watch_create, watch_response};
use drystone_mvcc::Snapshot;
use drystone_watch::WatchId;
use prost::Message as _;
use std::collections::VecDeque;

/// A response on its way, and what the member knew when it left.
#[derive(Debug)]
struct Said {
    response: WatchResponse,
    applied_revision: i64,
    compacted_revision: i64,
}

/// One stream between a client and a member.
#[derive(Debug)]
pub(super) struct Stream {
    client: usize,
    slot: usize,
    member: usize,
    incarnation: u64,
    /// Its place in the history.
    record: usize,
    open: bool,
    /// Pieces on their way, in order, each with when it arrives.
    travelling: VecDeque<(Micros, Vec<Said>)>,
    /// Pieces that arrived and wait to be read.
    arrived: VecDeque<Vec<Said>>,
    reading: bool,
    stalled_until: Micros,
    last_arrival: Micros,
    /// Requests on their way, in order.
    requests: VecDeque<HubCommand>,
    /// When the last of them arrives at the member.
    last_request: Micros,
}

impl World {
    pub(super) fn hub_tick(&mut self, m: usize) {
        let incarnation = self.hosts[m].incarnation;
        self.after(HUB_TICK, Event::HubTick(m, incarnation));
        self.wake(m, Actor::Hub);
    }

    pub(super) fn run_hub(&mut self, m: usize) {
        let clock = self.hosts[m].clock.duration(self.now);
        let revisions = self.knobs.catch_up_revisions;
        let Some(process) = &mut self.hosts[m].process else { return };
        for command in std::mem::take(&mut process.commands) {
            process.take_command(command, clock);
        }
        process.publish();
        process.hub.tick(clock);
        let mut busy = false;
        if process.hub.wants_catch_up() {
            let reader = process.applier.machine().reader();
            let history = LazyHistory::new(|| reader.snapshot());
            match process.hub.catch_up(&history, revisions) {
                Ok(more) => busy = more,
                Err(error) => return self.give_up(m, &format!("a watcher's history: {error}")),
            }
        }
        // Streams that were opened by number are found by it again.
        let ready = process.hub.ready_streams();
        let streams: Vec<usize> = process
            .outlets
            .iter()
            .filter(|(_, outlet)| ready.contains(&outlet.id))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in streams {
            self.pump(m, stream);
        }
        let drained: Vec<usize> = match &mut self.hosts[m].process {
            Some(process) => std::mem::take(&mut process.drained),
            None => return,
        };
        for stream in drained {
            self.pump(m, stream);
        }
        self.judges.bounds.hub(self.now, m, self.hosts[m].process.as_ref(), &self.knobs);
        if busy {
            self.wake(m, Actor::Hub);
        }
    }

    /// Moves a stream's responses on, as far as its client has room.
    fn pump(&mut self, m: usize, stream: usize) {
        let (pieces_max, piece_bytes) = (self.knobs.pieces_max, self.knobs.piece_bytes);
        let member = self.hosts[m].id.0;
        let Some(process) = &mut self.hosts[m].process else { return };
        let Some(outlet) = process.outlets.get_mut(&stream) else { return };
        let snapshot = process.applier.machine().reader().snapshot();
        let header = |revision| {
            Some(ResponseHeader { revision, member_id: member, ..ResponseHeader::default() })
        };
        let mut pieces = Vec::new();
        while process.hub.has_output(outlet.id) && outlet.pieces < pieces_max {
            outlet.pieces += 1;
            let responses = process.hub.drain(outlet.id, piece_bytes);
            pieces.push(responses.into_iter().map(|response| said(response, header, &snapshot)));
        }
        let pieces: Vec<Vec<Said>> = pieces.into_iter().map(Iterator::collect).collect();
        for piece in pieces {
            self.travel(stream, piece);
        }
    }

    /// A piece sets out. Nothing on a stream overtakes; while clients are cut off it waits, as
    /// on a connection that repeats what is lost.
    fn travel(&mut self, stream: usize, piece: Vec<Said>) {
        let member = self.streams[stream].member;
        let span = self.between(self.knobs.client_us);
        let free = self.now.max(self.network.clients_back_at(member));
        let entry = &mut self.streams[stream];
        let at = (free + span).max(entry.last_arrival);
        entry.last_arrival = at;
        entry.travelling.push_back((at, piece));
        self.at(at, Event::Piece(stream, at));
    }

    pub(super) fn piece_arrives(&mut self, stream: usize, at: Micros) {
        let entry = &mut self.streams[stream];
        if !entry.open {
            return;
        }
        if entry.travelling.front().is_some_and(|(due, _)| *due <= at)
            && let Some((_, piece)) = entry.travelling.pop_front()
        {
            entry.arrived.push_back(piece);
        }
        if !std::mem::replace(&mut entry.reading, true) {
            let span = self.reading_span();
            self.after(span, Event::Read(stream));
        }
    }

    /// A stream's client reads one piece.
    pub(super) fn read_stream(&mut self, stream: usize) {
        let at = self.duration();
        let entry = &mut self.streams[stream];
        if !entry.open {
            return;
        }
        if self.now < entry.stalled_until {
            let until = entry.stalled_until;
            self.at(until, Event::Read(stream));
            return;
        }
        let (client, slot, record) = (entry.client, entry.slot, entry.record);
        let (m, incarnation) = (entry.member, entry.incarnation);
        let Some(piece) = entry.arrived.pop_front() else {
            entry.reading = false;
            return;
        };
        let more = !entry.arrived.is_empty();
        entry.reading = more;
        for Said { response, applied_revision, compacted_revision } in piece {
            let heard = response.events.iter().filter_map(|event| event.kv.as_ref());
            let newest = heard.map(|kv| kv.mod_revision).max().unwrap_or(0);
            let revision = response.header.as_ref().map_or(0, |header| header.revision);
            let state = &mut self.clients[client];
            state.seen.revision = state.seen.revision.max(revision);
            state.heard[slot] = state.heard[slot].max(newest);
            self.counts.watch_responses += 1;
            self.counts.watch_events += response.events.len() as u64;
            self.trace.say(
                self.now,
                format_args!("c{client} hears on stream {stream}: {}", summary(&response)),
            );
            let what = StreamHeard::Response {
                response,
                applied_revision: Some(applied_revision),
                compacted_revision: Some(compacted_revision),
            };
            self.history.streams[record].events.push(StreamEvent { at, what });
        }
        // The piece is out of the way; the hub hears so when all are.
        let host = &mut self.hosts[m];
        if host.incarnation == incarnation
            && let Some(process) = &mut host.process
            && let Some(outlet) = process.outlets.get_mut(&stream)
        {
            outlet.pieces -= 1;
            if outlet.pieces == 0 {
                self.tell_hub(stream, HubCommand::Drained(stream));
            }
        }
        if more {
            let span = self.reading_span();
            self.after(span, Event::Read(stream));
        }
    }

    /// Sends a command from a stream's client to the hub, in order.
    fn tell_hub(&mut self, stream: usize, command: HubCommand) {
        let span = self.between(self.knobs.client_us);
        let entry = &mut self.streams[stream];
        let free = self.now.max(self.network.clients_back_at(entry.member));
        let at = (free + span).max(entry.last_request);
        entry.last_request = at;
        entry.requests.push_back(command);
        let (m, incarnation) = (entry.member, entry.incarnation);
        self.at(at, Event::Command(m, incarnation, stream));
    }

    /// Whichever event comes first brings the first request: a member that was stopped finds
    /// what came meanwhile in order.
    pub(super) fn hub_command(&mut self, m: usize, stream: usize) {
        let Some(command) = self.streams[stream].requests.pop_front() else { return };
        if let Some(process) = &mut self.hosts[m].process {
            process.commands.push_back(command);
            self.wake(m, Actor::Hub);
        }
    }

    /// What a client does on one of its streams.
    pub(super) fn stream_op(&mut self, client: usize, m: usize, op: &Op) {
        let slot = match op {
            Op::Watch { stream, .. }
            | Op::CancelWatch { stream, .. }
            | Op::RequestProgress { stream }
            | Op::CloseStream { stream }
            | Op::StallStream { stream, .. } => usize::from(*stream) % STREAMS,
            _ => return,
        };
        let open = self.clients[client].streams[slot].filter(|stream| self.streams[*stream].open);
        let stream = match (open, op) {
            (Some(stream), _) => stream,
            (None, Op::Watch { .. }) => match self.open_stream(client, slot, m) {
                Some(stream) => stream,
                None => return,
            },
            (None, _) => return,
        };
        let at = self.duration();
        let seen = self.seen_on(client, slot);
        let record = self.streams[stream].record;
        let (what, command) = match op {
            Op::Watch { watch, .. } => {
                if Self::resumes(op) {
                    drystone_probe::mark!("sim.watch_resumed");
                }
                let create = requests::watch(watch, &seen);
                (StreamHeard::Create(create.clone()), HubCommand::Create(stream, create))
            }
            Op::CancelWatch { watch_id, .. } => {
                let request = WatchCancelRequest { watch_id: *watch_id };
                (StreamHeard::Cancel(request), HubCommand::Cancel(stream, WatchId(*watch_id)))
            }
            Op::RequestProgress { .. } => (StreamHeard::Progress, HubCommand::Progress(stream)),
            Op::CloseStream { .. } => {
                self.tell_hub(stream, HubCommand::Close(stream));
                return self.cut_stream(stream);
            }
            Op::StallStream { ms, .. } => {
                self.streams[stream].stalled_until = self.now + ms * MILLISECOND;
                return;
            }
            _ => return,
        };
        self.counts.watch_requests += 1;
        self.trace.say(self.now, format_args!("c{client} on stream {stream}: {what:?}"));
        self.history.streams[record].events.push(StreamEvent { at, what });
        self.tell_hub(stream, command);
    }

    fn open_stream(&mut self, client: usize, slot: usize, m: usize) -> Option<usize> {
        let serving = self.hosts[m].process.as_ref().is_some_and(|process| process.serving);
        // A learner serves no watches.
        if !serving || self.is_learner(m) || self.network.is_client_cut(m, self.now) {
            return None;
        }
        let stream = self.streams.len();
        self.streams.push(Stream {
            client,
            slot,
            member: m,
            incarnation: self.hosts[m].incarnation,
            record: self.history.streams.len(),
            open: true,
            travelling: VecDeque::new(),
            arrived: VecDeque::new(),
            reading: false,
            stalled_until: 0,
            last_arrival: 0,
            requests: VecDeque::new(),
            last_request: 0,
        });
        self.history.streams.push(WatchStream {
            member: self.hosts[m].id,
            events: Vec::new(),
            end: StreamEnd::Cut,
        });
        self.clients[client].streams[slot] = Some(stream);
        self.counts.streams += 1;
        self.tell_hub(stream, HubCommand::Open(stream));
        Some(stream)
    }

    /// A stream ends for its client: nothing more arrives.
    fn cut_stream(&mut self, stream: usize) {
        let entry = &mut self.streams[stream];
        entry.open = false;
        entry.travelling.clear();
        entry.arrived.clear();
    }

    /// All streams of a member that died end.
    pub(super) fn streams_cut(&mut self, m: usize) {
        for stream in 0..self.streams.len() {
            if self.streams[stream].member == m {
                self.cut_stream(stream);
            }
        }
    }

    /// Clients read again, whatever held them up.
    pub(super) fn unstall_streams(&mut self) {
        for stream in 0..self.streams.len() {
            let stalled = std::mem::take(&mut self.streams[stream].stalled_until) > self.now;
            if stalled && self.streams[stream].reading {
                self.after(1, Event::Read(stream));
            }
        }
    }

    /// Open streams on which events are on their way.
    pub(super) fn events_travel(&self) -> usize {
        self.streams.iter().filter(|stream| stream.open && stream.brings_events()).count()
    }

    /// How long a client takes over a piece; at the end of a run nobody dawdles.
    fn reading_span(&mut self) -> Micros {
        let span = self.between(self.knobs.read_us);
        if self.settle.has_begun() { span.min(MILLISECOND) } else { span }
    }

    /// Marks the streams that are open at the end: they must have heard everything.
    pub(super) fn drain_streams(&mut self) {
        for stream in &self.streams {
            if stream.open && !stream.brings_events() {
                self.history.streams[stream.record].end = StreamEnd::Drained;
            }
        }
    }
}

impl Stream {
    fn brings_events(&self) -> bool {
        let travelling = self.travelling.iter().map(|(_, piece)| piece);
        let mut pieces = travelling.chain(&self.arrived).flatten();
        pieces.any(|said| !said.response.events.is_empty())
    }
}

impl Process {
    fn publish(&mut self) {
        let fed = self.feed.take();
        let reader = self.applier.machine().reader();
        fed.publish(&mut self.hub, &LazyHistory::new(|| reader.snapshot()));
    }

    fn take_command(&mut self, command: HubCommand, clock: std::time::Duration) {
        let id = |process: &Self, stream: usize| process.outlets.get(&stream).map(|o| o.id);
        match command {
            HubCommand::Open(stream) => {
                let id = self.hub.open_stream(clock);
                self.outlets.insert(stream, Outlet { id, pieces: 0 });
            }
            HubCommand::Close(stream) => {
                if let Some(outlet) = self.outlets.remove(&stream) {
                    self.hub.close_stream(outlet.id);
                }
            }
            HubCommand::Create(stream, create) => {
                self.publish();
                if let Some(id) = id(self, stream) {
                    self.hub.create(id, watch_create(create));
                }
            }
            HubCommand::Cancel(stream, watch) => {
                self.publish();
                if let Some(id) = id(self, stream) {
                    self.hub.cancel(id, watch);
                }
            }
            HubCommand::Progress(stream) => {
                self.publish();
                if let Some(id) = id(self, stream) {
                    self.hub.request_progress(id);
                }
            }
            HubCommand::Drained(stream) => self.drained.push(stream),
        }
    }
}

fn said(
    response: drystone_watch::Response,
    header: impl Fn(i64) -> Option<ResponseHeader>,
    snapshot: &Snapshot,
) -> Said {
    let header = header(response.header_revision);
    let encoded = watch_response(response, header).encode_to_vec();
    Said {
        response: WatchResponse::decode(encoded.as_slice()).expect("it has just been encoded"),
        applied_revision: snapshot.revision(),
        compacted_revision: snapshot.compacted(),
    }
}

/// A response in a line.
fn summary(response: &WatchResponse) -> String {
    let revisions: Vec<i64> = response
        .events
        .iter()
        .filter_map(|event| event.kv.as_ref().map(|kv| kv.mod_revision))
        .collect();
    format!(
        "watch {} header {} created {} canceled {} compact {} fragment {} events {revisions:?}",
        response.watch_id,
        response.header.as_ref().map_or(0, |header| header.revision),
        response.created,
        response.canceled,
        response.compact_revision,
        response.fragment,
    )
}
