use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
use tokio::io::AsyncWriteExt;
use tokio_tar::{Builder, EntryType, Header};

use super::*;

/// Longer than every buffer on the way, and not to be compressed away.
fn dump() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(5);
    let mut bytes = b"PGDMP".to_vec();
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(700_000));
    bytes
}

async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

async fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZstdEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

fn header(kind: EntryType, length: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(length as u64);
    header.set_mode(0o600);
    header
}

/// As the provider packs: a folder, then each file behind its pax header.
async fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    builder.append_data(&mut header(EntryType::Directory, 0), "backup/", &b""[..]).await.unwrap();
    for (name, bytes) in files {
        let pax = b"30 mtime=1700000000.123456789\n";
        builder
            .append_data(&mut header(EntryType::XHeader, pax.len()), "PaxHeaders/x", &pax[..])
            .await
            .unwrap();
        builder.append_data(&mut header(EntryType::Regular, bytes.len()), name, *bytes).await.unwrap();
    }
    builder.into_inner().await.unwrap()
}

fn key() -> (age::x25519::Recipient, Secret) {
    use age::secrecy::ExposeSecret;
    let identity = age::x25519::Identity::generate();
    (identity.to_public(), Secret::new(identity.to_string().expose_secret()))
}

fn sealed(to: &age::x25519::Recipient, bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let to = std::iter::once(to as &dyn age::Recipient);
    let mut sealed = Vec::new();
    let mut writer = age::Encryptor::with_recipients(to).unwrap().wrap_output(&mut sealed).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap();
    sealed
}

/// Everything that is inside, and what it was wrapped in.
async fn read(bytes: Vec<u8>, keys: &[Secret]) -> Result<(Vec<u8>, Vec<&'static str>)> {
    let mut unwrapped = unwrap(io::Cursor::new(bytes), keys).await?;
    let mut inside = Vec::new();
    unwrapped.read_to_end(&mut inside).await.map_err(|error| from_io(error, "reading"))?;
    Ok((inside, unwrapped.wrappings().to_vec()))
}

async fn refused(bytes: Vec<u8>, keys: &[Secret]) -> String {
    let error = read(bytes, keys).await.unwrap_err();
    assert!(error.operator_hint().is_some() && !error.kind().is_retryable(), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn each_wrapping_comes_off_in_any_order() {
    let dump = dump();
    let (public, private) = key();
    let keys = [key().1, private];
    let tarred = tar(&[("backup/20261120.pgsql", &dump)]).await;
    for (wrapped, expected) in [
        (dump.clone(), vec![]),
        (gzip(&dump).await, vec!["gzip"]),
        (zstd(&dump).await, vec!["zstd"]),
        (tarred.clone(), vec!["tar"]),
        (gzip(&tarred).await, vec!["gzip", "tar"]),
        (sealed(&public, &gzip(&tarred).await), vec!["age", "gzip", "tar"]),
        (tar(&[("x", &sealed(&public, &zstd(&dump).await))]).await, vec!["tar", "age", "zstd"]),
    ] {
        let (inside, wrappings) = read(wrapped, &keys).await.unwrap();
        assert!(inside == dump, "{expected:?}: {} bytes", inside.len());
        assert_eq!(wrappings, expected);
    }
}

#[tokio::test]
async fn what_was_compressed_in_pieces_is_read_to_its_end() {
    let dump = dump();
    let (first, second) = dump.split_at(300_000);
    for wrapped in [
        [gzip(first).await, gzip(second).await].concat(),
        [zstd(first).await, zstd(second).await].concat(),
        // pzstd begins with a frame that is to be skipped.
        [vec![0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], zstd(&dump).await].concat(),
    ] {
        assert!(read(wrapped, &[]).await.unwrap().0 == dump);
    }
}

#[tokio::test]
async fn a_wrapping_that_is_cut_anywhere_is_named() {
    let dump = dump();
    let (public, private) = key();
    let keys = [private];
    for (name, whole, shortest) in [
        ("gzip", gzip(&dump).await, 600),
        ("zstd", zstd(&dump).await, 1200),
        ("tar", tar(&[("x", &dump)]).await, 3072),
        ("age", sealed(&public, &dump), 600),
    ] {
        // What fills a tar up is not missed.
        let end = if name == "tar" { whole.len() - 1536 } else { whole.len() };
        for length in (shortest..end).step_by(50_021).chain([end - 1]) {
            let error = refused(whole[..length].to_vec(), &keys).await;
            assert!(error.contains(&format!("its {name} wrapping is ")), "{length}: {error}");
        }
    }
}

#[tokio::test]
async fn a_wrapping_that_is_damaged_is_named() {
    let dump = dump();
    let (public, private) = key();
    for (name, mut wrapped) in [("gzip", gzip(&dump).await), ("age", sealed(&public, &dump))] {
        let middle = wrapped.len() / 2;
        wrapped[middle] ^= 1;
        let error = refused(wrapped, std::slice::from_ref(&private)).await;
        assert!(error.contains(&format!("its {name} wrapping is damaged")), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_is_missing_or_wrong_is_named_and_not_shown() {
    let (public, _) = key();
    let sealed = sealed(&public, &dump());
    let error = refused(sealed.clone(), &[]).await;
    assert!(error.contains("BACKUP_DECRYPT_WITH is not set"), "{error}");
    let other = key().1;
    let error = refused(sealed, std::slice::from_ref(&other)).await;
    assert!(error.contains("another key") && !error.contains(other.expose()), "{error}");
    let armored = b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n".to_vec();
    assert!(refused(armored, &[other]).await.contains("age"));
}

#[tokio::test]
async fn two_files_in_a_tar_are_both_named() {
    let error = refused(tar(&[("a.dump", &dump()), ("b.dump", b"x")]).await, &[]).await;
    assert!(error.contains("two files, a.dump and b.dump"), "{error}");
    let error = refused(gzip(&tar(&[]).await).await, &[]).await;
    assert!(error.contains("inside gzip") && error.contains("holds no file"), "{error}");
    let error = refused(tar(&[("dump/toc.dat", b"PGDMP"), ("dump/1.dat.gz", b"x")]).await, &[]).await;
    assert!(error.contains("a dump of several files (dump/toc.dat)"), "{error}");
}

#[tokio::test]
async fn what_is_no_archive_is_named_with_what_it_was_wrapped_in() {
    for (bytes, expected) in [
        (Vec::new(), "it is empty"),
        (gzip(b"").await, "inside gzip: it is empty"),
        (gzip(b"--\n-- PostgreSQL database dump\n").await, "inside gzip: it is a plain SQL dump"),
        (tar(&[("x.sql", b"SET statement_timeout = 0;")]).await, "inside tar: it is a plain SQL dump"),
        (b"<html><body>Log in".to_vec(), "it is a page of HTML or XML"),
        (b"something else".to_vec(), "it is not a pg_dump archive"),
    ] {
        assert_eq!(refused(bytes, &[]).await, expected);
    }
    let mut deep = b"PGDMP".to_vec();
    for _ in 0..9 {
        deep = gzip(&deep).await;
    }
    assert_eq!(refused(deep, &[]).await, "it is wrapped more than 8 times");
}
