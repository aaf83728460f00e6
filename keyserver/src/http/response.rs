//! HTTP answers, and the status of each refusal.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde::Serialize;
use shared::codec;
use shared::wire::CONTENT_TYPE;
use shared::wire::error::Refusal;

use super::body::BodyError;

/// The HTTP answer of a handler.
pub fn respond<T: Serialize>(result: Result<T, BodyError>) -> HttpResponse {
    match result {
        Ok(answer) => message(StatusCode::OK, &answer),
        Err(BodyError::Refused(refusal)) => message(status(&refusal), &refusal),
        Err(BodyError::TooSlow) => HttpResponse::RequestTimeout().force_close().finish(),
        Err(BodyError::MediaType) => HttpResponse::UnsupportedMediaType().finish(),
    }
}

fn message<T: Serialize>(status: StatusCode, message: &T) -> HttpResponse {
    let Ok(body) = codec::encode(message) else {
        return HttpResponse::InternalServerError().finish();
    };
    HttpResponse::build(status)
        .content_type(CONTENT_TYPE)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body)
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Malformed | Refusal::Unsupported | Refusal::BadEntry | Refusal::BadSignature => {
            StatusCode::BAD_REQUEST
        }
        Refusal::LoginRefused | Refusal::NoSession => StatusCode::UNAUTHORIZED,
        Refusal::InviteRequired | Refusal::RegistrationClosed | Refusal::NeedsPassword => {
            StatusCode::FORBIDDEN
        }
        Refusal::Exists | Refusal::OutOfOrder | Refusal::Conflict(_) => StatusCode::CONFLICT,
        Refusal::NoSuchPending => StatusCode::GONE,
        Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Busy => too_early(),
        Refusal::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::DiskFull | Refusal::Quota => StatusCode::INSUFFICIENT_STORAGE,
    }
}

/// 425 Too Early, which this version of the `http` crate does not name.
fn too_early() -> StatusCode {
    StatusCode::from_u16(425).unwrap_or(StatusCode::CONFLICT)
}
