//! Runs seeds: FROM [TO] [--trace].
#![expect(clippy::print_stdout, reason = "it reports to whoever started it")]
use drystone_sim::Plan;
fn main() {
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let trace = std::env::args().any(|a| a == "--trace");
    let (from, to) = (args[0], *args.get(1).unwrap_or(&(args[0] + 1)));
    let mut total = drystone_sim::Counts::default();
    let t0 = std::time::Instant::now();
    let mut bad = 0;
    for seed in from..to {
        let t = std::time::Instant::now();
        let report = std::panic::catch_unwind(|| drystone_sim::run(Plan::draw(seed), trace));
        let Ok(report) = report else {
            println!("seed {seed} PANIC");
            bad += 1;
            continue;
        };
        for line in &report.trace {
            println!("{line}");
        }
        if !report.is_clean() || trace {
            bad += 1;
            println!(
                "seed {seed} {:?} {:016x} events {} sim {:?}",
                t.elapsed(),
                report.trace_hash,
                report.events,
                report.simulated
            );
            for v in report.violations.iter().take(1) {
                let s = v.to_string();
                println!("   {}", &s.chars().take(600).collect::<String>());
            }
        }
        total.add(&report.counts);
    }
    println!("{bad} bad of {} in {:?}: {:?}", to - from, t0.elapsed(), total);
}
