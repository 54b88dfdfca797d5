//! Members as real processes: any binary that takes etcd's flags, on free loopback ports, with
//! its data and log in a temporary directory.
//!
//! Everything that waits is bounded by a field of [`Limits`]. Processes are ended by their own
//! id when their [`Member`] goes.

mod member;
mod ports;
mod program;

pub(crate) use member::describe;
pub use member::{Member, Place, Stop};
pub use ports::free_ports;
pub(crate) use program::etcdctl;
pub use program::{Program, ProgramError};

use crate::transcript::Mask;
use drystone_api::etcdserverpb::{MemberListRequest, RangeRequest};
use drystone_client::{Client, Config};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long the harness waits for each kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From starting the processes to an answer from every member.
    pub start: Duration,
    /// One call of a client.
    pub call: Duration,
    /// One command of a command-line client.
    pub command: Duration,
    /// From a polite request to end until the process is gone.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            start: Duration::from_secs(30),
            call: Duration::from_secs(10),
            command: Duration::from_secs(20),
            stop: Duration::from_secs(15),
        }
    }
}

/// What differs between clusters of one program.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// How many members; 0 counts as 1.
    pub members: usize,
    /// More flags, given to every member after the harness's own.
    pub flags: Vec<String>,
    /// Bounds on waiting.
    pub limits: Limits,
    /// Where its temporary directory is made; otherwise where the system makes them.
    pub dir: Option<PathBuf>,
}

impl Launch {
    /// A cluster of `members` with default limits and no further flags.
    pub fn of(members: usize) -> Launch {
        Launch { members, ..Launch::default() }
    }
}

/// Why a cluster could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// The temporary directory, a log or a process could not be made.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A member ended by itself.
    #[error("{name} ended: {status}\n{log}")]
    Ended {
        /// The member's name.
        name: String,
        /// How it ended.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// A member did not answer within [`Limits::start`].
    #[error("{name} did not answer within {limit:?}: {last}\n{log}")]
    Silent {
        /// The member's name.
        name: String,
        /// The bound.
        limit: Duration,
        /// The last answer to a call.
        last: String,
        /// The end of its log.
        log: String,
    },
    /// A member did not end within [`Limits::stop`].
    #[error("{name} did not end within {limit:?} of being asked to\n{log}")]
    Stuck {
        /// The member's name.
        name: String,
        /// The bound.
        limit: Duration,
        /// The end of its log.
        log: String,
    },
    /// A call failed that the harness itself depends on.
    #[error("{what}")]
    Call {
        /// Which call.
        what: String,
        /// Why it failed.
        #[source]
        source: drystone_client::Error,
    },
}

impl HarnessError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> HarnessError {
        let what = what.into();
        move |source| HarnessError::Io { what, source }
    }
}

/// A running cluster. Members stand in the order of their ids, the order in which servers list
/// them, so that "the second member" means the same in every run.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    limits: Limits,
    cluster_id: u64,
    // Last: directories go after the processes that use them.
    dir: Option<TempDir>,
}

/// How often a start is repeated when a port was taken in the meantime.
const START_ATTEMPTS: usize = 3;

impl Cluster {
    /// Starts a new cluster and waits until every member answers a linearizable read.
    pub async fn start(program: &Program, launch: &Launch) -> Result<Cluster, HarnessError> {
        let mut attempt = 1;
        loop {
            match Cluster::start_once(program, launch).await {
                Err(HarnessError::Ended { log, .. })
                    if attempt < START_ATTEMPTS && log.contains("address already in use") => {}
                done => return done,
            }
            attempt += 1;
        }
    }

    async fn start_once(program: &Program, launch: &Launch) -> Result<Cluster, HarnessError> {
        let parent = launch.dir.clone().unwrap_or_else(std::env::temp_dir);
        let dir = tempfile::Builder::new()
            .prefix("drystone-conformance-")
            .tempdir_in(parent)
            .map_err(HarnessError::io("cannot make a temporary directory"))?;
        let count = launch.members.max(1);
        let ports =
            free_ports(count * 2).map_err(HarnessError::io("cannot find free loopback ports"))?;
        let mut places = Vec::with_capacity(count);
        for n in 0..count {
            let dir = dir.path().join(member::name(n));
            std::fs::create_dir_all(&dir)
                .map_err(HarnessError::io(format!("cannot make {}", dir.display())))?;
            places.push(Place {
                launcher: Vec::new(),
                client_address: format!("127.0.0.1:{}", ports[2 * n]),
                peer_address: format!("127.0.0.1:{}", ports[2 * n + 1]),
                data_dir: dir.join("data"),
                log_path: dir.join("log"),
            });
        }
        Cluster::start_on(program, launch, places, Some(dir)).await
    }

    /// Starts a new cluster with one member on each of these places, whatever
    /// [`Launch::members`] says, and waits until every member answers a linearizable read.
    /// `dir` is removed when the cluster goes.
    pub async fn start_on(
        program: &Program,
        launch: &Launch,
        places: Vec<Place>,
        dir: Option<TempDir>,
    ) -> Result<Cluster, HarnessError> {
        let mut members: Vec<Member> = places
            .into_iter()
            .enumerate()
            .map(|(n, place)| Member::new(program, n, place, launch))
            .collect();
        let initial: Vec<String> = members.iter().map(Member::entry).collect();
        let initial = initial.join(",");
        for member in &mut members {
            member.expect_cluster(&initial);
            member.spawn()?;
        }
        let mut cluster = Cluster { members, limits: launch.limits, cluster_id: 0, dir };
        for member in &mut cluster.members {
            member.ready().await?;
        }
        cluster.learn_ids().await?;
        Ok(cluster)
    }

