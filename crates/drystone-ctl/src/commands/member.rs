//! `member …` and `move-leader`

use drystone_api::etcdserverpb as pb;

use super::range::serializable;
use crate::context::{Context, Limit};
use crate::exit::{Exit, Failure};
use crate::go;
use crate::print::{Answer, CHANGES, MEMBERS, MemberChange};

pub(crate) async fn list(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let linearizable = !serializable(&context.flags)?;
    let session = context.session(MEMBERS, Limit::Command).await?;
    let request = pb::MemberListRequest { linearizable };
    let response = session.client.member_list(request).await.map_err(|e| Failure::call(&e))?;
    context.show(&session, Answer::MemberList(&response))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn add(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let name = match context.args() {
        [] => return Err(Failure::arguments("member name not provided")),
        [name] => String::from_utf8_lossy(name).into_owned(),
        words => {
            let mut message = "too many arguments".to_owned();
            for word in words.iter().map(|word| String::from_utf8_lossy(word)) {
                if word.starts_with("http") {
                    message += &format!(", did you mean --peer-urls={word}");
                }
            }
            return Err(Failure::arguments(message));
        }
    };
    let peer_ur_ls = peer_urls(context)?;
    for url in &peer_ur_ls {
        check_url(url).map_err(|reason| Failure::new(Exit::ERROR, reason))?;
    }
    let is_learner = context.flags.bool("learner");
    let session = context.session(CHANGES, Limit::Command).await?;
    let request = pb::MemberAddRequest { peer_ur_ls, is_learner };
    let response = session.client.member_add(request).await.map_err(|e| Failure::call(&e))?;
    let member = response.member.unwrap_or_default();
    let change = MemberChange {
        header: response.header,
        id: member.id,
        done: if is_learner { "added as learner to" } else { "added to" },
        added: Some((&member, &name)),
        members: &response.members,
    };
    context.show(&session, Answer::MemberChange(change))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn remove(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let id = member_id(context)?;
    let session = context.session(CHANGES, Limit::Command).await?;
    let request = pb::MemberRemoveRequest { id };
    let response = session.client.member_remove(request).await.map_err(|e| Failure::call(&e))?;
    let (header, members) = (response.header, response.members.as_slice());
    let change = MemberChange { header, id, done: "removed from", added: None, members };
    context.show(&session, Answer::MemberChange(change))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn update(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let id = member_id(context)?;
    let peer_ur_ls = peer_urls(context)?;
    for url in &peer_ur_ls {
        check_url(url).map_err(|reason| Failure::new(Exit::ERROR, reason))?;
    }
    let session = context.session(CHANGES, Limit::Command).await?;
    let request = pb::MemberUpdateRequest { id, peer_ur_ls };
    let response = session.client.member_update(request).await.map_err(|e| Failure::call(&e))?;
    let (header, members) = (response.header, response.members.as_slice());
    let change = MemberChange { header, id, done: "updated in", added: None, members };
    context.show(&session, Answer::MemberChange(change))?;
    Ok(Exit::SUCCESS)
}

pub(crate) async fn promote(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let id = member_id(context)?;
    let session = context.session(CHANGES, Limit::Command).await?;
    let request = pb::MemberPromoteRequest { id };
    let response = session.client.member_promote(request).await.map_err(|e| Failure::call(&e))?;
    let (header, members) = (response.header, response.members.as_slice());
    let change = MemberChange { header, id, done: "promoted in", added: None, members };
    context.show(&session, Answer::MemberChange(change))?;
    Ok(Exit::SUCCESS)
}

/// Asks whichever of the endpoints leads.
pub(crate) async fn move_leader(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let [target] = context.args() else {
        return Err(Failure::arguments("move-leader command needs 1 argument"));
    };
    let to = go::parse_hex_u64(&String::from_utf8_lossy(target)).map_err(Failure::arguments)?;
    let settings = context.settings(CHANGES, Limit::Command, false)?;
    let endpoints = context.endpoints(&settings).await?;
    for endpoint in &endpoints {
        let client = settings.client(std::slice::from_ref(endpoint)).await?;
        let status = client.status(pb::StatusRequest {}).await.map_err(|e| Failure::call(&e))?;
        if status.header.unwrap_or_default().member_id != status.leader {
            continue;
        }
        let request = pb::MoveLeaderRequest { target_id: to };
        client.move_leader(request).await.map_err(|e| Failure::call(&e))?;
        context.out(settings.printer.render(Answer::MoveLeader { from: status.leader, to }))?;
        return Ok(Exit::SUCCESS);
    }
    let endpoints = endpoints.join(" ");
    Err(Failure::arguments(format!("no leader endpoint given at [{endpoints}]")))
}

/// The only argument, as a member's id.
fn member_id(context: &Context<'_>) -> Result<u64, Failure> {
    let [id] = context.args() else {
        return Err(Failure::arguments("member ID is not provided"));
    };
    go::parse_hex_u64(&String::from_utf8_lossy(id)).map_err(|reason| {
        Failure::arguments(format!("bad member ID arg ({reason}), expecting ID in Hex"))
    })
}

fn peer_urls(context: &Context<'_>) -> Result<Vec<String>, Failure> {
    let urls = context.flags.list("peer-urls").to_vec();
    if urls.is_empty() {
        return Err(Failure::arguments("member peer urls not provided"));
    }
    Ok(urls)
}

/// The scheme, which etcd's client checks before it asks the server. The server checks the rest.
fn check_url(url: &str) -> Result<(), String> {
    let scheme = url.trim().split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some("http" | "https" | "unix" | "unixs") => Ok(()),
        _ => Err(format!("URL scheme must be http, https, unix, or unixs: {url}")),
    }
}
