use super::*;

/// Writes archives as pg_dump does, so that the reader is tried on versions that are not installed.
struct Writer {
    bytes: Vec<u8>,
    minor: u8,
}

impl Writer {
    fn new(minor: u8, format: u8) -> Self {
        let mut writer = Self { bytes: b"PGDMP".to_vec(), minor };
        writer.bytes.extend([1, minor, 0, 4, 8, format]);
        match minor {
            15.. => writer.bytes.push(0),
            _ => writer.integer(-1),
        }
        for part in [5, 10, 4, 20, 10, 126, 0] {
            writer.integer(part);
        }
        for text in ["app", "15.20 (Debian)", "16.1"] {
            writer.string(text);
        }
        writer
    }

    fn integer(&mut self, value: i32) {
        self.bytes.push(u8::from(value < 0));
        self.bytes.extend(value.unsigned_abs().to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.integer(text.len() as i32);
        self.bytes.extend(text.as_bytes());
    }

    fn entry(&mut self, id: i32, kind: &str, name: &str, definition: &str, dependencies: &[i32]) {
        self.integer(id);
        self.integer(i32::from(kind == "TABLE DATA"));
        self.string("1259");
        self.string("16384");
        self.string(name);
        self.string(kind);
        self.integer(if kind == "TABLE DATA" { 3 } else { 2 });
        self.string(definition);
        self.string("");
        self.string(if kind == "TABLE DATA" { "COPY public.t (a, \"b c\") FROM stdin;\n" } else { "" });
        self.string("public");
        self.string("");
        if self.minor >= 14 {
            self.string("heap");
        }
        if self.minor >= 16 {
            self.integer(i32::from(b'r'));
        }
        self.string("owner");
        self.string("false");
        for dependency in dependencies {
            self.string(&dependency.to_string());
        }
        self.integer(-1);
        self.bytes.push(if kind == "TABLE DATA" { 2 } else { 3 });
        self.bytes.extend([0; 8]);
    }

    fn sample(minor: u8) -> Vec<u8> {
        let mut writer = Self::new(minor, 1);
        writer.integer(5);
        writer.entry(1, "ENCODING", "ENCODING", "SET client_encoding = 'UTF8';\n", &[]);
        writer.entry(10, "TABLE", "t", "CREATE TABLE public.t (a integer, \"b c\" text);\n", &[2]);
        writer.entry(11, "TABLE DATA", "t", "", &[10]);
        writer.entry(12, "VIEW", "v", "CREATE VIEW public.v AS SELECT 1;\n", &[10]);
        writer.entry(13, "SOMETHING NEW", "été", "CREATE SOMETHING;\n", &[12, 99]);
        writer.bytes
    }
}

fn parse(bytes: &[u8]) -> Result<Archive> {
    Archive::parse("x.dump".into(), Format::Custom, bytes)
}

fn refused(bytes: &[u8]) -> String {
    let error = parse(bytes).unwrap_err();
    assert!(error.operator_hint().is_some(), "{error}");
    error.to_string()
}

#[test]
fn every_version_from_13_to_16_is_read_alike() {
    for minor in 13..=16 {
        let archive = parse(&Writer::sample(minor)).unwrap();
        assert_eq!(archive.header.version, FormatVersion { major: 1, minor });
        assert_eq!(
            (archive.header.dbname.as_str(), archive.header.dump_version.as_str(), archive.encoding.as_str()),
            ("app", "16.1", "UTF8")
        );
        assert_eq!(archive.header.created.unwrap().to_string(), "2026-11-20 04:10:05");
        let data = archive.table_data(&TableName::new("public", "t")).unwrap();
        assert_eq!((data.id, data.has_data, data.section), (11, true, Section::Data));
        assert_eq!(data.copy_columns().unwrap(), ["a", "b c"]);
        let table = archive.table(&TableName::new("public", "t")).unwrap();
        assert_eq!(table.table_access_method.as_deref(), (minor >= 14).then_some("heap"));
        assert_eq!((table.has_data, table.copy_statement.as_deref()), (false, None));
        assert_eq!(archive.entries[4].kind, EntryKind::Other("SOMETHING NEW".into()));
    }
}

#[test]
fn what_needs_an_entry_is_found_through_others() {
    let archive = parse(&Writer::sample(16)).unwrap();
    assert_eq!(archive.dependents_of(&BTreeSet::from([10])), BTreeSet::from([11, 12, 13]));
    assert_eq!(archive.dependents_of(&BTreeSet::from([13])), BTreeSet::new());
}

#[test]
fn what_is_no_archive_is_named() {
    let mut tar = b"toc.dat\0".to_vec();
    tar.resize(257, 0);
    tar.extend(b"ustar  \0");
    tar.resize(1024, 0);
    for (bytes, expected) in [
        (&b""[..], "it is empty"),
        (b"\n<!DOCTYPE html><html>", "it is a page of HTML or XML"),
        (b"<?xml version='1.0'?><Error>", "it is a page of HTML or XML"),
        (b"PGD", "it is not a pg_dump archive"),
        (b"\x7fELF......", "it is not a pg_dump archive"),
        (b"--\n-- PostgreSQL database dump\n--\n", "it is a plain SQL dump"),
        (b"\\restrict x\n", "it is a plain SQL dump"),
        (b"\x1f\x8b\x08\0", "it is a gzip file"),
        (&tar, "it is a tar archive"),
    ] {
        assert_eq!(refused(bytes), expected);
    }
    assert!(refused(&Writer::new(14, 3).bytes).contains("table of contents of a directory"));
}

#[test]
fn an_archive_of_another_time_is_refused_by_its_version() {
    assert_eq!(refused(b"PGDMP\x01\x11\0"), "archive version 1.17 is newer than this nightferry knows");
    assert_eq!(refused(b"PGDMP\x02\x00\0"), "archive version 2.0 is newer than this nightferry knows");
    assert_eq!(refused(b"PGDMP\x01\x0c\0"), "archive version 1.12 is older than this nightferry reads");
}

#[test]
fn an_archive_in_another_encoding_is_refused_where_it_matters() {
    let latin = |name: &str| {
        let mut writer = Writer::new(14, 1);
        writer.integer(2);
        writer.entry(1, "ENCODING", "ENCODING", "SET client_encoding = 'LATIN1';\n", &[]);
        writer.entry(2, "TABLE", name, "CREATE TABLE x ();\n", &[]);
        writer.bytes
    };
    let plain = parse(&latin("t")).unwrap();
    assert_eq!(plain.encoding_option().as_deref(), Some("ENCODING 'LATIN1'"));
    assert_eq!(parse(&Writer::sample(14)).unwrap().encoding_option(), None);
    assert!(refused(&latin("é")).contains("in the encoding LATIN1, not in UTF-8"));
}

#[test]
fn an_archive_cut_anywhere_says_where() {
    let whole = Writer::sample(16);
    for length in 5..whole.len() {
        let text = refused(&whole[..length]);
        let cut: usize = text.strip_prefix("it is cut at its byte ").unwrap().parse().unwrap();
        assert!(cut <= length && length < cut + 200, "{text} at {length}");
    }
}

#[test]
fn damaged_bytes_end_in_an_error_or_in_other_entries_but_never_in_a_panic() {
    let whole = Writer::sample(16);
    let mut random = fastrand::Rng::with_seed(7);
    let mut errors = 0;
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        errors += u32::from(parse(&bytes).is_err());
    }
    assert!(errors > 5_000, "only {errors} of the damaged archives were noticed");
}

