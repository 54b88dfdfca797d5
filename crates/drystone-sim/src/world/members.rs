//! Changes of membership: what a server's cluster service does for them, and what operators and
//! machines do around it.

use super::{Event, World};
use crate::clock::{MILLISECOND, Micros, SECOND};
use crate::host::{Input, Origin};
use crate::judges::members::News;
use crate::network::HOSTS_MAX;
use crate::plan::{Ask, Crash, Op, Who};
use crate::random::Draw;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    self as etcd, InternalRaftRequest, MemberListResponse, RequestHeader,
};
use drystone_api::membershippb::{Attributes, ClusterMemberAttrSetRequest};
use drystone_judge::{MembersRequest, Outcome, Request, Response};
use drystone_machine::{Change, Member, member_id};
use drystone_member::NotReady;
use drystone_raft::{ApplyConfChangeError, ConfChange};
use drystone_types::{LogIndex, MemberId};
use prost::Message as _;

/// An id that no member ever has.
const NOBODY: MemberId = MemberId(0x6e6f_626f_6479);
/// Ids depend on the second in which a member is added. Clocks of machines differ and are set
/// back, so that here all of so many seconds count as one, and ids come again.
const ID_SECONDS: u64 = 8;
/// How long another member must have been up to be counted on, in election timeouts (etcd: 5 s).
const CONTACT_ELECTIONS: u64 = 5;
/// How long a member that was removed goes on, so that others hear what it committed.
const LAST_WORDS: Micros = 20 * MILLISECOND;
/// How long a member waits before it tells the cluster its name again.
const PUBLISH_PAUSE: Micros = SECOND;
/// When a member starts of whose addition no plan says it.
const JOIN_MS: u64 = 500;

fn url(address: u16) -> String {
    format!("http://m{address}:2380")
}

impl World {
    /// The request that an operation about members or alarms is, as things stand; `None` for others, and
    /// when nobody is as the operation wants it.
    pub(super) fn members_request(&mut self, m: usize, op: &Op) -> Option<Request> {
        let request = match op {
            Op::MemberAdd { address, learner, start_ms } => {
                let request = etcd::MemberAddRequest {
                    peer_ur_ls: vec![url(*address)],
                    is_learner: *learner,
                };
                self.join_ms.insert(self.id_of(&request.peer_ur_ls), *start_ms);
                MembersRequest::Add(request)
            }
            Op::MemberRemove { who } => {
                let MemberId(id) = self.who(m, *who)?;
                MembersRequest::Remove(etcd::MemberRemoveRequest { id })
            }
            Op::MemberUpdate { who, address } => {
                let MemberId(id) = self.who(m, *who)?;
                let peer_ur_ls = vec![url(*address)];
                MembersRequest::Update(etcd::MemberUpdateRequest { id, peer_ur_ls })
            }
            Op::MemberPromote { who } => {
                let MemberId(id) = self.who(m, *who)?;
                MembersRequest::Promote(etcd::MemberPromoteRequest { id })
            }
            Op::MemberList { linearizable } => {
                let linearizable = *linearizable;
                MembersRequest::List(etcd::MemberListRequest { linearizable })
            }
            Op::Alarm { action, who, alarm } => {
                let MemberId(member_id) = self.who(m, *who)?;
                let (action, alarm) = (*action, *alarm);
                return Some(Request::Alarm(etcd::AlarmRequest { action, member_id, alarm }));
            }
            _ => return None,
        };
        Some(Request::Members(request))
    }

    /// Whom an operator means.
    fn who(&self, asked: usize, who: Who) -> Option<MemberId> {
        let members = self.judges.raft.roll.newest();
        let of = |fits: &dyn Fn(&crate::host::Host) -> bool| {
            let here = self.hosts.iter().filter(|host| members.members.contains_key(&host.id));
            here.filter(|host| fits(host)).map(|host| host.id).next()
        };
        match who {
            Who::At(address) => {
                let mut at = self.hosts.iter().rev().filter(|host| host.address == address);
                at.next().map(|host| host.id)
            }
            Who::Leader => self.leader().map(|m| self.hosts[m].id),
            Who::Asked => Some(self.hosts[asked].id),
            Who::Down => of(&|host| host.disks.is_none() && !host.is_awaited)
                .or_else(|| of(&|host| host.process.is_none())),
            Who::Learner => members.learners().next(),
            Who::Removed => members.removed.first().copied(),
            Who::Nobody => Some(NOBODY),
            Who::Id(id) => Some(MemberId(id)),
        }
    }

