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
        let inner = client.get_connection_manager_with_config(config).await.map_err(|error| {
            failed("cannot connect to Redis", error)
                .hint("check REDIS_URL: host, port, password, and rediss:// where Redis wants TLS")
        })?;
        Ok(Self { inner })
    }
}

/// An error of Redis; refused credentials are a configuration error, whatever else is taken for an outage.
pub(super) fn failed(doing: &str, error: RedisError) -> Error {
    let kind = match error.kind() {
        RedisKind::AuthenticationFailed | RedisKind::InvalidClientConfig => ErrorKind::Configuration,
        _ => ErrorKind::Connection,
    };
    Error::new(kind, doing).because(error)
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
