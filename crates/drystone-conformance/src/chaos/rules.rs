//! What each member's packet filter drops, from the faults of the network in force.

use std::fmt::Write as _;

/// One fault of the network. Members are named by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A member and all others hear nothing of each other.
    Isolated(usize),
    /// A member hears nothing of the others.
    Deaf(usize),
    /// The others hear nothing of a member.
    Mute(usize),
    /// Two members hear nothing of each other.
    Between(usize, usize),
    /// A member loses this many of a hundred packets that come to it, from anybody.
    Lossy(usize, u32),
    /// A member and clients hear nothing of each other.
    Clients(usize),
}

/// Who is where in the cluster's network.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// Each member's, by place.
    pub(crate) members: Vec<String>,
    /// The clients'.
    pub(crate) clients: String,
}

/// The name of the table that holds our rules.
const TABLE: &str = "inet chaos";

/// The whole ruleset of one member, for `nft -f -`: it replaces the one before at once.
pub(crate) fn ruleset(place: usize, cuts: &[Cut], addresses: &Addresses) -> String {
    let mut filter = Filter { place, addresses, input: String::new(), output: String::new() };
    for cut in cuts {
        match *cut {
            Cut::Isolated(member) if member == place => {
                filter.drop_from_others();
                filter.drop_to_others();
            }
            Cut::Deaf(member) if member == place => filter.drop_from_others(),
            Cut::Mute(member) if member == place => filter.drop_to_others(),
            Cut::Between(one, other) if one == place => {
                filter.drop_from(&addresses.members[other]);
                filter.drop_to(&addresses.members[other]);
            }
            Cut::Lossy(member, percent) if member == place => filter.lose(percent),
            Cut::Clients(member) if member == place => {
                filter.drop_from(&addresses.clients);
                filter.drop_to(&addresses.clients);
            }
            _ => {}
        }
    }
    filter.render()
}

struct Filter<'a> {
    place: usize,
    addresses: &'a Addresses,
    input: String,
    output: String,
}

impl Filter<'_> {
    fn drop_from(&mut self, address: &str) {
        let _ = writeln!(self.input, "    ip saddr {address} drop");
    }

    fn drop_to(&mut self, address: &str) {
        let _ = writeln!(self.output, "    ip daddr {address} drop");
    }

    fn drop_from_others(&mut self) {
        for address in self.others() {
            self.drop_from(&address);
        }
    }

    fn drop_to_others(&mut self) {
        for address in self.others() {
            self.drop_to(&address);
        }
    }

    fn others(&self) -> Vec<String> {
        let members = self.addresses.members.iter().enumerate();
        members.filter(|(n, _)| *n != self.place).map(|(_, address)| address.clone()).collect()
    }

    fn lose(&mut self, percent: u32) {
        let _ = writeln!(self.input, "    iif != lo numgen random mod 100 < {percent} drop");
    }

    fn render(&self) -> String {
        // Adding it first makes the deletion of a table that is not there yet succeed.
        format!(
            "table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n  chain in {{\n    \
             type filter hook input priority 0;\n{}  }}\n  chain out {{\n    \
             type filter hook output priority 0;\n{}  }}\n}}\n",
            self.input, self.output
        )
    }
}

#[cfg(test)]
mod tests;