    fn id_of(&self, urls: &[String]) -> MemberId {
        member_id(urls, "", Some(self.now / SECOND / ID_SECONDS))
    }

    /// Serves a request about members, as the server does.
    pub(super) fn serve_members(&mut self, m: usize, id: u64, request: &MembersRequest) {
        let change = match request {
            MembersRequest::List(list) if list.linearizable => return self.confirm(m, id),
            MembersRequest::List(_) => return self.list_members(m, id),
            MembersRequest::Promote(_) => return self.lease_ask(m, id),
            MembersRequest::Add(add) => Change::Add(Member {
                id: self.id_of(&add.peer_ur_ls).0,
                peer_urls: add.peer_ur_ls.clone(),
                is_learner: add.is_learner,
                ..Member::default()
            }),
            MembersRequest::Remove(remove) => Change::Remove(MemberId(remove.id)),
            MembersRequest::Update(update) => Change::Update(Member {
                id: update.id,
                peer_urls: update.peer_ur_ls.clone(),
                ..Member::default()
            }),
        };
        // A plan may ask for more members than a run has machines for.
        let crowded = self.hosts.len() >= HOSTS_MAX && matches!(change, Change::Add(_));
        match self.refuse_change(m, &change) {
            _ if crowded => self.turn_away(m, id, EtcdError::Unhealthy),
            Some(error) => {
                drystone_probe::mark!("sim.change_refused_for_the_quorum");
                self.turn_away(m, id, error);
            }
            None => self.input(m, Input::Change { id, change }),
        }
    }

    /// Asks raft whether a learner may be promoted, at the leader.
    pub(super) fn check_learner(&mut self, m: usize, id: u64) {
        let Some(process) = &self.hosts[m].process else { return };
        let Some(ask) = process.asks.get(&id) else { return };
        if let Request::Members(MembersRequest::Promote(promote)) = &ask.request {
            let learner = MemberId(promote.id);
            self.input(m, Input::CheckLearner(learner, id));
        }
    }

    pub(super) fn learner_checked(&mut self, m: usize, id: u64, checked: Result<(), NotReady>) {
        let Some(process) = &self.hosts[m].process else { return };
        let Some(ask) = process.asks.get(&id) else { return };
        let Request::Members(MembersRequest::Promote(promote)) = &ask.request else { return };
        let change = Change::Promote(MemberId(promote.id));
        let refusal = match checked {
            Ok(()) => match self.refuse_change(m, &change) {
                None => return self.input(m, Input::Change { id, change }),
                Some(error) => error,
            },
            Err(NotReady::NotLeader) => match ask.origin {
                Origin::Client => return self.try_later(m, id),
                Origin::Member(..) => return self.turn_away(m, id, EtcdError::NotLeader),
            },
            Err(NotReady::NotLearner(_)) => EtcdError::MemberNotLearner,
            Err(NotReady::Behind(_)) => {
                drystone_probe::mark!("sim.learner_not_ready");
                EtcdError::LearnerNotReady
            }
            Err(_) => EtcdError::MemberNotFound,
        };
        self.finish_ask(m, id, Outcome::Refused(refusal));
    }

    /// Proposes changes of membership, as far as raft takes them. The rest waits for as long as
    /// somebody waits for it.
    pub(super) fn propose_changes(&mut self, m: usize) {
        let Some(process) = &mut self.hosts[m].process else { return };
        let (asks, node) = (&process.asks, &mut process.node);
        process.changes.retain(|(id, change)| {
            asks.contains_key(id) && node.propose_conf_change(*id, change).is_err()
        });
    }

