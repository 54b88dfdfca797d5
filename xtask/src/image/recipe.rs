//! Reading a Dockerfile: the instructions that ours uses, and none besides.

use anyhow::{Context, bail};
use std::path::PathBuf;

/// A Dockerfile.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) stages: Vec<Stage>,
}

/// What stands between one `FROM` and the next.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) base: String,
    pub(crate) name: Option<String>,
    pub(crate) instructions: Vec<Instruction>,
    /// `UID:GID` of the started program.
    pub(crate) user: String,
    /// Where it starts.
    pub(crate) folder: PathBuf,
    /// The directories that it may write.
    pub(crate) volumes: Vec<PathBuf>,
    pub(crate) entry_point: Vec<String>,
}

/// One step of a build.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// A line of shell, and the directories that are kept for the next build to be quick.
    Run {
        caches: Vec<PathBuf>,
        script: String,
    },
    Workdir(PathBuf),
    /// From another stage, or the whole source.
    Copy {
        from: Option<String>,
        what: PathBuf,
        to: PathBuf,
    },
}

impl Recipe {
    /// Reads a Dockerfile.
    ///
    /// # Errors
    /// An instruction that is not known here, or one before the first `FROM`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut stages: Vec<Stage> = Vec::new();
        for line in logical_lines(text) {
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let rest = rest.trim();
            if word == "FROM" {
                stages.push(from(rest));
                continue;
            }
            let stage = stages.last_mut().with_context(|| format!("before FROM: {line}"))?;
            instruct(stage, word, rest).with_context(|| format!("Dockerfile: {line}"))?;
        }
        Ok(Self { stages })
    }
}

fn from(rest: &str) -> Stage {
    let (base, name) = match rest.split_once(" AS ") {
        Some((base, name)) => (base, Some(name.trim().to_owned())),
        None => (rest, None),
    };
    Stage {
        base: base.trim().to_owned(),
        name,
        instructions: Vec::new(),
        user: "0:0".to_owned(),
        folder: PathBuf::from("/"),
        volumes: Vec::new(),
        entry_point: Vec::new(),
    }
}

fn instruct(stage: &mut Stage, word: &str, rest: &str) -> anyhow::Result<()> {
    match word {
        "RUN" => stage.instructions.push(run(rest)?),
        "WORKDIR" => {
            stage.folder = PathBuf::from(rest);
            stage.instructions.push(Instruction::Workdir(PathBuf::from(rest)));
        }
        "COPY" => stage.instructions.push(copy(rest)?),
        "USER" => rest.clone_into(&mut stage.user),
        "VOLUME" => stage.volumes.push(PathBuf::from(rest)),
        "EXPOSE" => {}
        "ENTRYPOINT" => {
            let words = rest.trim_start_matches('[').trim_end_matches(']').split(',');
            stage.entry_point =
                words.map(|word| word.trim().trim_matches('"').to_owned()).collect();
        }
        _ => bail!("this instruction is not known here"),
    }
    Ok(())
}

/// A line of shell, behind the mounts of its caches.
fn run(mut rest: &str) -> anyhow::Result<Instruction> {
    let mut caches = Vec::new();
    while let Some(mount) = rest.strip_prefix("--mount=type=cache,target=") {
        let (target, line) = mount.split_once(' ').context("a mount and no command")?;
        caches.push(PathBuf::from(target));
        rest = line.trim_start();
    }
    let plain = caches.iter().all(|cache| !cache.to_string_lossy().contains(','));
    anyhow::ensure!(plain && !rest.starts_with("--"), "only --mount=type=cache,target=PATH");
    Ok(Instruction::Run { caches, script: rest.to_owned() })
}

fn copy(rest: &str) -> anyhow::Result<Instruction> {
    let mut words: Vec<&str> = rest.split_whitespace().collect();
    let from = words.first().and_then(|word| word.strip_prefix("--from=")).map(str::to_owned);
    if from.is_some() {
        words.remove(0);
    }
    match words[..] {
        ["." | "./", to] if from.is_none() => {
            Ok(Instruction::Copy { from, what: PathBuf::from("."), to: PathBuf::from(to) })
        }
        [what, to] if from.is_some() => {
            Ok(Instruction::Copy { from, what: PathBuf::from(what), to: PathBuf::from(to) })
        }
        _ => bail!("only the whole source, or one path of another stage"),
    }
}

/// The lines without comments, with continued ones joined.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(begun) => open.push_str(begun),
            None => lines.push(std::mem::take(&mut open) + line),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Instruction, Recipe};
    use std::path::PathBuf;

    #[test]
    fn stages_steps_and_the_way_to_start_are_read() -> anyhow::Result<()> {
        let text = "# A comment.\nFROM rust:1 AS build\nRUN --mount=type=cache,target=/kept a \\\n    && b\nCOPY . .\n\
            FROM debian:12\nCOPY --from=build /out/ /\nUSER 7:8\nWORKDIR /data\nVOLUME /data\n\
            EXPOSE 1 2\nENTRYPOINT [\"/bin/x\", \"-y\"]\n";
        let recipe = Recipe::parse(text)?;
        let [build, last] = &recipe.stages[..] else { panic!("two stages") };
        assert_eq!((build.base.as_str(), build.name.as_deref()), ("rust:1", Some("build")));
        let caches = vec![PathBuf::from("/kept")];
        assert_eq!(build.instructions[0], Instruction::Run { caches, script: "a && b".to_owned() });
        assert_eq!(last.user, "7:8");
        assert_eq!(last.volumes, [PathBuf::from("/data")]);
        assert_eq!(last.entry_point, ["/bin/x", "-y"]);
        assert!(matches!(&last.instructions[0], Instruction::Copy { from: Some(_), .. }));
        Ok(())
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in [
            "RUN before",
            "FROM x\nHEALTHCHECK y",
            "FROM x\nCOPY one two three",
            "FROM x\nRUN --mount=type=secret,target=/key y",
            "FROM x\nRUN --mount=type=cache y",
            "FROM x\nRUN --network=none y",
        ] {
            assert!(Recipe::parse(text).is_err(), "{text}");
        }
    }
}
