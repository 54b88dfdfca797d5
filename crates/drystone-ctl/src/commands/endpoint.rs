//! `endpoint …`: what single servers say about themselves.

use std::time::Instant;

use drystone_api::etcdserverpb as pb;
use drystone_client::{Client, Code, Error};

use crate::context::{Context, Limit, Settings};
use crate::exit::{Exit, Failure, call_message};
use crate::go::format_duration;
use crate::print::{ANY, Answer, ENDPOINTS, Format, Health, alarm_name, health_line};

pub(crate) async fn status(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let (settings, endpoints) = endpoints(context, ENDPOINTS).await?;
    let mut answers = Vec::new();
    let mut failed = false;
    for endpoint in endpoints {
        let answer = match settings.client(std::slice::from_ref(&endpoint)).await {
            Ok(client) => client.status(pb::StatusRequest {}).await.map_err(|e| call_message(&e)),
            Err(failure) => Err(failure.message),
        };
        match answer {
            Ok(status) => answers.push((endpoint, status)),
            Err(reason) => {
                failed = true;
                context.err(format!("Failed to get the status of endpoint {endpoint} ({reason})"));
            }
        }
    }
    context.out(settings.printer.render(Answer::EndpointStatus(&answers)))?;
    Ok(if failed { Exit::ERROR } else { Exit::SUCCESS })
}

pub(crate) async fn hash_kv(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let revision = context.flags.int("rev");
    let (settings, endpoints) = endpoints(context, ENDPOINTS).await?;
    let mut answers = Vec::new();
    let mut failure = None;
    for endpoint in endpoints {
        let answer = match settings.client(std::slice::from_ref(&endpoint)).await {
            Ok(client) => {
                let request = pb::HashKvRequest { revision };
                client.hash_kv(request).await.map_err(|e| call_message(&e))
            }
            Err(failure) => Err(failure.message),
        };
        match answer {
            Ok(hash) => answers.push((endpoint, hash)),
            Err(reason) => {
                context.err(format!("Failed to get the hash of endpoint {endpoint} ({reason})"));
                failure = Some(Failure::new(Exit::ERROR, reason));
            }
        }
    }
    context.out(settings.printer.render(Answer::EndpointHashKv(&answers)))?;
    failure.map_or(Ok(Exit::SUCCESS), Err)
}

pub(crate) async fn health(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let (settings, endpoints) = endpoints(context, ENDPOINTS).await?;
    // All at once: one that does not answer must not delay the others.
    let mut checks = tokio::task::JoinSet::new();
    for (place, endpoint) in endpoints.into_iter().enumerate() {
        let settings = settings.clone();
        checks.spawn(async move { (place, check(&settings, endpoint).await) });
    }
    let mut results = checks.join_all().await;
    results.sort_by_key(|(place, _)| *place);
    let all: Vec<Health> = results.into_iter().map(|(_, health)| health).collect();
    if settings.printer.format == Format::Simple {
        let (healthy, ill): (Vec<Health>, Vec<Health>) =
            all.iter().cloned().partition(|health| health.healthy);
        context.out(settings.printer.render(Answer::EndpointHealth(&healthy)))?;
        for health in &ill {
            context.err(health_line(health));
        }
    } else {
        context.out(settings.printer.render(Answer::EndpointHealth(&all)))?;
    }
    match all.iter().all(|health| health.healthy) {
        true => Ok(Exit::SUCCESS),
        false => Err(Failure::new(Exit::ERROR, "unhealthy cluster")),
    }
}

/// One server after the other, as etcd's stand still while they defragment.
pub(crate) async fn defrag(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let (settings, endpoints) = endpoints(context, ANY).await?;
    let mut exit = Exit::SUCCESS;
    for endpoint in endpoints {
        let begun = Instant::now();
        let answer = match settings.client(std::slice::from_ref(&endpoint)).await {
            Ok(client) => {
                let request = pb::DefragmentRequest {};
                client.defragment(request).await.map_err(|e| call_message(&e))
            }
            Err(failure) => Err(failure.message),
        };
        let took = format_duration(begun.elapsed());
        match answer {
            Ok(_) => context
                .out(format!("Finished defragmenting etcd member[{endpoint}]. took {took}\n"))?,
            Err(reason) => {
                context.err(format!(
                    "Failed to defragment etcd member[{endpoint}]. took {took}. ({reason})"
                ));
                exit = Exit::ERROR;
            }
        }
    }
    Ok(exit)
}

async fn check(settings: &Settings, endpoint: String) -> Health {
    let ill = |endpoint, took, error| Health { endpoint, healthy: false, took, error };
    let client = match settings.client(std::slice::from_ref(&endpoint)).await {
        Ok(client) => client,
        Err(failure) => return ill(endpoint, None, failure.message),
    };
    let begun = Instant::now();
    // Any key will do: a linearizable read needs a majority.
    let range = pb::RangeRequest { key: "health".into(), ..Default::default() };
    let answer = client.range(range).await;
    let took = Some(begun.elapsed());
    match answer {
        // The server has looked the permission up, so it works.
        Err(error) if error.code() == Code::PermissionDenied => {}
        Err(error) => return ill(endpoint, took, call_message(&error)),
        Ok(_) => {}
    }
    match alarms(&client).await {
        Ok(alarms) if alarms.is_empty() => {
            Health { endpoint, healthy: true, took, error: String::new() }
        }
        Ok(alarms) => ill(endpoint, took, format!("Active Alarm(s): {alarms}")),
        Err(_) => ill(endpoint, took, "Unable to fetch the alarm list".to_owned()),
    }
}

/// Names of active alarms, each followed by a space.
async fn alarms(client: &Client) -> Result<String, Error> {
    let response = client.alarm(pb::AlarmRequest::default()).await?;
    let name = |alarm: &pb::AlarmMember| format!("{} ", alarm_name(alarm));
    Ok(response.alarms.iter().map(name).collect())
}

/// The endpoints to ask: those given, or with `--cluster` those of all members.
async fn endpoints(
    context: &mut Context<'_>,
    formats: &[Format],
) -> Result<(Settings, Vec<String>), Failure> {
    let settings = context.settings(formats, Limit::Command, false)?;
    if !context.flags.bool("cluster") {
        let endpoints = settings.endpoints.clone();
        return Ok((settings, endpoints));
    }
    let client = settings.client(&settings.endpoints).await?;
    let request = pb::MemberListRequest { linearizable: true };
    let members = client.member_list(request).await.map_err(|error| {
        let reason = call_message(&error);
        let message = format!("failed to fetch endpoints from etcd cluster member list: {reason}");
        Failure::new(Exit::ERROR, message)
    })?;
    let urls = members.members.into_iter().flat_map(|member| member.client_ur_ls).collect();
    Ok((settings, urls))
}
