//! Who may ask. A page of another site must not reach a server on this computer: the name in `Host` must be ours (against a site whose name
//! is pointed at 127.0.0.1), and what a browser says of the asking page must be us. With a token, every request must bring it.

use super::App;
use super::refusal::{Answer, Refusal};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// The cookie that holds the token of the page.
const COOKIE: &str = "sam_octa2_token";

/// What needs no token: a sign of life, and where MONAI Label's clients get theirs.
const OPEN: [&str; 3] = ["/healthz", "/auth/", "/auth/token"];

/// Refuses who may not ask.
pub async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let result = own_name(request.headers(), app.named).and_then(|()| own_page(&request));
    if let Err(refusal) = result {
        return refusal.into_response();
    }
    let Some(token) = app.token.as_deref().filter(|_| !OPEN.contains(&path)) else {
        return next.run(request).await;
    };
    let in_address = (path == "/").then(|| in_address(&request)).flatten();
    if let Some(given) = in_address.filter(|given| same(given, token)) {
        // the page keeps it as a cookie, so that the address can be without it
        let cookie = format!("{COOKIE}={given}; Path=/; HttpOnly; SameSite=Strict");
        let see = (StatusCode::SEE_OTHER, [(header::LOCATION, "/".to_owned()), (header::SET_COOKIE, cookie)]);
        return see.into_response();
    }
    match given(request.headers()).is_some_and(|given| same(given, token)) {
        true => next.run(request).await,
        false => {
            let sentence =
                "this server wants its token: as `Authorization: Bearer ...`, or in the address that it printed";
            Refusal::new(StatusCode::UNAUTHORIZED, sentence).into_response()
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// On an address of this computer alone, `named` is true and other names are refused.
fn own_name(headers: &HeaderMap, named: bool) -> Answer<()> {
    let host = text(headers, header::HOST).unwrap_or_default();
    match !named || is_own(host) {
        true => Ok(()),
        false => Err(Refusal::new(StatusCode::FORBIDDEN, "this server answers to localhost, 127.0.0.1 and [::1] only")),
    }
}

fn is_own(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Browsers say which page asks. The page itself may be opened from anywhere, since that changes nothing.
fn own_page(request: &Request) -> Answer<()> {
    let headers = request.headers();
    let (host, origin) = (text(headers, header::HOST).unwrap_or_default(), text(headers, header::ORIGIN));
    let foreign = origin.is_some_and(|origin| origin.split_once("://").map(|(_, rest)| rest) != Some(host));
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let foreign = foreign || matches!(site, Some(b"cross-site" | b"same-site"));
    match foreign && !(request.uri().path() == "/" && request.method() == Method::GET) {
        true => Err(Refusal::new(StatusCode::FORBIDDEN, "a page of another site may not use this server")),
        false => Ok(()),
    }
}

fn in_address(request: &Request) -> Option<&str> {
    request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix("token="))
}

fn given(headers: &HeaderMap) -> Option<&str> {
    let bearer = text(headers, header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let cookies = text(headers, header::COOKIE).unwrap_or_default().split(';');
    bearer.or_else(|| {
        cookies.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
    })
}

/// Equal, in a time that does not tell how much of it is.
pub fn same(one: &str, other: &str) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

/// Is this fit to be a token, in headers, cookies and addresses alike?
pub fn sound_token(token: &str) -> bool {
    token.len() >= 16 && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_computer() {
        for own in ["localhost:8911", "LOCALHOST", "127.0.0.1:1", "127.1.2.3", "[::1]:80", "[::1]"] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example:80",
            "127.0.0.1.evil.example",
            "10.0.0.1:80",
            "[2001:db8::1]:80",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