    /// Asks for the members' ids, and sorts by them.
    async fn learn_ids(&mut self) -> Result<(), HarnessError> {
        let until = Instant::now() + self.limits.start;
        loop {
            let listed = self.members[0]
                .client()
                .member_list(MemberListRequest { linearizable: true })
                .await
                .map_err(|source| HarnessError::Call {
                    what: "cannot list members".into(),
                    source,
                })?;
            for member in &mut self.members {
                let peer_url = member.peer_url();
                // A member without client URLs has not yet told the others that it started.
                let found = listed
                    .members
                    .iter()
                    .find(|found| found.peer_ur_ls.contains(&peer_url))
                    .filter(|found| !found.client_ur_ls.is_empty());
                member.set_id(found.map(|found| found.id));
            }
            self.cluster_id = listed.header.map(|header| header.cluster_id).unwrap_or_default();
            if self.members.iter().all(|member| member.id() != 0) {
                break;
            }
            if Instant::now() > until {
                let member = &self.members[0];
                return Err(HarnessError::Silent {
                    name: member.name().to_owned(),
                    limit: self.limits.start,
                    last: "not every member published its client URLs".into(),
                    log: member.log_tail(),
                });
            }
            tokio::time::sleep(member::POLL).await;
        }
        self.members.sort_by_key(Member::id);
        Ok(())
    }

    /// The id of the cluster.
    pub fn id(&self) -> u64 {
        self.cluster_id
    }

    /// One more member, on free ports, that knows the others' places and its own; the cluster has
    /// to be told of it before it is started.
    pub fn prepare(&self, program: &Program, launch: &Launch) -> Result<Member, HarnessError> {
        let dir = self.dir.as_ref().map(|dir| dir.path().join("one-more")).unwrap_or_default();
        std::fs::create_dir_all(&dir)
            .map_err(HarnessError::io(format!("cannot make {}", dir.display())))?;
        let ports = free_ports(2).map_err(HarnessError::io("cannot find free loopback ports"))?;
        let place = Place {
            launcher: Vec::new(),
            client_address: format!("127.0.0.1:{}", ports[0]),
            peer_address: format!("127.0.0.1:{}", ports[1]),
            data_dir: dir.join("data"),
            log_path: dir.join("log"),
        };
        let mut member = Member::new(program, self.members.len(), place, launch);
        let all: Vec<String> = self.members.iter().chain([&member]).map(Member::entry).collect();
        member.expect_cluster(&all.join(","));
        Ok(member)
    }

    /// Counts a member in, under the id that the cluster gave it.
    pub fn take_in(&mut self, mut member: Member, id: u64) {
        member.set_id(Some(id));
        self.members.push(member);
        self.members.sort_by_key(Member::id);
    }

    /// Counts a member out; its process ends with what is returned.
    pub fn let_go(&mut self, n: usize) -> Member {
        self.members.remove(n)
    }

    /// The members, in the order of their ids.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// One member, to stop or restart it.
    pub fn member_mut(&mut self, n: usize) -> &mut Member {
        &mut self.members[n]
    }

    /// Client addresses as `HOST:PORT`, in the order of [`Cluster::members`].
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client_address().to_owned()).collect()
    }

    /// A client over all members.
    pub fn client(&self) -> Client {
        client_of(&self.endpoints(), &self.limits)
    }

    /// Bounds on waiting.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns when every running member has applied what any member has answered so far.
    pub async fn settle(&self) -> Result<(), HarnessError> {
        for member in self.members.iter().filter(|member| member.is_running()) {
            let read =
                RangeRequest { key: "settle".into(), count_only: true, ..Default::default() };
            match member.client().range(read).await {
                Ok(_) => {}
                // It waits for what was acknowledged before it asks who reads.
                Err(error) if error.is_server("etcdserver: user name is empty") => {}
                Err(source) => {
                    let what = format!("{} does not read", member.name());
                    return Err(HarnessError::Call { what, source });
                }
            }
        }
        Ok(())
    }

    /// Ids, addresses and names of this cluster, with what stands for them in transcripts.
    pub fn mask(&self) -> Mask {
        let mut mask = Mask::new(self.members.len());
        for (n, member) in self.members.iter().enumerate() {
            let rank = n + 1;
            mask.hide(member.client_address(), &format!("CLIENT{rank}"));
            mask.hide(member.peer_address(), &format!("PEER{rank}"));
            mask.hide(member.name(), &format!("NAME{rank}"));
            mask.hide_id(member.id(), &format!("ID{rank}"));
        }
        mask.hide_id(self.cluster_id, "CLUSTER");
        mask
    }

    /// The end of every member's log, for messages.
    pub fn logs(&self) -> String {
        self.members.iter().map(Member::log_tail).collect::<Vec<_>>().join("\n")
    }

    /// Keeps data and logs after the cluster is gone, and says where.
    pub fn keep(&mut self) -> Option<PathBuf> {
        self.dir.take().map(TempDir::keep)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        self.members.clear();
    }
}

fn client_of(endpoints: &[String], limits: &Limits) -> Client {
    let mut config = Config::parse(endpoints).expect("the harness makes valid endpoints");
    config.timeouts.call = Some(limits.call);
    // The servers' bounds are what is tested, so ours lies above theirs.
    config.request_bytes_max = 64 << 20;
    Client::new(config).expect("a config with endpoints and without a token is valid")
}
