//! One who asks: now as this user, now as that one, whatever there is to ask.

use super::marks::{MARKED, Marks};
use super::rights::{ROLES, USERS};
use super::*;
use cluster_client::ClusterClient;
use drystone_api::v3electionpb::election_client::ElectionClient;
use drystone_api::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest,
};
use drystone_api::v3lockpb::lock_client::LockClient;
use drystone_api::v3lockpb::{LockRequest, UnlockRequest};
use lease_client::LeaseClient;
use maintenance_client::MaintenanceClient;
use rand::Rng;
use tonic::Response;

/// Requests in the name of one and the same user.
const TURN: usize = 25;
/// How long it waits for a lock, or for what an observer hears.
const PATIENCE: Duration = Duration::from_millis(15);
/// Revisions of history that a compaction leaves.
const KEPT: i64 = 400;

pub(super) fn someone(random: &mut StdRng) -> Who {
    match random.random_range(0..10) {
        0..2 => Who::Root,
        2..9 => Who::User(random.random_range(0..USERS)),
        _ => Who::Nobody,
    }
}

/// Asks until all have asked enough.
pub(super) async fn ask(world: Arc<World>, mut random: StdRng) {
    while world.found.lock().len() < FOUND_MAX {
        let who = someone(&mut random);
        let token = world.token(who).await;
        let mut asker = Asker { world: world.clone(), who, token, since: 0, ended: false };
        for _ in 0..TURN {
            if !world.goes_on() {
                return;
            }
            let one = asker.one(&mut random);
            tokio::time::timeout(HANG_MAX, one).await.expect("an answer that never comes");
            if asker.ended {
                break;
            }
        }
    }
}

/// Somebody and his token.
struct Asker {
    world: Arc<World>,
    who: Who,
    token: Option<String>,
    /// The state of rights when the question was sent.
    since: usize,
    /// The token counts no more.
    ended: bool,
}

/// Sends a message by one method of one client, and judges what comes.
macro_rules! unary {
    ($asker:ident, $client:ident, $method:ident, $message:expr) => {{
        let message = $message;
        let asked = message.clone();
        let mut client = $client::new($asker.world.channel.clone());
        let answer = client.$method($asker.by(message)).await;
        $asker.heard(&asked, &answer);
        answer
    }};
}

impl Asker {
    fn by<T>(&mut self, message: T) -> Request<T> {
        self.since = self.world.rights.answered();
        by(self.token.as_deref(), message)
    }

    fn heard<A: Message>(
        &mut self,
        asked: &(dyn Debug + Sync),
        answer: &Result<Response<A>, Status>,
    ) {
        match answer {
            Ok(answer) => self.world.judge_answer(self.who, self.since, asked, answer),
            Err(status) => self.refused(asked, status),
        }
    }

    fn refused(&mut self, asked: &(dyn Debug + Sync), status: &Status) {
        self.world.judge_status(self.who, self.since, asked, status);
        self.ended = status.message() == BAD_TOKEN;
    }

