//! `user add`, `user delete`, `user get`, `user list`, `user passwd`, `user grant-role`,
//! `user revoke-role`

use drystone_api::authpb::UserAddOptions;
use drystone_api::etcdserverpb as pb;

use super::words;
use crate::context::{Context, Limit};
use crate::exit::{Exit, Failure};
use crate::io::read_line;
use crate::print::{Answer, NAMES, RPC};

/// Adds a user. The password comes from a flag, from the name, or is asked for.
pub(crate) async fn add(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let word = one(context, "user add")?;
    let no_password = context.flags.bool("no-password");
    let given = context.flags.text("new-user-password").to_owned();
    let interactive = context.flags.bool("interactive");
    let session = context.session(RPC, Limit::None).await?;
    let (name, password) = match word.split_once(':') {
        _ if no_password => (word, String::new()),
        _ if !given.is_empty() => (word, given),
        Some((name, password)) => (name.to_owned(), password.to_owned()),
        None => {
            let password = new_password(context, &word, interactive)?;
            (word, password)
        }
    };
    if name.is_empty() {
        return Err(Failure::arguments("empty user name is not allowed"));
    }
    let request = pb::AuthUserAddRequest {
        name: name.clone(),
        password,
        options: Some(UserAddOptions { no_password }),
        ..Default::default()
    };
    let response = session.client.user_add(request).await.map_err(|e| Failure::call(&e))?;
    let said = format!("User {name} created");
    context.show(&session, Answer::Changed(&response.header, &said))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn delete(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let name = one(context, "user delete")?;
    let session = context.session(RPC, Limit::None).await?;
    let request = pb::AuthUserDeleteRequest { name: name.clone() };
    let response = session.client.user_delete(request).await.map_err(|e| Failure::call(&e))?;
    let said = format!("User {name} deleted");
    context.show(&session, Answer::Changed(&response.header, &said))?;
    Ok(Exit::SUCCESS)
}

/// Prints the user's roles; with `--detail` also what each of them may.
pub(crate) async fn get(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let name = one(context, "user get")?;
    let detail = context.flags.bool("detail");
    let session = context.session(NAMES, Limit::None).await?;
    let request = pb::AuthUserGetRequest { name: name.clone() };
    let response = session.client.user_get(request).await.map_err(|e| Failure::call(&e))?;
    if !detail {
        context.show(&session, Answer::UserGet(&response, &name))?;
        return Ok(Exit::SUCCESS);
    }
    context.out(format!("User: {name}\n"))?;
    for role in &response.roles {
        context.out("\n")?;
        let request = pb::AuthRoleGetRequest { role: role.clone() };
        let found = session.client.role_get(request).await.map_err(|e| Failure::call(&e))?;
        context.show(&session, Answer::RoleGet(&found, role))?;
    }
    Ok(Exit::SUCCESS)
}

pub(crate) async fn list(context: &mut Context<'_>) -> Result<Exit, Failure> {
    if !context.args().is_empty() {
        return Err(Failure::arguments("user list command requires no arguments"));
    }
    let session = context.session(NAMES, Limit::None).await?;
    let response = session.client.user_list(pb::AuthUserListRequest {}).await;
    let response = response.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::UserList(&response))?;
    Ok(Exit::SUCCESS)
}

/// Gives a user another password, which is always asked for.
pub(crate) async fn passwd(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let name = one(context, "user passwd")?;
    let interactive = context.flags.bool("interactive");
    let session = context.session(RPC, Limit::None).await?;
    let password = new_password(context, &name, interactive)?;
    let request = pb::AuthUserChangePasswordRequest { name, password, ..Default::default() };
    let response = session.client.user_change_password(request).await;
    let response = response.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::Changed(&response.header, "Password updated"))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn grant_role(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let needs = "user grant command requires user name and role name as its argument";
    let [user, role] = words(context, needs)?;
    let session = context.session(RPC, Limit::None).await?;
    let request = pb::AuthUserGrantRoleRequest { user: user.clone(), role: role.clone() };
    let response = session.client.user_grant_role(request).await.map_err(|e| Failure::call(&e))?;
    let said = format!("Role {role} is granted to user {user}");
    context.show(&session, Answer::Changed(&response.header, &said))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn revoke_role(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let needs = "user revoke-role requires user name and role name as its argument";
    let [name, role] = words(context, needs)?;
    let session = context.session(RPC, Limit::None).await?;
    let request = pb::AuthUserRevokeRoleRequest { name: name.clone(), role: role.clone() };
    let response = session.client.user_revoke_role(request).await;
    let response = response.map_err(|e| Failure::call(&e))?;
    let said = format!("Role {role} is revoked from user {name}");
    context.show(&session, Answer::Changed(&response.header, &said))?;
    Ok(Exit::SUCCESS)
}

/// The one word of a command about a user.
fn one(context: &Context<'_>, command: &str) -> Result<String, Failure> {
    let [name] = words(context, &format!("{command} command requires user name as its argument"))?;
    Ok(name)
}

/// A password for `user` from standard input: asked for twice, or the first word of a line.
fn new_password(
    context: &mut Context<'_>,
    user: &str,
    interactive: bool,
) -> Result<String, Failure> {
    if !interactive {
        let line = read_line(&mut *context.io.stdin)?.unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        return Ok(line.split_whitespace().next().unwrap_or_default().to_owned());
    }
    let first = context.ask_hidden(&format!("Password of {user}: "))?;
    if first.is_empty() {
        return Err(Failure::arguments("empty password"));
    }
    let again = context.ask_hidden(&format!("Type password of {user} again for confirmation: "))?;
    if first != again {
        return Err(Failure::arguments("given passwords are different"));
    }
    Ok(first)
}
