//! A Redis connection that outlives a restart of Redis: commands wait and are sent again for up to a minute.
//!
//! The queue library takes any error of a command for the end of its worker, and drops the job that is running. All
//! that it sends may be sent twice: pushes claim a fixed id, and an acknowledgement that comes twice only costs the
//! worker, not the job.

use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use ::redis::{
    Client, Cmd, ErrorKind as RedisKind, Pipeline, RedisError, RedisFuture, ServerErrorKind, Value,
};

use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};

const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The connection. Cloning is cheap; all clones share one socket.
#[derive(Clone)]
pub(super) struct Patient {
    inner: ConnectionManager,
}

impl Patient {
    pub(super) async fn connect(url: &Secret) -> Result<Self> {
        let client = Client::open(url.expose()).map_err(|error| {
            Error::new(ErrorKind::Configuration, "REDIS_URL cannot be understood").because(error)
        })?;
        // The default limit of 500 ms for an answer kills workers whenever Redis is busy.
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(Some(Duration::from_secs(10)))
            .set_max_delay(LONGEST_PAUSE)
            .set_number_of_retries(3);
        let inner = client.get_connection_manager_with_config(config).await.map_err(unreachable)?;
        let mut patient = Self { inner };
        // Without a password in the URL, only the first command tells that Redis wants one.
        ::redis::cmd("PING").query_async::<()>(&mut patient).await.map_err(unreachable)?;
        Ok(patient)
    }
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
}

impl Pauses {
    fn new() -> Self {
        Self { next: FIRST_PAUSE, since: Instant::now() }
    }

    /// The pause before the next try; none when it is no use.
    fn after(&mut self, error: &RedisError, now: Instant) -> Option<Duration> {
        let pause = self.next;
        let worth_it = passes_by_itself(error) && now.duration_since(self.since) + pause <= PATIENCE;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        worth_it.then_some(pause)
    }

    /// Waits before the next try, or gives the error back.
    async fn wait(&mut self, error: RedisError) -> std::result::Result<(), RedisError> {
        let Some(pause) = self.after(&error, Instant::now()) else {
            return Err(error);
        };
        tracing::debug!(error.message = %error, "Redis does not answer, trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

impl ConnectionLike for Patient {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut pauses = Pauses::new();
            loop {
                match self.inner.req_packed_command(command).await {
                    Ok(value) => return Ok(value),
                    Err(error) => pauses.wait(error).await?,
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
            let mut pauses = Pauses::new();
            loop {
                match self.inner.req_packed_commands(pipeline, offset, count).await {
                    Ok(values) => return Ok(values),
                    Err(error) => pauses.wait(error).await?,
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
    fn an_outage_is_waited_out_for_a_minute_and_no_longer() {
        let mut pauses = Pauses::new();
        let (start, mut waited) = (pauses.since, Duration::ZERO);
        let loading = server_error(ServerErrorKind::BusyLoading);
        while let Some(pause) = pauses.after(&loading, start + waited) {
            assert!(pause <= LONGEST_PAUSE);
            waited += pause;
        }
        assert!(waited > Duration::from_secs(55) && waited <= PATIENCE, "{waited:?}");
    }

    #[test]
    fn what_will_not_pass_is_not_waited_for() {
        let mut pauses = Pauses::new();
        let now = pauses.since;
        assert_eq!(pauses.after(&server_error(ServerErrorKind::NoPerm), now), None);
        assert_eq!(pauses.after(&(RedisKind::AuthenticationFailed, "wrong password").into(), now), None);
    }
}
