//! How buckets are reached: `S3_ENDPOINT`, `S3_REGION`, `S3_ACCESS_KEY`, `S3_SECRET_ACCESS_KEY`, `S3_SSL_ENABLED`.

use url::Url;

use super::{Reader, Secret};

/// An S3 service.
#[derive(Debug, Clone)]
pub struct S3 {
    /// Its URL, where it is not Amazon's. Buckets are then a part of the path.
    pub endpoint: Option<Url>,
    /// Its region; that of the environment or of the profile where unset.
    pub region: Option<String>,
    /// The key and its secret; the usual chain of AWS where unset.
    pub keys: Option<(String, Secret)>,
}

impl S3 {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let tls = reader.parse("S3_SSL_ENABLED", None, |text| match text {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(format!("{text:?} is not one of true, false")),
        });
        let endpoint = reader.parse("S3_ENDPOINT", None, |text| parse_endpoint(text, tls).map(Some));
        let key = reader.text("S3_ACCESS_KEY").map(str::to_owned);
        let secret = reader.text("S3_SECRET_ACCESS_KEY").map(Secret::new);
        match (&key, &secret) {
            (Some(_), None) => reader.problem("S3_SECRET_ACCESS_KEY", "not set, but S3_ACCESS_KEY is"),
            (None, Some(_)) => reader.problem("S3_ACCESS_KEY", "not set, but S3_SECRET_ACCESS_KEY is"),
            _ => {}
        }
        Self { endpoint, region: reader.text("S3_REGION").map(str::to_owned), keys: key.zip(secret) }
    }
}

/// `https://host:port`, or `host:port`, whose scheme is then `S3_SSL_ENABLED`'s to say.
fn parse_endpoint(text: &str, tls: Option<bool>) -> Result<Url, String> {
    const FORM: &str = "write https://host:port";
    let scheme = |tls| if tls { "https" } else { "http" };
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("{}://{text}", scheme(tls.unwrap_or(true)))
    };
    let url = Url::parse(&full).map_err(|error| format!("not a URL ({error}): {FORM}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("not an http(s) URL: {FORM}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a password: it goes into S3_ACCESS_KEY and S3_SECRET_ACCESS_KEY".to_owned());
    }
    match tls {
        Some(tls) if scheme(tls) != url.scheme() => {
            Err(format!("is {}://, but S3_SSL_ENABLED is {tls}: unset one of them", url.scheme()))
        }
        _ => Ok(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    fn read(pairs: &[(&str, &str)]) -> Result<S3, String> {
        let variables = Variables::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&variables);
        let read = S3::read(&mut reader);
        reader.finish().map(|()| read).map_err(|error| error.to_string())
    }

    #[test]
    fn an_endpoint_has_a_scheme_of_its_own_or_that_of_the_switch() {
        let endpoint = |pairs: &[(&str, &str)]| read(pairs).unwrap().endpoint.unwrap().to_string();
        assert_eq!(endpoint(&[("S3_ENDPOINT", "s3.example")]), "https://s3.example/");
        assert_eq!(
            endpoint(&[("S3_ENDPOINT", "127.0.0.1:9000"), ("S3_SSL_ENABLED", "false")]),
            "http://127.0.0.1:9000/"
        );
        assert_eq!(endpoint(&[("S3_ENDPOINT", "http://h:9000")]), "http://h:9000/");
        let text = read(&[("S3_ENDPOINT", "http://h"), ("S3_SSL_ENABLED", "true")]).unwrap_err();
        assert!(text.contains("S3_SSL_ENABLED is true"), "{text}");
        let text = read(&[("S3_ENDPOINT", "https://key:hush@h")]).unwrap_err();
        assert!(text.contains("holds a password") && !text.contains("hush"), "{text}");
    }

    #[test]
    fn half_a_pair_of_keys_is_an_error() {
        assert!(read(&[("S3_ACCESS_KEY", "k")]).unwrap_err().starts_with("S3_SECRET_ACCESS_KEY: not set"));
        assert!(read(&[("S3_SECRET_ACCESS_KEY", "s")]).unwrap_err().starts_with("S3_ACCESS_KEY: not set"));
        assert!(read(&[]).unwrap().keys.is_none());
    }
}
