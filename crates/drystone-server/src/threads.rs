//! The member's own threads: consensus, log, applying, flushing. They meet at channels that
//! carry batches.
//!
//! The channels towards the log and the apply thread have no bound of their own, because what
//! can be in them has: raft hands out no more entries than `uncommitted_bytes_max` and
//! `unapplied_bytes_max` allow, and refuses proposals beyond. Progress comes back through
//! counters, so no thread ever waits for one that waits for it.

use crate::access::Authority;
use crate::changes::Changes;
use crate::hub::HubHandle;
use crate::metrics::Batch;
use crate::shared::{ApplyInput, Input, ReadToken, Shared, View};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::LeaseLeasesRequest;
use drystone_api::etcdserverpb::alarm_request::AlarmAction;
use drystone_machine::quota::Room;
use drystone_machine::{Alarm, Answer, Call, MachineError, TokenChange};
use drystone_member::{
    Append, Applier, Done, Effects, Leadership, LogWriter, Node, Persisted, Work,
};
use drystone_raft::{LeadError, ProposeError, SnapshotMeta};
use drystone_types::{Entry, LogIndex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Inputs that one round of the member's thread takes in.
const ROUND_INPUTS_MAX: usize = 4_096;
/// Bytes of proposals after which a round takes in no more, and bytes of entries that one sync
/// of the log makes durable, as far as single inputs allow: a disk that is slow must be seen to
/// move, or the leader gives up for a disk that hangs.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Entries that are applied in one batch, so that applying is seen to move.
const APPLY_ENTRIES_MAX: usize = 4_096;
/// Proposals that wait for a leader.
const PARKED_MAX: usize = 4_096;
/// How often the apply thread looks at its clock: leases, compaction.
const APPLY_TICK: Duration = Duration::from_millis(100);
/// How often the leader looks for leases that ran out. Often and a few at a time: ends of leases
/// come between clients' writes, not in heaps before them (etcd: 500 every 500 ms).
const LEASE_TICK: Duration = Duration::from_millis(100);
/// Bytes of the next segment that an idle log lays out at a time.
const TEND_BYTES: u64 = 4 << 20;
/// How long an idle log waits before it lays out more.
const TEND_PAUSE: Duration = Duration::from_millis(20);
/// How long the log is idle before it vouches for its last batch.
const ATTEST_PAUSE: Duration = Duration::from_millis(100);
/// How long the apply thread waits between two looks at whether the log names a snapshot yet.
const INSTALL_PAUSE: Duration = Duration::from_millis(1);

/// Ends the process: what this member holds is no longer known. Nothing is answered any more,
/// and a restart goes on from what is durable.
pub(crate) fn fatal(what: &str, error: &dyn std::error::Error) -> ! {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    tracing::error!(level = "fatal", error = %text, "{what}; the member stops");
    crate::logging::flush();
    std::process::exit(1);
}

/// What the log's thread takes in.
#[derive(Debug)]
pub(crate) enum LogInput {
    Append(Append),
    Compact(LogIndex),
}

/// The member's thread.
pub(crate) struct MemberThread {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: Node<ReadToken>,
    pub(crate) inbox: Receiver<Input>,
    pub(crate) log: Sender<LogInput>,
    pub(crate) parked: VecDeque<(u64, bytes::Bytes)>,
    pub(crate) changes: Changes,
}

impl MemberThread {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let tick = self.shared.config.heartbeat_interval;
        let mut next_tick = Instant::now() + tick;
        let mut persisted = 0;
        let mut applied = 0;
        let mut proposals = Vec::new();
        let mut started = !self.shared.config.initial_election_tick_advance;
        self.carry_out();
        loop {
            let mut bytes = 0;
            match self.inbox.recv_deadline(next_tick) {
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(input) => bytes += self.take(input, &mut proposals),
                Err(RecvTimeoutError::Timeout) => {}
            }
            for _ in 1..ROUND_INPUTS_MAX {
                if bytes >= BATCH_BYTES_MAX {
                    break;
                }
                match self.inbox.try_recv() {
                    Ok(Input::Stop) => return,
                    Ok(input) => bytes += self.take(input, &mut proposals),
                    Err(_) => break,
                }
            }
            self.propose(&mut proposals);
            self.changes.propose(&self.shared, &mut self.node);
            let number = self.shared.status.persisted.load(Ordering::Acquire);
            if number > persisted {
                persisted = number;
                self.node.persisted(number);
            }
            let index = self.shared.status.applied.load(Ordering::Acquire);
            if index > applied {
                applied = index;
                self.node.applied(LogIndex(index));
            }
            let now = Instant::now();
            if now >= next_tick {
                let leads = self.shared.status.is_leader.load(Ordering::Acquire);
                if leads && now > next_tick + tick {
                    self.shared.metrics.late_ticks.increment(1);
                }
                // A member that is set aside neither leads nor calls elections.
                if self.shared.aside.get().is_none() {
                    self.node.tick();
                }
                self.node.flushed(LogIndex(self.shared.status.flushed.load(Ordering::Acquire)));
                // A thread that was held up does not make up for it with a burst of ticks:
                // time that nobody saw is no reason to call an election.
                next_tick = (next_tick + tick).max(now);
            }
            started = started || self.node.campaign_alone();
            self.carry_out();
        }
    }

    /// Takes one input in; returns the bytes of what it proposes.
    fn take(&mut self, input: Input, proposals: &mut Vec<(u64, bytes::Bytes)>) -> usize {
        match input {
            Input::Propose { id, data } => {
                let bytes = data.len();
                proposals.push((id, data));
                return bytes;
            }
            Input::Lead(command) => {
                if let Err(error) = self.node.propose_as_leader(command) {
                    tracing::debug!(%error, "a leader's command was not proposed");
                }
            }
            Input::Read(token) => {
                if let Err(token) = self.node.read(token) {
                    let _ = token.send(Err(EtcdError::RequestTooManyRequests));
                }
            }
            Input::Peer(message) => {
                let from = message.from;
                if let Err(error) = self.node.receive(message) {
                    tracing::warn!(%from, %error, "refused a message of a peer");
                }
            }
            Input::Unreachable(id) => self.node.unreachable(id),
            Input::SnapshotSent(id, delivered) => self.node.snapshot_sent(id, delivered),
            Input::SnapshotReady(to, meta) => {
                if let Err(error) = self.node.snapshot_ready(to, meta) {
                    tracing::info!(%to, %error, "a snapshot came too late");
                }
            }
            Input::SnapshotFailed(to) => self.node.snapshot_failed(to),
            Input::Change { id, change } => self.changes.take(&self.shared, id, change),
            Input::Membership(index, change, waiter) => {
                if let Err(error) = self.node.membership_changed(index, &change) {
                    tracing::error!(%error, "a change of membership could not be carried out");
                }
                if let Some(waiter) = waiter {
                    let _ = waiter.send(Ok(Answer::Empty));
                }
            }
            Input::CheckLearner(id, reply) => {
                let _ = reply.send(self.node.check_learner(id));
            }
            Input::Transfer(to, reply) => {
                let begun = self.node.transfer_leader(to).map_err(|error| match error {
                    LeadError::NotVoter(_) => EtcdError::BadLeaderTransferee,
                    _ => EtcdError::NotLeader,
                });
                let _ = reply.send(begun);
            }
            Input::TakeOver(done) => {
                self.node.ask_for_leadership();
                let _ = done.send(());
            }
            Input::HandOver(done) => {
                if let Some(to) = self.node.hand_over() {
                    tracing::info!(%to, "handing leadership over");
                }
                let _ = done.send(());
            }
            Input::Wake | Input::Stop => {}
        }
        0
    }

    /// Proposes what this round gathered, together if raft takes it together.
    fn propose(&mut self, proposals: &mut Vec<(u64, bytes::Bytes)>) {
        if proposals.is_empty() {
            return;
        }
        let batch = proposals.iter().map(|(_, data)| data.clone()).collect();
        if self.node.propose_batch(batch).is_ok() {
            proposals.clear();
            return;
        }
        for (id, data) in proposals.drain(..) {
            if let Err(error) = self.node.propose(data.clone()) {
                self.not_proposed(id, data, &error);
            }
        }
    }

    fn not_proposed(&mut self, id: u64, data: bytes::Bytes, error: &ProposeError) {
        let refusal = match error {
            // It waits for a leader, as long as its caller does.
            ProposeError::NoLeader if self.parked.len() < PARKED_MAX => {
                self.parked.push_back((id, data));
                return;
            }
            ProposeError::NoLeader | ProposeError::Full => EtcdError::RequestTooManyRequests,
            ProposeError::TooLarge { .. } => EtcdError::RequestTooLarge,
            _ => EtcdError::ProposalDropped,
        };
        self.shared.answer(id, Err(refusal));
    }

    /// Carries out everything that follows from the inputs.
    fn carry_out(&mut self) {
        let effects: Effects<ReadToken> = self.node.effects();
        if let Some(leadership) = effects.leadership {
            self.note_leadership(leadership);
        }
        self.shared.status.committed.store(self.node.committed().0, Ordering::Release);
        self.send(effects.send);
        for append in effects.append {
            // The log's thread outlives this one.
            let _ = self.log.send(LogInput::Append(append));
        }
        if !effects.apply.is_empty() {
            self.apply(ApplyInput::Work(effects.apply));
        }
        let applied = LogIndex(self.shared.status.applied.load(Ordering::Acquire));
        for (index, tokens) in effects.reads {
            if index <= applied {
                release(tokens);
            } else {
                self.apply(ApplyInput::Reads(index, tokens));
            }
        }
        for token in effects.interrupted {
            let _ = token.send(Err(EtcdError::LeaderChanged));
        }
        for to in effects.snapshots_wanted {
            self.apply(ApplyInput::Snapshot(to));
        }
        if let Some(upto) = effects.compact_log {
            let _ = self.log.send(LogInput::Compact(upto));
        }
    }

    fn note_leadership(&mut self, leadership: Leadership) {
        let status = &self.shared.status;
        let leader = leadership.leader.0;
        if status.leader.swap(leader, Ordering::AcqRel) != leader {
            tracing::info!(leader = %leadership.leader, term = %leadership.term, "leader changed");
            if leader != 0 {
                self.shared.metrics.leader_changes.increment(1);
            }
        }
        status.term.store(leadership.term.0, Ordering::Release);
        status.is_leader.store(leadership.is_leader, Ordering::Release);
        self.apply(ApplyInput::Lead(leadership));
        if leader != 0 && !self.parked.is_empty() {
            let mut waiting: Vec<_> = self
                .parked
                .drain(..)
                .filter(|(id, _)| *id == 0 || self.shared.waiters.contains_key(id))
                .collect();
            self.propose(&mut waiting);
        }
    }

    fn apply(&self, input: ApplyInput) {
        // The apply thread outlives this one.
        let _ = self.shared.apply.send(input);
    }

    fn send(&self, messages: Vec<drystone_raft::Message>) {
        if let (false, Some(transport)) = (messages.is_empty(), self.shared.transport.get()) {
            transport.send(messages);
        }
    }
}