    /// Answers with the members as this member knows them.
    pub(super) fn list_members(&mut self, m: usize, id: u64) {
        let header = self.header(m);
        let Some(process) = &self.hosts[m].process else { return };
        let told = |member: &Member| etcd::Member {
            id: member.id,
            name: member.name.clone(),
            peer_ur_ls: member.peer_urls.clone(),
            client_ur_ls: member.client_urls.clone(),
            is_learner: member.is_learner,
        };
        let members = process.applier.machine().membership().members().map(told).collect();
        let response = Response::Members(MemberListResponse { header, members });
        self.finish_ask(m, id, Outcome::Answered(response));
    }

    /// A list of members was told: it must be one that was, and not older than what had been told
    /// before it was asked for, but by a member that answered from what it had.
    pub(super) fn judge_members(
        &mut self,
        request: &Request,
        list: &MemberListResponse,
        told_before: u64,
    ) {
        let local = matches!(request, Request::Members(MembersRequest::List(r)) if !r.linearizable);
        let from = if local { 0 } else { told_before };
        match self.judges.raft.roll.find(from, list) {
            Some(index) => self.members_told = self.members_told.max(index),
            None => {
                let text = format!("at {} us since {from}: {list:?}", self.now);
                self.judges.blame("members", "a list of members is one that was", text);
            }
        }
    }

    /// What etcd's strict check says against a change, if the servers make it.
    fn refuse_change(&self, m: usize, change: &Change) -> Option<EtcdError> {
        let membership = self.hosts[m].process.as_ref()?.applier.machine().membership();
        if !self.knobs.strict_reconfig {
            return None;
        }
        let voters: Vec<&Member> = membership.members().filter(|v| !v.is_learner).collect();
        let quorum = |voters: usize| voters / 2 + 1;
        let started = |v: &&&Member| !v.name.is_empty();
        let all_started = voters.iter().filter(started).count();
        let connected = voters.iter().filter(|v| self.is_counted_on(m, v.member_id())).count();
        let alone = voters.len() == 1;
        let (few, unhealthy) = (EtcdError::MemberNotEnoughStarted, EtcdError::Unhealthy);
        match change {
            Change::Add(new) => {
                let short = all_started < quorum(voters.len() + 1) && !(alone && all_started == 1);
                if !new.is_learner && short {
                    return Some(few);
                }
                (!alone && connected < quorum(voters.len() + 1)).then_some(unhealthy)
            }
            Change::Promote(_) => (all_started + 1 < quorum(voters.len() + 1)).then_some(few),
            Change::Remove(id) => {
                if membership.member(*id).is_some_and(|member| member.is_learner) {
                    return None;
                }
                let rest: Vec<_> = voters.iter().filter(|v| v.member_id() != *id).collect();
                if rest.iter().filter(|v| !v.name.is_empty()).count() < quorum(rest.len()) {
                    return Some(few);
                }
                let reached = self.reaches(m, *id);
                let needed = 1 + voters.len().saturating_sub(1) / 2;
                (reached && connected.saturating_sub(1) < needed).then_some(unhealthy)
            }
            Change::Update(_) => None,
        }
    }

    fn reaches(&self, m: usize, id: MemberId) -> bool {
        let Some(&other) = self.numbers.get(&id) else { return false };
        let cut =
            self.network.is_cut(m, other, self.now) || self.network.is_cut(other, m, self.now);
        other == m || (self.hosts[other].process.is_some() && !cut)
    }

    fn is_counted_on(&self, m: usize, id: MemberId) -> bool {
        let Some(&other) = self.numbers.get(&id) else { return false };
        let long = self.knobs.election_ms() * MILLISECOND * CONTACT_ELECTIONS;
        let up = self.now.saturating_sub(self.hosts[other].up_since);
        self.reaches(m, id) && (other == m || up >= long)
    }

