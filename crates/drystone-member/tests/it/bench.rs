//! One member whose peers are played by the test.

use bytes::Bytes;
use drystone_member::{Append, Effects, Node, NodeConfig, Work};
use drystone_raft::{Config, Message, MessageKind, Recovered, Replica};
use drystone_types::{ConfState, Entry, LogIndex, MemberId, Term};
use rand::SeedableRng;
use rand::rngs::StdRng;

pub(crate) const ME: MemberId = MemberId(1);
pub(crate) const TWO: MemberId = MemberId(2);
pub(crate) const THREE: MemberId = MemberId(3);
/// Ticks of one election timeout, as [`Config::new`] sets them.
pub(crate) const ELECTION: usize = 10;

/// What of a member's own work comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Works {
    All,
    /// The log's disk hangs.
    NoLog,
    /// The apply side hangs.
    NoApply,
}

/// A member whose peers are played by the test: they answer everything at once.
pub(crate) struct Bench {
    pub(crate) node: Node<u64>,
    pub(crate) works: Works,
    /// Appends and work that did not come back.
    held: (Vec<Append>, Vec<Work>),
    pub(crate) sent: Vec<Message>,
    /// Entries that were appended.
    pub(crate) appended: Vec<Entry>,
    /// Reads that may be served.
    pub(crate) served: Vec<u64>,
    /// Peers acknowledge entries.
    pub(crate) acknowledge: bool,
    /// Peers answer heartbeats; those that they do not answer are kept.
    pub(crate) hears: bool,
    pub(crate) unheard: Vec<Message>,
}

impl Bench {
    pub(crate) fn new(voters: &[MemberId]) -> Self {
        Self::with(voters, Config::new(ME))
    }

    pub(crate) fn with(voters: &[MemberId], config: Config) -> Self {
        let conf_state = ConfState { voters: voters.to_vec(), learners: Vec::new() };
        let recovered = Recovered { conf_state, ..Recovered::default() };
        let rng = Box::new(StdRng::seed_from_u64(1));
        let replica = Replica::new(config, recovered, rng).unwrap();
        let node = Node::new(NodeConfig::default(), replica, LogIndex(0), LogIndex(0));
        let held = (Vec::new(), Vec::new());
        Self {
            node,
            works: Works::All,
            held,
            sent: Vec::new(),
            appended: Vec::new(),
            served: Vec::new(),
            acknowledge: true,
            hears: true,
            unheard: Vec::new(),
        }
    }

    /// A member that leads and has applied its first entry.
    pub(crate) fn leader(voters: &[MemberId]) -> Self {
        Self::new(voters).elected()
    }

    pub(crate) fn elected(self) -> Self {
        let mut bench = self;
        for _ in 0..3 * ELECTION {
            bench.tick();
        }
        assert!(bench.leads());
        bench
    }

    pub(crate) fn leads(&self) -> bool {
        self.node.leadership().is_leader
    }

    pub(crate) fn tick(&mut self) {
        self.node.tick();
        self.settle();
    }

    pub(crate) fn put(&mut self) {
        self.node.propose(Bytes::from_static(b"x")).unwrap();
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        loop {
            let Effects { send, append, apply, reads, .. } = self.node.effects();
            self.served.extend(reads.into_iter().flat_map(|(_, reads)| reads));
            if send.is_empty() && append.is_empty() && apply.is_empty() {
                return;
            }
            send.into_iter().for_each(|message| self.answer(message));
            self.appended.extend(append.iter().flat_map(|append| append.entries.clone()));
            self.held.0.extend(append);
            self.held.1.extend(apply);
            self.work();
        }
    }

    /// Lets come back what does.
    pub(crate) fn work(&mut self) {
        if self.works != Works::NoLog {
            for append in std::mem::take(&mut self.held.0) {
                self.node.persisted(append.number);
                append.then_send.into_iter().for_each(|message| self.answer(message));
            }
        }
        if self.works != Works::NoApply {
            for work in std::mem::take(&mut self.held.1) {
                let Work::Entries(entries) = work else { continue };
                self.node.applied(entries.last().unwrap().index);
            }
        }
    }

    /// Lets the oldest append alone come back.
    pub(crate) fn log_moves(&mut self) {
        if !self.held.0.is_empty() {
            self.node.persisted(self.held.0.remove(0).number);
            self.settle();
        }
    }

    pub(crate) fn answer(&mut self, message: Message) {
        let (peer, term) = (message.to, message.term);
        let reply = |kind| Message::new(kind, peer, ME, term);
        let answer = match message.kind {
            MessageKind::PreVote => Some(reply(MessageKind::PreVoteResponse)),
            MessageKind::Vote => Some(reply(MessageKind::VoteResponse)),
            MessageKind::Heartbeat if self.hears => Some(Message {
                context: message.context.clone(),
                ..reply(MessageKind::HeartbeatResponse)
            }),
            MessageKind::Append if self.acknowledge => {
                let index = LogIndex(message.index.0 + message.entries.len() as u64);
                Some(Message { index, ..reply(MessageKind::AppendResponse) })
            }
            _ => None,
        };
        if message.kind == MessageKind::Heartbeat && !self.hears {
            self.unheard.push(message.clone());
        }
        self.sent.push(message);
        if let Some(answer) = answer {
            self.node.receive(answer).unwrap();
        }
    }

    /// Peers answer what they did not answer before.
    pub(crate) fn catch_up(&mut self) {
        self.hears = true;
        for message in std::mem::take(&mut self.unheard) {
            self.answer(message);
        }
    }

    pub(crate) fn sent(&self, kind: MessageKind) -> usize {
        self.sent.iter().filter(|message| message.kind == kind).count()
    }

    /// Ticks until it leads no more, at most `max`.
    pub(crate) fn ticks_until_deposed(&mut self, max: usize) -> Option<usize> {
        (1..=max).find(|_| {
            self.tick();
            !self.leads() || self.sent(MessageKind::TimeoutNow) > 0
        })
    }

    /// A follower of [`TWO`] in term 1.
    pub(crate) fn follower() -> Self {
        let mut bench = Self::new(&[ME, TWO, THREE]);
        bench.hear();
        assert_eq!(bench.node.leadership().leader, TWO);
        bench
    }

    pub(crate) fn hear(&mut self) {
        let heartbeat = Message::new(MessageKind::Heartbeat, TWO, ME, Term(1));
        self.node.receive(heartbeat).unwrap();
        self.settle();
    }

    pub(crate) fn told_to_lead(&mut self) {
        self.node.receive(Message::new(MessageKind::TimeoutNow, TWO, ME, Term(1))).unwrap();
        self.settle();
    }
}
