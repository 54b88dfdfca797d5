//! etcdctl's command line: `cargo run -p drystone-ctl --example ctl -- endpoint status -w table`.

fn main() -> std::process::ExitCode {
    drystone_ctl::run_process("ctl", std::env::args_os().skip(1)).into()
}
