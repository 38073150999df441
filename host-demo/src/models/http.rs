//! The one place that opens a connection: one request for a file, from some byte on.

use anyhow::{Context, anyhow, bail};
use std::io::Read;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};

/// A connection is made, and the answer begins, within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server answers.
pub struct Answer {
    /// the byte of the file at which `body` begins
    pub start: u64,
    /// bytes of the whole file, where the server says so
    pub total: Option<u64>,
    /// what tells this version of the file from another
    pub version: Option<String>,
    /// the bytes
    pub body: Box<dyn Read + Send>,
}

/// How asking went.
pub enum Asked {
    /// here it comes
    Answer(Answer),
    /// the part that is there is not the beginning of what the server has
    NoSuchRange,
}

/// Asks for a file from byte `start` on; `version` is what the part before came from.
pub fn ask(url: &str, start: u64, version: Option<&str>) -> anyhow::Result<Asked> {
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build()) // a hospital's proxy has a root of its own
        .http_status_as_error(false)
        .https_only(url.starts_with("https://")) // also where a redirect leads
        .max_redirects(10)
        .max_idle_connections(0) // a server may close what it said it would keep open
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .user_agent(concat!("sam-octa2-host-demo/", env!("CARGO_PKG_VERSION")))
        .build();
    let mut request = Agent::new_with_config(config).get(url).header("Accept-Encoding", "identity");
    if start > 0 {
        request = request.header("Range", format!("bytes={start}-"));
        if let Some(version) = version {
            request = request.header("If-Range", version);
        }
    }
    let response = request.call().map_err(|error| anyhow!("{url}: {error}"))?;
    understand(url, start, response)
}

fn understand(url: &str, asked: u64, response: Response<ureq::Body>) -> anyhow::Result<Asked> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let length = header("content-length").and_then(|text| text.trim().parse::<u64>().ok());
    // a weak tag does not promise the same bytes
    let tag = header("etag").filter(|tag| !tag.starts_with("W/")).or_else(|| header("last-modified"));
    let version = tag.map(str::to_owned);
    let (start, total) = match response.status().as_u16() {
        200 => (0, length),
        206 => {
            let range = header("content-range").and_then(content_range);
            let (start, total) =
                range.with_context(|| format!("{url}: the server sends a part and does not say which"))?;
            if start != asked {
                return Ok(Asked::NoSuchRange);
            }
            (start, total.or(length.map(|length| start + length)))
        }
        416 => return Ok(Asked::NoSuchRange),
        code => bail!("{url}: {}", status(code)),
    };
    Ok(Asked::Answer(Answer { start, total, version, body: Box::new(response.into_body().into_reader()) }))
}

/// `bytes 100-199/200` or `bytes 100-199/*`: the first byte, and how many there are in all.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.trim().parse().ok()?, total.trim().parse().ok()))
}

fn status(code: u16) -> String {
    match code {
        401 | 403 => format!("the server refuses ({code}): the file may ask for an account, get it with a browser"),
        404 | 410 => format!("the server has no such file ({code}): the list's address is out of date"),
        429 => "the server asks to come back later (429)".to_owned(),
        500.. => format!("the server has a problem ({code}): try again later"),
        _ => format!("the server answers {code}, which is not understood"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 100-199/200"), Some((100, Some(200))));
        assert_eq!(content_range("bytes 100-199/*"), Some((100, None)));
        assert_eq!(content_range("bytes */200"), None);
        assert_eq!(content_range("lines 1-2/3"), None);
    }
}
