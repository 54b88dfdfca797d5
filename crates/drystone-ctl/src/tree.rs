//! etcdctl's commands and their flags.

use crate::cli::{Action, Command, Flag, Kind};

/// The root of all commands; its shared flags are the global ones.
pub(crate) static ROOT: Command = Command {
    name: "etcdctl",
    arguments: "",
    about: "A command line for etcd v3 servers.",
    flags: &[],
    shared: GLOBAL,
    children: COMMANDS,
    action: None,
};

/// Flags that every command takes. Each has a form in the environment: `ETCDCTL_` and the
/// name in capitals.
pub(crate) const GLOBAL: &[Flag] = &[
    Flag {
        name: "endpoints",
        short: None,
        kind: Kind::List,
        default: "127.0.0.1:2379",
        about: "servers to talk to",
    },
    Flag::text("write-out", "simple", "output format: simple, json, fields, table, protobuf")
        .short('w'),
    Flag::bool("hex", "print bytes and ids in hexadecimal"),
    Flag::duration("command-timeout", "5s", "time for a command, without connecting"),
    Flag::duration("dial-timeout", "2s", "time to connect to a server"),
    Flag::duration("keepalive-time", "2s", "silence after which a connection is probed"),
    Flag::duration("keepalive-timeout", "6s", "time for the answer to a probe"),
    Flag::int("max-request-bytes", "largest request in bytes, 0 for 2 MiB"),
    Flag::int("max-recv-bytes", "largest response in bytes, 0 for 2 GiB"),
    Flag::bool("debug", "print the global flags"),
    Flag {
        default: "true",
        ..Flag::bool("insecure-transport", "no TLS where an endpoint does not say https")
    },
    Flag::bool("insecure-skip-tls-verify", "do not verify the server's certificate"),
    Flag {
        default: "true",
        ..Flag::bool("insecure-discovery", "accept discovered servers without TLS")
    },
    Flag::text("cacert", "", "certificate authorities of the servers"),
    Flag::text("cert", "", "certificate of this client"),
    Flag::text("key", "", "key of this client's certificate"),
    Flag::text("tls-server-name", "", "name that the servers' certificates must have"),
    Flag::text("discovery-srv", "", "domain to find servers in").short('d'),
    Flag::text("discovery-srv-name", "", "suffix of the name to find servers under"),
    Flag::text("user", "", "user name, and password after a colon"),
    Flag::text("password", "", "password of --user"),
    Flag::text("auth-jwt-token", "", "token to authenticate with"),
];

const PREFIX: Flag = Flag::bool("prefix", "all keys that begin with the key");
const FROM_KEY: Flag = Flag::bool("from-key", "all keys from the key on");
const PREV_KV: Flag = Flag::bool("prev-kv", "also print what was there before");

const CLUSTER: Flag = Flag::bool("cluster", "use all members of the cluster");

/// Flags of `put`, also in transactions.
pub(crate) const PUT: &[Flag] = &[
    Flag::text("lease", "0", "lease id in hexadecimal to attach the key to"),
    PREV_KV,
    Flag::bool("ignore-value", "keep the value"),
    Flag::bool("ignore-lease", "keep the lease"),
];

/// Flags of `get`, also in transactions.
pub(crate) const GET: &[Flag] = &[
    Flag::text("consistency", "l", "linearizable (l) or serializable (s)"),
    Flag::text("order", "", "order of the results: ASCEND, DESCEND"),
    Flag::text("sort-by", "", "sort by CREATE, KEY, MODIFY, VALUE or VERSION"),
    Flag::int("limit", "most keys to print"),
    PREFIX,
    FROM_KEY,
    Flag::int("rev", "revision to read at"),
    Flag::bool("keys-only", "leave the values out"),
    Flag::bool("count-only", "only count"),
    Flag::bool("print-value-only", "leave the keys out"),
    Flag::int("min-create-rev", "smallest create revision"),
    Flag::int("max-create-rev", "largest create revision"),
    Flag::int("min-mod-rev", "smallest modification revision"),
    Flag::int("max-mod-rev", "largest modification revision"),
    Flag::bool("stream", "let the server send the keys in chunks"),
];