    /// True when a member takes itself for a learner.
    pub(super) fn is_learner(&self, m: usize) -> bool {
        let host = &self.hosts[m];
        let machine = host.process.as_ref().map(|process| process.applier.machine());
        let member = machine.and_then(|machine| machine.membership().member(host.id));
        member.is_some_and(|member| member.is_learner)
    }

    fn attributes(&self, m: usize) -> Attributes {
        let address = self.hosts[m].address;
        let client_urls = vec![format!("http://m{address}:2379")];
        Attributes { name: format!("m{address}"), client_urls }
    }

    /// True when a member knows that the cluster knows what it is called.
    pub(super) fn is_known_by_name(&self, m: usize) -> bool {
        let host = &self.hosts[m];
        let attributes = self.attributes(m);
        let machine = host.process.as_ref().map(|process| process.applier.machine());
        machine.and_then(|machine| machine.membership().member(host.id)).is_some_and(|member| {
            member.name == attributes.name && member.client_urls == attributes.client_urls
        })
    }

    /// Tells the cluster a member's name, and will see later whether that came through.
    pub(super) fn announce(&mut self, m: usize) {
        let id = self.fresh_id();
        let request = InternalRaftRequest {
            header: Some(RequestHeader { id, ..RequestHeader::default() }),
            cluster_member_attr_set: Some(ClusterMemberAttrSetRequest {
                member_id: self.hosts[m].id.0,
                member_attributes: Some(self.attributes(m)),
            }),
            ..Default::default()
        };
        let Some(process) = &mut self.hosts[m].process else { return };
        process.announcement = Some(id);
        self.input(m, Input::Propose { id, data: request.encode_to_vec().into() });
        let incarnation = self.hosts[m].incarnation;
        self.after(PUBLISH_PAUSE, Event::Announce(m, incarnation));
    }

    /// Lets raft carry out a change that the machine judged.
    pub(super) fn change_raft(&mut self, m: usize, index: LogIndex, change: &ConfChange) {
        let Some(process) = &mut self.hosts[m].process else { return };
        match process.node.membership_changed(index, change) {
            Ok(counts) => self.judges.raft.changed(self.now, m, index, &counts),
            Err(ApplyConfChangeError::Superseded { .. }) => {
                drystone_probe::mark!("sim.change_superseded");
            }
            Err(error) => self.judges.blame(
                "raft",
                "what the machine accepts can be carried out",
                format!("m{m} at {} us, entry {index}: {error}", self.now),
            ),
        }
    }

    /// Operators do what the newest changes of membership ask for.
    pub(super) fn follow_members(&mut self) {
        for news in self.judges.raft.roll.take_news() {
            self.trace.say(self.now, format_args!("membership: {news:?}"));
            match news {
                News::Added(id, _) if self.numbers.contains_key(&id) => {}
                News::Added(id, urls) => {
                    self.counts.joined += 1;
                    let address = urls.first().and_then(|url| url.strip_prefix("http://m"));
                    let address = address.and_then(|rest| rest.split(':').next()?.parse().ok());
                    let m = self.new_host(id, address.unwrap_or(u16::MAX));
                    self.hosts[m].is_awaited = true;
                    let ms = self.join_ms.get(&id).copied().unwrap_or(JOIN_MS);
                    self.after(ms * MILLISECOND, Event::Join(m));
                }
                News::Promoted(_) => self.counts.promoted += 1,
                News::Removed(id) => {
                    self.counts.removed += 1;
                    if let Some(m) = self.numbers.get(&id) {
                        self.hosts[*m].is_removed = true;
                    }
                }
            }
        }
    }

    /// A member that was added starts for the first time, on empty disks.
    pub(super) fn join(&mut self, m: usize) {
        if std::mem::take(&mut self.hosts[m].is_awaited) {
            self.new_disks(m, &[], None);
            self.start(m);
        }
    }

    /// A member that applied its own removal ends soon, when others have heard of it.
    pub(super) fn end_if_removed(&mut self, m: usize) {
        let host = &self.hosts[m];
        let Some(process) = &host.process else { return };
        if process.applier.machine().membership().is_removed(host.id) {
            self.after(LAST_WORDS, Event::Retire(m, host.incarnation));
        }
    }

