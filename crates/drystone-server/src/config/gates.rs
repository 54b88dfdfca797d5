//! Feature gates: `--feature-gates=NAME=true,NAME=false`.

use super::note::Note;
use std::collections::BTreeMap;

/// How settled a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Alpha,
    Beta,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
        }
    }
}

/// A feature gate, as it is told to those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// `ALPHA` or `BETA`.
    pub stage: &'static str,
    /// Whether it is open.
    pub open: bool,
}

/// One gate of etcd.
struct Gate {
    name: &'static str,
    stage: Stage,
    /// Whether it is open here when nobody says otherwise.
    default: bool,
    /// Why setting it changes nothing here, if it does not.
    idle: Option<&'static str>,
}

const fn gate(name: &'static str, stage: Stage, default: bool) -> Gate {
    Gate { name, stage, default, idle: None }
}

const fn idle(name: &'static str, stage: Stage, default: bool, why: &'static str) -> Gate {
    Gate { name, stage, default, idle: Some(why) }
}

/// Compares stores before a member serves. Open by default, unlike in etcd.
pub(crate) const INITIAL_CORRUPT_CHECK: &str = "InitialCorruptCheck";
/// Compares the hashes that compactions leave. Open by default, unlike in etcd.
pub(crate) const COMPACT_HASH_CHECK: &str = "CompactHashCheck";

/// Remaining times of leases are logged.
pub(crate) const LEASE_CHECKPOINT: &str = "LeaseCheckpoint";
/// They are stored.
pub(crate) const LEASE_CHECKPOINT_PERSIST: &str = "LeaseCheckpointPersist";

const ALL_ALPHA: &str = "AllAlpha";
const ALL_BETA: &str = "AllBeta";

const GATES: &[Gate] = &[
    gate(COMPACT_HASH_CHECK, Stage::Alpha, true),
    idle("FastLeaseKeepAlive", Stage::Beta, true, "renewals wait for no apply as it is"),
    gate(INITIAL_CORRUPT_CHECK, Stage::Alpha, true),
    idle(LEASE_CHECKPOINT, Stage::Alpha, true, "remaining times of leases are always logged"),
    idle(LEASE_CHECKPOINT_PERSIST, Stage::Alpha, true, "they are always stored"),
    idle("PriorityRequest", Stage::Alpha, false, "ends of leases are not refused sooner or later"),
    idle("SetMemberLocalAddr", Stage::Alpha, false, "the system chooses the address to dial from"),
    idle("StopGRPCServiceOnDefrag", Stage::Alpha, false, "defragmentation stops nothing"),
    idle("TxnModeWriteWithSharedBuffer", Stage::Beta, true, "there is no such buffer"),
];

/// Which gates are open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gates {
    named: BTreeMap<&'static str, bool>,
}

impl Gates {
    /// Reads the flag's value. Gates that change nothing are noted.
    ///
    /// # Errors
    /// etcd's texts for what cannot be read.
    pub(crate) fn parse(text: &str, notes: &mut Vec<Note>) -> Result<Self, String> {
        let mut gates = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) =
                item.split_once('=').ok_or_else(|| format!("missing bool value for {item}"))?;
            let (name, value) = (name.trim(), value.trim());
            let open = super::numbers::parse_bool(value).ok_or_else(|| {
                format!(
                    "invalid value of {name}={value}, err: strconv.ParseBool: parsing {value:?}: \
                     invalid syntax"
                )
            })?;
            let known = GATES.iter().map(|gate| gate.name).chain([ALL_ALPHA, ALL_BETA]);
            let Some(known) = known.into_iter().find(|known| *known == name) else {
                return Err(format!("unrecognized feature gate: {name}"));
            };
            gates.set(known, open, notes);
        }
        Ok(gates)
    }

    /// Whether a gate was given by its own name.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// All gates, with those of a whole stage, by name.
    pub(crate) fn features(&self) -> Vec<Feature> {
        let stages = [(ALL_ALPHA, Stage::Alpha), (ALL_BETA, Stage::Beta)];
        let all = stages.map(|(name, stage)| {
            let open = self.named.get(name).copied().unwrap_or(false);
            Feature { name, stage: stage.word(), open }
        });
        let named = GATES.iter().map(|gate| Feature {
            name: gate.name,
            stage: gate.stage.word(),
            open: self.is_open(gate.name),
        });
        all.into_iter().chain(named).collect()
    }

    /// Opens or shuts a gate. One that changes nothing is noted.
    pub(crate) fn set(&mut self, name: &'static str, open: bool, notes: &mut Vec<Note>) {
        self.named.insert(name, open);
        let found = GATES.iter().find(|gate| gate.name == name);
        if let Some(Gate { idle: Some(why), default, .. }) = found
            && open != *default
        {
            let told = format!("--feature-gates={name}={open} has no effect: {why}");
            notes.push(Note::warn(told));
        }
    }

    /// Whether a gate is open: by its own name, by all of its stage, or by default.
    pub(crate) fn is_open(&self, name: &str) -> bool {
        let Some(gate) = GATES.iter().find(|gate| gate.name == name) else { return false };
        let all = match gate.stage {
            Stage::Alpha => ALL_ALPHA,
            Stage::Beta => ALL_BETA,
        };
        *self.named.get(name).or_else(|| self.named.get(all)).unwrap_or(&gate.default)
    }
}

/// A line for each gate, for the help.
pub(super) fn help() -> String {
    let mut lines: Vec<String> = GATES
        .iter()
        .map(|gate| (gate.name, gate.stage, gate.default))
        .chain([(ALL_ALPHA, Stage::Alpha, false), (ALL_BETA, Stage::Beta, false)])
        .map(|(name, stage, default)| {
            let stage = if stage == Stage::Alpha { "ALPHA" } else { "BETA" };
            format!("    {name}=true|false ({stage} - default={default})\n")
        })
        .collect();
    lines.sort();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Gates, Vec<Note>), String> {
        let mut notes = Vec::new();
        Ok((Gates::parse(text, &mut notes)?, notes))
    }

    #[test]
    fn a_name_beats_its_stage_and_that_the_default() {
        let (gates, _) = parse("").unwrap();
        assert!(gates.is_open(INITIAL_CORRUPT_CHECK));
        let (gates, _) = parse("CompactHashCheck=true,AllAlpha=false").unwrap();
        assert!(gates.is_open(COMPACT_HASH_CHECK) && !gates.is_open(INITIAL_CORRUPT_CHECK));
        assert!(gates.is_open("FastLeaseKeepAlive"), "another stage");
        let (_, notes) = parse("StopGRPCServiceOnDefrag=true, FastLeaseKeepAlive=true").unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_the_words_of_etcd() {
        assert_eq!(parse("Frob=true").unwrap_err(), "unrecognized feature gate: Frob");
        assert_eq!(parse("AllBeta").unwrap_err(), "missing bool value for AllBeta");
        assert!(parse("AllBeta=x").unwrap_err().starts_with("invalid value of AllBeta=x, err:"));
    }
}
