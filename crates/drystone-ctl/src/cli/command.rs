//! The tree of commands, and finding one in it by unambiguous prefixes.

use super::{Flag, Kind};

/// A command or a group of commands.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// What follows the name, for usage texts.
    pub(crate) arguments: &'static str,
    pub(crate) about: &'static str,
    pub(crate) flags: &'static [Flag],
    /// Flags that children know too.
    pub(crate) shared: &'static [Flag],
    pub(crate) children: &'static [Command],
    /// What it does; `None` for a group.
    pub(crate) action: Option<Action>,
}

/// Everything that a command can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Put,
    Get,
    Del,
    Txn,
    Watch,
    LeaseGrant,
    LeaseRevoke,
    LeaseTimeToLive,
    LeaseList,
    LeaseKeepAlive,
    Compaction,
    Lock,
    Elect,
    MemberList,
    MemberAdd,
    MemberRemove,
    MemberUpdate,
    MemberPromote,
    MoveLeader,
    AlarmList,
    AlarmDisarm,
    Defrag,
    AuthEnable,
    AuthDisable,
    AuthStatus,
    UserAdd,
    UserDelete,
    UserGet,
    UserList,
    UserPasswd,
    UserGrantRole,
    UserRevokeRole,
    RoleAdd,
    RoleDelete,
    RoleGet,
    RoleList,
    RoleGrantPermission,
    RoleRevokePermission,
    EndpointStatus,
    EndpointHealth,
    EndpointHashKv,
    Version,
    Options,
    Help,
}

/// Where a command line leads.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// From the root to the command.
    pub(crate) path: Vec<&'static Command>,
    /// The words that are not its name.
    pub(crate) words: Vec<Vec<u8>>,
    /// A first word that names no command at all.
    pub(crate) unknown: Option<String>,
}

impl Resolved {
    pub(crate) fn command(&self) -> &'static Command {
        self.path.last().expect("the path begins with the root")
    }

    /// All flags that the command knows.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let shared = self.path.iter().flat_map(|command| command.shared);
        self.command().flags.iter().chain(shared).copied().collect()
    }
}

/// Walks down the tree, following words that are not flags or their values.
pub(crate) fn resolve(root: &'static Command, words: &[Vec<u8>]) -> Resolved {
    let mut resolved = Resolved { path: vec![root], words: words.to_vec(), unknown: None };
    loop {
        let here = resolved.command();
        if here.children.is_empty() {
            return resolved;
        }
        let Some(at) = first_argument(root, &resolved.words) else { return resolved };
        let word = String::from_utf8_lossy(&resolved.words[at]).into_owned();
        match here.child(&word) {
            Some(child) => {
                resolved.words.remove(at);
                resolved.path.push(child);
            }
            None => {
                resolved.unknown = (resolved.path.len() == 1).then_some(word);
                return resolved;
            }
        }
    }
}

/// The place of the first word that is neither a flag nor a flag's value.
fn first_argument(root: &'static Command, words: &[Vec<u8>]) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let flag = match word.as_slice() {
            b"--" => return None,
            [b'-', b'-', name @ ..] if !name.contains(&b'=') => {
                root.find_flag(|flag| flag.name.as_bytes() == name)
            }
            // `-w json`: a letter that stands alone.
            [b'-', letter] => root.find_flag(|flag| flag.short == Some(char::from(*letter))),
            [b'-', _, ..] => None,
            _ => return Some(at),
        };
        let takes_next = flag.is_some_and(|flag| flag.kind != Kind::Bool);
        at += if takes_next { 2 } else { 1 };
    }
    None
}

impl Command {
    /// An exact name wins; else the only child whose name begins so.
    pub(crate) fn child(&'static self, word: &str) -> Option<&'static Command> {
        if let Some(exact) = self.children.iter().find(|child| child.name == word) {
            return Some(exact);
        }
        let mut matches = self.children.iter().filter(|child| child.name.starts_with(word));
        let first = matches.next().filter(|_| !word.is_empty())?;
        matches.next().is_none().then_some(first)
    }

    /// Any flag of this command or below it.
    fn find_flag(&'static self, wanted: impl Fn(&Flag) -> bool + Copy) -> Option<&'static Flag> {
        self.flags
            .iter()
            .chain(self.shared)
            .find(|flag| wanted(flag))
            .or_else(|| self.children.iter().find_map(|child| child.find_flag(wanted)))
    }

    /// Children that a mistyped word may have meant, as cobra guesses.
    pub(crate) fn suggestions(&self, word: &str) -> Vec<&'static str> {
        const DISTANCE_MAX: usize = 2;
        let lower = word.to_lowercase();
        let near =
            |name: &&str| name.starts_with(&lower) || levenshtein(&lower, name) <= DISTANCE_MAX;
        self.children.iter().map(|child| child.name).filter(near).collect()
    }
}

fn levenshtein(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::ROOT;

    fn lead(line: &str) -> (String, String, Option<String>) {
        let words: Vec<Vec<u8>> = line.split_whitespace().map(|w| w.as_bytes().to_vec()).collect();
        let resolved = resolve(&ROOT, &words);
        let path: Vec<&str> = resolved.path.iter().skip(1).map(|command| command.name).collect();
        let words: Vec<_> =
            resolved.words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        (path.join(" "), words.join(" "), resolved.unknown)
    }

    #[test]
    fn prefixes_and_places_of_flags() {
        let leads = |line: &str, path: &str, words: &str| {
            assert_eq!(lead(line), (path.to_owned(), words.to_owned(), None), "{line}");
        };
        leads("mem l", "member list", "");
        leads("compact 8", "compaction", "8");
        leads("end st", "endpoint status", "");
        leads("-w json get a", "get", "-w json a");
        leads("--prefix get a", "get", "--prefix a");
        leads("--endpoints a:1 lease -w json list x", "lease list", "--endpoints a:1 -w json x");
        leads("lease foo", "lease", "foo");
        leads("", "", "");
        leads("get -- lease", "get", "-- lease");
    }

    #[test]
    fn what_names_no_command() {
        // `put` and `txn` begin differently, `compaction` alone begins with c.
        assert_eq!(lead("c 8").0, "compaction");
        // Nothing begins with more than its name.
        assert_eq!(lead("getx").2.as_deref(), Some("getx"));
        assert_eq!(lead("foo").2.as_deref(), Some("foo"));
        assert_eq!(lead("le x").0, "lease");
        assert_eq!(ROOT.suggestions("gte"), ["get"]);
        assert_eq!(ROOT.suggestions("watc"), ["watch"]);
        assert_eq!(ROOT.suggestions("zzzzzzz"), [""; 0]);
    }

    #[test]
    fn distances() {
        assert_eq!(levenshtein("kitten", "sitting"), 3);
        assert_eq!(levenshtein("", "abc"), 3);
        assert_eq!(levenshtein("abc", "abc"), 0);
    }
}
