//! A bucket of an S3 service: its objects listed, read by ranges, written in parts, copied and removed.
//!
//! A request that got no answer, or a server error, is tried again by the SDK. Errors name the bucket, the object and the service's host, and
//! never a key.

mod copy;
mod failure;
mod leftovers;
mod letting_go;
mod list;
mod object;
mod upload;

use std::fmt;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::config::{S3, host_and_port};
use crate::error::{Error, ErrorKind, Result};

pub use copy::Original;
pub use letting_go::{Temporary, settled};
pub use upload::Written;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take to begin.
const ANSWER: Duration = Duration::from_secs(60);
/// The same where the service has bytes to move first.
const SLOW_ANSWER: Duration = Duration::from_secs(15 * 60);
/// How long no byte may come or go.
const STALL: Duration = Duration::from_secs(30);
/// How often a request is made at most; the pauses between them grow to 20 s.
const TRIES: u32 = 5;

/// A bucket.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    name: String,
    host: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket {} at {}", self.name, self.host)
    }
}

impl Bucket {
    /// A bucket of this service. Nothing is asked of it yet; where the keys are those of AWS's chain, its services may be.
    ///
    /// # Errors
    /// Nothing names the region.
    pub async fn open(config: &S3, name: &str) -> Result<Self> {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let host = config.endpoint.as_ref().map_or_else(|| "Amazon S3".to_owned(), host_and_port);
        Ok(Self { client: client(config, http).await?, name: name.to_owned(), host })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host of the service, with the port where one is written.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// The service cannot be reached or refuses.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let request = self.client.delete_object().bucket(&self.name).key(key);
        request.send().await.map(|_| ()).map_err(|error| self.failed(format!("remove {key} from"), error))
    }
}

async fn client(config: &S3, http: SharedHttpClient) -> Result<Client> {
    let keys = config.keys.as_ref().map(|(key, secret)| {
        Credentials::new(key, secret.expose(), None, None, "S3_ACCESS_KEY and S3_SECRET_ACCESS_KEY")
    });
    let version = BehaviorVersion::v2026_01_12();
    // What is not a service of Amazon's has no regions, but a signature names one.
    let is_own = config.endpoint.is_some();
    let region = config.region.clone().or_else(|| is_own.then(|| "us-east-1".to_owned())).map(Region::new);
    let builder = match (keys, region) {
        (Some(keys), Some(region)) => aws_sdk_s3::Config::builder()
            .behavior_version(version)
            .http_client(http)
            .region(region)
            .credentials_provider(keys),
        (keys, region) => {
            let mut chain = aws_config::defaults(version).http_client(http);
            if let Some(keys) = keys {
                chain = chain.credentials_provider(keys);
            }
            if let Some(region) = region {
                chain = chain.region(region);
            }
            let found = chain.load().await;
            if found.region().is_none() {
                return Err(Error::new(ErrorKind::Configuration, "nothing names the region of the bucket")
                    .hint("set S3_REGION; for a service that is not Amazon's also S3_ENDPOINT"));
            }
            aws_sdk_s3::config::Builder::from(&found)
        }
    };
    let mut builder = builder
        .timeout_config(limits(ANSWER))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL).build())
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        // Services other than Amazon's do not know its newer checksums.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .force_path_style(is_own);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.endpoint_url(endpoint.as_str());
    }
    Ok(Client::from_conf(builder.build()))
}

/// How long a part of so many bytes may take: a slow line is no failure, and one that stands still is noticed otherwise.
fn patience(bytes: u64) -> TimeoutConfig {
    const SLOWEST: u64 = 16 * 1024; // bytes a second, of one part among several
    limits(ANSWER + Duration::from_secs(bytes / SLOWEST))
}

/// For requests whose answer takes as long as the service moves bytes about: it begins to answer at once, or much later, and says nothing in
/// between.
fn slow_answer() -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::Config::builder()
        .timeout_config(limits(SLOW_ANSWER))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

fn limits(answer: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(answer).build()
}
