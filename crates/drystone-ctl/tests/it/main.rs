//! Whole command lines, without a server: what is refused before anything is sent, and how.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use drystone_ctl::{Exit, Io, run};

/// Bytes that were written, kept for looking at.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

struct Case<'a> {
    args: &'a [&'a str],
    env: &'a [(&'a str, &'a str)],
    stdin: &'a str,
}

/// Exit code, standard output, standard error.
async fn ran(case: Case<'_>) -> (u8, String, String) {
    let (out, err) = (Sink::default(), Sink::default());
    let mut io = Io {
        stdin: Box::new(Cursor::new(case.stdin.as_bytes().to_vec())),
        stdout: Box::new(out.clone()),
        stderr: Box::new(err.clone()),
        env: case.env.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
    };
    let exit = run("etcdctl", case.args.iter().map(Into::into), &mut io).await;
    (exit.0, out.text(), err.text())
}

async fn line(words: &str) -> (u8, String, String) {
    let args: Vec<&str> = words.split_whitespace().collect();
    ran(Case { args: &args, env: &[], stdin: "" }).await
}

/// A command line that fails before it sends anything: its code, and standard error.
async fn check(words: &str, code: u8, stderr: &str) {
    assert_eq!(line(words).await, (code, String::new(), stderr.to_owned()), "{words}");
}

#[tokio::test]
async fn arguments_that_are_refused() {
    for (words, message) in [
        ("put", "put command needs 1 argument and input from stdin or 2 arguments"),
        ("put k", "put command needs 1 argument and input from stdin or 2 arguments"),
        ("put k v --ignore-value", "put command needs only 1 argument when 'ignore-value' is set"),
        (
            "put k v --lease zz",
            "bad lease ID (strconv.ParseInt: parsing \"zz\": invalid syntax), expecting ID in Hex",
        ),
        ("get", "get command needs one argument as key and an optional argument as range_end"),
        (
            "get k --prefix --from-key",
            "`--prefix` and `--from-key` cannot be set at the same time, choose one",
        ),
        (
            "get k e --prefix",
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
        ),
        (
            "get k --keys-only --count-only",
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one",
        ),
        ("get k --count-only", "--count-only is only for `--write-out=fields`"),
        ("get k --print-value-only -w json", "print-value-only is only for `--write-out=simple`"),
        ("del", "del command needs one argument as key and an optional argument as range_end"),
        (
            "del a b c",
            "del command needs one argument as key and an optional argument as range_end",
        ),
        ("compaction", "compaction command needs 1 argument"),
        ("alarm list x", "alarm list command accepts no arguments"),
        ("alarm disarm x", "alarm disarm command accepts no arguments"),
        ("txn x", "txn command does not accept argument"),
        ("auth enable x", "auth enable command does not accept any arguments"),
        ("auth status x", "auth status command does not accept any arguments"),
        ("user add", "user add command requires user name as its argument"),
        ("user passwd a b", "user passwd command requires user name as its argument"),
        ("user list x", "user list command requires no arguments"),
        (
            "user grant-role a",
            "user grant command requires user name and role name as its argument",
        ),
        ("user revoke-role a", "user revoke-role requires user name and role name as its argument"),
        ("role get", "role get command requires role name as its argument"),
        ("role list x", "role list command requires no arguments"),
        (
            "role grant-permission r read",
            "role grant command requires role name, permission type, and key [endkey] as its \
             argument",
        ),
        ("role grant-permission r look k", "invalid permission type: look"),
        (
            "role grant-permission r read k --prefix --from-key",
            "--from-key and --prefix flags are mutually exclusive",
        ),
        (
            "role grant-permission r READ k e --prefix",
            "unexpected endkey argument with --prefix flag",
        ),
        (
            "role revoke-permission r k e --from-key",
            "unexpected endkey argument with --from-key flag",
        ),
        (
            "role revoke-permission r",
            "role revoke-permission command requires role name and key [endkey] as its argument",
        ),
        ("watch", "bad number of arguments"),
        ("watch k --", "bad number of arguments (found separator --, but no commands)"),
        ("lease grant", "lease grant command needs TTL argument"),
        ("lease grant x", "bad TTL (strconv.ParseInt: parsing \"x\": invalid syntax)"),
        ("lease revoke", "lease revoke command needs 1 argument"),
        (
            "lease revoke xyz",
            "bad lease ID arg (strconv.ParseInt: parsing \"xyz\": invalid syntax), \
             expecting ID in Hex",
        ),
        ("lease timetolive", "lease timetolive command needs lease ID as argument"),
        ("lease keep-alive", "lease keep-alive command needs lease ID as argument"),
        ("get k --cert=", "empty string is passed to --cert option"),
        ("get k --cert /x", "KeyFile and CertFile must both be present[key: , cert: /x]"),
    ] {
        check(words, 128, &format!("Error: {message}\n")).await;
    }
}

