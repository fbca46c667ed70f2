//! A file on an HTTP server: what the server says of it, and ranges of its bytes (RFC 9110, 13 and 14).

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use futures::stream;
use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};

use super::{build, client_builder, failed};
use crate::adapters::objects::{Body, Object, Remote};
use crate::config::ObjectUrl;
use crate::error::{Error, ErrorKind, Result};

const CONNECT: Duration = Duration::from_secs(15);
const STALL: Duration = Duration::from_secs(60);
const MOST_REDIRECTS: usize = 10;

/// A file at an http(s) URL. A user and a password in the URL are sent to its host only; redirects are followed, never from https to http.
#[derive(Clone)]
pub struct HttpFile {
    client: Client,
    url: ObjectUrl,
    name: String,
    stall: Duration,
}

impl HttpFile {
    /// The file at `url`, which people call `name`.
    ///
    /// # Errors
    /// The system has no root certificates.
    pub fn new(url: ObjectUrl, name: impl Into<String>) -> Result<Self> {
        let client = build(client_builder(redirects()).connect_timeout(CONNECT))?;
        Ok(Self { client, url, name: name.into(), stall: STALL })
    }

    /// Gives up on a connection that brings nothing for so long; a minute where it is not set. The whole may take as long as it takes.
    #[must_use]
    pub fn stall_timeout(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }

    fn doing(&self) -> String {
        format!("cannot read {} from {}", self.name, self.url.host())
    }

    /// A request for the bytes as they are, never for a compressed form of them.
    fn get(&self) -> RequestBuilder {
        self.client.get(self.url.expose().clone()).header(header::ACCEPT_ENCODING, "identity")
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        match tokio::time::timeout(self.stall, request.send()).await {
            Err(_) => Err(stalled(&self.doing(), self.stall)),
            Ok(Err(error)) if error.is_redirect() => Err(Error::new(ErrorKind::Rejected, self.doing())
                .hint("use the address that it redirects to")
                .because(error.without_url())),
            Ok(Err(error)) => Err(failed(self.doing(), error)
                .hint("check the address, and that this machine may reach that host")),
            Ok(Ok(response)) => Ok(response),
        }
    }

    /// Asks for the first byte: its answer says whether ranges are really given. A HEAD request would not, and signed addresses allow no other
    /// method than GET.
    async fn look(&self) -> Result<Object> {
        let response = self.send(self.get().header(header::RANGE, "bytes=0-0")).await?;
        let (status, headers) = (response.status(), response.headers());
        let range = content_range(headers);
        let size = match status {
            StatusCode::PARTIAL_CONTENT => range.and_then(|range| range.size),
            // An empty file has no first byte.
            StatusCode::RANGE_NOT_SATISFIABLE if range.is_some_and(|range| range.size == Some(0)) => Some(0),
            _ if status == StatusCode::OK => {
                text(headers, &header::CONTENT_LENGTH).and_then(|text| text.parse().ok())
            }
            _ => return Err(refused(&self.doing(), status)),
        };
        Ok(Object {
            name: self.name.clone(),
            size,
            modified: modified(headers),
            tag: strong_tag(headers),
            sha256: sha256(headers),
            has_ranges: status == StatusCode::PARTIAL_CONTENT,
        })
    }