fn release(tokens: Vec<ReadToken>) {
    for token in tokens {
        let _ = token.send(Ok(()));
    }
}

/// The log's thread: all that waits, one write, one sync.
pub(crate) fn run_log(shared: &Shared, mut log: LogWriter, inputs: &Receiver<LogInput>) {
    let stop = |error: drystone_wal::Error| -> ! { fatal("the log failed", &error) };
    let mut tending = true;
    let mut attested = true;
    loop {
        let first = if tending || !attested {
            let pause = if tending { TEND_PAUSE } else { ATTEST_PAUSE };
            match inputs.recv_timeout(pause) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        } else {
            match inputs.recv() {
                Ok(input) => Some(input),
                Err(_) => break,
            }
        };
        let Some(first) = first else {
            if tending {
                // Laying out the next segment ahead; a failure shows when it is needed.
                tending = log.tend(TEND_BYTES).unwrap_or(false);
            } else {
                log.attest().unwrap_or_else(|e| stop(e));
                attested = true;
            }
            continue;
        };
        tending = true;
        attested = false;
        let mut compact = None;
        let (mut bytes, mut appends) = (0, 0);
        let work = shared.metrics.log.work.mark();
        for input in std::iter::once(first).chain(inputs.try_iter()) {
            match input {
                LogInput::Append(append) => {
                    bytes += append.entries.iter().map(|entry| entry.data.len()).sum::<usize>();
                    appends += 1;
                    log.append(append).unwrap_or_else(|e| stop(e));
                }
                LogInput::Compact(upto) => compact = Some(upto),
            }
            if bytes >= BATCH_BYTES_MAX {
                break;
            }
        }
        let Persisted { number, send } = log.sync().unwrap_or_else(|e| stop(e));
        if let Some(number) = number {
            shared.status.persisted.store(number, Ordering::Release);
            shared.wake();
        }
        if let (false, Some(transport)) = (send.is_empty(), shared.transport.get()) {
            transport.send(send);
        }
        shared.metrics.log.synced(work, appends);
        if let Some(upto) = compact {
            log.compact(upto).unwrap_or_else(|e| stop(e));
        }
    }
    if let Err(error) = log.close() {
        tracing::error!(%error, "the log could not be closed");
    }
}

