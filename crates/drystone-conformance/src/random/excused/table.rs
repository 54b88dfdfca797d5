//! The table itself.

use super::{Excuse, Treatment};

/// The whole table.
pub const EXCUSED: &[Excuse] = &[
    CHOICES,
    TIME_LEFT,
    NO_ORDER,
    TIES,
    KEYS_ONLY_LEASE,
    HASH_REVISION,
    SORT_ENUMS,
    NEGATIVE_START,
    CUT_DELETION,
    CUT_HASH,
    EARLY_PROGRESS,
    OVERTAKEN,
    REVOKED_WATCH,
    FROM_KEY_DELETE,
    NEGATIVE_IN_TXN,
    COMPACT_NOTHING,
    IDLE_TOKENS,
    NESTED_OPEN,
    TXN_PUTS_OPEN,
    LEASES_OPEN,
    LEASE_KEYS_OPEN,
    FROM_KEY_WATCH,
    ANY_STATUS,
    NO_STATUS,
    ODD_GRANTS,
    NAMELESS,
    RECIPES_OF_ROOT,
    ALARMS,
    ROOT_ROLE,
    TURNED_AROUND,
    TWICE_GRANTED,
    ODD_PASSWORDS,
    ONE_REFUSAL,
    RAW_REFUSAL,
    SILENCED,
    UNSWEPT,
    NEGATIVE_HASH,
    GROUPING,
    ERROR_ORDER,
];