    async fn read(&self, object: &Object, from: u64, to: Option<u64>) -> Result<Body> {
        if object.size.is_some_and(|size| from >= size) || to.is_some_and(|to| from >= to) {
            return Ok(Box::pin(stream::empty()));
        }
        let response = self.send(self.range(object, from, to)).await?;
        let status = response.status();
        match status {
            StatusCode::PARTIAL_CONTENT => self.check_range(object, response.headers(), from, to)?,
            StatusCode::OK => self.check_whole(object, response.headers(), from, to)?,
            StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(self.replaced());
            }
            _ => return Err(refused(&self.doing(), status)),
        }
        Ok(body(response, self.doing(), self.stall))
    }

    /// The request for a range of the file that `look` saw, and of no other.
    fn range(&self, object: &Object, from: u64, to: Option<u64>) -> RequestBuilder {
        let mut request = self.get();
        if object.has_ranges && (from > 0 || to.is_some()) {
            let last = to.map(|to| (to - 1).to_string()).unwrap_or_default();
            request = request.header(header::RANGE, format!("bytes={from}-{last}"));
        }
        match (&object.tag, object.modified) {
            (Some(tag), _) => request.header(header::IF_MATCH, tag),
            (None, Some(modified)) => request.header(header::IF_UNMODIFIED_SINCE, http_date(modified)),
            (None, None) => request,
        }
    }

    /// A part of the same file, and the part that was asked for.
    fn check_range(&self, object: &Object, headers: &HeaderMap, from: u64, to: Option<u64>) -> Result<()> {
        self.check_same(object, headers)?;
        let Some(range) = content_range(headers) else {
            return Err(self.confused("its Content-Range is missing or not readable"));
        };
        if range.size.is_some() && object.size.is_some() && range.size != object.size {
            return Err(self.replaced());
        }
        // A server may send less than was asked for; the rest is asked for again.
        match range.bytes {
            Some((first, last)) if first == from && to.is_none_or(|to| last < to) => Ok(()),
            _ => Err(self.confused("it sent other bytes than those asked for")),
        }
    }

    /// The whole file is a good answer to whom wants it from its beginning.
    fn check_whole(&self, object: &Object, headers: &HeaderMap, from: u64, to: Option<u64>) -> Result<()> {
        self.check_same(object, headers)?;
        if from > 0 || (object.has_ranges && to.is_some()) {
            return Err(self.confused("it sent the whole instead of a range"));
        }
        Ok(())
    }

    /// Servers that know no conditions send what they have; its validators tell.
    fn check_same(&self, object: &Object, headers: &HeaderMap) -> Result<()> {
        let differs = match (&object.tag, strong_tag(headers)) {
            (Some(before), Some(now)) => *before != now,
            _ => matches!((object.modified, modified(headers)), (Some(before), Some(now)) if before != now),
        };
        if differs { Err(self.replaced()) } else { Ok(()) }
    }

    fn replaced(&self) -> Error {
        Error::new(ErrorKind::Data, format!("{}: it was replaced while it was read", self.doing())).hint(
            "run it again; where several servers stand behind that address, they must give the same ETag",
        )
    }

    /// Another try may reach a server behind the same address that knows better.
    fn confused(&self, what: &str) -> Error {
        Error::new(ErrorKind::Unavailable, format!("{}: {what}", self.doing())).hint(
            "a proxy between may have changed the answer: ask for the file from a machine beside the server",
        )
    }
}

impl Remote for HttpFile {
    fn look(&self) -> BoxFuture<'_, Result<Object>> {
        Box::pin(self.look())
    }

    fn read<'a>(&'a self, object: &'a Object, from: u64, to: Option<u64>) -> BoxFuture<'a, Result<Body>> {
        Box::pin(self.read(object, from, to))
    }
}

impl fmt::Debug for HttpFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpFile({} at {})", self.name, self.url)
    }
}

/// A signed file is not sent over a line that anybody can read.
fn redirects() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let was_encrypted = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        if was_encrypted && attempt.url().scheme() != "https" {
            attempt.error("it redirects from https to http")
        } else if attempt.previous().len() > MOST_REDIRECTS {
            attempt.error("it redirects too often")
        } else {
            attempt.follow()
        }
    })
}

/// The bytes as they come. Only waiting for the server counts as a stall: a reader may take its time.
fn body(response: Response, doing: String, stall: Duration) -> Body {
    let next = move |response: Option<Response>| {
        let doing = doing.clone();
        async move {
            let mut response = response?;
            match tokio::time::timeout(stall, response.chunk()).await {
                Err(_) => Some((Err(stalled(&doing, stall)), None)),
                Ok(Err(error)) => Some((Err(broken(&doing, error)), None)),
                Ok(Ok(chunk)) => chunk.map(|chunk: Bytes| (Ok(chunk), Some(response))),
            }
        }
    };
    Box::pin(stream::unfold(Some(response), next))
}

fn broken(doing: &str, error: reqwest::Error) -> Error {
    Error::new(ErrorKind::Connection, format!("{doing}: the connection broke"))
        .hint("check the network and the server")
        .because(error.without_url())
}

fn stalled(doing: &str, stall: Duration) -> Error {
    let text = format!("{doing}: no byte came for {}", humantime::format_duration(stall));
    Error::new(ErrorKind::Timeout, text).hint("check the network and the server")
}

/// An answer that is not a success (RFC 9110, 15).
fn refused(doing: &str, status: StatusCode) -> Error {
    let (kind, hint) = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
            ErrorKind::Rejected,
            "a signed address may have expired: ask for a new one; else check the user and password in it",
        ),
        StatusCode::NOT_FOUND => (ErrorKind::Rejected, "check the path of the address"),
        StatusCode::GONE => (ErrorKind::Rejected, "the address has expired: ask for a new one"),
        StatusCode::REQUEST_TIMEOUT => (ErrorKind::Timeout, "check the network and the server"),
        StatusCode::TOO_MANY_REQUESTS => {
            (ErrorKind::Unavailable, "the server wants fewer requests: run it later")
        }
        _ if status.is_server_error() => {
            (ErrorKind::Unavailable, "look into the server's log, or run it later")
        }
        _ => (ErrorKind::Rejected, "open the address in a browser"),
    };
    Error::new(kind, format!("{doing}: it answered {status}")).hint(hint)
}