/// Flags of `del`, also in transactions.
pub(crate) const DEL: &[Flag] = &[
    PREFIX,
    FROM_KEY,
    PREV_KV,
    Flag::bool("range", "delete a range of keys without the pause for thought"),
];

/// Flags of `watch`, also in lines of `watch -i`.
pub(crate) const WATCH: &[Flag] = &[
    Flag::bool("interactive", "read commands from standard input").short('i'),
    PREFIX,
    Flag::int("rev", "revision to start at"),
    PREV_KV,
    Flag::bool("progress-notify", "ask for regular progress notes"),
];

const fn leaf(
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    flags: &'static [Flag],
    action: Action,
) -> Command {
    Command { name, arguments, about, flags, shared: &[], children: &[], action: Some(action) }
}

const fn group(
    name: &'static str,
    about: &'static str,
    shared: &'static [Flag],
    children: &'static [Command],
) -> Command {
    Command { name, arguments: "", about, flags: &[], shared, children, action: None }
}

const COMMANDS: &[Command] = &[
    leaf("put", "<key> [value]", "Write a key", PUT, Action::Put),
    leaf("get", "<key> [range_end]", "Read a key or a range of keys", GET, Action::Get),
    leaf("del", "<key> [range_end]", "Delete a key or a range of keys", DEL, Action::Del),
    leaf(
        "txn",
        "",
        "Do operations at one revision, depending on comparisons",
        &[Flag::bool("interactive", "prompt for the parts").short('i')],
        Action::Txn,
    ),
    leaf(
        "watch",
        "[key] [range_end] [-- command ...]",
        "Print changes of keys as they happen",
        WATCH,
        Action::Watch,
    ),
    leaf(
        "compaction",
        "<revision>",
        "Drop the history before a revision",
        &[Flag::bool("physical", "wait until the space is free")],
        Action::Compaction,
    ),
    group(
        "alarm",
        "Alarms of members",
        &[],
        &[
            leaf("list", "", "List all alarms", &[], Action::AlarmList),
            leaf("disarm", "", "Clear all alarms", &[], Action::AlarmDisarm),
        ],
    ),
    leaf(
        "lock",
        "<name> [command ...]",
        "Hold a lock, or run a command while holding it",
        &[Flag { default: "10", ..Flag::int("ttl", "seconds until a lost holder loses it") }],
        Action::Lock,
    ),
    leaf(
        "elect",
        "<election> [proposal]",
        "Lead an election, or print who does",
        &[Flag::bool("listen", "only print the leaders").short('l')],
        Action::Elect,
    ),
    group("lease", "Leases", &[], LEASE),
    group("member", "Members of the cluster", &[], MEMBER),
    leaf("move-leader", "<memberID>", "Hand leadership to a member", &[], Action::MoveLeader),
    group("endpoint", "Single servers", &[CLUSTER], ENDPOINT),
    leaf(
        "defrag",
        "",
        "Ask servers to give free space back; Drystone's do so by themselves",
        &[CLUSTER],
        Action::Defrag,
    ),
    group("auth", "Whether permissions are asked for", &[], AUTH),
    group("user", "Users", &[], USER),
    group("role", "Roles, and what they may", &[], ROLE),
    leaf("version", "", "Print the version", &[], Action::Version),
    leaf("options", "", "List the flags that every command takes", &[], Action::Options),
    leaf("help", "[command]", "Help about a command", &[], Action::Help),
];

const AUTH: &[Command] = &[
    leaf("enable", "", "Ask for permissions", &[], Action::AuthEnable),
    leaf("disable", "", "Ask for permissions no more", &[], Action::AuthDisable),
    leaf("status", "", "Print whether permissions are asked for", &[], Action::AuthStatus),
];