#[tokio::test]
async fn other_codes() {
    check("compaction x", 1, "Error: strconv.ParseInt: parsing \"x\": invalid syntax\n").await;
    for words in ["get k -w xml", "put k v -w JSON", "member list -w x", "compaction 3 -w x"] {
        check(words, 4, "Error: unsupported output format\n").await;
    }
    for words in ["put k v -w table", "lease list -w table", "txn -w table"] {
        check(words, 4, "Error: table not supported as output format\n").await;
    }
    for words in ["endpoint status -w protobuf", "endpoint health -w protobuf"] {
        check(words, 4, "Error: protobuf not supported as output format\n").await;
    }
    check("get k --consistency x", 4, "Error: unknown consistency flag \"x\"\n").await;
    check("member list --consistency x", 4, "Error: unknown consistency flag \"x\"\n").await;
    check("get k --order up", 4, "Error: bad sort order up\n").await;
    check("get k --sort-by foo", 4, "Error: bad sort target foo\n").await;
    check(
        "get k --min-mod-rev 12 --max-mod-rev 11",
        4,
        "Error: getMinModRev(=12) > getMaxModRev(=11)\n",
    )
    .await;
    check("get k --endpoints=", 2, "Error: etcdclient: no available endpoints\n").await;
    let (code, _, err) = line("get k --cacert /x").await;
    let missing = "Error: cannot read /x: No such file or directory (os error 2)\n";
    assert_eq!((code, err.as_str()), (2, missing));
}

#[tokio::test]
async fn flags_that_are_refused() {
    for (words, message) in [
        ("get k --bad", "unknown flag: --bad"),
        ("get k --pre", "unknown flag: --pre"),
        ("get -v", "unknown shorthand flag: 'v' in -v"),
        ("--version", "unknown flag: --version"),
        (
            "get k --command-timeout 1",
            "invalid argument \"1\" for \"--command-timeout\" flag: \
             time: missing unit in duration \"1\"",
        ),
    ] {
        let (code, out, err) = line(words).await;
        assert_eq!((code, out.as_str()), (1, ""), "{words}");
        assert!(err.starts_with(&format!("Error: {message}\nUsage:\n")), "{words}: {err}");
    }
}

#[tokio::test]
async fn commands_that_do_not_exist() {
    check(
        "foo",
        1,
        "Error: unknown command \"foo\" for \"etcdctl\"\nRun 'etcdctl --help' for usage.\n",
    )
    .await;
    check(
        "gte x",
        1,
        "Error: unknown command \"gte\" for \"etcdctl\"\n\nDid you mean this?\n\tget\n\n\
         Run 'etcdctl --help' for usage.\n",
    )
    .await;
}

#[tokio::test]
async fn help_goes_to_standard_output() {
    for words in
        ["", "lease", "lease foo", "help", "help get", "get --help", "-h", "mem -h", "get k -h"]
    {
        let (code, out, err) = line(words).await;
        assert_eq!((code, err.as_str()), (0, ""), "{words}");
        assert!(out.contains("Usage:\n"), "{words}: {out}");
    }
    let (code, out, _) = line("version").await;
    assert_eq!(code, 0);
    assert!(out.starts_with("etcdctl version: 3.7.1\nAPI version: 3.7\n"), "{out}");
    // Neither looks at formats, endpoints or the environment.
    assert_eq!(line("version -w x --endpoints=").await.0, 0);
    assert!(line("options").await.1.contains("--endpoints"));
}

