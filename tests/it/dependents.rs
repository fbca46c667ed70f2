//! What people built on the replaced tables comes back with all that was said of it: owners, rights, comments, options,
//! rules, triggers, indexes.

use nightferry::adapters::postgres::catalog::{self, Object};

use crate::support::TestNight;
use crate::support::standing::{assert_unchanged, standing};

const IN_PLACE: [(&str, &str); 1] = [("PUBLISH_MODE", "in_place")];

const SOURCE: &str = "
    create table users (id int primary key, name text, born date);
    create table orders (id int primary key, user_id int references users, amount numeric);
    insert into users select g, 'user ' || g, date '1990-01-01' + g from generate_series(1, 20) g;
    insert into orders select g, g % 20 + 1, g * 1.5 from generate_series(1, 60) g";

/// A schema of views and functions of every make.
const ANALYSTS: &str = r#"
    create schema bi;
    comment on schema bi is 'what the analysts built';
    create view bi.adults with (security_barrier) as select id, name from public.users where born < '2000-01-01' with local check option;
    create view bi."Adults, ""named""" with (security_invoker = true, security_barrier = false) as select id as "the id", upper(name) as name from bi.adults;
    alter view bi.adults alter column name set default 'it''s nobody';
    comment on view bi.adults is 'born long ago, isn''t it';
    comment on column bi.adults.name is 'first and last';
    create function bi.add_adult() returns trigger language plpgsql as $$ begin return new; end $$;
    create trigger "add one" instead of insert on bi.adults for each row execute function bi.add_adult();
    create trigger told after update on bi.adults for each statement execute function bi.add_adult();
    comment on trigger "add one" on bi.adults is 'nothing happens';
    create rule "never delete" as on delete to bi.adults do instead nothing;
    create rule also as on update to bi.adults where new.id > 5 do also select 1;
    comment on rule "never delete" on bi.adults is 'for the record';
    create materialized view bi.amounts with (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_enabled = off) as
        select u.id, u.name, sum(o.amount) as total from public.users u join public.orders o on o.user_id = u.id group by u.id, u.name;
    alter materialized view bi.amounts alter column name set statistics 77, alter column name set storage external,
        alter column name set compression pglz, alter column total set (n_distinct = 5);
    create unique index "amounts by id" on bi.amounts (id);
    create index amounts_name on bi.amounts (lower(name)) where total > 10;
    alter index bi.amounts_name alter column 1 set statistics 300;
    comment on index bi.amounts_name is 'for the search';
    alter materialized view bi.amounts cluster on "amounts by id";
    create statistics bi.together on id, name from bi.amounts;
    alter statistics bi.together set statistics 50;
    comment on statistics bi.together is 'they go together';
    comment on column bi.amounts.total is 'in euros';
    create materialized view bi.not_yet as select count(*) from public.orders with no data;
    create view bi.over_amounts as select * from bi.amounts;
    create function bi.total_of(public.users) returns numeric language sql stable parallel safe
        begin atomic select sum(amount) from public.orders where user_id = $1.id; end;
    comment on function bi.total_of is 'of one user';
    create function bi.for_all(users_of public.users[]) returns int language sql return cardinality($1);
    create procedure bi.forget(inout number int, whom public.users) language sql begin atomic select 1 from public.orders where user_id = whom.id; end;
    comment on procedure bi.forget is 'not yet';
    create view bi.with_totals as select u.id, bi.total_of(u) from public.users u;
"#;

/// Rights of other roles, `{ana}` and `{bob}`, in every form.
const RIGHTS: &str = r#"
    grant usage on schema bi to {ana};
    grant select on public.users, public.orders to {bob} with grant option;
    grant select on bi.adults to {ana} with grant option;
    grant select, update (name) on bi."Adults, ""named""" to {ana}, public;
    grant select (id), insert (id, name) on bi.adults to {bob};
    revoke update, delete on bi.with_totals from {me};
    grant select on bi.amounts to public;
    revoke execute on function bi.total_of from public;
    grant execute on function bi.total_of to {ana};
    revoke all on procedure bi.forget from public, {me};
"#;