const INTERACTIVE: Flag =
    Flag { default: "true", ..Flag::bool("interactive", "ask for the password") };

const USER: &[Command] = &[
    leaf(
        "add",
        "<user name or user:password>",
        "Make a user",
        &[
            INTERACTIVE,
            Flag::text("new-user-password", "", "password of the new user"),
            Flag::bool("no-password", "a user who is known by certificate only"),
        ],
        Action::UserAdd,
    ),
    leaf("delete", "<user name>", "Remove a user", &[], Action::UserDelete),
    leaf(
        "get",
        "<user name>",
        "Print the roles of a user",
        &[Flag::bool("detail", "also print what each role may")],
        Action::UserGet,
    ),
    leaf("list", "", "List all users", &[], Action::UserList),
    leaf("passwd", "<user name>", "Change a password", &[INTERACTIVE], Action::UserPasswd),
    leaf("grant-role", "<user name> <role name>", "Give a user a role", &[], Action::UserGrantRole),
    leaf(
        "revoke-role",
        "<user name> <role name>",
        "Take a role from a user",
        &[],
        Action::UserRevokeRole,
    ),
];

const ROLE: &[Command] = &[
    leaf("add", "<role name>", "Make a role", &[], Action::RoleAdd),
    leaf("delete", "<role name>", "Remove a role", &[], Action::RoleDelete),
    leaf("get", "<role name>", "Print what a role may", &[], Action::RoleGet),
    leaf("list", "", "List all roles", &[], Action::RoleList),
    leaf(
        "grant-permission",
        "<role name> <permission type> <key> [endkey]",
        "Give a role a permission",
        &[PREFIX, FROM_KEY],
        Action::RoleGrantPermission,
    ),
    leaf(
        "revoke-permission",
        "<role name> <key> [endkey]",
        "Take a permission from a role",
        &[PREFIX, FROM_KEY],
        Action::RoleRevokePermission,
    ),
];

const PEER_URLS: Flag = Flag {
    name: "peer-urls",
    short: None,
    kind: Kind::List,
    default: "",
    about: "where other members reach it, with commas between",
};

const MEMBER: &[Command] = &[
    leaf(
        "add",
        "<memberName>",
        "Add a member",
        &[PEER_URLS, Flag::bool("learner", "without a vote, until it is promoted")],
        Action::MemberAdd,
    ),
    leaf("remove", "<memberID>", "Remove a member", &[], Action::MemberRemove),
    leaf("update", "<memberID>", "Change a member's peer URLs", &[PEER_URLS], Action::MemberUpdate),
    leaf("promote", "<memberID>", "Give a learner a vote", &[], Action::MemberPromote),
    leaf(
        "list",
        "",
        "List the members",
        &[Flag::text("consistency", "l", "linearizable (l) or serializable (s)")],
        Action::MemberList,
    ),
];

const LEASE: &[Command] = &[
    leaf("grant", "<ttl>", "Make a lease", &[], Action::LeaseGrant),
    leaf("revoke", "<leaseID>", "End a lease and delete its keys", &[], Action::LeaseRevoke),
    leaf(
        "timetolive",
        "<leaseID>",
        "Print what is left of a lease",
        &[Flag::bool("keys", "also print its keys")],
        Action::LeaseTimeToLive,
    ),
    leaf("list", "", "List all leases", &[], Action::LeaseList),
    leaf(
        "keep-alive",
        "<leaseID>",
        "Renew a lease until it ends",
        &[Flag::bool("once", "renew it once only")],
        Action::LeaseKeepAlive,
    ),
];

const ENDPOINT: &[Command] = &[
    leaf("health", "", "Check that servers commit proposals", &[], Action::EndpointHealth),
    leaf("status", "", "Print the state of servers", &[], Action::EndpointStatus),
    leaf(
        "hashkv",
        "",
        "Print the hash of servers' keys and values",
        &[Flag::int("rev", "revision to hash up to, 0 for the latest")],
        Action::EndpointHashKv,
    ),
];
