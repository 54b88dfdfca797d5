//! `role add`, `role delete`, `role get`, `role list`, `role grant-permission`,
//! `role revoke-permission`

use bytes::Bytes;
use drystone_api::authpb::{Permission, permission};
use drystone_api::etcdserverpb as pb;

use super::range::bounds;
use super::words;
use crate::context::{Context, Limit};
use crate::exit::{Exit, Failure};
use crate::print::{Answer, RPC};

pub(crate) async fn add(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let name = one(context, "add")?;
    let session = context.session(RPC, Limit::None).await?;
    let request = pb::AuthRoleAddRequest { name: name.clone() };
    let response = session.client.role_add(request).await.map_err(|e| Failure::call(&e))?;
    let said = format!("Role {name} created");
    context.show(&session, Answer::Changed(&response.header, &said))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn delete(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let role = one(context, "delete")?;
    let session = context.session(RPC, Limit::None).await?;
    let request = pb::AuthRoleDeleteRequest { role: role.clone() };
    let response = session.client.role_delete(request).await.map_err(|e| Failure::call(&e))?;
    let said = format!("Role {role} deleted");
    context.show(&session, Answer::Changed(&response.header, &said))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn get(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let role = one(context, "get")?;
    let session = context.session(RPC, Limit::None).await?;
    let request = pb::AuthRoleGetRequest { role: role.clone() };
    let response = session.client.role_get(request).await.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::RoleGet(&response, &role))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn list(context: &mut Context<'_>) -> Result<Exit, Failure> {
    if !context.args().is_empty() {
        return Err(Failure::arguments("role list command requires no arguments"));
    }
    let session = context.session(RPC, Limit::None).await?;
    let response = session.client.role_list(pb::AuthRoleListRequest {}).await;
    let response = response.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::RoleList(&response))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn grant_permission(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let [role, kind, key, rest @ ..] = context.args() else {
        return Err(Failure::arguments(
            "role grant command requires role name, permission type, and key [endkey] as its \
             argument",
        ));
    };
    let role = text(role);
    let kind = kind_named(&text(kind))?;
    let (key, range_end) = keys(context, key, rest)?;
    let session = context.session(RPC, Limit::None).await?;
    let perm = Permission { perm_type: kind.into(), key, range_end };
    let request = pb::AuthRoleGrantPermissionRequest { name: role.clone(), perm: Some(perm) };
    let response = session.client.role_grant_permission(request).await;
    let response = response.map_err(|e| Failure::call(&e))?;
    let said = format!("Role {role} updated");
    context.show(&session, Answer::Changed(&response.header, &said))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn revoke_permission(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let [role, key, rest @ ..] = context.args() else {
        return Err(Failure::arguments(
            "role revoke-permission command requires role name and key [endkey] as its argument",
        ));
    };
    let role = text(role);
    let (key, range_end) = keys(context, key, rest)?;
    let session = context.session(RPC, Limit::None).await?;
    let said = match range_end.as_ref() {
        b"" => format!("Permission of key {} is revoked from role {role}", text(&key)),
        b"\0" => {
            format!("Permission of range [{}, <open ended> is revoked from role {role}", text(&key))
        }
        end => format!(
            "Permission of range [{}, {}) is revoked from role {role}",
            text(&key),
            text(end)
        ),
    };
    let request = pb::AuthRoleRevokePermissionRequest { role, key, range_end };
    let response = session.client.role_revoke_permission(request).await;
    let response = response.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::Changed(&response.header, &said))?;
    Ok(Exit::SUCCESS)
}

/// The one word of a command about a role.
fn one(context: &Context<'_>, name: &str) -> Result<String, Failure> {
    let needs = format!("role {name} command requires role name as its argument");
    let [role] = words(context, &needs)?;
    Ok(role)
}

fn kind_named(word: &str) -> Result<permission::Type, Failure> {
    match word.to_lowercase().as_str() {
        "read" => Ok(permission::Type::Read),
        "write" => Ok(permission::Type::Write),
        "readwrite" => Ok(permission::Type::Readwrite),
        _ => Err(Failure::arguments(format!("invalid permission type: {word}"))),
    }
}

/// The range that a permission is on. An empty key is the first one there can be.
fn keys(context: &Context<'_>, key: &[u8], rest: &[Vec<u8>]) -> Result<(Bytes, Bytes), Failure> {
    let (prefix, from_key) = (context.flags.bool("prefix"), context.flags.bool("from-key"));
    if prefix && from_key {
        return Err(Failure::arguments("--from-key and --prefix flags are mutually exclusive"));
    }
    let end = rest.first().map(Vec::as_slice);
    if let Some(name) =
        end.and(if prefix { Some("prefix") } else { from_key.then_some("from-key") })
    {
        return Err(Failure::arguments(format!("unexpected endkey argument with --{name} flag")));
    }
    let (key, range_end) = bounds(key, end, prefix, from_key);
    Ok((if key.is_empty() { Bytes::from_static(b"\0") } else { key }, range_end))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
