//! `auth enable`, `auth disable`, `auth status`

use drystone_api::etcdserverpb as pb;

use crate::context::{Context, Limit};
use crate::exit::{Exit, Failure};
use crate::print::{ANY, Answer, STATUS};

const ROOT: &str = "root";

/// Asks for permissions from now on. Where root lacks its role, it is made and granted first.
pub(crate) async fn enable(context: &mut Context<'_>) -> Result<Exit, Failure> {
    none(context, "enable")?;
    let session = context.session(ANY, Limit::Command).await?;
    let client = &session.client;
    let refused = client.auth_enable(pb::AuthEnableRequest {}).await.err();
    match refused {
        None => {}
        Some(error) if error.is_server("etcdserver: root user does not have root role") => {
            let role = pb::AuthRoleAddRequest { name: ROOT.to_owned() };
            client.role_add(role).await.map_err(|e| Failure::call(&e))?;
            let grant =
                pb::AuthUserGrantRoleRequest { user: ROOT.to_owned(), role: ROOT.to_owned() };
            client.user_grant_role(grant).await.map_err(|e| Failure::call(&e))?;
            let again = client.auth_enable(pb::AuthEnableRequest {}).await;
            again.map_err(|e| Failure::call(&e))?;
        }
        Some(error) => return Err(Failure::call(&error)),
    }
    context.out("Authentication Enabled\n")?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn disable(context: &mut Context<'_>) -> Result<Exit, Failure> {
    none(context, "disable")?;
    let session = context.session(ANY, Limit::Command).await?;
    let disabled = session.client.auth_disable(pb::AuthDisableRequest {}).await;
    disabled.map_err(|e| Failure::call(&e))?;
    context.out("Authentication Disabled\n")?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn status(context: &mut Context<'_>) -> Result<Exit, Failure> {
    none(context, "status")?;
    let session = context.session(STATUS, Limit::Command).await?;
    let response = session.client.auth_status(pb::AuthStatusRequest {}).await;
    let response = response.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::AuthStatus(&response))?;
    Ok(Exit::SUCCESS)
}

fn none(context: &Context<'_>, name: &str) -> Result<(), Failure> {
    if context.args().is_empty() {
        return Ok(());
    }
    Err(Failure::arguments(format!("auth {name} command does not accept any arguments")))
}
