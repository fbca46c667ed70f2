//! Opening what was encrypted to a public key (age).

use std::io;

use age::{DecryptError, Decryptor, Identity, x25519};
use tokio::io::{AsyncRead, BufReader};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

use super::super::passing::{from_io, is_ours};
use super::BUFFER;
use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};

/// Reads the head of the file and finds the key that opens it.
pub(super) async fn open<R: AsyncRead + Send + Unpin>(
    input: R,
    keys: &[Secret],
) -> Result<impl AsyncRead + Send + Unpin + use<R>> {
    let input = BufReader::with_capacity(BUFFER, input).compat();
    let decryptor: Decryptor<Compat<BufReader<R>>> =
        Decryptor::new_async_buffered(input).await.map_err(in_words)?;
    if decryptor.is_scrypt() {
        return Err(Error::new(ErrorKind::Configuration, "it is encrypted with a passphrase")
            .hint("encrypt it to a public key: age -r age1..."));
    }
    if keys.is_empty() {
        return Err(Error::new(
            ErrorKind::Configuration,
            "it is encrypted, and BACKUP_DECRYPT_WITH is not set",
        )
        .hint("set BACKUP_DECRYPT_WITH to the private key (AGE-SECRET-KEY-1...)"));
    }
    let identities = read_keys(keys)?;
    let opened =
        decryptor.decrypt_async(identities.iter().map(|key| key as &dyn Identity)).map_err(in_words)?;
    Ok(opened.compat())
}

fn read_keys(keys: &[Secret]) -> Result<Vec<x25519::Identity>> {
    keys.iter()
        .map(|key| {
            key.expose().parse().map_err(|error: &str| {
                Error::new(ErrorKind::Configuration, "BACKUP_DECRYPT_WITH is no age private key")
                    .hint("write AGE-SECRET-KEY-1...")
                    .because(error)
            })
        })
        .collect()
}

fn in_words(error: DecryptError) -> Error {
    match error {
        DecryptError::Io(error) if is_ours(&error) => from_io(error, ""),
        DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            super::layer::in_words("age", error)
        }
        DecryptError::NoMatchingKeys => Error::new(
            ErrorKind::Configuration,
            "it is encrypted to another key than those of BACKUP_DECRYPT_WITH",
        )
        .hint("set BACKUP_DECRYPT_WITH to the private key of the public one that it was encrypted to"),
        error => Error::new(ErrorKind::Data, "its age wrapping cannot be opened")
            .hint("make it without --armor, or have it made again")
            .because(error),
    }
}
