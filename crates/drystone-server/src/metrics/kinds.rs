//! Kinds of commands in the log, by the names that etcd gives them.

use drystone_metrics::{Histogram, Registry};
use std::sync::{Arc, OnceLock};

/// Tags of `InternalRaftRequest`, and what they are called.
const KINDS: [(u64, &str); 28] = [
    (3, "Range"),
    (4, "Put"),
    (5, "DeleteRange"),
    (6, "Txn"),
    (7, "Compaction"),
    (8, "LeaseGrant"),
    (9, "LeaseRevoke"),
    (10, "Alarm"),
    (11, "LeaseCheckpoint"),
    (1000, "AuthEnable"),
    (1011, "AuthDisable"),
    (1012, "Authenticate"),
    (1013, "AuthStatus"),
    (1100, "AuthUserAdd"),
    (1101, "AuthUserDelete"),
    (1102, "AuthUserGet"),
    (1103, "AuthUserChangePassword"),
    (1104, "AuthUserGrantRole"),
    (1105, "AuthUserRevokeRole"),
    (1106, "AuthUserList"),
    (1107, "AuthRoleList"),
    (1200, "AuthRoleAdd"),
    (1201, "AuthRoleDelete"),
    (1202, "AuthRoleGet"),
    (1203, "AuthRoleGrantPermission"),
    (1204, "AuthRoleRevokePermission"),
    (1300, "ClusterVersionSet"),
    (1301, "ClusterMemberAttrSet"),
];
/// Kinds that are not in that table.
const EXTRA: [&str; 3] = ["DowngradeInfoSet", "ReadonlyTxn", "unknown"];
const DOWNGRADE_TAG: u64 = 1302;
const NAMES: usize = KINDS.len() + EXTRA.len();

/// A kind of command, or of a read that never enters the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(usize);

impl Kind {
    pub(crate) const RANGE: Self = Self(0);
    pub(crate) const READ_ONLY_TXN: Self = Self(KINDS.len() + 1);
    pub(crate) const UNKNOWN: Self = Self(NAMES - 1);

    fn of_tag(tag: u64) -> Option<Self> {
        let known = KINDS.iter().position(|(known, _)| *known == tag);
        known.or((tag == DOWNGRADE_TAG).then_some(KINDS.len())).map(Self)
    }

    /// The name that etcd gives it.
    pub(crate) fn name(self) -> &'static str {
        KINDS.get(self.0).map_or_else(|| EXTRA[self.0 - KINDS.len()], |(_, name)| name)
    }
}

/// The kind of an encoded `InternalRaftRequest`, from its first fields alone.
pub(crate) fn kind_of(mut data: &[u8]) -> Kind {
    while let Some(key) = varint(&mut data) {
        if let Some(kind) = Kind::of_tag(key >> 3) {
            return kind;
        }
        let skipped = match key & 7 {
            0 => varint(&mut data).map(|_| 0),
            2 => varint(&mut data).and_then(|length| usize::try_from(length).ok()),
            _ => None,
        };
        match skipped.and_then(|length| data.get(length..)) {
            Some(rest) => data = rest,
            None => break,
        }
    }
    Kind::UNKNOWN
}

fn varint(data: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (at, byte) in data.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *data = &data[at + 1..];
            return Some(number);
        }
    }
    None
}

/// Histograms of one family by kind and success, each there from its first use.
#[derive(Debug)]
pub(crate) struct ByKind {
    registry: Arc<Registry>,
    /// Makes a series for a kind, and for whether it went well.
    make: fn(&Registry, &str, &str) -> Histogram,
    cells: [[OnceLock<Histogram>; 2]; NAMES],
}

impl ByKind {
    pub(crate) fn new(
        registry: &Arc<Registry>,
        make: fn(&Registry, &str, &str) -> Histogram,
    ) -> Self {
        Self { registry: registry.clone(), make, cells: Default::default() }
    }

    pub(crate) fn of(&self, kind: Kind, success: bool) -> &Histogram {
        let word = if success { "true" } else { "false" };
        let make = || (self.make)(&self.registry, kind.name(), word);
        self.cells[kind.0][usize::from(success)].get_or_init(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_api::etcdserverpb::{
        AuthRoleListRequest, InternalRaftRequest, PutRequest, RequestHeader,
    };
    use prost::Message as _;

    #[test]
    fn the_kind_is_read_off_the_bytes() {
        let header = Some(RequestHeader { id: 7, ..RequestHeader::default() });
        let put = Some(PutRequest { key: "a".into(), ..PutRequest::default() });
        let put = InternalRaftRequest { header: header.clone(), put, ..Default::default() };
        let roles = Some(AuthRoleListRequest::default());
        let roles = InternalRaftRequest {
            id: 1 << 40,
            header,
            auth_role_list: roles,
            ..Default::default()
        };
        let names = [&put, &roles].map(|request| kind_of(&request.encode_to_vec()).name());
        assert_eq!(names, ["Put", "AuthRoleList"]);
        assert_eq!(Kind::READ_ONLY_TXN.name(), "ReadonlyTxn");
        for broken in [&b""[..], &[0xff; 20], &[0x0a, 0x7f, 1], &[0x0d, 1]] {
            assert_eq!(kind_of(broken), Kind::UNKNOWN, "{broken:?}");
        }
    }
}