    /// True when a member knows that another was removed: it takes nothing from it then.
    pub(super) fn refuses_removed(&self, m: usize, other: usize) -> bool {
        self.hosts[other].is_removed
            && self.hosts[m].process.as_ref().is_some_and(|process| {
                process.applier.machine().membership().is_removed(self.hosts[other].id)
            })
    }

    /// Whoever sends although it was removed is told so, and ends.
    pub(super) fn tell_removed(&mut self, from: usize, incarnation: u64, by: usize) {
        if !self.network.is_cut(by, from, self.now) {
            drystone_probe::mark!("sim.removed_member_was_told");
            self.after(LAST_WORDS, Event::Retire(from, incarnation));
        }
    }

    /// A member that may have been removed knocks at the others, as its transport does that
    /// always wants to be connected.
    pub(super) fn knock(&mut self, m: usize) {
        if !self.hosts[m].is_removed || !self.timing.percent(10) {
            return;
        }
        let knows = |other: &usize| {
            let cut = self.network.is_cut(m, *other, self.now)
                || self.network.is_cut(*other, m, self.now);
            !cut && self.refuses_removed(*other, m)
        };
        if let Some(by) = (0..self.hosts.len()).find(knows) {
            let incarnation = self.hosts[m].incarnation;
            self.tell_removed(m, incarnation, by);
        }
    }

    /// A member that was removed ends for good.
    pub(super) fn retire(&mut self, m: usize) {
        self.trace.say(self.now, format_args!("m{m} was removed and ends"));
        self.hosts[m].is_removed = true;
        self.hosts[m].is_retired = true;
        self.crash(m, Crash::Kill);
    }

    /// An operator clears the alarms that somebody knows of, once each time it is called.
    pub(super) fn disarm(&mut self) {
        let alarms = self.hosts.iter().filter_map(|host| {
            let (member, alarm) =
                host.process.as_ref()?.applier.machine().alarms().list(None).next()?;
            Some((member.0, alarm.number()))
        });
        let Some((member, alarm)) = alarms.clone().next() else { return };
        let serves = |m: &usize| {
            let process = self.hosts[*m].process.as_ref();
            process.is_some_and(|process| process.serving) && !self.is_learner(*m)
        };
        let Some(asked) = (0..self.hosts.len()).find(serves) else { return };
        let asked = u8::try_from(asked).unwrap_or(0);
        for client in 0..self.knobs.clients {
            if self.clients[usize::from(client)].is_idle() {
                let op = Op::Alarm { action: 2, who: Who::Id(member), alarm };
                return self.enqueue(Ask { client, member: asked, retries: 0, op });
            }
        }
    }

    /// Whether those who vote and could run are a majority without this one.
    pub(super) fn can_do_without(&self, m: usize) -> bool {
        let gone = self.hosts[m].id;
        self.judges.raft.roll.newest().majority(|id| id != gone && self.can_run(id))
    }

    /// Whether there is, or is to be, a machine with a disk for a member.
    fn can_run(&self, id: MemberId) -> bool {
        let host = self.numbers.get(&id).map(|m| &self.hosts[*m]);
        host.is_some_and(|h| (h.disks.is_some() || h.is_awaited) && !h.is_retired)
    }

    /// Whether members that can run suffice for the membership that was reached, and for all
    /// that some of them may still stand at.
    pub(super) fn can_recover(&self) -> bool {
        let applied = self.hosts.iter().filter(|host| self.can_run(host.id));
        let applied = applied.map(|host| host.process.as_ref().map_or(0, |p| p.applied));
        let oldest = applied.min().unwrap_or(0).max(self.founding.members.len() as u64);
        self.judges.raft.roll.since(oldest).all(|members| members.majority(|id| self.can_run(id)))
    }

    /// Whether the newest membership holds a member.
    pub(super) fn belongs(&self, m: usize) -> bool {
        self.judges.raft.roll.newest().members.contains_key(&self.hosts[m].id)
    }
}