/// `bytes 0-99/1234`; the first and the last byte, where there are some, and the size of the whole, where it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContentRange {
    bytes: Option<(u64, u64)>,
    size: Option<u64>,
}

fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let (bytes, size) = text(headers, &header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let bytes = match bytes {
        "*" => None,
        bytes => {
            let (first, last) = bytes.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        }
    };
    Some(ContentRange { bytes, size: if size == "*" { None } else { Some(size.parse().ok()?) } })
}

/// A weak tag promises only that the content means the same.
fn strong_tag(headers: &HeaderMap) -> Option<String> {
    text(headers, &header::ETAG).filter(|tag| tag.starts_with('"')).map(str::to_owned)
}

fn modified(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let date = DateTime::parse_from_rfc2822(text(headers, &header::LAST_MODIFIED)?).ok()?;
    Some(date.with_timezone(&Utc))
}

fn http_date(date: DateTime<Utc>) -> String {
    date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The SHA-256 of the whole: `Repr-Digest` (RFC 9530), the older `Digest` (RFC 3230), or what `backup push` and others note with an object.
fn sha256(headers: &HeaderMap) -> Option<String> {
    let listed = |name: &'static str| {
        let digests = text(headers, &HeaderName::from_static(name))?.split(',');
        digests.filter_map(|digest| digest.trim().split_once('=')).find_map(|(algorithm, value)| {
            algorithm.eq_ignore_ascii_case("sha-256").then(|| value.trim_matches(':').to_owned())
        })
    };
    if let Some(digest) = listed("repr-digest").or_else(|| listed("digest")) {
        return hex_of_base64(&digest);
    }
    let noted = text(headers, &HeaderName::from_static("x-amz-meta-sha256"))?.to_ascii_lowercase();
    (noted.len() == 64 && noted.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(noted)
}

/// A SHA-256 in base64 (RFC 4648, 4) as hexadecimal digits; none where it is not one.
fn hex_of_base64(text: &str) -> Option<String> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=').bytes();
    let bits = digits
        .map(|digit| ALPHABET.iter().position(|known| *known == digit).map(|value| format!("{value:06b}")))
        .collect::<Option<String>>()?;
    // 43 digits are 258 bits, of which the last two fill up.
    (bits.len() == 258).then(|| {
        (0..64)
            .filter_map(|digit| u8::from_str_radix(&bits[digit * 4..][..4], 2).ok())
            .map(|value| format!("{value:x}"))
            .collect()
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_content_range_is_read_in_each_of_its_forms() {
        let read = |text: &str| content_range(&headers(&[("content-range", text)]));
        let range = |bytes, size| Some(ContentRange { bytes, size });
        assert_eq!(read("bytes 0-0/1234"), range(Some((0, 0)), Some(1234)));
        assert_eq!(read("bytes 5-9/*"), range(Some((5, 9)), None));
        assert_eq!(read("bytes */0"), range(None, Some(0)));
        for damaged in ["", "bytes", "bytes 1/2", "bytes 1-x/3", "pages 1-2/3", "bytes 0-0/-1"] {
            assert_eq!(read(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn only_a_strong_tag_is_one() {
        assert_eq!(strong_tag(&headers(&[("etag", "\"a\"")])).as_deref(), Some("\"a\""));
        assert_eq!(strong_tag(&headers(&[("etag", "W/\"a\"")])), None);
        assert_eq!(strong_tag(&headers(&[])), None);
    }

    #[test]
    fn a_date_is_written_as_it_was_read() {
        let text = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(http_date(modified(&headers(&[("last-modified", text)])).unwrap()), text);
    }

    #[test]
    fn a_sum_is_found_in_each_of_its_headers_and_what_is_none_is_not() {
        // printf 'hello' | sha256sum
        let hex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let base64 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
        for (name, value) in [
            ("repr-digest", format!("sha-512=:x:, sha-256=:{base64}:")),
            ("digest", format!("SHA-256={base64}")),
            ("x-amz-meta-sha256", hex.to_owned()),
        ] {
            assert_eq!(sha256(&headers(&[(name, &value)])).as_deref(), Some(hex), "{name}");
        }
        for (name, value) in [("digest", "sha-256=abc"), ("digest", "md5=abc"), ("x-amz-meta-sha256", "abc")]
        {
            assert_eq!(sha256(&headers(&[(name, value)])), None, "{name} {value}");
        }
    }

    #[test]
    fn what_can_pass_is_tried_again_and_each_refusal_says_what_to_do() {
        let error = |status: u16| refused("x", StatusCode::from_u16(status).unwrap());
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(error(status).kind().is_retryable(), "{status}");
        }
        for status in [302, 400, 401, 403, 404, 410] {
            assert_eq!(error(status).kind(), ErrorKind::Rejected, "{status}");
        }
        assert!((300..600).all(|status| error(status).operator_hint().is_some()));
    }
}