#[test]
fn a_length_that_is_not_there_costs_no_memory() {
    let mut bytes = Writer::new(16, 1);
    bytes.integer(i32::MAX);
    bytes.entry(1, "ENCODING", "ENCODING", "SET client_encoding = 'UTF8';\n", &[]);
    assert!(refused(&bytes.bytes).starts_with("it is cut at"));
    let mut writer = Writer::new(16, 1);
    writer.integer(1);
    writer.integer(1);
    writer.integer(0);
    writer.integer(i32::MAX);
    let error = parse(&writer.bytes).unwrap_err().to_string();
    assert!(error.contains("a text of 2147483647 bytes"), "{error}");
}

/// An archive with the rows of a table in one block and two large objects in another.
fn whole(minor: u8) -> Vec<u8> {
    let mut writer = Writer::new(minor, 1);
    writer.integer(4);
    writer.entry(1, "ENCODING", "ENCODING", "SET client_encoding = 'UTF8';\n", &[]);
    writer.entry(11, "TABLE DATA", "t", "", &[]);
    writer.entry(12, "TABLE DATA", "empty", "", &[]);
    writer.entry(13, "TABLE DATA", "objects", "", &[]);
    writer.block(1, 12, &[]);
    writer.block(1, 11, &[b"some rows", b"more rows"]);
    writer.bytes.push(3);
    writer.integer(13);
    for object in [16_400, -1_294_967_296] {
        writer.integer(object);
        writer.chunks(&[b"an object"]);
    }
    writer.integer(0);
    writer.bytes
}

