//! A Redis connection that outlives an outage of Redis: commands wait and are sent again, a worker's for as long as it takes.
//!
//! The queue library takes any error of a command for the end of its worker, and drops the job that is running. All
//! that it sends may be sent twice: pushes claim a fixed id, and an acknowledgement that comes twice only costs the
//! worker, not the job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    Client, Cmd, ErrorKind as RedisKind, IntoConnectionInfo, Pipeline, RedisError, RedisFuture,
    ServerErrorKind, Value,
};

use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::events;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A network that swallows what is sent is noticed after this; a Redis that stands still for seconds is waited for.
const NO_ANSWER: Duration = Duration::from_secs(30);
/// An outage that is longer is said.
const WORTH_SAYING: Duration = Duration::from_secs(5);

/// For how long a command is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Somebody waits for the answer.
    Command,
    /// A worker waits for as long as it takes: a job that is at work must not end with Redis.
    Worker,
}

impl Patience {
    fn limit(self) -> Option<Duration> {
        match self {
            Self::Command => Some(Duration::from_secs(10)),
            Self::Worker => None,
        }
    }
}

/// The connection. Cloning is cheap; the clones share one socket until one of them has to make another.
#[derive(Clone)]
pub(super) struct Patient {
    client: Arc<Client>,
    inner: ConnectionManager,
    patience: Patience,
    /// Whether the present outage was said.
    was_said: Arc<AtomicBool>,
}

impl Patient {
    pub(super) async fn connect(url: &Secret, patience: Patience) -> Result<Self> {
        let wrong = |error: RedisError| {
            Error::new(ErrorKind::Configuration, "REDIS_URL cannot be understood").because(error)
        };
        let info = url.expose().into_connection_info().map_err(wrong)?;
        let info = info.set_tcp_settings(TcpSettings::default().set_user_timeout(NO_ANSWER));
        let client = Arc::new(Client::open(info).map_err(wrong)?);
        let inner = client.get_connection_manager_with_config(settings()).await.map_err(unreachable)?;
        let mut patient = Self { client, inner, patience, was_said: Arc::default() };
        // Without a password in the URL, only the first command tells that Redis wants one.
        ::redis::cmd("PING").query_async::<()>(&mut patient).await.map_err(unreachable)?;
        Ok(patient)
    }

    /// Waits before a command is sent again, or gives the error back.
    async fn wait(&mut self, pauses: &mut Pauses, error: RedisError) -> std::result::Result<(), RedisError> {
        let Some(pause) = pauses.after(&error, Instant::now()) else {
            return Err(error);
        };
        if pauses.since.elapsed() >= WORTH_SAYING && !self.was_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(error.message = %error, "{}", events::QUEUE_AWAY);
        }
        tokio::time::sleep(pause).await;
        if error.is_timeout() {
            // The library makes a connection anew only where the old one was closed, and nobody closed this one.
            if let Ok(inner) = self.client.get_connection_manager_with_config(settings()).await {
                self.inner = inner;
            }
        }
        Ok(())
    }

    fn answered<T>(&self, answer: T) -> std::result::Result<T, RedisError> {
        if self.was_said.load(Ordering::Relaxed) && self.was_said.swap(false, Ordering::Relaxed) {
            tracing::info!("{}", events::QUEUE_BACK);
        }
        Ok(answer)
    }
}

fn settings() -> ConnectionManagerConfig {
    // The default limit of 500 ms for an answer kills workers whenever Redis is busy.
    ConnectionManagerConfig::new()
        .set_response_timeout(Some(NO_ANSWER))
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_max_delay(LONGEST_PAUSE)
        .set_number_of_retries(1)
}

fn unreachable(error: RedisError) -> Error {
    failed("cannot connect to Redis", error)
        .hint("check REDIS_URL: host, port, password, database, and rediss:// where Redis wants TLS")
}

