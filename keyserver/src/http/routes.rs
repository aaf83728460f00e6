//! The HTTP paths. Requests are carried out in a task of their own: when a client hangs up, the operation completes,
//! and a repeated request gets its answer.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};

use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::wire::error::Refusal;
use shared::wire::path;

use super::body::{BodyError, read_open, read_sealed};
use super::connections::note_session;
use super::response::respond;
use super::state::Shared;
use crate::operations::service::Service;

/// Registers one handler per path.
pub fn configure(app: &mut ServiceConfig) {
    app.service(web::resource(path::HELLO).get(hello))
        .service(web::resource(path::REGISTER_START).post(register_start))
        .service(web::resource(path::REGISTER_FINISH).post(register_finish))
        .service(web::resource(path::LOGIN_START).post(login_start))
        .service(web::resource(path::LOGIN_FINISH).post(login_finish))
        .service(web::resource(path::CALL).post(call));
}

async fn hello(shared: Data<Shared>) -> HttpResponse {
    respond(Ok(shared.service.hello()))
}

async fn register_start(request: HttpRequest, body: Payload, shared: Data<Shared>) -> HttpResponse {
    open(&request, body, &shared, Service::register_start).await
}

async fn register_finish(
    request: HttpRequest,
    body: Payload,
    shared: Data<Shared>,
) -> HttpResponse {
    open(&request, body, &shared, Service::register_finish).await
}

async fn login_start(request: HttpRequest, body: Payload, shared: Data<Shared>) -> HttpResponse {
    open(&request, body, &shared, Service::login_start).await
}

async fn login_finish(request: HttpRequest, body: Payload, shared: Data<Shared>) -> HttpResponse {
    note(open(&request, body, &shared, Service::login_finish).await)
}

async fn call(request: HttpRequest, body: Payload, shared: Data<Shared>) -> HttpResponse {
    let sealed = match read_sealed(&request, body, &shared).await {
        Ok(sealed) => sealed,
        Err(error) => return respond::<()>(Err(error)),
    };
    let (service, remote) = (shared.service.clone(), remote(&request));
    note(respond(
        detached(async move { service.call(sealed, remote).await }).await,
    ))
}

/// Notes that a session uses the connection.
fn note(response: HttpResponse) -> HttpResponse {
    if response.status().is_success() {
        note_session();
    }
    response
}

async fn open<M: Serialize + DeserializeOwned + 'static, T: Serialize + 'static>(
    request: &HttpRequest,
    body: Payload,
    shared: &Shared,
    work: impl AsyncFnOnce(&Service, M, IpAddr) -> Result<T, Refusal> + 'static,
) -> HttpResponse {
    let message = match read_open(request, body, shared).await {
        Ok(message) => message,
        Err(error) => return respond::<T>(Err(error)),
    };
    let (service, remote) = (shared.service.clone(), remote(request));
    respond(detached(async move { work(&service, message, remote).await }).await)
}

async fn detached<T: 'static>(
    work: impl Future<Output = Result<T, Refusal>> + 'static,
) -> Result<T, BodyError> {
    let result = actix_web::rt::spawn(work).await;
    Ok(result.unwrap_or(Err(Refusal::Internal))?)
}

/// Address of the peer of the socket; forwarding headers are ignored.
fn remote(request: &HttpRequest) -> IpAddr {
    request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| {
            address.ip().to_canonical()
        })
}
