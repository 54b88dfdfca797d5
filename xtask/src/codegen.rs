//! `cargo xtask codegen`: from `proto/` to `crates/drystone-api/src/generated/`.
//!
//! The `.proto` files are compiled by `protox`, so that neither a build nor a regeneration
//! needs `protoc`. The output is committed; `--check` fails when it is not what the sources
//! give, which is how CI notices a forgotten run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use prost::Message;
use prost_types::FileDescriptorSet;

/// Arguments of `cargo xtask codegen`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail when the committed code differs from what would be generated.
    #[arg(long)]
    check: bool,
}

const SOURCES: &str = "proto";
const OUTPUT: &str = "crates/drystone-api/src/generated";
const DESCRIPTOR: &str = "descriptor.bin";
const FEATURE_GATE: &str = "#[cfg(feature = \"grpc\")]";
const CODEC: &str = "tonic_prost::ProstCodec";

/// Services that get a second server, and the responses that `drystone_api::raw` defines.
const RAW_PACKAGE: &str = "etcdserverpb";
const RAW_SERVICES: [&str; 2] = ["KV", "Watch"];
const RAW_RESPONSES: [&str; 6] = [
    "RangeResponse",
    "RangeStreamResponse",
    "PutResponse",
    "DeleteRangeResponse",
    "TxnResponse",
    "WatchResponse",
];

/// Messages with a password, a hash of one or a token in them: `drystone_api` says itself how they
/// are shown.
const SECRET_MESSAGES: [&str; 6] = [
    ".authpb.User",
    ".etcdserverpb.InternalAuthenticateRequest",
    ".etcdserverpb.AuthenticateRequest",
    ".etcdserverpb.AuthenticateResponse",
    ".etcdserverpb.AuthUserAddRequest",
    ".etcdserverpb.AuthUserChangePasswordRequest",
];

/// Fails when the committed code is not what the sources give.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    run(&Args { check: true }, root)
}

/// Brings the committed code up to date.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    run(&Args { check: false }, root)
}

/// Runs the verb in the repository at `root`.
pub(crate) fn run(args: &Args, root: &Path) -> anyhow::Result<()> {
    let fresh = generate(root)?;
    let output = root.join(OUTPUT);
    let committed = read_dir(&output)?;
    let differing = differences(&committed, &fresh);
    if differing.is_empty() {
        return Ok(());
    }
    if args.check {
        bail!(
            "{OUTPUT} is stale ({}): run `cargo xtask codegen` and commit the result",
            differing.join(", ")
        );
    }
    for name in &differing {
        let path = output.join(name);
        match fresh.get(name.as_str()) {
            Some(content) => fs::write(&path, content),
            None => fs::remove_file(&path),
        }
        .with_context(|| format!("updating {}", path.display()))?;
        eprintln!("codegen: {OUTPUT}/{name}");
    }
    Ok(())
}

/// File name to content, for everything that belongs into the output directory.
type Files = BTreeMap<String, Vec<u8>>;

fn generate(root: &Path) -> anyhow::Result<Files> {
    let descriptors = compile(&root.join(SOURCES))?;
    let scratch = tempfile::tempdir().context("creating a scratch directory")?;
    let messages = scratch.path().join("messages");
    let raw = scratch.path().join("raw");
    fs::create_dir_all(&messages)?;
    fs::create_dir_all(&raw)?;

    tonic_prost_build::configure()
        .out_dir(&messages)
        .bytes(".")
        .btree_map(".")
        .skip_debug(SECRET_MESSAGES)
        .codec_path(CODEC)
        .client_mod_attribute(".", FEATURE_GATE)
        .server_mod_attribute(".", FEATURE_GATE)
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors.clone())
        .context("generating messages and services")?;
    let mut servers = tonic_prost_build::configure()
        .out_dir(&raw)
        .build_client(false)
        .codec_path(CODEC)
        .emit_rerun_if_changed(false)
        .extern_path(format!(".{RAW_PACKAGE}"), format!("crate::{RAW_PACKAGE}"));
    for response in RAW_RESPONSES {
        let plain = format!(".{RAW_PACKAGE}.{response}");
        servers = servers.extern_path(plain, format!("crate::raw::{response}"));
    }
    servers
        .compile_fds(with_raw_services_only(descriptors.clone()))
        .context("generating servers over raw responses")?;

    let mut files = read_dir(&messages)?;
    let raw_file = format!("{RAW_PACKAGE}.rs");
    let content = fs::read(raw.join(&raw_file)).context("reading the raw servers")?;
    files.insert(format!("raw.{raw_file}"), content);
    files.insert(DESCRIPTOR.to_owned(), without_source(descriptors).encode_to_vec());
    Ok(files)
}

fn compile(sources: &Path) -> anyhow::Result<FileDescriptorSet> {
    let mut paths = Vec::new();
    proto_files(sources, &mut paths)?;
    paths.sort();
    ensure!(!paths.is_empty(), "no .proto file under {}", sources.display());
    let mut compiler = protox::Compiler::new([sources])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(paths)?;
    let mut descriptors = compiler.file_descriptor_set();
    descriptors.file.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(descriptors)
}

fn proto_files(directory: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}

/// Leaves only the services that `drystone_api::raw` serves.
fn with_raw_services_only(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut descriptors.file {
        file.service.retain(|service| RAW_SERVICES.contains(&service.name()));
        // Comments find their items by position, which no longer holds.
        file.source_code_info = None;
    }
    descriptors
}

/// Comments serve the generator; the stored descriptors only say what is on the wire.
fn without_source(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    descriptors
}

fn read_dir(directory: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    let entries =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, fs::read(entry.path())?);
    }
    Ok(files)
}

/// Names that only one side has or whose contents differ, in order.
fn differences(committed: &Files, fresh: &Files) -> Vec<String> {
    let mut names: Vec<&String> = committed.keys().chain(fresh.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter(|name| committed.get(*name) != fresh.get(*name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{Args, Files, differences, run};

    #[test]
    fn committed_code_is_what_the_sources_give() {
        run(&Args { check: true }, &crate::repository_root()).unwrap();
    }

    #[test]
    fn additions_removals_and_changes_are_differences() {
        let files = |list: &[(&str, &str)]| -> Files {
            list.iter().map(|(name, text)| ((*name).to_owned(), (*text).into())).collect()
        };
        let committed = files(&[("gone", "1"), ("kept", "2"), ("changed", "3")]);
        let fresh = files(&[("kept", "2"), ("changed", "4"), ("new", "5")]);
        assert_eq!(differences(&committed, &fresh), ["changed", "gone", "new"]);
        assert!(differences(&fresh, &fresh).is_empty());
    }
}
