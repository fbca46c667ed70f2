use super::*;
use crate::adapters::postgres::archive::{EntryKind, Section};
use crate::config::{Config, Variables};

fn entry(id: i32, kind: &str, name: &str, dependencies: &[i32]) -> Entry {
    let after = ["INDEX", "CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "RULE"].contains(&kind);
    Entry {
        id,
        kind: EntryKind::from_archive(kind),
        section: if after { Section::PostData } else { Section::PreData },
        schema: Some("public".into()),
        name: name.into(),
        owner: String::new(),
        definition: format!("-- {kind} {name}"),
        copy_statement: None,
        dependencies: dependencies.to_vec(),
        table_access_method: None,
        tablespace: None,
        has_data: false,
    }
}

fn modes(json: &str) -> BackupModes {
    let variables = Variables::from_pairs([
        ("SOURCE_DATABASE_URL", "postgres://s/a"),
        ("TARGET_DATABASE_URL", "postgres://t/b"),
        ("BACKUP_MODE", json),
    ]);
    Config::load(&variables).unwrap().replication.modes
}

fn object(kind: &str, name: &str) -> Object {
    Object {
        class: 1,
        oid: i64::try_from(name.len()).unwrap(),
        kind: kind.into(),
        schema_name: "public".into(),
        object_name: name.into(),
        identity: format!("public.{name}"),
    }
}

fn known(objects: Vec<Object>) -> World {
    World { objects, adopted: Some(vec![]), ..World::default() }
}

#[test]
fn a_kept_table_stays_away_with_its_parts_and_not_with_names_that_resemble_it() {
    let entries = [
        entry(1, "TABLE", "answers", &[]),
        entry(2, "SEQUENCE", "answers_id_seq", &[1]),
        entry(3, "SEQUENCE OWNED BY", "answers_id_seq", &[2]),
        entry(4, "DEFAULT", "answers id", &[1, 2]),
        entry(5, "INDEX", "answers_idx", &[1]),
        entry(6, "TABLE", "answers_archive", &[]),
        entry(7, "SEQUENCE", "answers_archive_id_seq", &[6]),
        entry(8, "INDEX", "answers_archive_idx", &[6]),
        entry(9, "DEFAULT", "quizzes answers", &[6]),
    ];
    let plan = plan(&entries, &modes(r#"{"answers":"none"}"#), &known(vec![]));
    assert_eq!(plan.before, [6, 7, 9]);
    assert_eq!(plan.after, [8]);
    assert_eq!(plan.problems, []);
}

#[test]
fn what_leans_on_a_kept_table_is_tried_and_a_key_belongs_to_the_table_in_its_tag() {
    let entries = [
        entry(1, "TABLE", "answers", &[]),
        entry(2, "TABLE", "comments", &[]),
        entry(3, "VIEW", "v", &[1]),
        entry(4, "CONSTRAINT", "answers answers_pkey", &[1]),
        entry(5, "FK CONSTRAINT", "comments comments_answer_fkey", &[2, 1, 4]),
        entry(6, "FK CONSTRAINT", "answers answers_comment_fkey", &[1, 2]),
    ];
    let plan = plan(&entries, &modes(r#"{"answers":"none"}"#), &known(vec![]));
    assert_eq!((plan.before.as_slice(), plan.after.as_slice()), ([2, 3].as_slice(), [5].as_slice()));
    assert_eq!(plan.fallible, [3, 5].into());
}

#[test]
fn an_incremental_table_is_loaded_whole_where_the_warehouse_lacks_it() {
    let entries = [entry(1, "TABLE", "answers", &[])];
    let modes = modes(r#"{"answers":"incremental"}"#);
    let table = TableName::new("public", "answers");
    assert_eq!(plan(&entries, &modes, &known(vec![])).treatments[&table], Treatment::FirstLoad);
    let world = known(vec![object("table", "answers")]);
    assert_eq!(plan(&entries, &modes, &world).treatments[&table], Treatment::Incremental);
}

#[test]
fn only_what_a_night_brought_or_an_operator_accepted_may_be_replaced() {
    let entries = [entry(1, "TABLE", "users", &[]), entry(2, "VIEW", "v", &[1])];
    let objects = vec![object("table", "users"), object("view", "v"), object("table", "own")];
    let brought = [("table".to_owned(), "public.users".to_owned())].into();
    let plan = plan(&entries, &modes("{}"), &World { brought, ..known(objects.clone()) });
    assert!(
        plan.may_replace(&objects[0]) && !plan.may_replace(&objects[1]) && !plan.may_replace(&objects[2])
    );
    assert_eq!(plan.problems.len(), 1, "{:?}", plan.problems);
    assert!(
        plan.problems[0].subject.contains("public.v") && plan.problems[0].text.contains("warehouse's own")
    );
}

#[test]
fn an_unknown_warehouse_with_tables_wants_to_be_adopted_first() {
    let entries = [entry(1, "TABLE", "users", &[])];
    let world = World { adopted: None, ..known(vec![object("table", "own")]) };
    let problems = plan(&entries, &modes("{}"), &world).problems;
    assert!(problems.iter().any(|problem| problem.hint.contains("nightferry adopt")), "{problems:?}");
    let content = [TableName::new("public", "own")].into();
    assert_eq!(plan(&entries, &modes("{}"), &World { content_tables: content, ..world }).problems, []);
}

#[test]
fn what_is_not_carried_is_named_with_what_leans_on_it() {
    let entries = [
        entry(1, "SERVER", "far", &[]),
        entry(2, "FOREIGN TABLE", "there", &[1]),
        entry(3, "VIEW", "v", &[2]),
    ];
    let plan = plan(&entries, &modes("{}"), &known(vec![]));
    let named: Vec<&str> = plan.left_out.iter().map(|skipped| skipped.object.as_str()).collect();
    assert_eq!(named, ["SERVER public.far", "FOREIGN TABLE public.there", "VIEW public.v"]);
    assert!(plan.before.is_empty() && plan.left_out[2].reason.contains("FOREIGN TABLE public.there"));
}

#[test]
fn the_ledger_of_another_warehouse_never_travels() {
    let mut table = entry(1, "TABLE", "runs", &[]);
    table.schema = Some("nightferry".into());
    let plan = plan(&[table], &modes("{}"), &known(vec![]));
    assert!(plan.before.is_empty() && plan.treatments.is_empty());
}
