//! Who may read and write what at which time, worked out key by key.
//!
//! A change of rights takes effect somewhere between its request and its answer. So an answer is
//! held against all states from the newest that was answered when its question was sent, to the
//! newest that was asked for when it came.

use super::marks::{AREAS, MARKED, Marks};
use drystone_api::authpb::{Permission, permission::Type};
use parking_lot::RwLock;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Users besides root.
pub(super) const USERS: usize = 5;
pub(super) const ROLES: usize = 6;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Root,
    User(usize),
    /// Somebody without a token.
    Nobody,
}

/// The marked names that each user may use: one bit for each.
#[derive(Clone, Debug, Default)]
struct State {
    read: [u64; USERS],
    write: [u64; USERS],
}

impl State {
    fn may_read(&self, who: Who, key: usize) -> bool {
        match who {
            Who::Root => true,
            Who::User(user) => self.read[user] >> key & 1 == 1,
            Who::Nobody => false,
        }
    }

    fn may_write(&self, who: Who, key: usize) -> bool {
        match who {
            Who::Root => true,
            Who::User(user) => self.write[user] >> key & 1 == 1,
            Who::Nobody => false,
        }
    }
}

/// All states there were, in order.
#[derive(Debug)]
pub(super) struct Rights {
    states: RwLock<Vec<State>>,
    answered: AtomicUsize,
}

impl Rights {
    pub(super) fn new() -> Self {
        Self { states: RwLock::new(vec![State::default()]), answered: AtomicUsize::new(0) }
    }

    /// The newest state that is surely in force.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// The newest state that may be in force.
    pub(super) fn asked_for(&self) -> usize {
        self.states.read().len() - 1
    }

    /// Notes a change that is about to be asked for.
    pub(super) fn ask_for(&self, model: &Model, marks: &Marks) {
        self.states.write().push(model.state(marks));
    }

    /// Notes that the newest change was answered.
    pub(super) fn answer(&self) {
        self.answered.store(self.asked_for(), Ordering::SeqCst);
    }

    /// Whether `who` had the right to read at any time from a state on.
    pub(super) fn could_read(&self, who: Who, key: usize, since: usize) -> bool {
        self.states.read()[since..].iter().any(|state| state.may_read(who, key))
    }

    pub(super) fn could_write(&self, who: Who, key: usize, since: usize) -> bool {
        self.states.read()[since..].iter().any(|state| state.may_write(who, key))
    }
}

/// A range of keys as a permission names it.
type Ends = (String, String);

/// Roles and who has them.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) roles: Vec<BTreeMap<Ends, Type>>,
    pub(super) users: Vec<BTreeSet<usize>>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { roles: vec![BTreeMap::new(); ROLES], users: vec![BTreeSet::new(); USERS] }
    }

    fn state(&self, marks: &Marks) -> State {
        let mut state = State::default();
        for (user, roles) in self.users.iter().enumerate() {
            for (ends, kind) in roles.iter().flat_map(|role| &self.roles[*role]) {
                for key in (0..MARKED).filter(|key| covers(ends, &marks.span(*key))) {
                    state.read[user] |= u64::from(*kind != Type::Write) << key;
                    state.write[user] |= u64::from(*kind != Type::Read) << key;
                }
            }
        }
        state
    }
}

fn covers((key, end): &Ends, (first, past): &Ends) -> bool {
    let below = match end.as_str() {
        "" => *past == format!("{key}\0"),
        "\0" => true,
        end => past.as_str() <= end,
    };
    key <= first && below
}

/// A permission about one plain key, an area or a few, or everything from an area on.
pub(super) fn permission(random: &mut StdRng, marks: &Marks) -> Permission {
    let area = random.random_range(0..AREAS.len());
    let begin = format!("{}/", AREAS[area]);
    let (key, end) = match random.random_range(0..12) {
        0..6 => (begin, format!("{}0", AREAS[area])),
        6..10 => (marks.name(Marks::plain(random)), String::new()),
        10 => (begin, format!("{}0", AREAS[random.random_range(area..AREAS.len())])),
        _ => (begin, "\0".to_owned()),
    };
    let kind = [Type::Read, Type::Write, Type::Readwrite][random.random_range(0..3)];
    Permission { perm_type: kind.into(), key: key.into(), range_end: end.into() }
}