#[tokio::test]
async fn environment() {
    let get = |env: &'static [(&'static str, &'static str)], args: &'static [&'static str]| {
        ran(Case { args, env, stdin: "" })
    };
    // Applied: the format is looked at before anything is sent.
    let (code, _, err) = get(&[("ETCDCTL_WRITE_OUT", "xml")], &["get", "k"]).await;
    assert_eq!((code, err.as_str()), (4, "Error: unsupported output format\n"));
    // Empty counts as unset, ETCDCTL_API is let pass.
    let env = &[("ETCDCTL_WRITE_OUT", ""), ("ETCDCTL_API", "3")];
    let (code, _, err) = get(env, &["get", "k", "--endpoints="]).await;
    assert_eq!((code, err.as_str()), (2, "Error: etcdclient: no available endpoints\n"));
    // Both the variable and the flag: fatal.
    let (code, _, err) =
        get(&[("ETCDCTL_ENDPOINTS", "a:1")], &["get", "k", "--endpoints", "b:1"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("\"level\":\"fatal\"") && err.contains("ETCDCTL_ENDPOINTS"), "{err}");
    // Unknown or not understood: a word of warning, and on.
    let env = &[("ETCDCTL_FOO", "1"), ("ETCDCTL_DIAL_TIMEOUT", "abc")];
    let (code, _, err) = get(env, &["get", "k", "--endpoints="]).await;
    assert_eq!((code, err.lines().count()), (2, 3));
    assert!(err.contains("unrecognized environment variable"), "{err}");
    assert!(err.contains("ETCDCTL_FOO=1"), "{err}");
    // The variables of watch are known to watch alone.
    let env = &[("ETCDCTL_WATCH_KEY", "k")];
    let (_, _, err) = get(env, &["watch", "--endpoints="]).await;
    assert_eq!(err, "Error: etcdclient: no available endpoints\n");
}

#[tokio::test]
async fn nobody_answers() {
    let args = "--endpoints 127.0.0.1:1 --command-timeout 50ms";
    check(&format!("get k {args}"), 1, "Error: context deadline exceeded\n").await;
    let (code, out, err) = line(&format!("endpoint status -w json {args}")).await;
    assert_eq!((code, out.as_str()), (1, "null\n"));
    assert_eq!(
        err,
        "Failed to get the status of endpoint 127.0.0.1:1 (context deadline exceeded)\n"
    );
    check(
        &format!("endpoint health {args}"),
        1,
        "127.0.0.1:1 is unhealthy: failed to commit proposal: context deadline exceeded\n\
         Error: unhealthy cluster\n",
    )
    .await;
}

#[tokio::test]
async fn transactions_that_end_early() {
    let txn = |stdin: &'static str| ran(Case { args: &["txn"], env: &[], stdin });
    for stdin in ["", "mod(\"k\") > \"0\"\n", "\n\nput k v\n", "\n\nput k v"] {
        let (code, _, err) = txn(stdin).await;
        assert_eq!((code, err.as_str()), (3, "Error: EOF\n"), "{stdin:?}");
    }
    let interactive = Case { args: &["txn", "-i"], env: &[], stdin: "\n" };
    let (_, out, _) = ran(interactive).await;
    assert_eq!(out, "compares:\nsuccess requests (get, put, del):\n");
}

#[tokio::test]
async fn conversations() {
    let said = |stdin: &'static str| ran(Case { args: &["watch", "-i"], env: &[], stdin });
    let (code, out, err) = said("\nfoo\nwatch\n").await;
    assert_eq!((code, out.as_str()), (3, ""));
    assert_eq!(
        err,
        "Invalid command:  (watch and progress supported)\n\
         Invalid command foo (only support watch)\n\
         Invalid command watch (command type or key is not provided)\n\
         Error: error reading watch request line: EOF\n"
    );
    let (code, _, err) = said("watch --bad k\n").await;
    assert_eq!((code, err.as_str()), (128, "Error: unknown flag: --bad\n"));
    let (_, _, err) = said("watch a b --prefix\n").await;
    assert!(
        err.starts_with(
            "Invalid command watch a b --prefix (`range_end` and `--prefix` are mutually exclusive)\n"
        ),
        "{err}"
    );
}

#[test]
fn codes_reach_the_shell() {
    let codes = [Exit::SUCCESS, Exit::BAD_ARGUMENTS].map(std::process::ExitCode::from);
    assert_eq!(
        format!("{codes:?}"),
        "[ExitCode(unix_exit_status(0)), ExitCode(unix_exit_status(128))]"
    );
}
