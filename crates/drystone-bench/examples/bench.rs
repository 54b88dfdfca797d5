//! The load generator: `cargo run -p drystone-bench --example bench -- put --total 1000`.

fn main() -> std::process::ExitCode {
    drystone_bench::run_process(std::env::args_os())
}
