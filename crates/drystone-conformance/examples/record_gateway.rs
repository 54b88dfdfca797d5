//! Writes the answers of a server into the JSON table.
//!
//! `cargo run -p drystone-conformance --example record_gateway -- ETCD`

use drystone_conformance::gateway;
use drystone_conformance::harness::Program;
use std::path::Path;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("name the binary of an etcd 3.7 to record its answers");
        return Ok(());
    };
    let etcd = Program::at("etcd", path)?;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/gateway");
    for story in gateway::stories()? {
        let answers = gateway::answers(&etcd, &story).await?;
        let file = dir.join(format!("{}.txt", story.name));
        std::fs::write(&file, story.with_answers(answers).text())?;
        eprintln!("recorded {}", file.display());
    }
    Ok(())
}
