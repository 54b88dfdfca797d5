//! The `ETCD_*` variables.

use super::flags::{Flag, OLD_NAMES, all, find, variable};
use super::note::Note;
use super::usage::UsageError;
use super::values::{Given, Source, Values};
use super::words::refuse_two_names;
use std::collections::BTreeMap;

/// Set by systemd's and containers' files for people, and never a flag: etcd unsets it.
const VERSION: &str = "ETCD_VERSION";
/// Permits an architecture that etcd does not support.
const UNSUPPORTED_ARCH: &str = "ETCD_UNSUPPORTED_ARCH";
/// Turns etcd's internal assertions on. Drystone's are always on.
const VERIFY: &str = "ETCD_VERIFY";
/// Architectures that etcd supports, as Go names them.
const SUPPORTED_ARCHS: &[&str] = &["amd64", "arm64", "ppc64le", "s390x"];

/// Every variable of a flag, with the spelling of the flag it stands for.
fn known() -> BTreeMap<String, (&'static str, &'static Flag)> {
    let today = all().map(|flag| (variable(flag.name), (flag.name, flag)));
    let old = OLD_NAMES.iter().filter_map(|(old, new)| Some((variable(old), (*old, find(new)?))));
    today.chain(old).collect()
}

/// Adds what variables say to what flags say. An empty variable is none.
///
/// etcd logs the values of variables, also of those it does not know. Drystone logs only their
/// names: a password that was put under a wrong name must not lie in the log.
///
/// # Errors
/// A variable beside its own flag, or a value that cannot be read.
pub(super) fn merge(
    values: &mut Values,
    environment: &BTreeMap<String, String>,
    notes: &mut Vec<Note>,
) -> Result<(), UsageError> {
    let known = known();
    for (name, value) in environment.iter().filter(|(name, _)| name.starts_with("ETCD_")) {
        if name == VERSION {
            notes.push(Note::warn("cannot set special environment variable").with("key", VERSION));
            continue;
        }
        let Some((spelling, flag)) = known.get(name) else {
            if name != UNSUPPORTED_ARCH && name != VERIFY {
                let note = Note::warn("unrecognized environment variable");
                notes.push(note.with("environment-variable", name));
            }
            continue;
        };
        if value.is_empty() {
            continue;
        }
        if let Some(before) = values.given(flag.name) {
            if before.spelled == format!("--{spelling}") {
                return Err(UsageError::shadowed(name));
            }
            refuse_two_names(flag, &flag_spelling(before), &format!("--{spelling}"))?;
        }
        flag.kind.check(value).map_err(|reason| {
            UsageError::config(format!("invalid value {value:?} for {name}: {reason}"))
                .with_hint(format!("{name} takes {}", flag.kind.expects()))
        })?;
        let note = Note::info("recognized and used environment variable");
        notes.push(note.with("variable-name", name));
        let text = flag.kind.canonical(value);
        let given = Given { text, source: Source::Variable, spelled: name.clone() };
        values.set(flag, given);
    }
    Ok(())
}

/// The flag that a value stands for, by the name it was given under.
fn flag_spelling(given: &Given) -> String {
    match given.source {
        Source::Variable => {
            let name = given.spelled.trim_start_matches("ETCD_");
            format!("--{}", name.to_lowercase().replace('_', "-"))
        }
        Source::Flag | Source::File => given.spelled.clone(),
    }
}

/// Refuses an architecture that etcd does not support, unless its variable names it.
pub(super) fn check_arch(
    arch: &str,
    environment: &BTreeMap<String, String>,
) -> Result<(), UsageError> {
    let named = environment.get(UNSUPPORTED_ARCH).is_some_and(|named| named == arch);
    if SUPPORTED_ARCHS.contains(&arch) || named {
        return Ok(());
    }
    Err(UsageError::config(format!(
        "refusing to run on unsupported architecture since {UNSUPPORTED_ARCH} is not set: set it \
         to {arch} to go on"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_architecture_nobody_tests_must_be_named() {
        let named = |value: &str| BTreeMap::from([(UNSUPPORTED_ARCH.to_owned(), value.to_owned())]);
        assert!(check_arch("amd64", &BTreeMap::new()).is_ok());
        assert!(check_arch("riscv64", &BTreeMap::new()).is_err());
        assert!(check_arch("riscv64", &named("arm")).is_err());
        assert!(check_arch("riscv64", &named("riscv64")).is_ok());
    }
}
