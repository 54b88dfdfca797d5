//! Identities and units as newtypes, so that two numbers of one width cannot change places.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "(", $format, ")"), self.0)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

id!(
    /// One member of a cluster. Zero means "no member". Prints as etcd prints it: lower-case
    /// hexadecimal without leading zeros.
    MemberId(u64),
    "{:x}"
);
id!(
    /// One cluster, fixed when it is bootstrapped. Prints as lower-case hexadecimal.
    ClusterId(u64),
    "{:x}"
);
id!(
    /// One key lease. Zero means "no lease"; negative ids are legal. Prints as etcdctl prints
    /// it: sixteen hexadecimal digits.
    LeaseId(i64),
    "{:016x}"
);
id!(
    /// A term of raft's leadership. Zero comes before the first election.
    Term(u64),
    "{}"
);
id!(
    /// The place of an entry in the replicated log. The first entry has index 1.
    LogIndex(u64),
    "{}"
);

impl MemberId {
    /// True for the id that names nobody.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl LeaseId {
    /// True for the id that stands for "no lease".
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl LogIndex {
    /// The index after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
