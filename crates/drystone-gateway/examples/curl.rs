//! A request as `curl` sends it, answered by a service that stands in for a member.
//!
//! `cargo run -p drystone-gateway --example curl`

use bytes::Bytes;
use drystone_gateway::{Config, Gateway, bindings};
use http_body_util::{BodyExt, Full};
use tower::{Service, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let refuses = service_fn(|request: http::Request<tonic::body::Body>| async move {
        let text = format!("{} is asked of nobody", request.uri().path());
        Ok::<_, std::convert::Infallible>(
            tonic::Status::unavailable(text).into_http::<tonic::body::Body>(),
        )
    });
    let mut gateway = Gateway::new(refuses, Config { message_bytes_max: 2 << 20 });
    let body = Full::new(Bytes::from(r#"{"key":"YQ=="}"#));
    let answer = gateway.call(http::Request::post("/v3/kv/range").body(body)?).await?;
    let status = answer.status();
    let text = answer.into_body().collect().await?.to_bytes();
    eprintln!("{} paths; the first answers {status}: {text:?}", bindings().len());
    Ok(())
}