/// A night behind it, the analysts' schema, and the names of two roles.
async fn night_with_analysts() -> (TestNight, String, String) {
    let night = TestNight::new().await;
    night.source_sql(SOURCE).await;
    night.full(&IN_PLACE).await;
    let (ana, bob) =
        (format!("\"Ana of {}\"", night.warehouse.name()), format!("bob_{}", night.warehouse.name()));
    let me = format!("\"{}\"", night.warehouse.user());
    night
        .warehouse_sql_as_superuser(&format!("create role {ana}; create role {bob}; grant {bob} to {me}"))
        .await;
    night.warehouse_sql(ANALYSTS).await;
    let rights = RIGHTS.replace("{ana}", &ana).replace("{bob}", &bob).replace("{me}", &me);
    night.warehouse_sql(&rights).await;
    (night, ana, bob)
}

/// Two more nights, after which nothing has changed, the rows included.
async fn nothing_changes(night: &TestNight) {
    let schemas = ["public", "bi"];
    let rows = "select count(*), sum(total) from bi.amounts";
    let before = (standing(&night.warehouse, &schemas).await, night.warehouse.one(rows).await);
    for _ in 0..2 {
        let outcome = night.full(&IN_PLACE).await;
        assert_eq!(outcome.skipped, []);
        assert_unchanged(&before.0, &standing(&night.warehouse, &schemas).await);
        assert_eq!(before.1, night.warehouse.one(rows).await);
    }
}

#[tokio::test]
async fn what_analysts_built_comes_back_with_all_that_was_said_of_it() {
    let (night, ..) = night_with_analysts().await;
    nothing_changes(&night).await;
}

#[tokio::test]
async fn what_belongs_to_another_role_comes_back_as_its_own() {
    let (night, ana, bob) = night_with_analysts().await;
    let me = format!("\"{}\"", night.warehouse.user());
    night
        .warehouse_sql(&format!(
            "grant usage, create on schema bi to {bob};
             alter view bi.adults owner to {bob}; alter materialized view bi.amounts owner to {bob}; alter statistics bi.together owner to {bob};
             alter function bi.total_of owner to {bob}; alter procedure bi.forget owner to {bob};
             -- The role that nightferry is has rights of its own on what is another's, and so have others.
             set role {bob};
             grant select on bi.adults to {me}, {ana} with grant option; grant update (name) on bi.adults to {me}, {bob};
             grant select on bi.amounts to {me}; grant execute on function bi.total_of to {me} with grant option;
             revoke delete on bi.adults from {bob}",
        ))
        .await;
    nothing_changes(&night).await;
}

#[tokio::test]
async fn default_privileges_of_nightferrys_role_add_nothing_to_what_comes_back() {
    let (night, ana, bob) = night_with_analysts().await;
    night
        .warehouse_sql(&format!(
            "alter default privileges in schema bi grant insert on tables to {ana}, public;
             alter default privileges in schema bi grant execute on functions to {bob} with grant option;
             alter default privileges revoke execute on functions from public;
             alter default privileges grant select on tables to {bob} with grant option"
        ))
        .await;
    let only_bi = ["bi"];
    let before = standing(&night.warehouse, &only_bi).await;
    night.full(&IN_PLACE).await;
    assert_unchanged(&before, &standing(&night.warehouse, &only_bi).await);
}

#[tokio::test]
async fn an_object_of_a_stranger_is_known_as_one_that_cannot_be_moved() {
    let (night, ana, bob) = night_with_analysts().await;
    night
        .warehouse_sql_as_superuser(&format!(
            "alter view bi.with_totals owner to {ana}; alter materialized view bi.amounts owner to {bob}; alter function bi.total_of owner to postgres"
        ))
        .await;
    let (mine, ana, bob) = (night.warehouse.user(), ana.trim_matches('"').to_owned(), bob);
    let mut session = night.warehouse.seen_by_the_product().connect().await.unwrap();
    let objects = catalog::objects(&mut session).await.unwrap();
    let objects: Vec<&Object> = objects.iter().filter(|object| object.schema_name == "bi").collect();
    let (classes, oids): (Vec<i64>, Vec<i64>) =
        objects.iter().map(|object| (object.class, object.oid)).unzip();
    let made = catalog::recreations(&mut session, &classes, &oids).await.unwrap();
    assert_eq!(made.len(), objects.len());
    let of = |name: &str| {
        let object = objects.iter().find(|object| object.object_name.starts_with(name)).unwrap();
        let again = made.iter().find(|again| (again.class, again.oid) == (object.class, object.oid)).unwrap();
        (again.owner.clone(), again.may_move)
    };
    assert_eq!(of("adults"), (mine, true));
    assert_eq!(of("with_totals"), (ana, false));
    assert_eq!(of("amounts"), (bob, true));
    assert_eq!(of("total_of"), ("postgres".to_owned(), false));
}
