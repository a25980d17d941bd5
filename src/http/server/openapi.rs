//! Parts of the OpenAPI document common to all operations: title, token, and the responses of the layers
//! around the handlers.

use axum::http::StatusCode;
use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder};

/// Completes the document generated from the handlers' descriptions.
pub(crate) fn complete(document: &mut OpenApi) {
    document.info.title = "optag".into();
    document.info.description = Some("Records consented phone calls.".into());
    document.info.version = env!("CARGO_PKG_VERSION").into();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        answers(operation);
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, .. } = item;
    [get, put, post, delete].into_iter().flatten()
}

/// Adds the responses of the guard, the authentication, and the parsing of parameters and bodies.
fn answers(operation: &mut Operation) {
    let body = operation.request_body.is_some();
    let named = |one: &RefOr<Parameter>| matches!(one, RefOr::T(one) if one.name == "purpose");
    let purpose = operation.parameters.iter().flatten().any(named);
    let usual = [
        (StatusCode::BAD_REQUEST, body || purpose, "The body is not JSON, or the purpose is missing"),
        (StatusCode::UNAUTHORIZED, true, "There is no token, or it is not valid"),
        (StatusCode::FORBIDDEN, true, "The token's role does not allow this"),
        (StatusCode::PAYLOAD_TOO_LARGE, body, "The body is longer than 65,536 bytes"),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, body, "The body is not application/json, or is compressed"),
        (StatusCode::UNPROCESSABLE_ENTITY, true, "Parameters or fields are wrong; `errors` names each"),
        (StatusCode::TOO_MANY_REQUESTS, true, "Too many requests without a valid token; see Retry-After"),
        (StatusCode::INTERNAL_SERVER_ERROR, true, "Something failed inside the recorder"),
        (StatusCode::SERVICE_UNAVAILABLE, true, "A part is away or everything is in use; see Retry-After"),
    ];
    for (status, applies, description) in usual {
        if applies {
            let answers = &mut operation.responses.responses;
            answers.entry(status.as_u16().to_string()).or_insert_with(|| problem(description));
        }
    }
}

fn problem(description: &str) -> RefOr<utoipa::openapi::Response> {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .build()
        .into()
}

#[cfg(test)]
mod tests {
    use optag_core::limit;

    #[test]
    fn the_length_that_the_document_names_is_the_limit() {
        assert_eq!(limit::REQUEST_BODY_BYTES, 65_536);
    }
}
