//! Who is who, and for how long.

use super::*;

fn list_all() -> RangeRequest {
    range("open/", "open0")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_in_either_header_and_a_bad_one_is_never_no_one() {
    let guarded = Guarded::start(&[]).await;
    let mut kv = guarded.kv();
    let token = guarded.alice.as_str();
    for (key, value) in [
        ("token", token.to_owned()),
        ("token", format!("Bearer {token}")),
        ("authorization", token.to_owned()),
        ("authorization", format!("Bearer {token}")),
    ] {
        let mut request = Request::new(list_all());
        request.metadata_mut().insert(key, value.parse().unwrap());
        assert_eq!(kv.range(request).await.unwrap().into_inner().count, 2, "{key}");
    }
    let mut auth = guarded.auth();
    let unknown_now = "hsuEZDJyIutCAcuV.1";
    let unknown_yet = "hsuEZDJyIutCAcuV.99999999";
    for bad in ["", "x", "bearer x", unknown_now, unknown_yet, "e30.e30.e30"] {
        let status = auth.auth_status(by(Some(bad), AuthStatusRequest {})).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated, "{bad}");
        assert_eq!(status.message(), BAD_TOKEN);
        let status = kv.range(by(Some(bad), list_all())).await.unwrap_err();
        assert_eq!(status.message(), BAD_TOKEN, "{bad}");
        let refused = watch(&guarded.channel, Some(bad), "open/1", "").await.unwrap_err();
        let reason = format!("rpc error: code = Unauthenticated desc = {BAD_TOKEN}");
        assert_eq!(refused.message(), reason);
    }
    let status = auth.auth_status(AuthStatusRequest {}).await.unwrap().into_inner();
    assert!(status.enabled && status.auth_revision > 1);
    let root = Some(guarded.root.as_str());
    auth.auth_disable(by(root, AuthDisableRequest {})).await.unwrap();
    kv.range(by(Some("x"), list_all())).await.unwrap();
    let off = authenticate(&guarded.channel, ALICE, ALICE).await.unwrap_err();
    assert_eq!(off.message(), "etcdserver: authentication is not enabled");
    auth.auth_enable(AuthEnableRequest {}).await.unwrap();
    let gone = kv.range(by(Some(token), list_all())).await.unwrap_err();
    assert_eq!(gone.message(), BAD_TOKEN, "tokens end when permissions are no longer asked for");
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_its_users_password_and_not_with_anothers() {
    let guarded = Guarded::start(&[]).await;
    let mut auth = guarded.auth();
    let root = Some(guarded.root.as_str());
    let change = |name: &str, password: &str, hashed: &str| AuthUserChangePasswordRequest {
        name: name.to_owned(),
        password: password.to_owned(),
        hashed_password: hashed.to_owned(),
    };
    auth.user_change_password(by(root, change(NOBODY, "new", ""))).await.unwrap();
    let mut kv = guarded.kv();
    let ended = kv.range(by(Some(&guarded.nobody), list_all())).await.unwrap_err();
    assert_eq!(ended.message(), BAD_TOKEN);
    kv.range(by(Some(&guarded.alice), list_all())).await.unwrap();
    authenticate(&guarded.channel, NOBODY, NOBODY).await.unwrap_err();
    authenticate(&guarded.channel, NOBODY, "new").await.unwrap();

    // A hash that comes along counts where no password does, and only in this call.
    let hash = drystone_auth::hash_password(b"brought along", 4, [3; 16]).unwrap();
    let hash = drystone_auth::encode_hash(&hash);
    auth.user_change_password(by(root, change(NOBODY, "", &hash))).await.unwrap();
    authenticate(&guarded.channel, NOBODY, "brought along").await.unwrap();
    let add = AuthUserAddRequest {
        name: "new".into(),
        password: "own".into(),
        hashed_password: hash,
        ..Default::default()
    };
    auth.user_add(by(root, add)).await.unwrap();
    authenticate(&guarded.channel, "new", "brought along").await.unwrap_err();
    let token = authenticate(&guarded.channel, "new", "own").await.unwrap();
    auth.user_delete(by(root, AuthUserDeleteRequest { name: "new".into() })).await.unwrap();
    let ended = kv.range(by(Some(&token), list_all())).await.unwrap_err();
    assert_eq!(ended.message(), BAD_TOKEN);
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_without_a_password_cannot_log_in_with_one() {
    let guarded = Guarded::start(&[]).await;
    let mut auth = guarded.auth();
    let root = Some(guarded.root.as_str());
    let add = AuthUserAddRequest {
        name: "cert".into(),
        options: Some(drystone_api::authpb::UserAddOptions { no_password: true }),
        ..Default::default()
    };
    auth.user_add(by(root, add)).await.unwrap();
    let refused = authenticate(&guarded.channel, "cert", "").await.unwrap_err();
    let text = "auth: authentication failed, password was given for no password user";
    assert_eq!((refused.code(), refused.message()), (tonic::Code::Unknown, text));
    let long =
        AuthUserAddRequest { name: "long".into(), password: "x".repeat(73), ..Default::default() };
    let refused = auth.user_add(by(root, long)).await.unwrap_err();
    assert_eq!(refused.message(), "bcrypt: password length exceeds 72 bytes");
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simple_token_is_forgotten_at_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (first, channel) = server(folder.path(), &[]).await;
    guard(&channel).await;
    let token = login(&channel, ROOT).await;
    first.stop().await;
    let (second, channel) = server(folder.path(), &[]).await;
    let mut auth = AuthClient::new(channel.clone());
    let refused = auth.user_list(by(Some(&token), AuthUserListRequest {})).await.unwrap_err();
    assert_eq!(refused.message(), BAD_TOKEN);
    let token = login(&channel, ROOT).await;
    auth.user_list(by(Some(&token), AuthUserListRequest {})).await.unwrap();
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_carries_its_auth_revision() {
    let keys = tempfile::tempdir().unwrap();
    let secret = keys.path().join("secret");
    std::fs::write(&secret, "of this test alone").unwrap();
    let flag = format!("--auth-token=jwt,sign-method=HS256,priv-key={}", secret.display());
    let guarded = Guarded::start(&[&flag]).await;
    assert_eq!(guarded.alice.matches('.').count(), 2);
    let mut kv = guarded.kv();
    kv.range(by(Some(&guarded.alice), list_all())).await.unwrap();
    kv.put(by(Some(&guarded.alice), put("open/3", "x", 0))).await.unwrap();
    denied(kv.range(by(Some(&guarded.alice), range("secret/1", ""))).await);

    let mut auth = guarded.auth();
    let root = Some(guarded.root.as_str());
    auth.role_add(by(root, AuthRoleAddRequest { name: "more".into() })).await.unwrap();
    let old = "etcdserver: revision of auth store is old";
    let status = kv.range(by(Some(&guarded.alice), list_all())).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (tonic::Code::InvalidArgument, old));
    let status = kv.put(by(Some(&guarded.alice), put("open/3", "x", 0))).await.unwrap_err();
    assert_eq!(status.message(), old);
    let refused = watch(&guarded.channel, Some(&guarded.alice), "open/1", "").await.unwrap_err();
    assert_eq!(refused.message(), format!("rpc error: code = InvalidArgument desc = {old}"));
    // Whoever manages users goes on after each change.
    auth.role_delete(by(root, AuthRoleDeleteRequest { role: "more".into() })).await.unwrap();
    let fresh = login(&guarded.channel, ALICE).await;
    kv.range(by(Some(&fresh), list_all())).await.unwrap();
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_nobody_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = server(folder.path(), &["--auth-token="]).await;
    guard(&channel).await;
    let refused = authenticate(&channel, ROOT, ROOT).await.unwrap_err();
    let failed = "etcdserver: authentication failed, invalid user ID or password";
    assert_eq!(refused.message(), failed);
    server.stop().await;
}