/// The apply thread.
pub(crate) struct ApplyThread {
    pub(crate) shared: Arc<Shared>,
    pub(crate) applier: Applier<ReadToken>,
    pub(crate) inputs: Receiver<ApplyInput>,
    pub(crate) flush: Sender<()>,
    pub(crate) hub: HubHandle,
    pub(crate) open_store: OpenStore,
    pub(crate) swept_waiters: Vec<oneshot::Sender<()>>,
    pub(crate) sweeping: bool,
    /// When what is being swept began to be.
    pub(crate) sweep_began: Option<Instant>,
    /// The newest entry that may have changed the membership.
    pub(crate) membership_since: LogIndex,
    pub(crate) room: Room,
}

/// Opens the store in a folder.
pub(crate) type OpenStore =
    Box<dyn Fn(&std::path::Path) -> anyhow::Result<Arc<dyn drystone_backend::Backend>> + Send>;

impl ApplyThread {
    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let start = self.shared.now();
        let (mut next_leases, mut next_sweep, mut next_room) = (start + LEASE_TICK, start, start);
        loop {
            let wait = if self.sweeping {
                next_sweep.saturating_sub(self.shared.now())
            } else {
                APPLY_TICK
            };
            match self.inputs.recv_timeout(wait) {
                Ok(ApplyInput::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(input) => {
                    self.take(input).unwrap_or_else(|e| fatal("applying failed", &e));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.shared.now();
            if now >= next_room {
                next_room = now + APPLY_TICK;
                self.look_at_room();
            }
            if now >= next_leases {
                next_leases = now + LEASE_TICK;
                self.lead_leases();
            }
            if now >= next_sweep {
                self.sweep().unwrap_or_else(|e| fatal("compaction failed", &e));
                next_sweep = self.shared.now() + self.shared.config.compaction_sleep;
            }
        }
    }

    fn take(&mut self, input: ApplyInput) -> Result<(), MachineError> {
        match input {
            ApplyInput::Work(work) => return self.work(work),
            ApplyInput::Reads(index, tokens) => release(self.applier.read(index, tokens)),
            ApplyInput::Lead(leadership) => self.applier.lead(leadership),
            ApplyInput::Renew(id, reply) => {
                let renewed = self.applier.renew(id, self.shared.now());
                let _ = reply.send(renewed.map_err(|_| EtcdError::NotPrimaryLessor));
            }
            ApplyInput::TimeToLive(id, keys, reply) => {
                let found = self.applier.machine().time_to_live(id, self.shared.now(), keys);
                let _ = reply.send(Ok(found));
            }
            ApplyInput::MayRenew(request, authority, reply) => {
                let call = Call::LeaseKeepAlive(&request);
                let _ = reply.send(self.applier.machine().permit(authority.who(), &call));
            }
            ApplyInput::Leases(authority, reply) => {
                let machine = self.applier.machine();
                let call = Call::LeaseLeases(&LeaseLeasesRequest {});
                let permitted = machine.permit(authority.who(), &call);
                let _ = reply.send(permitted.map(|()| machine.leases()));
            }
            ApplyInput::Swept(reply) => {
                self.swept_waiters.push(reply);
                self.sweeping = true;
            }
            ApplyInput::Snapshot(to) => self.make_snapshot(to),
            ApplyInput::SnapshotMade(to, made) => self.snapshot_made(to, made),
            ApplyInput::Stop => {}
        }
        Ok(())
    }

    fn work(&mut self, work: Vec<Work>) -> Result<(), MachineError> {
        let mut entries = Vec::new();
        for item in work {
            match item {
                // Entries that came in several pieces are applied as one batch.
                Work::Entries(mut more) => entries.append(&mut more),
                Work::Install { snapshot, number } => {
                    self.apply(&mut entries)?;
                    self.install(&snapshot, number)?;
                }
            }
        }
        self.apply(&mut entries)
    }

    fn apply(&mut self, entries: &mut Vec<Entry>) -> Result<(), MachineError> {
        for batch in entries.chunks(APPLY_ENTRIES_MAX) {
            let (before, began) = (self.applier.machine().applied().index, Instant::now());
            let done = self.applier.apply(batch, self.shared.now())?;
            let took = began.elapsed();
            self.shared.metrics.apply.applied(&Batch {
                entries: batch,
                before,
                outcomes: &done.outcomes,
                events: &done.events,
                took,
                expected: self.shared.config.warning_apply_duration,
                is_leader: self.shared.status.is_leader.load(Ordering::Acquire),
            });
            self.finish(done);
        }
        entries.clear();
        Ok(())
    }

    /// Tells everyone what came of applying.
    fn finish(&mut self, done: Done<ReadToken>) {
        // The hub hears first: whoever has an answer and then opens a watch from now on must
        // not hear of what was answered.
        let (revision, compacted) = {
            let snapshot = self.applier.machine().reader().snapshot();
            (snapshot.revision(), snapshot.compacted())
        };
        self.hub.publish(done.events, revision, compacted);
        self.note_live_bytes();
        self.note_tokens(done.tokens);
        let status = &self.shared.status;
        status.applied_term.store(done.applied.term.0, Ordering::Release);
        status.applied.store(done.applied.index.0, Ordering::Release);
        if done.cluster_changed {
            self.refresh_view();
        }
        for (index, change) in done.membership {
            self.membership_since = index;
            // One that the machine refused has no id here, and is answered below.
            let waiter = self.shared.waiters.remove(&change.id).map(|(_, waiter)| waiter);
            if self.shared.inbox.send(Input::Membership(index, change, waiter)).is_err() {
                return;
            }
        }
        for outcome in done.outcomes {
            if outcome.request != 0 {
                self.shared.answer(outcome.request, outcome.answer);
            }
        }
        release(done.reads);
        self.sweeping |= self.applier.machine().is_sweeping();
        if done.flush_wanted {
            // One that is asked for already covers this.
            let _ = self.flush.try_send(());
        }
        self.shared.wake();
    }

    /// Takes up what became of simple tokens, before anybody can hear that it was applied.
    fn note_tokens(&self, changes: Vec<TokenChange>) {
        let tokens = &self.shared.tokens;
        for change in changes {
            match change {
                TokenChange::Issued { user, token } => {
                    tokens.assign(token, user, self.shared.now());
                }
                TokenChange::UserDropped(user) => tokens.end_of(&user),
                TokenChange::AllDropped => tokens.end_all(),
            }
        }
    }

    fn refresh_view(&self) {
        let machine = self.applier.machine();
        if let Err(error) = crate::version::refuse_newer(machine.membership()) {
            fatal("the cluster has moved on", &error);
        }
        let view = View::of(machine);
        if let Some(transport) = self.shared.transport.get() {
            crate::peers::follow(transport, &view.membership);
        }
        let own = self.shared.member;
        let is_learner = view.membership.member(own).is_some_and(|member| member.is_learner);
        self.shared.status.is_learner.store(is_learner, Ordering::Release);
        let is_removed = view.membership.is_removed(own);
        *self.shared.view.write() = view;
        self.shared.view_changed.notify_waiters();
        if is_removed {
            self.shared.leave();
        }
    }

    /// Warns at the soft limit, and clears the alarm this member raised when it has room again.
    fn look_at_room(&mut self) {
        let shared = &self.shared;
        if shared.status.leader().is_none() {
            return;
        }
        let machine = self.applier.machine();
        let (live_bytes, quota_bytes) = (machine.live_bytes(), shared.config.quota_backend_bytes);
        let alarm = machine.alarms().raised_by(shared.member, Alarm::NoSpace);
        let look = self.room.look(shared.now(), live_bytes, alarm);
        if look.warn {
            tracing::warn!(
                live_bytes,
                quota_bytes,
                percent = shared.config.quota_warning_percent,
                "the store is near its quota: delete and compact, or raise --quota-backend-bytes"
            );
        }
        if look.release {
            tracing::info!(live_bytes, quota_bytes, "room again: clearing the NOSPACE alarm");
            // What does not fit is proposed again.
            let _ = shared.propose_own_alarm(AlarmAction::Deactivate, Alarm::NoSpace);
        }
    }

    fn note_live_bytes(&self) {
        let live_bytes = self.applier.machine().live_bytes();
        self.shared.status.live_bytes.store(live_bytes, Ordering::Release);
    }

    fn lead_leases(&mut self) {
        for command in self.applier.lease_commands(self.shared.now()) {
            // What does not fit is asked for again after the lessor's own pause.
            if self.shared.inbox.try_send(Input::Lead(command)).is_err() {
                return;
            }
        }
    }

    /// Removes a piece of what compaction let go.
    fn sweep(&mut self) -> Result<(), MachineError> {
        if !self.sweeping {
            return Ok(());
        }
        let revisions = self.shared.config.compaction_batch_revisions;
        let step = Instant::now();
        let began = *self.sweep_began.get_or_insert(step);
        self.applier.machine_mut().sweep(revisions)?;
        self.note_live_bytes();
        // Nothing removed may also mean that a reader still holds on to what is to go.
        self.sweeping = self.applier.machine().is_sweeping();
        self.shared.metrics.apply.swept(step.elapsed(), began, !self.sweeping);
        if !self.sweeping {
            self.sweep_began = None;
            let revision = self.applier.machine().reader().snapshot().compacted();
            let took = crate::slow::go_duration(began.elapsed());
            tracing::info!(
                "scheduled-compact-revision" = revision,
                took,
                "finished scheduled compaction"
            );
            for waiter in self.swept_waiters.drain(..) {
                let _ = waiter.send(());
            }
        }
        Ok(())
    }

    /// Replaces the store by a snapshot that came in.
    fn install(&mut self, snapshot: &SnapshotMeta, number: u64) -> Result<(), MachineError> {
        self.shared.metrics.installing.set(1.0);
        while self.shared.status.persisted.load(Ordering::Acquire) < number {
            std::thread::sleep(INSTALL_PAUSE);
        }
        let received = {
            let mut received = self.shared.received.lock();
            let later = received.split_off(&snapshot.index.next());
            let found = received.remove(&snapshot.index);
            *received = later;
            found
        };
        let fail = |error: anyhow::Error| -> ! {
            let text = format!("{error:#}");
            fatal("a snapshot could not be installed", &std::io::Error::other(text))
        };
        let Some(dir) = received else {
            fail(anyhow::anyhow!("the files of the snapshot at {} are gone", snapshot.index));
        };
        let old = self.applier.machine().backend().clone();
        let store = match self.shared.layout.set_current_store(&dir) {
            Ok(()) => (self.open_store)(&dir).unwrap_or_else(|error| fail(error)),
            Err(error) => fail(error),
        };
        let done = self.applier.install(store)?;
        self.membership_since = done.applied.index;
        tracing::info!(index = %done.applied.index, "installed a snapshot");
        self.shared.status.flushed.store(done.applied.index.0, Ordering::Release);
        self.refresh_view();
        let snapshot = self.applier.machine().reader().snapshot();
        self.hub.replaced(snapshot.revision(), snapshot.compacted());
        drop(snapshot);
        crate::peers::remove_when_idle(old, dir, self.shared.layout.clone());
        self.finish(done);
        self.shared.metrics.installing.set(0.0);
        Ok(())
    }
}

/// The flusher's thread: one flush at a time, for whoever asks.
pub(crate) fn run_flusher(shared: &Shared, asked: &Receiver<()>) {
    while asked.recv().is_ok() {
        let backend = shared.view.read().backend(&Authority::of_this_member()).clone();
        match backend.flush() {
            Ok(durable) => {
                shared.status.flushed.fetch_max(durable.index.0, Ordering::AcqRel);
                shared.wake();
            }
            Err(error) => fatal("the store could not be flushed", &error),
        }
    }
}