    /// Everything on a stream of answers.
    async fn heard_all<A: Message + Default + 'static>(
        &mut self,
        asked: &(dyn Debug + Sync),
        answers: Result<Response<tonic::Streaming<A>>, Status>,
    ) {
        let mut answers = match answers {
            Ok(answers) => answers.into_inner(),
            Err(status) => return self.refused(asked, &status),
        };
        loop {
            match answers.message().await {
                Ok(Some(answer)) => self.heard(asked, &Ok(Response::new(answer))),
                Ok(None) => return,
                Err(status) => return self.refused(asked, &status),
            }
        }
    }

    async fn one(&mut self, random: &mut StdRng) {
        match random.random_range(0..40) {
            0..8 => {
                let _ = unary!(self, KvClient, range, self.world.a_range(random));
            }
            8..11 => {
                let asked = self.world.a_range(random);
                let mut kv = KvClient::new(self.world.channel.clone());
                let answers = kv.range_stream(self.by(asked.clone())).await;
                self.heard_all(&asked, answers).await;
            }
            11..18 => self.put(random).await,
            18..20 => {
                let asked = self.world.a_delete(self.who, random);
                let _ = unary!(self, KvClient, delete_range, asked);
            }
            20..27 => {
                let asked = self.world.a_txn(self.who, random, 2);
                let _ = unary!(self, KvClient, txn, asked);
            }
            27..32 => self.lease(random).await,
            32..34 => self.lock(random).await,
            34..36 => self.elect(random).await,
            36..38 => self.upkeep(random).await,
            _ => self.users(random).await,
        }
    }

    async fn put(&mut self, random: &mut StdRng) {
        let answer = unary!(self, KvClient, put, self.world.a_put(self.who, random));
        let Ok(answer) = answer else { return };
        let revision = answer.into_inner().header.unwrap().revision;
        self.world.revision.fetch_max(revision, Ordering::Relaxed);
        if self.who == Who::Root && random.random_ratio(1, 100) {
            let revision = revision - KEPT;
            let asked = CompactionRequest { revision, ..Default::default() };
            let _ = unary!(self, KvClient, compact, asked);
        }
    }

    async fn lease(&mut self, random: &mut StdRng) {
        let id = random.random_range(LEASES);
        match random.random_range(0..8) {
            0..4 => {
                let asked = LeaseTimeToLiveRequest { id, keys: random.random() };
                let _ = unary!(self, LeaseClient, lease_time_to_live, asked);
            }
            4 => {
                let _ = unary!(self, LeaseClient, lease_leases, LeaseLeasesRequest {});
            }
            5 => {
                let asked = LeaseKeepAliveRequest { id };
                let mut leases = LeaseClient::new(self.world.channel.clone());
                let once = tokio_stream::once(asked);
                let answers = leases.lease_keep_alive(self.by(once)).await;
                self.heard_all(&asked, answers).await;
            }
            6 => {
                let _ = unary!(self, LeaseClient, lease_revoke, LeaseRevokeRequest { id });
            }
            _ => {
                let asked = LeaseGrantRequest { ttl: 60_000, id };
                let _ = unary!(self, LeaseClient, lease_grant, asked);
            }
        }
    }

    async fn lock(&mut self, random: &mut StdRng) {
        let name = self.world.marks.name(Marks::lock(random));
        let lease = random.random_range(LEASES);
        if random.random_ratio(1, 4) {
            let key = format!("{name}/{lease:x}").into();
            let _ = unary!(self, LockClient, unlock, UnlockRequest { key });
            return;
        }
        let asked =
            async { unary!(self, LockClient, lock, LockRequest { name: name.into(), lease }) };
        // Whoever goes away hears nothing.
        if let Ok(Ok(held)) = tokio::time::timeout(PATIENCE, asked).await {
            let key = held.into_inner().key;
            let _ = unary!(self, LockClient, unlock, UnlockRequest { key });
        }
    }

    async fn elect(&mut self, random: &mut StdRng) {
        let election = Marks::election(random);
        let name = Bytes::from(self.world.marks.name(election));
        let value = Bytes::from(self.world.value(self.who, election));
        let lease = random.random_range(LEASES);
        match random.random_range(0..4) {
            0 => {
                let _ = unary!(self, ElectionClient, leader, LeaderRequest { name });
            }
            1 => {
                let asked = LeaderRequest { name };
                let mut elections = ElectionClient::new(self.world.channel.clone());
                let answers = elections.observe(self.by(asked.clone())).await;
                let hear = self.heard_all(&asked, answers);
                let _ = tokio::time::timeout(PATIENCE, hear).await;
            }
            2 => {
                let key = format!("{}/{lease:x}", self.world.marks.name(election)).into();
                let rev = self.world.some_revision(random);
                let leader = Some(LeaderKey { name, key, rev, lease });
                if random.random() {
                    let asked = ProclaimRequest { leader, value };
                    let _ = unary!(self, ElectionClient, proclaim, asked);
                } else {
                    let _ = unary!(self, ElectionClient, resign, ResignRequest { leader });
                }
            }
            _ => {
                let asked = CampaignRequest { name, lease, value };
                let won = async { unary!(self, ElectionClient, campaign, asked) };
                if let Ok(Ok(won)) = tokio::time::timeout(PATIENCE, won).await {
                    let leader = won.into_inner().leader;
                    let value = self.world.value(self.who, election).into();
                    let asked = ProclaimRequest { leader: leader.clone(), value };
                    let _ = unary!(self, ElectionClient, proclaim, asked);
                    let _ = unary!(self, ElectionClient, resign, ResignRequest { leader });
                }
            }
        }
    }

    async fn upkeep(&mut self, random: &mut StdRng) {
        match random.random_range(0..8) {
            0 => {
                let _ = unary!(self, MaintenanceClient, status, StatusRequest {});
            }
            1 => {
                let _ = unary!(self, MaintenanceClient, alarm, AlarmRequest::default());
            }
            2 => {
                let _ = unary!(self, MaintenanceClient, hash, HashRequest {});
            }
            3 => {
                let asked = HashKvRequest { revision: self.world.some_revision(random) };
                let _ = unary!(self, MaintenanceClient, hash_kv, asked);
            }
            4 => {
                let mut upkeep = MaintenanceClient::new(self.world.channel.clone());
                let answers = upkeep.snapshot(self.by(SnapshotRequest {})).await;
                self.heard_all(&"a snapshot", answers).await;
            }
            5 => {
                let asked = MemberListRequest { linearizable: random.random() };
                let _ = unary!(self, ClusterClient, member_list, asked);
            }
            6 => {
                let _ = unary!(self, MaintenanceClient, defragment, DefragmentRequest {});
            }
            _ => self.forbidden(random).await,
        }
    }

    /// What nobody but root may do, and root does not, for the cluster is still needed.
    async fn forbidden(&mut self, random: &mut StdRng) {
        if self.who == Who::Root {
            return;
        }
        let name = user_name(random.random_range(0..USERS));
        let password = self.world.marks.password(USERS, 0);
        match random.random_range(0..7) {
            0 => {
                let peer_ur_ls = vec!["http://127.0.0.1:1".to_owned()];
                let asked = MemberAddRequest { peer_ur_ls, is_learner: true };
                let _ = unary!(self, ClusterClient, member_add, asked);
            }
            1 => {
                let asked = MoveLeaderRequest { target_id: 1 };
                let _ = unary!(self, MaintenanceClient, move_leader, asked);
            }
            2 => {
                let revision = self.world.some_revision(random);
                let asked = CompactionRequest { revision, ..Default::default() };
                let _ = unary!(self, KvClient, compact, asked);
            }
            3 => {
                let _ = unary!(self, AuthClient, auth_disable, AuthDisableRequest {});
            }
            4 => {
                let asked = AuthUserAddRequest { name, password, ..Default::default() };
                let _ = unary!(self, AuthClient, user_add, asked);
            }
            5 => {
                let asked = AuthUserChangePasswordRequest { name, password, ..Default::default() };
                let _ = unary!(self, AuthClient, user_change_password, asked);
            }
            _ => {
                let key = self.world.marks.name(random.random_range(0..MARKED));
                let asked = grant(&changes::role_name(random.random_range(0..ROLES)), &key, "");
                let _ = unary!(self, AuthClient, role_grant_permission, asked);
            }
        }
    }

    async fn users(&mut self, random: &mut StdRng) {
        let name = user_name(random.random_range(0..USERS));
        match random.random_range(0..6) {
            0 => {
                let _ = unary!(self, AuthClient, user_get, AuthUserGetRequest { name });
            }
            1 => {
                let _ = unary!(self, AuthClient, user_list, AuthUserListRequest {});
            }
            2 => {
                let _ = unary!(self, AuthClient, role_list, AuthRoleListRequest {});
            }
            3 => {
                // Whoever has a role may know what it is about.
                let role = changes::role_name(random.random_range(0..ROLES));
                let asked = AuthRoleGetRequest { role };
                let mut auth = AuthClient::new(self.world.channel.clone());
                match auth.role_get(self.by(asked.clone())).await {
                    Err(status) => self.refused(&asked, &status),
                    Ok(answer) => {
                        let told = answer.into_inner().encode_to_vec();
                        self.world.judge_as(self.who, self.since, &asked, &told, true);
                    }
                }
            }
            4 => {
                let password = self.world.marks.password(USERS, 1);
                let since = self.world.rights.answered();
                let refused = authenticate(&self.world.channel, &name, &password).await;
                self.world.judge_status(self.who, since, &name, &refused.unwrap_err());
            }
            _ => {
                let _ = unary!(self, AuthClient, auth_status, AuthStatusRequest {});
            }
        }
    }
}
