use super::*;

fn mask() -> Mask {
    let mut mask = Mask::new(1);
    mask.hide("127.0.0.1:2379", "CLIENT1");
    mask.hide("127.0.0.1:2380", "PEER1");
    mask.hide_id(0xe727_4736_dc01_a86e, "ID1");
    mask
}

fn stdout(text: &str) -> Vec<String> {
    mask().stdout(text.as_bytes())
}

#[test]
fn json_hides_what_servers_choose_and_keeps_versions_of_keys() {
    let line = r#"{"header":{"cluster_id":1,"member_id":16656360047797971054,"revision":2,"raft_term":2},"kvs":[{"key":"YQ==","version":1}],"x":16656360047797971054}"#;
    assert_eq!(
        stdout(line),
        [
            r##"{"header":{"cluster_id":"#","member_id":"#","raft_term":"#","revision":2},"kvs":[{"key":"YQ==","version":1}],"x":"ID1"}"##
        ]
    );
    let line = r#"[{"Status":{"version":"3.4.23","dbSize":20480,"leader":16656360047797971054}}]"#;
    assert_eq!(stdout(line), [r##"[{"Status":{"dbSize":"#","leader":"ID1","version":"#"}}]"##]);
}

#[test]
fn tables_lose_their_widths_and_keep_their_cells() {
    let table = "+---+---+---+\n|  ENDPOINT | ID | RAFT TERM |\n+---+---+---+\n\
                 | 127.0.0.1:2379 | e7274736dc01a86e | 7 |\n+---+---+---+\n";
    assert_eq!(stdout(table), ["| ENDPOINT | ID | RAFT TERM |", "| CLIENT1 | ID1 | # |"]);
}

#[test]
fn simple_lines_and_fields() {
    assert_eq!(
        stdout("127.0.0.1:2379, e7274736dc01a86e, 3.4.23, 20 kB, true, false, 2, 5, 5, "),
        ["CLIENT1, ID1, #, #, true, false, #, #, #, "]
    );
    assert_eq!(
        stdout("127.0.0.1:2379 is healthy: successfully committed proposal: took = 1.2ms"),
        ["CLIENT1 is healthy: successfully committed proposal: took = #"]
    );
    assert_eq!(
        stdout(
            "lease e7274736dc01a86e granted with TTL(100s), remaining(99s), attached keys([b a])"
        ),
        ["lease ID1 granted with TTL(100s), remaining(#s), attached keys([a b])"]
    );
    assert_eq!(
        stdout("\"Version\" : 1\n\"Version\" : \"3.4\""),
        ["\"Version\" : 1", "\"Version\" : #"]
    );
}

#[test]
fn the_client_log_keeps_message_and_error() {
    let output = Output {
        stderr: br#"{"level":"warn","ts":"x","msg":"failed","target":"y","error":"rpc error: z"}"#
            .to_vec(),
        code: Some(1),
        ..Output::default()
    };
    assert_eq!(mask().output(&output), ["! failed: rpc error: z", "exit 1"]);
}

#[test]
fn the_first_different_line_is_found() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(difference(&lines("a\nb"), &lines("a\nb")), None);
    let found = difference(&lines("a\nb"), &lines("a")).unwrap();
    assert_eq!((found.line, found.first.as_deref(), found.second), (2, Some("b"), None));
}
