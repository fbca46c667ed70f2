//! `RESTORE_FK_CONSTRAINTS`: checked, declared, or left out.

use nightferry::ids::Stage;

use crate::support::TestNight;
use crate::support::compare::{Except, assert_equal};

/// Each foreign key that no partition inherits: table, definition, and whether it was checked.
const KEYS: &str = "select format('%s %s|%s|', conrelid::regclass, conname, replace(pg_get_constraintdef(oid), ' NOT VALID', '')), convalidated, \
    (select relkind from pg_class where oid = conrelid) \
    from pg_constraint where contype = 'f' and conparentid = 0 and connamespace <> 'nightferry'::regnamespace order by 1";

/// The same without the last two columns.
fn definitions(keys: &[String]) -> Vec<&str> {
    keys.iter().map(|key| key.rsplit_once("||").unwrap().0).collect()
}

#[tokio::test]
async fn true_checks_what_the_source_had_checked() {
    let night = TestNight::of_shapes().await;
    night.full(&[("RESTORE_FK_CONSTRAINTS", "true")]).await;
    let keys = night.warehouse.rows(KEYS).await;
    let unchecked: Vec<&String> = keys.iter().filter(|key| key.contains("||f|")).collect();
    assert_eq!(unchecked.len(), 1, "the source has one key that it never checked: {unchecked:?}");
    assert!(unchecked[0].contains("not checked"));
}

#[tokio::test]
async fn not_valid_declares_every_key_and_checks_none_that_can_do_without() {
    let night = TestNight::of_shapes().await;
    night.source_sql("create schema nightferry").await;
    night.full(&[("RESTORE_FK_CONSTRAINTS", "not_valid")]).await;
    let (had, has) = (night.source.rows(KEYS).await, night.warehouse.rows(KEYS).await);
    assert!(has.len() > 5);
    assert_eq!(definitions(&has), definitions(&had));
    for key in &has {
        // Up to PostgreSQL 17 a partitioned table cannot have a key that is only declared.
        assert!(key.contains("||f|") || key.ends_with("|p"), "{key}");
    }
    assert_equal(&night.source, &night.warehouse, &Except::nothing().kind("foreign key")).await;
}

#[tokio::test]
async fn false_leaves_every_key_out_and_says_so() {
    let night = TestNight::of_shapes().await;
    let outcome = night.full(&[("RESTORE_FK_CONSTRAINTS", "false")]).await;
    assert_eq!(night.warehouse.rows(KEYS).await, Vec::<String>::new());
    let named = outcome.skipped.iter().any(|skipped| skipped.reason.contains("RESTORE_FK_CONSTRAINTS"));
    assert!(named, "{:?}", outcome.skipped);
    // A comment on a key goes with the key.
    let except = Except::nothing().kind("foreign key").kind("comment");
    assert_equal(&night.source, &night.warehouse, &except).await;
}

#[tokio::test]
async fn a_key_that_the_rows_break_fails_the_night_and_is_named() {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table parents (id int primary key); insert into parents values (1);
             create table children (parent_id int constraint \"has a parent\" references parents); insert into children values (1)",
        )
        .await;
    // A source that was damaged once: the key is there and its rows do not hold.
    night.source_sql_as_superuser("set session_replication_role = replica; delete from parents").await;
    let error = night.try_run(Stage::FullReplication, &[]).await.unwrap_err();
    assert!(error.to_string().contains("has a parent"), "{error}");
    assert!(error.operator_hint().unwrap().contains("RESTORE_FK_CONSTRAINTS"), "{error:?}");
    assert!(!error.kind().is_retryable());
    night.full(&[("RESTORE_FK_CONSTRAINTS", "not_valid")]).await;
    assert_eq!(night.warehouse.one("select count(*) from children").await, "1");
}