impl Writer {
    fn block(&mut self, kind: u8, entry: i32, chunks: &[&[u8]]) {
        self.bytes.push(kind);
        self.integer(entry);
        self.chunks(chunks);
    }

    fn chunks(&mut self, chunks: &[&[u8]]) {
        for chunk in chunks {
            self.integer(chunk.len() as i32);
            self.bytes.extend(*chunk);
        }
        self.integer(0);
    }
}

/// Walks in steps of so many bytes.
fn walked(bytes: &[u8], step: usize) -> Result<Archive> {
    let mut walk = walk::Walk::new();
    for piece in bytes.chunks(step) {
        walk.push(piece)?;
    }
    walk.finish()
}

#[test]
fn a_whole_archive_is_walked_through_in_steps_of_any_length() {
    for minor in 13..=16 {
        let bytes = whole(minor);
        for step in [1, 2, 7, 64, bytes.len()] {
            let archive = walked(&bytes, step).unwrap();
            assert_eq!(archive.entries.len(), 4);
        }
    }
}

#[test]
fn an_archive_without_rows_is_whole_with_its_table_of_contents() {
    let mut writer = Writer::new(16, 1);
    writer.integer(1);
    writer.entry(1, "ENCODING", "ENCODING", "SET client_encoding = 'UTF8';\n", &[]);
    assert!(walked(&writer.bytes, 50).is_ok());
    writer.bytes.push(0);
    assert!(walked(&writer.bytes, 50).unwrap_err().to_string().contains("a block of the kind 0"));
}

#[test]
fn an_archive_cut_at_any_byte_is_not_taken_for_a_whole_one() {
    let bytes = whole(14);
    for length in 5..bytes.len() {
        let error = walked(&bytes[..length], 64).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().starts_with("it is cut at its byte "), "{length}: {error}");
        assert!(error.operator_hint().is_some());
    }
    let in_rows = bytes.windows(9).position(|bytes| bytes == b"some rows").unwrap();
    let text = walked(&bytes[..in_rows + 3], 64).unwrap_err().to_string();
    assert_eq!(text, format!("it is cut at its byte {}, in the rows of public.t", in_rows + 3));
    let text = walked(&bytes[..in_rows - 11], 64).unwrap_err().to_string();
    assert!(text.contains(", before the rows of "), "{text}");
}

#[test]
fn rows_that_nobody_listed_or_that_come_twice_are_damage() {
    let mut writer = Writer { bytes: whole(16), minor: 16 };
    writer.block(1, 12, &[]);
    let text = walked(&writer.bytes, 64).unwrap_err().to_string();
    assert!(text.contains("damaged near its byte") && text.contains("rows of the entry 12"), "{text}");
}

#[test]
fn damage_between_the_rows_never_panics() {
    let bytes = whole(16);
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..5_000 {
        let mut bytes = bytes.clone();
        let at = random.usize(5..bytes.len());
        bytes[at] = random.u8(..);
        if let Err(error) = walked(&bytes, random.usize(1..300)) {
            assert!(!matches!(error.kind(), ErrorKind::Internal), "{error}");
        }
    }
}

#[tokio::test]
async fn the_head_of_a_stream_is_read_and_a_stream_that_is_cut_fails_at_its_end() {
    use tokio::io::AsyncReadExt;
    let bytes = whole(15);
    assert_eq!(Archive::read_head(bytes.as_slice()).await.unwrap().entries.len(), 4);
    let mut checked = Checked::new(bytes.as_slice());
    let mut passed = Vec::new();
    checked.read_to_end(&mut passed).await.unwrap();
    assert_eq!((passed.len(), checked.into_archive().unwrap().entries.len()), (bytes.len(), 4));
    let mut checked = Checked::new(&bytes[..bytes.len() - 1]);
    let error = checked.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert!(error.to_string().starts_with("it is cut at its byte"), "{error}");
    assert!(checked.into_archive().is_none());
}
