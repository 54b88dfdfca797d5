//! Calls of Drystone and etcd that are made of others: locks, elections, ranges in pieces.

use super::{Call, Reply, Side, Who, refused, reply};
use drystone_api::etcdserverpb as pb;
use drystone_api::v3electionpb as epb;
use drystone_api::v3electionpb::election_client::ElectionClient;
use drystone_api::v3lockpb as lpb;
use drystone_api::v3lockpb::lock_client::LockClient;

/// What an election's only candidate says at first, and then.
const FIRST: &[u8] = b"first";
const SECOND: &[u8] = b"second";

impl Side {
    /// Takes a lock that nobody else wants, and gives it back.
    pub(super) async fn lock(&self, request: lpb::LockRequest, who: &Who) -> Reply {
        let mut client = LockClient::new(self.transport());
        let locked = reply(client.lock(self.by(who, request)).await, Reply::Lock);
        let Reply::Lock(answer) = &locked else { return locked };
        let request = lpb::UnlockRequest { key: answer.key.clone() };
        let unlocked = reply(client.unlock(self.by(who, request)).await, Reply::Unlock);
        Reply::All(vec![locked, unlocked])
    }

    /// Wins an election without another candidate, says something else, and resigns.
    pub(super) async fn elect(&self, name: &str, lease: i64, who: &Who) -> Reply {
        let mut client = ElectionClient::new(self.transport());
        let name: bytes::Bytes = name.to_owned().into();
        let ask = || epb::LeaderRequest { name: name.clone() };
        let mut all = vec![reply(client.leader(self.by(who, ask())).await, Reply::Leader)];
        let campaign = epb::CampaignRequest { name: name.clone(), lease, value: FIRST.into() };
        let won = reply(client.campaign(self.by(who, campaign)).await, Reply::Campaign);
        let leader = match &won {
            Reply::Campaign(answer) => answer.leader.clone(),
            _ => None,
        };
        all.push(won);
        let proclaim = epb::ProclaimRequest { leader: leader.clone(), value: SECOND.into() };
        all.push(reply(client.proclaim(self.by(who, proclaim)).await, Reply::Proclaim));
        all.push(reply(client.leader(self.by(who, ask())).await, Reply::Leader));
        let resign = epb::ResignRequest { leader };
        all.push(reply(client.resign(self.by(who, resign)).await, Reply::Resign));
        Reply::All(all)
    }

    /// The answer of RangeStream to a range, its pieces put together; none where it answers
    /// otherwise than a range by design.
    pub(in crate::random) async fn in_pieces(&self, call: &Call) -> Option<Reply> {
        let Call::Range(request) = call.bare() else { return None };
        let filters = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        let sorts = request.sort_order != 0 || request.sort_target != 0;
        if sorts || filters.iter().any(|filter| *filter != 0) {
            return None;
        }
        let nobody = Who::Nobody;
        let who = match call {
            Call::As(who, _) => who,
            _ => &nobody,
        };
        let request = self.by(who, request.clone());
        let mut pieces = match self.kv.clone().range_stream(request).await {
            Ok(pieces) => pieces.into_inner(),
            Err(status) => return Some(refused(&status)),
        };
        let mut whole = pb::RangeResponse::default();
        loop {
            match pieces.message().await {
                Ok(Some(piece)) => {
                    let Some(piece) = piece.range_response else { continue };
                    whole.kvs.extend(piece.kvs);
                    whole.header = piece.header.or(whole.header);
                    whole.more |= piece.more;
                    whole.count += piece.count;
                }
                Ok(None) => return Some(Reply::Range(whole)),
                Err(status) => return Some(refused(&status)),
            }
        }
    }
}
