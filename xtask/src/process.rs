//! Running other programs, each announced before it starts.

use anyhow::{Context, bail};
use std::path::Path;
use std::process::Command;

/// A command whose words are printed before it runs.
pub(crate) struct Step {
    command: Command,
    words: Vec<String>,
}

impl Step {
    /// A step that runs `program` in the repository's root.
    pub(crate) fn new(root: &Path, program: &str) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root);
        Self { command, words: vec![program.to_owned()] }
    }

    /// A step of cargo.
    pub(crate) fn cargo(root: &Path) -> Self {
        // The cargo that runs this task, so that a chosen toolchain stays chosen.
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut step = Self::new(root, &cargo);
        step.words = vec!["cargo".to_owned()];
        step
    }

    /// Adds words, split at blanks.
    pub(crate) fn words(mut self, words: &str) -> Self {
        for word in words.split_whitespace() {
            self = self.word(word);
        }
        self
    }

    /// Adds one word as it is.
    pub(crate) fn word(mut self, word: impl AsRef<str>) -> Self {
        self.command.arg(word.as_ref());
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// Sets a variable for this step.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self.words.insert(0, format!("{name}={value}"));
        self
    }

    /// Prints the step and runs it; an error names what failed.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let line = self.words.join(" ");
        eprintln!("+ {line}");
        let status = self.command.status().with_context(|| format!("cannot start: {line}"))?;
        if !status.success() {
            bail!("{line}: {status}");
        }
        Ok(())
    }
}

/// True when `program` can be started and answers `--version`.
pub(crate) fn is_there(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok()
}