pub(in crate::random) const CHOICES: Excuse = Excuse {
    what: "ids of cluster and member, the term, ids of leases asked for with id 0",
    treatment: Treatment::Masked,
    before: None,
    reason: "servers choose them; that they are there, or not, is compared",
};
pub(in crate::random) const TIME_LEFT: Excuse = Excuse {
    what: "seconds left of a lease",
    treatment: Treatment::Masked,
    before: None,
    reason: "clocks run; it must lie between nothing and what was granted",
};
pub(in crate::random) const NO_ORDER: Excuse = Excuse {
    what: "the order of leases in a list, of keys of a lease, and of permissions from one key on",
    treatment: Treatment::Masked,
    before: None,
    reason: "leases are listed by time left, keys of a lease in no order, and of permissions only \
             their keys are sorted",
};
pub(in crate::random) const TIES: Excuse = Excuse {
    what: "the order of pairs that are equal in what is sorted by, and which of them a limit cuts",
    treatment: Treatment::Masked,
    before: None,
    reason: "etcd's sort is not stable and changes with its compiler",
};
pub(in crate::random) const KEYS_ONLY_LEASE: Excuse = Excuse {
    what: "the lease of a pair read with keys_only",
    treatment: Treatment::Masked,
    before: Some([3, 7, 0]),
    reason: "0 since 3.7, unless sorted by value; Drystone must give 0",
};
pub(in crate::random) const HASH_REVISION: Excuse = Excuse {
    what: "hash_revision of a HashKV",
    treatment: Treatment::Masked,
    before: Some([3, 6, 0]),
    reason: "there since 3.6; Drystone must give the revision that was hashed",
};
pub(in crate::random) const SORT_ENUMS: Excuse = Excuse {
    what: "orders and targets of a range that do not exist",
    treatment: Treatment::Alone,
    before: Some([3, 6, 0]),
    reason: "older versions sort somehow, or end",
};
pub(in crate::random) const NEGATIVE_START: Excuse = Excuse {
    what: "a watch from a negative revision",
    treatment: Treatment::Alone,
    before: Some([3, 6, 6]),
    reason: "refused since 3.5.24 and 3.6.6",
};
pub(in crate::random) const CUT_DELETION: Excuse = Excuse {
    what: "a watch from exactly the compacted revision, if that one deleted",
    treatment: Treatment::KeptOut,
    before: Some([3, 6, 0]),
    reason: "the deletion there is told since 3.4.34 and 3.5.16",
};
pub(in crate::random) const CUT_HASH: Excuse = Excuse {
    what: "HashKV at exactly a compacted revision, the last one or one before",
    treatment: Treatment::KeptOut,
    before: Some([3, 6, 0]),
    reason: "the hashes of compactions are kept since 3.6 and some versions before",
};
pub(in crate::random) const EARLY_PROGRESS: Excuse = Excuse {
    what: "a progress request while a watch of the stream is behind or starts in the future",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "whether a watch is behind is a matter of moments; and before 3.5.8 nobody looked",
};
pub(in crate::random) const OVERTAKEN: Excuse = Excuse {
    what: "a compaction that overtakes a watch which is behind",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "whether a watch is behind is a matter of moments; those that may be are ended first",
};
pub(in crate::random) const REVOKED_WATCH: Excuse = Excuse {
    what: "a watch whose owner loses the right to its keys",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "Drystone ends it, etcd tells it everything for as long as it lives; those that may be \
             are ended first",
};
pub(in crate::random) const FROM_KEY_DELETE: Excuse = Excuse {
    what: "a transaction with a deletion to the end of keys and a put that keeps value or lease",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "every etcd ends when the deletion takes the key (\"Where etcd falls\")",
};
pub(in crate::random) const NEGATIVE_IN_TXN: Excuse = Excuse {
    what: "a range at revision -1 in a transaction",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "etcd reads the present until the first compaction, and calls it compacted after",
};
pub(in crate::random) const IDLE_TOKENS: Excuse = Excuse {
    what: "tokens told while authentication is off",
    treatment: Treatment::KeptOut,
    before: Some([3, 6, 0]),
    reason: "old versions refuse those they do not know all the same; a row asks",
};
/// CVE-2026-33343: what a transaction inside another one takes.
pub(in crate::random) const NESTED_OPEN: Excuse = Excuse {
    what: "transactions inside others, by users who may not do what is in them",
    treatment: Treatment::Alone,
    before: Some([3, 6, 9]),
    reason: "permissions are asked for them since 3.4.42, 3.5.28 and 3.6.9 (CVE-2026-33343)",
};
pub(in crate::random) const TXN_PUTS_OPEN: Excuse = Excuse {
    what: "puts in transactions, by users who may not read what was there before, or not write \
           the other keys of the lease",
    treatment: Treatment::Alone,
    before: Some([3, 6, 11]),
    reason: "asked for since 3.4.44, 3.5.30 and 3.6.11",
};
/// CVE-2026-33413: calls of leases and compactions took nothing.
pub(in crate::random) const LEASES_OPEN: Excuse = Excuse {
    what: "calls about leases, and compactions, by those who may not make them",
    treatment: Treatment::Alone,
    before: Some([3, 6, 9]),
    reason: "permissions are asked for them since 3.4.42, 3.5.28 and 3.6.9 (CVE-2026-33413)",
};
/// CVE-2023-32082: the keys of a lease were told to everybody.
pub(in crate::random) const LEASE_KEYS_OPEN: Excuse = Excuse {
    what: "the keys of a lease, asked for by users who may not read them",
    treatment: Treatment::Alone,
    before: Some([3, 6, 0]),
    reason: "refused since 3.4.26 and 3.5.9 (CVE-2023-32082)",
};
/// CVE-2026-73499: a watch to the end of keys took the right to its first key only.
pub(in crate::random) const FROM_KEY_WATCH: Excuse = Excuse {
    what: "a watch from a key on, by users who may read that key but not all above it",
    treatment: Treatment::Alone,
    before: Some([3, 7, 1]),
    reason: "refused since 3.5.33, 3.6.14 and 3.7.1 (CVE-2026-73499)",
};
pub(in crate::random) const ANY_STATUS: Excuse = Excuse {
    what: "AuthStatus, with authentication on, asked by others than root",
    treatment: Treatment::Alone,
    before: Some([3, 7, 0]),
    reason: "everybody may ask since 3.7, and Drystone must tell them what it tells root",
};
pub(in crate::random) const NO_STATUS: Excuse = Excuse {
    what: "AuthStatus",
    treatment: Treatment::Alone,
    before: Some([3, 5, 0]),
    reason: "old versions do not have the call",
};
pub(in crate::random) const ODD_GRANTS: Excuse = Excuse {
    what: "permissions that are missing, without a key, or of ranges that are turned around",
    treatment: Treatment::Alone,
    before: Some([3, 6, 0]),
    reason: "refused since 3.5.8; older versions take them over, or end",
};
pub(in crate::random) const NAMELESS: Excuse = Excuse {
    what: "the user without a name, asked for by nobody in particular",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "etcd takes them for one and the same, and says that there is no such user; Drystone \
             asks who asks",
};
pub(in crate::random) const RECIPES_OF_ROOT: Excuse = Excuse {
    what: "locks and elections with a lease that the server grants, of several who wait, or, with \
           authentication on, of others than root",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "the id of the lease is in the key, and a stream in step cannot wait; rows ask",
};
pub(in crate::random) const ALARMS: Excuse = Excuse {
    what: "alarms",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "while one is raised, etcd asks for no permissions (upstream #22386); rows ask",
};
pub(in crate::random) const ROOT_ROLE: Excuse = Excuse {
    what: "the permissions of the role root",
    treatment: Treatment::Masked,
    before: Some([3, 6, 0]),
    reason: "old versions tell what was granted to it; Drystone must tell that it may do all",
};
pub(in crate::random) const TURNED_AROUND: Excuse = Excuse {
    what: "a range that ends before it begins, with authentication on, by others than root",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "whether etcd lets it pass depends on the shape of its tree of permissions; there is \
             nothing in it",
};
pub(in crate::random) const TWICE_GRANTED: Excuse = Excuse {
    what: "a permission granted to a role that has it already, and another from the same key on",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "every etcd looks at the first of them only, and may keep it twice",
};
pub(in crate::random) const ODD_PASSWORDS: Excuse = Excuse {
    what: "passwords of more than 72 bytes, a change to an empty one, and such as come as a hash",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "versions differ; rows ask",
};
pub(in crate::random) const ONE_REFUSAL: Excuse = Excuse {
    what: "the reason and the id told with a watch that is refused for want of rights",
    treatment: Treatment::Masked,
    before: Some([3, 6, 0]),
    reason: "old versions tell that permission was denied, whatever it was for",
};
pub(in crate::random) const SILENCED: Excuse = Excuse {
    what: "a watch whose stream was refused another one, for want of rights, with the same id, or \
           with none if its own is 0",
    treatment: Treatment::KeptOut,
    before: Some([3, 6, 0]),
    reason: "old versions tell it nothing any more; it is ended",
};
pub(in crate::random) const RAW_REFUSAL: Excuse = Excuse {
    what: "the code of a HashKV that is refused for want of rights, and the first word of its text",
    treatment: Treatment::Masked,
    before: Some([3, 6, 0]),
    reason: "before 3.5.9 it is UNKNOWN and begins with \"auth:\"",
};
pub(in crate::random) const UNSWEPT: Excuse = Excuse {
    what: "HashKV at a revision where no key lived, until a compaction has removed what it may",
    treatment: Treatment::Awaited,
    before: None,
    reason: "then etcd's hash takes in whatever is still stored below the compacted revision",
};
pub(in crate::random) const COMPACT_NOTHING: Excuse = Excuse {
    what: "a compaction at revision 0 before any other",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "it succeeds once, and hashes afterwards differ among versions",
};
pub(in crate::random) const NEGATIVE_HASH: Excuse = Excuse {
    what: "HashKV at a negative revision",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "etcd hashes nothing and answers so",
};
pub(in crate::random) const GROUPING: Excuse = Excuse {
    what: "how many revisions one response of a watch holds, and the revision in its header",
    treatment: Treatment::Masked,
    before: None,
    reason: "a watch that is behind gets many at once; a revision must still come whole, in \
             order, and no later than its header says",
};

pub(in crate::random) const ERROR_ORDER: Excuse = Excuse {
    what: "which error a transaction gives that holds a put and a range that cannot be done",
    treatment: Treatment::Masked,
    before: Some([3, 6, 0]),
    reason: "operations are looked at in order since 3.6; before, all puts came before all ranges",
};
