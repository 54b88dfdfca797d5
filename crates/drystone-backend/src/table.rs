//! The tables of a store.

/// The tables of a store, named and used as etcd's buckets are, so that a store can be written
/// out as etcd's file and read back (`mvcc` and `schema` of etcd's `server/storage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Alarms that are set.
    Alarm,
    /// Whether authentication is on, and the auth revision.
    Auth,
    /// Roles by name.
    AuthRoles,
    /// Users by name.
    AuthUsers,
    /// The cluster's version and a running downgrade.
    Cluster,
    /// Key-value pairs and tombstones by revision.
    Key,
    /// Key leases by id.
    Lease,
    /// Members by id.
    Members,
    /// Ids of removed members.
    MembersRemoved,
    /// Marks: the applied index and term, compaction revisions, the membership of raft.
    Meta,
}

impl Table {
    /// Every table, in the order of their names.
    pub const ALL: [Self; 10] = [
        Self::Alarm,
        Self::Auth,
        Self::AuthRoles,
        Self::AuthUsers,
        Self::Cluster,
        Self::Key,
        Self::Lease,
        Self::Members,
        Self::MembersRemoved,
        Self::Meta,
    ];

    /// The table's name, which is etcd's name of the bucket.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Auth => "auth",
            Self::AuthRoles => "authRoles",
            Self::AuthUsers => "authUsers",
            Self::Cluster => "cluster",
            Self::Key => "key",
            Self::Lease => "lease",
            Self::Members => "members",
            Self::MembersRemoved => "members_removed",
            Self::Meta => "meta",
        }
    }

    /// The table's place in [`Table::ALL`], for arrays with one slot a table.
    #[must_use]
    pub fn position(self) -> usize {
        self as usize
    }

    /// The table with this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}
