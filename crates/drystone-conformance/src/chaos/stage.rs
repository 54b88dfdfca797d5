//! Where a run happens: namespaces, file systems and the members on them.

use super::network::Network;
use super::rules::Cut;
use super::volume::{Volume, cut_power};
use crate::harness::{Cluster, HarnessError, Launch, Member, Place, Program, Stop, describe};
use crate::torture::load::Shared;
use anyhow::Context as _;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

/// Namespaces and file systems, before there are members. They go with it.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) network: Network,
    pub(crate) volumes: Vec<Volume>,
}

impl Ground {
    /// Makes them for `members`, with the file systems in `dir`. `prefix` is this run's alone.
    pub(crate) fn make(prefix: &str, members: usize, dir: &Path) -> anyhow::Result<Ground> {
        let network = Network::make(prefix, members)?;
        let volumes: anyhow::Result<Vec<Volume>> =
            (0..members).map(|n| Volume::make(dir, &format!("disk{n}"))).collect();
        Ok(Ground { network, volumes: volumes? })
    }

    fn places(&self, dir: &Path) -> Vec<Place> {
        let place = |(n, address): (usize, &String)| Place {
            launcher: self.network.launcher(n),
            client_address: format!("{address}:{CLIENT_PORT}"),
            peer_address: format!("{address}:{PEER_PORT}"),
            data_dir: self.volumes[n].root().join("data"),
            log_path: dir.join(format!("member{n}.log")),
        };
        self.network.addresses.members.iter().enumerate().map(place).collect()
    }
}

/// Members on a ground. Members are named by the cluster's order.
#[derive(Debug)]
pub(crate) struct Stage {
    // First: processes go before what they stand on.
    pub(crate) cluster: Cluster,
    ground: Ground,
    /// Where each member stands.
    seats: Vec<usize>,
    pub(crate) dir: PathBuf,
}

impl Stage {
    /// Starts a member on each file system, with logs in `dir`.
    pub(crate) async fn start(
        ground: Ground,
        program: &Program,
        launch: &Launch,
        dir: &Path,
    ) -> anyhow::Result<Stage> {
        let places = ground.places(dir);
        let cluster = Cluster::start_on(program, launch, places, None).await?;
        let seat = |member: &Member| {
            let addresses = &ground.network.addresses.members;
            let (address, _) = member.client_address().rsplit_once(':')?;
            addresses.iter().position(|other| other == address)
        };
        let seats: Option<Vec<usize>> = cluster.members().iter().map(seat).collect();
        let seats = seats.context("a member stands where nobody put it")?;
        Ok(Stage { cluster, ground, seats, dir: dir.to_owned() })
    }

    pub(crate) fn members(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn name(&self, member: usize) -> &str {
        self.cluster.members()[member].name()
    }

    pub(crate) fn volume(&self, member: usize) -> &Volume {
        &self.ground.volumes[self.seats[member]]
    }

    fn volume_mut(&mut self, member: usize) -> &mut Volume {
        &mut self.ground.volumes[self.seats[member]]
    }

    /// The same fault with places for members.
    fn seated(&self, cut: Cut) -> Cut {
        let seat = |member: usize| self.seats[member];
        match cut {
            Cut::Isolated(member) => Cut::Isolated(seat(member)),
            Cut::Deaf(member) => Cut::Deaf(seat(member)),
            Cut::Mute(member) => Cut::Mute(seat(member)),
            Cut::Between(one, other) => Cut::Between(seat(one), seat(other)),
            Cut::Lossy(member, percent) => Cut::Lossy(seat(member), percent),
            Cut::Clients(member) => Cut::Clients(seat(member)),
        }
    }

    pub(crate) fn cut(&mut self, cut: Cut) -> anyhow::Result<()> {
        let cut = self.seated(cut);
        self.ground.network.cut(cut)
    }

    pub(crate) fn mend(&mut self, cut: Cut) -> anyhow::Result<()> {
        let cut = self.seated(cut);
        self.ground.network.mend(cut)
    }

    pub(crate) fn signal(&self, members: &[usize], signal: Signal) -> Result<(), HarnessError> {
        members.iter().try_for_each(|member| self.cluster.members()[*member].signal(signal))
    }

    /// Kills members at once, and waits until they are gone.
    pub(crate) async fn kill(
        &mut self,
        members: &[usize],
        shared: &Arc<Shared>,
    ) -> anyhow::Result<()> {
        self.signal(members, Signal::KILL)?;
        for member in members {
            self.cluster.member_mut(*member).stop(Stop::Kill).await?;
            shared.runs[*member].fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Takes note of a member that ended by itself: how, and whether it was with an error of its
    /// own and not by a signal.
    pub(crate) fn ended(&mut self, member: usize, shared: &Shared) -> Option<(String, bool)> {
        let status = self.cluster.member_mut(member).reap()?;
        shared.runs[member].fetch_add(1, Ordering::AcqRel);
        Some((describe(status), status.code().is_some_and(|code| code != 0)))
    }

    /// Starts these members, those of them that do not run.
    pub(crate) fn start_again(&mut self, members: &[usize]) -> Result<(), HarnessError> {
        for member in members {
            let member = self.cluster.member_mut(*member);
            if !member.is_running() {
                member.spawn()?;
            }
        }
        Ok(())
    }

    /// Cuts the power of members at the same instant, and takes their file systems away.
    pub(crate) async fn power_off(
        &mut self,
        members: &[usize],
        shared: &Arc<Shared>,
    ) -> anyhow::Result<()> {
        cut_power(members.iter().map(|member| self.volume(*member)))?;
        self.kill(members, shared).await?;
        members.iter().try_for_each(|member| self.volume_mut(*member).unmount())
    }

    /// Brings file systems back and starts the members on them; how many journals had
    /// something to recover.
    pub(crate) fn power_on(&mut self, members: &[usize]) -> anyhow::Result<usize> {
        let mut recovered = 0;
        for member in members {
            recovered += usize::from(self.volume_mut(*member).mount()?);
        }
        self.start_again(members)?;
        Ok(recovered)
    }

    /// Ends a member whose file system refused writes, repairs that and starts the member.
    pub(crate) async fn repair(
        &mut self,
        member: usize,
        shared: &Arc<Shared>,
    ) -> anyhow::Result<()> {
        if self.cluster.members()[member].is_running() {
            self.kill(&[member], shared).await?;
        }
        let volume = self.volume_mut(member);
        volume.unmount()?;
        volume.repair()?;
        volume.mount()?;
        self.start_again(&[member])?;
        Ok(())
    }
}
