//! A few seeds, on every run of the tests.

use drystone_sim::Plan;

#[test]
fn seeds_run_clean_and_twice_alike() {
    for seed in 0..12 {
        let report = drystone_sim::run(Plan::draw(seed), false);
        assert!(report.is_clean(), "seed {seed}: {:?}", report.violations);
        let again = drystone_sim::run(Plan::draw(seed), false);
        assert_eq!(report.trace_hash, again.trace_hash, "seed {seed}");
    }
}
