//! Access control, as clients meet it.

mod advisories;
mod json;
mod log;
mod members;
mod order;
mod secrets;
mod sweep;
mod table;
mod tokens;
mod watching;

use crate::READY_MAX;
use bytes::Bytes;
use drystone_api::authpb::{Permission, permission};
use drystone_api::etcdserverpb::auth_client::AuthClient;
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::*;
use drystone_server::{Parsed, Server, parse};
use std::path::Path;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A user whose role may read and write the keys that begin with `open/`.
pub(crate) const ALICE: &str = "alice";
/// A user without a role.
pub(crate) const NOBODY: &str = "nobody";
pub(crate) const ROOT: &str = "root";

/// A server in this process, with `words` besides what it needs.
pub(crate) async fn server(folder: &Path, words: &[&str]) -> (Server, Channel) {
    let mut all = vec![
        format!("--data-dir={}", folder.display()),
        "--listen-client-urls=http://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:1".to_owned(),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        "--bcrypt-cost=4".to_owned(),
    ];
    all.extend(words.iter().map(|word| (*word).to_owned()));
    let config = match parse(all, []).unwrap() {
        Parsed::Run { config, .. } => *config,
        Parsed::Print(text) => panic!("{text}"),
    };
    let server = Server::start(config).await.unwrap();
    let endpoint = format!("http://{}", server.client_addresses()[0]);
    (server, connect(endpoint).await)
}

pub(crate) async fn connect(endpoint: String) -> Channel {
    let connect = async {
        loop {
            if let Ok(channel) = Channel::from_shared(endpoint.clone()).unwrap().connect().await {
                return channel;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(READY_MAX, connect).await.unwrap()
}

/// `message` with a token.
pub(crate) fn by<T>(token: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("token", token.parse().unwrap());
    }
    request
}

/// A server that asks for permissions, and tokens of its users.
pub(crate) struct Guarded {
    pub(crate) server: Server,
    pub(crate) channel: Channel,
    pub(crate) root: String,
    pub(crate) alice: String,
    pub(crate) nobody: String,
    _folder: tempfile::TempDir,
}

impl Guarded {
    /// Three users whose passwords are their names, some keys, and lease 7 with a key that only
    /// root may use.
    pub(crate) async fn start(words: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, channel) = server(folder.path(), words).await;
        let mut kv = KvClient::new(channel.clone());
        let grant = LeaseGrantRequest { ttl: 600, id: 7 };
        lease_client::LeaseClient::new(channel.clone()).lease_grant(grant).await.unwrap();
        for (key, value, lease) in
            [("open/1", "one", 0), ("open/2", "two", 0), ("secret/1", "hidden", 7)]
        {
            kv.put(put(key, value, lease)).await.unwrap();
        }
        guard(&channel).await;
        Self {
            server,
            root: login(&channel, ROOT).await,
            alice: login(&channel, ALICE).await,
            nobody: login(&channel, NOBODY).await,
            channel,
            _folder: folder,
        }
    }

    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub(crate) fn auth(&self) -> AuthClient<Channel> {
        AuthClient::new(self.channel.clone())
    }
}

/// Makes the users and the role, and asks for permissions from then on.
pub(crate) async fn guard(channel: &Channel) {
    let mut auth = AuthClient::new(channel.clone());
    for name in [ROOT, ALICE, NOBODY] {
        let (name, password) = (name.to_owned(), name.to_owned());
        auth.user_add(AuthUserAddRequest { name, password, ..Default::default() }).await.unwrap();
    }
    auth.role_add(AuthRoleAddRequest { name: "open".into() }).await.unwrap();
    auth.role_grant_permission(grant("open", "open/", "open0")).await.unwrap();
    for (user, role) in [(ROOT, "root"), (ALICE, "open")] {
        let (user, role) = (user.to_owned(), role.to_owned());
        auth.user_grant_role(AuthUserGrantRoleRequest { user, role }).await.unwrap();
    }
    auth.auth_enable(AuthEnableRequest {}).await.unwrap();
}

pub(crate) fn grant(role: &str, key: &str, end: &str) -> AuthRoleGrantPermissionRequest {
    AuthRoleGrantPermissionRequest {
        name: role.to_owned(),
        perm: Some(Permission {
            perm_type: permission::Type::Readwrite as i32,
            key: Bytes::copy_from_slice(key.as_bytes()),
            range_end: Bytes::copy_from_slice(end.as_bytes()),
        }),
    }
}

/// A token of a user whose password is the name.
pub(crate) async fn login(channel: &Channel, name: &str) -> String {
    authenticate(channel, name, name).await.unwrap()
}

pub(crate) async fn authenticate(
    channel: &Channel,
    name: &str,
    password: &str,
) -> Result<String, Status> {
    let request = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
    let response = AuthClient::new(channel.clone()).authenticate(request).await?;
    Ok(response.into_inner().token)
}

pub(crate) fn put(key: &str, value: &str, lease: i64) -> PutRequest {
    PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        lease,
        ..Default::default()
    }
}

pub(crate) fn range(key: &str, end: &str) -> RangeRequest {
    RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        ..Default::default()
    }
}

/// The first answer to a watcher, as an error when it was refused.
pub(crate) async fn watch(
    channel: &Channel,
    token: Option<&str>,
    key: &str,
    end: &str,
) -> Result<WatchResponse, Status> {
    use watch_request::RequestUnion::CreateRequest;
    let create = WatchCreateRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        ..Default::default()
    };
    let create = WatchRequest { request_union: Some(CreateRequest(create)) };
    let open = tokio_stream::StreamExt::chain(tokio_stream::once(create), tokio_stream::pending());
    let mut client = watch_client::WatchClient::new(channel.clone());
    let mut responses = client.watch(by(token, open)).await?.into_inner();
    let first = responses.message().await?.unwrap();
    assert!(first.created);
    if first.canceled {
        assert_eq!(first.watch_id, -1);
        return Err(Status::unknown(first.cancel_reason));
    }
    Ok(first)
}

const DENIED: &str = "etcdserver: permission denied";
const NO_USER: &str = "etcdserver: user name is empty";
const BAD_TOKEN: &str = "etcdserver: invalid auth token";

/// Fails unless the answer is that permission is denied; a watcher hears it inside a reason.
#[track_caller]
pub(crate) fn denied<T>(answer: Result<T, Status>) {
    match answer {
        Ok(_) => panic!("it was allowed"),
        Err(status) => assert!(status.message().ends_with(DENIED), "{status:?}"),
    }
}

/// Fails unless the answer is that nobody was named.
#[track_caller]
pub(crate) fn unnamed<T>(answer: Result<T, Status>) {
    match answer {
        Ok(_) => panic!("it was allowed"),
        Err(status) => assert!(status.message().ends_with(NO_USER), "{status:?}"),
    }
}