/// An error of Redis. What it refuses because of the URL is a configuration error, whenever that shows; whatever else
/// is taken for an outage.
pub(super) fn failed(doing: &str, error: RedisError) -> Error {
    if is_of_the_url(&error) {
        Error::new(ErrorKind::Configuration, doing)
            .hint("check the password and the database (the number at the end) of REDIS_URL")
            .because(error)
    } else {
        Error::new(ErrorKind::Connection, doing).because(error)
    }
}

/// Whether the credentials or the database's number are refused.
fn is_of_the_url(error: &RedisError) -> bool {
    let of_client = matches!(error.kind(), RedisKind::AuthenticationFailed | RedisKind::InvalidClientConfig);
    let of_server = matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
    let of_database = error.detail().is_some_and(|detail| {
        // The older versions' words, too.
        detail.contains("DB index is out of range") || detail.contains("invalid DB index")
    });
    of_client || of_server || of_database
}

fn passes_by_itself(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
        || matches!(
            error.kind(),
            RedisKind::Server(
                ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::ReadOnly
            )
        )
}

/// The pauses between tries: twice as long each time, up to a limit, for as long as the patience lasts.
struct Pauses {
    next: Duration,
    since: Instant,
    patience: Patience,
}

impl Pauses {
    fn new(patience: Patience) -> Self {
        Self { next: FIRST_PAUSE, since: Instant::now(), patience }
    }

    /// The pause before the next try; none when it is no use.
    fn after(&mut self, error: &RedisError, now: Instant) -> Option<Duration> {
        let pause = self.next;
        let is_over =
            self.patience.limit().is_some_and(|limit| now.duration_since(self.since) + pause > limit);
        self.next = (pause * 2).min(LONGEST_PAUSE);
        (passes_by_itself(error) && !is_over).then_some(pause)
    }
}

impl ConnectionLike for Patient {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut pauses = Pauses::new(self.patience);
            loop {
                match self.inner.req_packed_command(command).await {
                    Ok(value) => return self.answered(value),
                    Err(error) => self.wait(&mut pauses, error).await?,
                }
            }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut pauses = Pauses::new(self.patience);
            loop {
                match self.inner.req_packed_commands(pipeline, offset, count).await {
                    Ok(values) => return self.answered(values),
                    Err(error) => self.wait(&mut pauses, error).await?,
                }
            }
        })
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_error(kind: ServerErrorKind) -> RedisError {
        (RedisKind::Server(kind), "from the server").into()
    }

    /// The error that a client makes of this answer.
    fn answered(line: &str) -> RedisError {
        let answer = ::redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        answer.extract_error().unwrap_err()
    }

    #[test]
    fn what_redis_url_has_wrong_is_a_matter_of_configuration() {
        for line in [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "ERR DB index is out of range",
            "ERR invalid DB index",
        ] {
            let error = failed("cannot push a job", answered(line));
            assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
            assert!(error.operator_hint().unwrap().contains("REDIS_URL"), "{error}");
        }
        let busy = failed("cannot push a job", answered("LOADING Redis is loading the dataset in memory"));
        assert_eq!((busy.kind(), busy.operator_hint()), (ErrorKind::Connection, None));
    }

    #[test]
    fn a_command_waits_out_a_short_outage_and_a_worker_any() {
        let loading = server_error(ServerErrorKind::BusyLoading);
        let waited = |patience| {
            let mut pauses = Pauses::new(patience);
            let (start, mut waited) = (pauses.since, Duration::ZERO);
            let day = Duration::from_secs(86400);
            while let Some(pause) = pauses.after(&loading, start + waited).filter(|_| waited < day) {
                assert!(pause <= LONGEST_PAUSE);
                waited += pause;
            }
            waited.as_secs()
        };
        assert!((8..=10).contains(&waited(Patience::Command)), "{}", waited(Patience::Command));
        assert!(waited(Patience::Worker) >= 86400);
    }

    #[test]
    fn what_will_not_pass_is_not_waited_for() {
        let mut pauses = Pauses::new(Patience::Worker);
        let now = pauses.since;
        assert_eq!(pauses.after(&server_error(ServerErrorKind::NoPerm), now), None);
        assert_eq!(pauses.after(&(RedisKind::AuthenticationFailed, "wrong password").into(), now), None);
    }
}
