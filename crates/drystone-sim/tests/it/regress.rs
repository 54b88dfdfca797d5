//! Plans that once found something: each must run clean now.

use drystone_sim::{Kept, Knobs};
use std::path::{Path, PathBuf};

/// All plans that are kept in the tree.
fn kept() -> Vec<(PathBuf, Kept)> {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regress");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut paths: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let kept = Kept::from_json(&text)
            .unwrap_or_else(|error| panic!("{} is no kept plan: {error}", path.display()));
        (path, kept)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn plans_that_once_failed_run_clean() {
    for (path, kept) in kept() {
        let name = path.display();
        assert_eq!(kept.planted, None, "{name}: a planted fault is not one of ours");
        let report = drystone_sim::run(kept.plan, false);
        assert!(report.is_clean(), "{name}: {:?}", report.violations);
    }
}

#[test]
fn a_kept_plan_outlives_settings_that_come_and_go() {
    let text = include_str!("../../testdata/kept-by-an-older-program.json");
    let kept = Kept::from_json(text).expect("fields that are missing or unknown do no harm");
    let usual = Knobs::default();
    assert_eq!(kept.plan.knobs, Knobs { members: 1, clients: 2, ..usual });
    assert_eq!(kept.plan.steps.len(), 3);
    let report = drystone_sim::run(kept.plan, false);
    assert!(report.is_clean(), "{:?}", report.violations);
    assert!(report.counts.answered > 0, "{:?}", report.counts);
}
