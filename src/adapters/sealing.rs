//! Encrypting what is sent away, to public keys (age, X25519). The private ones are needed to read it, and are nowhere here.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use age::{Encryptor, Recipient, x25519};
use futures::io::AsyncWriteExt;
use tokio::io::{AsyncRead, AsyncReadExt, DuplexStream, ReadBuf};
use tokio_util::compat::TokioAsyncWriteCompatExt;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};

/// What waits to be read; age works in pieces of 64 KiB.
const BUFFER: usize = 256 * 1024;

/// What was encrypted, as a reader. It ends only where its input ended well; what is read of one that failed ends in its error.
pub struct Sealed {
    output: DuplexStream,
    work: Option<AbortOnDropHandle<io::Result<()>>>,
}

/// Encrypts `input` to each of these public keys: one private key of theirs opens it.
///
/// # Errors
/// A key does not parse, or there is none: nothing is ever sent in the clear for a slip.
pub fn seal(input: impl AsyncRead + Send + Unpin + 'static, recipients: &[String]) -> Result<Sealed> {
    let refused = |why: String| {
        Error::new(ErrorKind::Configuration, format!("cannot encrypt to BACKUP_ENCRYPT_TO: {why}"))
            .hint("write age public keys (age1...)")
    };
    let keys = recipients
        .iter()
        .map(|key| key.parse().map_err(|error: &str| refused(format!("{key:?} is no public key ({error})"))))
        .collect::<Result<Vec<x25519::Recipient>>>()?;
    let keys = keys.iter().map(|key| key as &dyn Recipient);
    let encryptor = Encryptor::with_recipients(keys).map_err(|error| refused(error.to_string()))?;
    let (writer, output) = tokio::io::duplex(BUFFER);
    let work = AbortOnDropHandle::new(tokio::spawn(pump(input, encryptor, writer)));
    Ok(Sealed { output, work: Some(work) })
}

/// Whether one of the private keys opens what is encrypted to these public keys.
#[must_use]
pub fn can_open(recipients: &[String], keys: &[Secret]) -> bool {
    let identities = keys.iter().filter_map(|key| key.expose().parse::<x25519::Identity>().ok());
    identities.map(|identity| identity.to_public().to_string()).any(|public| recipients.contains(&public))
}

async fn pump(
    mut input: impl AsyncRead + Send + Unpin,
    encryptor: Encryptor,
    output: DuplexStream,
) -> io::Result<()> {
    let mut output = encryptor.wrap_async_output(output.compat_write()).await?;
    let mut bytes = vec![0; BUFFER];
    loop {
        match input.read(&mut bytes).await? {
            // Only now the last piece is marked as such: what was cut cannot be opened as a whole.
            0 => return output.close().await,
            length => output.write_all(&bytes[..length]).await?,
        }
    }
}

impl AsyncRead for Sealed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.output).poll_read(cx, into))?;
        if into.filled().len() > before || into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // Both ends of the pipe close whether the work ended well or not.
        let Some(work) = &mut self.work else { return Poll::Ready(Ok(())) };
        let ended = ready!(Pin::new(work).poll(cx));
        self.work = None;
        Poll::Ready(ended.map_err(io::Error::other).and_then(|result| result))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::adapters::objects::{from_io, into_io, unwrap};

    fn pair() -> (String, Secret) {
        use age::secrecy::ExposeSecret;
        let identity = x25519::Identity::generate();
        (identity.to_public().to_string(), Secret::new(identity.to_string().expose_secret()))
    }

    async fn read(mut from: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).await.map(|_| bytes)
    }

    #[tokio::test]
    async fn what_is_sealed_to_several_is_opened_by_each_of_them() {
        let (first, second, stranger) = (pair(), pair(), pair());
        let recipients = [first.0, second.0];
        // A length that is a multiple of age's pieces, and one that is not.
        for length in [5, 64 * 1024 * 3, 1_000_001] {
            let text: Vec<u8> = b"PGDMP".iter().copied().cycle().take(length).collect();
            let sealed = read(seal(Cursor::new(text.clone()), &recipients).unwrap()).await.unwrap();
            assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
            for key in [&first.1, &second.1] {
                let opened = unwrap(Cursor::new(sealed.clone()), std::slice::from_ref(key)).await.unwrap();
                assert_eq!(read(opened).await.unwrap(), text);
                assert!(can_open(&recipients, std::slice::from_ref(key)));
            }
            assert!(unwrap(Cursor::new(sealed), std::slice::from_ref(&stranger.1)).await.is_err());
        }
        assert!(!can_open(&recipients, &[stranger.1]) && !can_open(&recipients, &[]));
    }

    #[tokio::test]
    async fn an_input_that_fails_has_no_end_but_its_error() {
        let (recipient, _) = pair();
        let failure = into_io(Error::new(ErrorKind::Tool, "pg_dump failed"));
        let input = tokio_util::io::StreamReader::new(futures::stream::iter([
            Ok(bytes::Bytes::from(vec![7; 1_000_000])),
            Err(failure),
        ]));
        let error = read(seal(input, &[recipient]).unwrap()).await.unwrap_err();
        assert_eq!(from_io(error, "").kind(), ErrorKind::Tool);
    }

    #[tokio::test]
    async fn a_key_that_does_not_parse_or_none_seals_nothing() {
        for keys in [vec![], vec!["age1nonsense".to_owned()], vec![pair().0, String::new()]] {
            let error = seal(tokio::io::empty(), &keys).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        }
    }
}
