//! What analysts built on a column that the source has no longer: named with its definition, or a reason not to publish.

use nightferry::error::ErrorKind;
use nightferry::ids::Stage;

use crate::support::TestNight;

const SWAP: (&str, &str) = ("PUBLISH_MODE", "swap");
const REFUSE: (&str, &str) = ("PUBLISH_ON_BROKEN_DEPENDENTS", "refuse");

/// A night behind it, and what leans on the column that goes, directly and not; and what does not.
async fn night() -> TestNight {
    let night = TestNight::new().await;
    night
        .source_sql(
            "create table users (id int primary key, name text, code text, at timestamptz);
             insert into users select g, 'user ' || g, 'c' || g from generate_series(1, 20) g;
             create table orders (id int primary key); insert into orders values (1)",
        )
        .await;
    night.full(&[SWAP]).await;
    night
        .warehouse_sql(
            "create schema bi;
             create view bi.names as select id, name from public.users;
             create view bi.codes as select id, code from public.users where code is not null;
             create view bi.over_codes as select count(*) from bi.codes;
             create materialized view bi.stored_codes as select code from public.users;
             create function bi.code_of(int) returns text language sql begin atomic select code from public.users where id = $1; end;
             create view public.in_public as select code from public.users",
        )
        .await;
    night
}

const BROKEN: [(&str, &str); 5] = [
    ("bi.codes", "code IS NOT NULL"),
    ("bi.over_codes", "bi.codes"),
    ("bi.stored_codes", "code"),
    ("bi.code_of", "BEGIN ATOMIC"),
    ("public.in_public", "code"),
];

async fn schemas_of_generations(night: &TestNight) -> Vec<String> {
    night
        .warehouse
        .rows("select nspname from pg_namespace where nspname ~ '__(next|previous|nightferry)$' order by 1")
        .await
}

#[tokio::test]
async fn what_leans_on_a_lost_column_is_named_with_its_definition_and_the_rest_is_published() {
    for lock in ["require", "none"] {
        let night = night().await;
        night.source_sql("alter table users drop column code; insert into users values (21, 'new')").await;
        night.full(&[SWAP, ("PUBLISH_LOCK", lock)]).await;
        let named = night
            .warehouse
            .rows("select object, reason, replace(definition, E'\\n', ' ') from nightferry.skipped order by skipped_id")
            .await;
        assert_eq!(named.len(), BROKEN.len(), "{named:?}");
        for (object, part) in BROKEN {
            let of_it = named.iter().filter(|line| {
                let (name, rest) = line.split_once('|').unwrap();
                name.replace('"', "").contains(object) && rest.contains(part)
            });
            assert_eq!(of_it.count(), 1, "{object} is not named with its definition in {named:#?}");
        }
        assert_eq!(night.warehouse.one("select count(*), max(name) from bi.names").await, "21|user 9");
        let there = "select to_regclass('bi.codes'), to_regclass('bi.over_codes'), to_regclass('bi.stored_codes'), to_regproc('bi.code_of'), to_regclass('public.in_public')";
        assert_eq!(
            night.warehouse.one(there).await,
            "||||",
            "nothing reads the previous copy under its old name"
        );
        // The next nights have nothing more to say of it.
        for _ in 0..2 {
            assert_eq!(night.full(&[SWAP]).await.skipped, []);
            assert_eq!(night.warehouse.one("select count(*) from bi.names").await, "21");
        }
    }
}

#[tokio::test]
async fn a_night_that_refuses_to_lose_something_leaves_yesterdays_copy_and_the_mended_one_succeeds() {
    let night = night().await;
    night.source_sql("alter table users drop column code; insert into users values (21, 'new')").await;
    let before = schemas_of_generations(&night).await;
    for _ in 0..2 {
        let error = night.try_run(Stage::FullReplication, &[SWAP, REFUSE]).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Refused, "{text}");
        assert!(text.contains("codes"), "{text}");
        assert!(
            error.operator_hint().is_some_and(|hint| hint.contains("yesterday's copy stays live")),
            "{error:?}"
        );
        assert_eq!(night.warehouse.one("select count(*), count(code) from users").await, "20|20");
        assert_eq!(night.warehouse.one("select count from bi.over_codes").await, "20");
        assert_eq!(night.warehouse.one("select bi.code_of(7)").await, "c7");
        // Whatever is left over is known to the ledger.
        let known = night.warehouse.rows("select stored_as from nightferry.stored_schemas order by 1").await;
        assert_eq!(schemas_of_generations(&night).await, known);
    }
    // Mended: what leaned on the column no longer does.
    night
        .warehouse_sql(
            "drop view bi.over_codes, public.in_public; drop materialized view bi.stored_codes; drop function bi.code_of;
             drop view bi.codes; create view bi.codes as select id, name as code from public.users",
        )
        .await;
    let outcome = night.full(&[SWAP, REFUSE]).await;
    assert_eq!(outcome.skipped, []);
    assert_eq!(night.warehouse.one("select count(*), max(code) from bi.codes").await, "21|user 9");
    let after = schemas_of_generations(&night).await;
    assert!(
        after.iter().all(|schema| schema.ends_with("__previous")) && !after.is_empty(),
        "{before:?} {after:?}"
    );
    night.full(&[SWAP, REFUSE, ("KEEP_PREVIOUS", "false")]).await;
    assert_eq!(schemas_of_generations(&night).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_key_of_a_kept_table_that_no_longer_fits_is_named_or_refused_and_leaves_its_table_whole() {
    let night = night().await;
    night
        .warehouse_sql(
            "create table public.notes (id int primary key, user_id int constraint of_user references public.users);
             insert into public.notes select g, g from generate_series(1, 20) g",
        )
        .await;
    // The table that the key points to has no key any more.
    night.source_sql("alter table users drop constraint users_pkey").await;
    let key = "select count(*) from pg_constraint where conname = 'of_user' and conrelid = 'public.notes'::regclass and confrelid = 'public.users'::regclass";
    let error = night.try_run(Stage::FullReplication, &[SWAP, REFUSE]).await.unwrap_err();
    assert!(error.to_string().contains("of_user"), "{error}");
    assert_eq!(night.warehouse.one(key).await, "1", "yesterday's copy has its key");
    assert_eq!(night.warehouse.one("select count(*) from public.notes").await, "20");
    let outcome = night.full(&[SWAP]).await;
    let named = outcome.skipped.iter().find(|skipped| skipped.object.contains("of_user"));
    assert!(
        named
            .and_then(|skipped| skipped.definition.as_deref())
            .is_some_and(|sql| sql.contains("FOREIGN KEY")),
        "{:?}",
        outcome.skipped
    );
    assert_eq!(night.warehouse.one(key).await, "0");
    assert_eq!(night.warehouse.one("select count(*) from public.notes").await, "20");
}
