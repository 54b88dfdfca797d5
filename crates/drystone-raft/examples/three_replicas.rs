//! Three replicas in one thread: an election, a few commands, the loss of the leader, and a
//! read that sees it all. `cargo run -p drystone-raft --example three_replicas`

use drystone_raft::{Config, Message, Recovered, Replica, Role};
use drystone_types::{ConfState, MemberId};
use rand::{SeedableRng, rngs::SmallRng};
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::io::{Write, stdout};

/// The replicas that run, and what travels between them.
struct Group {
    replicas: BTreeMap<MemberId, Replica>,
    wire: VecDeque<Message>,
    applied: BTreeMap<MemberId, Vec<String>>,
    reads: Vec<String>,
}

impl Group {
    fn new() -> Result<Self, Box<dyn Error>> {
        let members = [1, 2, 3].map(MemberId);
        let conf_state = ConfState { voters: members.to_vec(), learners: Vec::new() };
        let mut replicas = BTreeMap::new();
        for id in members {
            let recovered = Recovered { conf_state: conf_state.clone(), ..Recovered::default() };
            let rng = Box::new(SmallRng::seed_from_u64(id.0));
            replicas.insert(id, Replica::new(Config::new(id), recovered, rng)?);
        }
        let (wire, applied, reads) = Default::default();
        Ok(Self { replicas, wire, applied, reads })
    }

    /// Does all work there is. The disk of this group is always done at once.
    fn settle(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            for (id, replica) in &mut self.replicas {
                while let Some(ready) = replica.ready() {
                    self.wire.extend(ready.messages);
                    replica.log_persisted(ready.number);
                    self.wire.extend(ready.messages_after_persist);
                    for entry in ready.committed {
                        let command = String::from_utf8(entry.data.to_vec())?;
                        self.applied.entry(*id).or_default().push(command);
                        replica.applied_to(entry.index);
                    }
                    for read in ready.read_states {
                        self.reads.push(format!("{id} may read at entry {}", read.index));
                    }
                }
            }
            let Some(message) = self.wire.pop_front() else { return Ok(()) };
            if let Some(replica) = self.replicas.get_mut(&message.to) {
                replica.step(message)?;
            }
        }
    }

    fn leader(&mut self) -> Option<&mut Replica> {
        self.replicas.values_mut().find(|replica| replica.role() == Role::Leader)
    }

    fn tick_until_led(&mut self) -> Result<MemberId, Box<dyn Error>> {
        loop {
            self.replicas.values_mut().for_each(Replica::tick);
            self.settle()?;
            if let Some(leader) = self.leader() {
                return Ok(leader.id());
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = stdout().lock();
    let mut group = Group::new()?;
    let first = group.tick_until_led()?;
    writeln!(out, "{first} leads")?;
    for command in ["a=1", "b=2"] {
        if let Some(leader) = group.leader() {
            leader.propose(command.into())?;
        }
    }
    group.settle()?;

    group.replicas.remove(&first);
    let second = group.tick_until_led()?;
    writeln!(out, "{first} is gone, {second} leads")?;
    if let Some(leader) = group.leader() {
        leader.propose("a=3".into())?;
    }
    for replica in group.replicas.values_mut() {
        replica.read_index("a".into())?;
    }
    group.settle()?;
    for read in &group.reads {
        writeln!(out, "{read}")?;
    }
    for (id, commands) in &group.applied {
        writeln!(out, "{id} applied {commands:?}")?;
    }
    Ok(())
}
