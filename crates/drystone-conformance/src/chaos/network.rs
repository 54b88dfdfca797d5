//! The network of a run: a namespace for each member, one for the clients, and one that holds
//! the bridge between them. Nothing of it is in the namespace that the run was started in.

use super::rules::{Addresses, Cut, ruleset};
use super::tool;
use anyhow::Context as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// Where `ip netns` keeps its names.
const NAMES: &str = "/run/netns";
/// The first three numbers of every address: nobody else is in these namespaces.
const SUBNET: &str = "10.101.7";
/// The clients' last number; members' begin with [`FIRST_MEMBER`].
const CLIENTS: usize = 2;
const FIRST_MEMBER: usize = 11;

/// The namespaces of one run; they go with it.
#[derive(Debug)]
pub(crate) struct Network {
    /// What all names begin with.
    prefix: String,
    made: Vec<String>,
    pub(crate) addresses: Addresses,
    cuts: Vec<Cut>,
}

impl Network {
    /// Makes the namespaces and joins them. `prefix` is this run's alone.
    pub(crate) fn make(prefix: &str, members: usize) -> anyhow::Result<Network> {
        let address = |n: usize| format!("{SUBNET}.{n}");
        let addresses = Addresses {
            members: (0..members).map(|n| address(FIRST_MEMBER + n)).collect(),
            clients: address(CLIENTS),
        };
        let mut network =
            Network { prefix: prefix.to_owned(), made: Vec::new(), addresses, cuts: Vec::new() };
        network.join(members).context("network namespaces do not work here")?;
        Ok(network)
    }

    fn join(&mut self, members: usize) -> anyhow::Result<()> {
        let bridge = self.add("bridge")?;
        tool::run(["ip", "-n", &bridge, "link", "add", "br0", "type", "bridge"])?;
        tool::run(["ip", "-n", &bridge, "link", "set", "br0", "up"])?;
        let clients = self.add("clients")?;
        let address = self.addresses.clients.clone();
        plug(&bridge, &clients, "clients", &address)?;
        for n in 0..members {
            let member = self.add(&n.to_string())?;
            let address = self.addresses.members[n].clone();
            plug(&bridge, &member, &format!("member{n}"), &address)?;
            self.filter(n)?;
        }
        Ok(())
    }

    fn add(&mut self, what: &str) -> anyhow::Result<String> {
        let name = self.name(what);
        tool::run(["ip", "netns", "add", &name])?;
        self.made.push(name.clone());
        Ok(name)
    }

    fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    /// Words that start a program in a member's namespace, with the mounts of the caller.
    pub(crate) fn launcher(&self, place: usize) -> Vec<String> {
        let net = format!("--net={NAMES}/{}", self.name(&place.to_string()));
        vec!["nsenter".into(), net]
    }

    /// The clients' namespace.
    pub(crate) fn clients(&self) -> Namespace {
        Namespace { path: Path::new(NAMES).join(self.name("clients")) }
    }

    /// Makes a fault.
    pub(crate) fn cut(&mut self, cut: Cut) -> anyhow::Result<()> {
        self.cuts.push(cut);
        self.filter_all()
    }

    /// Takes a fault back.
    pub(crate) fn mend(&mut self, cut: Cut) -> anyhow::Result<()> {
        if let Some(n) = self.cuts.iter().position(|other| *other == cut) {
            self.cuts.remove(n);
        }
        self.filter_all()
    }

    fn filter_all(&self) -> anyhow::Result<()> {
        (0..self.addresses.members.len()).try_for_each(|place| self.filter(place))
    }

    fn filter(&self, place: usize) -> anyhow::Result<()> {
        let rules = ruleset(place, &self.cuts, &self.addresses);
        let launcher = self.launcher(place);
        let words = launcher.iter().map(String::as_str).chain(["nft", "-f", "-"]);
        tool::feed(words, &rules).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The links go with the namespaces that hold them.
        for name in self.made.drain(..).rev() {
            if let Err(error) = tool::run(["ip", "netns", "del", &name]) {
                eprintln!("chaos: {name} is left behind: {error:#}");
            }
        }
    }
}

/// Puts a namespace on the bridge.
fn plug(bridge: &str, namespace: &str, port: &str, address: &str) -> anyhow::Result<()> {
    let link = ["link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace];
    tool::run(["ip", "-n", bridge].into_iter().chain(link))?;
    tool::run(["ip", "-n", bridge, "link", "set", port, "master", "br0", "up"])?;
    let address = format!("{address}/24");
    tool::run(["ip", "-n", namespace, "addr", "add", &address, "dev", "eth0"])?;
    tool::run(["ip", "-n", namespace, "link", "set", "eth0", "up"])?;
    tool::run(["ip", "-n", namespace, "link", "set", "lo", "up"]).map(drop)
}

/// A network namespace by its name.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    path: PathBuf,
}

impl Namespace {
    /// Moves the calling thread into it, and with it the threads that it starts.
    pub(crate) fn enter(&self) -> anyhow::Result<()> {
        let file = File::open(&self.path)
            .with_context(|| format!("cannot open {}", self.path.display()))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("cannot enter {}", self.path.display()))
    }
}
