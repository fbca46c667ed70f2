//! What a service answers, in our words: what was wrong, and what to do.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::Bucket;
use crate::error::{Error, ErrorKind};

impl Bucket {
    /// A request that failed; `doing` is the verb and its object: `read x from`.
    pub(super) fn failed<E>(&self, doing: impl AsRef<str>, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let text = format!("cannot {} {self:?}", doing.as_ref());
        match &error {
            SdkError::ServiceError(answer) => {
                let raw = answer.raw();
                let code = code_of(answer.err(), raw.status().as_u16());
                let region = raw.headers().get("x-amz-bucket-region");
                refused(&text, code, answer.err().message(), region, raw.status().as_u16())
            }
            SdkError::DispatchFailure(failure) if failure.is_timeout() => self.too_slow(text).because(error),
            SdkError::TimeoutError(_) => self.too_slow(text).because(error),
            _ if lacks_keys(&error) => Error::new(ErrorKind::Configuration, format!("{text}: nothing gives a key")).hint(
                "set S3_ACCESS_KEY and S3_SECRET_ACCESS_KEY, or give AWS credentials by the environment, a profile or a role",
            ),
            _ => Error::new(ErrorKind::Connection, text)
                .hint("check that the service can be reached from here; S3_ENDPOINT and S3_SSL_ENABLED say where it is")
                .because(error),
        }
    }

    fn too_slow(&self, text: String) -> Error {
        Error::new(ErrorKind::Timeout, text)
            .hint(format!("{} does not answer: is it busy, or the line cut?", self.host))
    }
}

/// An answer that is none of the good ones.
fn refused(text: &str, code: &str, message: Option<&str>, region: Option<&str>, status: u16) -> Error {
    let say = |kind, what: &str| Error::new(kind, format!("{text}: {what} ({code})"));
    match code {
        "NoSuchBucket" => say(ErrorKind::Configuration, "there is no such bucket")
            .hint("check S3_BUCKET_NAME or BACKUP_SOURCE, S3_ENDPOINT and S3_REGION"),
        "NoSuchKey" | "NotFound" => say(ErrorKind::Rejected, "there is no such object")
            .hint("nightferry backup list shows what there is"),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => {
            say(ErrorKind::Privilege, "the key may not do this").hint(RIGHTS)
        }
        "SignatureDoesNotMatch" => say(ErrorKind::Configuration, "the signature is wrong")
            .hint("S3_SECRET_ACCESS_KEY is not the secret of S3_ACCESS_KEY"),
        "InvalidAccessKeyId" | "NotSignedUp" => say(ErrorKind::Configuration, "the key is not known there")
            .hint("check S3_ACCESS_KEY, and that S3_ENDPOINT is the service that gave it"),
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            say(ErrorKind::Configuration, "the session of the key has expired")
                .hint("renew the AWS credentials, or set S3_ACCESS_KEY and S3_SECRET_ACCESS_KEY")
        }
        "RequestTimeTooSkewed" => say(ErrorKind::Configuration, "the clocks differ by more than 15 minutes")
            .hint("set this machine's clock"),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => {
            let there = region.map_or_else(String::new, |region| format!(": S3_REGION={region}"));
            say(ErrorKind::Configuration, "the bucket is in another region")
                .hint(format!("set S3_REGION to the bucket's{there}"))
        }
        "PreconditionFailed" => {
            say(ErrorKind::Data, "the object was replaced in the meantime").hint("try again")
        }
        "InvalidRange" => say(ErrorKind::Data, "the object is shorter than it was").hint("try again"),
        "QuotaExceeded" | "EntityTooLarge" | "InsufficientStorage" | "XMinioStorageFull" => {
            say(ErrorKind::Rejected, "there is no room for it").hint("make room there, or lower BACKUP_KEEP")
        }
        _ => {
            let kind = if status >= 500 || matches!(status, 408 | 429) || code == "SlowDown" {
                ErrorKind::Unavailable
            } else {
                ErrorKind::Rejected
            };
            say(kind, message.unwrap_or("the service refused"))
        }
    }
}

const RIGHTS: &str = "to read, a key needs s3:ListBucket and s3:GetObject; to push, also s3:PutObject, s3:DeleteObject, \
                      s3:AbortMultipartUpload, s3:ListMultipartUploadParts and s3:ListBucketMultipartUploads";

/// The answer's code. One without a body, as those to HEAD are, has only a status.
fn code_of(error: &impl ProvideErrorMetadata, status: u16) -> &str {
    match (error.code(), status) {
        (Some(code), _) if !code.is_empty() => code,
        (_, 301 | 307) => "PermanentRedirect",
        (_, 403) => "AccessDenied",
        (_, 404) => "NotFound",
        (_, 412) => "PreconditionFailed",
        (_, 416) => "InvalidRange",
        _ => "no reason given",
    }
}

/// Whether the request could not be signed: the chain of AWS says why in words only.
fn lacks_keys(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.to_string().contains("credential"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: &str, status: u16) -> Error {
        refused("cannot list bucket b", code, Some("hush"), Some("eu-west-3"), status)
    }

    #[test]
    fn what_can_pass_is_tried_again_and_what_cannot_is_not() {
        for (code, status, kind) in [
            ("SlowDown", 503, ErrorKind::Unavailable),
            ("InternalError", 500, ErrorKind::Unavailable),
            ("RequestTimeout", 408, ErrorKind::Unavailable),
            ("TooManyRequests", 429, ErrorKind::Unavailable),
            ("NoSuchBucket", 404, ErrorKind::Configuration),
            ("ExpiredToken", 400, ErrorKind::Configuration),
            ("RequestTimeTooSkewed", 403, ErrorKind::Configuration),
            ("AccessDenied", 403, ErrorKind::Privilege),
            ("PreconditionFailed", 412, ErrorKind::Data),
            ("QuotaExceeded", 403, ErrorKind::Rejected),
            ("MalformedXML", 400, ErrorKind::Rejected),
        ] {
            assert_eq!(answered(code, status).kind(), kind, "{code}");
        }
    }

    #[test]
    fn another_region_is_named_where_the_service_names_it() {
        let error = answered("PermanentRedirect", 301);
        assert_eq!(
            error.to_string(),
            "cannot list bucket b: the bucket is in another region (PermanentRedirect)"
        );
        assert_eq!(error.operator_hint(), Some("set S3_REGION to the bucket's: S3_REGION=eu-west-3"));
    }
}
