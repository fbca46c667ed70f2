//! Compares two databases from their catalogs and rows, and says in words what differs.
//!
//! Each file in `facts/` asks for one kind of thing and answers with the schema, the relation that it belongs to (or
//! nothing), the object and what is to be said of it. Rows, and where sequences stand, are asked of each relation.
//! Owners and grants are not compared: a copy belongs to the one who made it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::TestDatabase;
use super::database::{execute_on, rows_on};

/// The kinds, each with its question.
const QUESTIONS: [(&str, &str); 16] = [
    ("relation", include_str!("facts/relations.sql")),
    ("column", include_str!("facts/columns.sql")),
    ("index", include_str!("facts/indexes.sql")),
    ("constraint", include_str!("facts/constraints.sql")),
    ("foreign key", include_str!("facts/foreign_keys.sql")),
    ("sequence", include_str!("facts/sequences.sql")),
    ("view", include_str!("facts/views.sql")),
    ("function", include_str!("facts/functions.sql")),
    ("trigger", include_str!("facts/triggers.sql")),
    ("rule", include_str!("facts/rules.sql")),
    ("policy", include_str!("facts/policies.sql")),
    ("type", include_str!("facts/types.sql")),
    ("statistics", include_str!("facts/statistics.sql")),
    ("parents", include_str!("facts/inheritance.sql")),
    ("comment", include_str!("facts/comments.sql")),
    ("other", include_str!("facts/others.sql")),
];

/// What is left out of a comparison. nightferry's own schema always is, and so are generations that nobody reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Except {
    schemas: BTreeSet<String>,
    relations: BTreeSet<String>,
    kinds: BTreeSet<&'static str>,
}

impl Except {
    /// Nothing but nightferry's own schema.
    pub(crate) fn nothing() -> Self {
        Self { schemas: BTreeSet::from(["nightferry".to_owned()]), ..Self::default() }
    }

    /// A schema and all that is in it.
    pub(crate) fn schema(mut self, schema: &str) -> Self {
        self.schemas.insert(schema.to_owned());
        self
    }

    /// A relation (`public.users`) and all that belongs to it: rows, columns, indexes, constraints, triggers.
    pub(crate) fn relation(mut self, relation: &str) -> Self {
        self.relations.insert(relation.to_owned());
        self
    }

    /// A whole kind: `foreign key`, `comment`, ... or `rows`, `standing` (of sequences).
    pub(crate) fn kind(mut self, kind: &'static str) -> Self {
        self.kinds.insert(kind);
        self
    }
}

/// What is so in one database: kind and object, to what is to be said of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts(BTreeMap<(&'static str, String), String>);

impl Facts {
    /// Asks a session.
    pub(crate) async fn of(session: &mut PgConnection, except: &Except) -> Self {
        // An empty search path makes every definition qualified; the rest makes values print the same on both sides.
        let settings = "set search_path = ''; set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; \
                        set bytea_output = 'hex'; set extra_float_digits = 1; set row_security = off";
        execute_on(session, settings).await;
        let mut except = except.clone();
        except.schemas.extend(stored_schemas(session).await);
        let except = &except;
        let mut facts = BTreeMap::new();
        for (kind, question) in QUESTIONS.into_iter().filter(|(kind, _)| !except.kinds.contains(kind)) {
            for [relation, object, fact] in answers(session, question, except).await {
                if !except.relations.contains(&relation) {
                    let said_before = facts.insert((kind, object.clone()), fact);
                    assert_eq!(said_before, None, "two facts of one name: {kind} {object}");
                }
            }
        }
        let relations = relations(session, except).await;
        facts.extend(of_each(session, "rows", &relations, except).await);
        facts.extend(of_each(session, "standing", &relations, except).await);
        Self(facts)
    }

    /// How `other` differs from this one, one sentence each; nothing when they are equal.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let objects: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let sentence = |key: &(&str, String)| match (self.0.get(key), other.0.get(key)) {
            (Some(left), Some(right)) if left == right => None,
            (Some(left), Some(right)) => Some(format!("{} {}: {left} became {right}", key.0, key.1)),
            (Some(left), None) => Some(format!("{} {} is missing: {left}", key.0, key.1)),
            (None, Some(right)) => Some(format!("{} {} is new: {right}", key.0, key.1)),
            (None, None) => None,
        };
        objects.into_iter().filter_map(sentence).collect()
    }
}

/// The differences between two databases, seen through their owners.
pub(crate) async fn differences(left: &TestDatabase, right: &TestDatabase, except: &Except) -> Vec<String> {
    let left = Facts::of(&mut left.connect().await, except).await;
    let right = Facts::of(&mut right.connect().await, except).await;
    left.differences(&right)
}

/// Panics with all differences where there are any.
pub(crate) async fn assert_equal(left: &TestDatabase, right: &TestDatabase, except: &Except) {
    let differences = differences(left, right, except).await;
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// The schemas of generations that nobody reads, where this is a warehouse.
async fn stored_schemas(session: &mut PgConnection) -> Vec<String> {
    let there = rows_on(session, "select to_regclass('nightferry.stored_schemas') is not null").await;
    if there == ["t"] {
        rows_on(session, "select stored_as from nightferry.stored_schemas").await
    } else {
        Vec::new()
    }
}

async fn answers(session: &mut PgConnection, question: &str, except: &Except) -> Vec<[String; 3]> {
    let sql = format!(
        "select facts.relation::text, facts.object::text, facts.fact::text from (\n{question}) as facts (schema, relation, object, fact) \
         where facts.schema !~ '^(pg_|information_schema$)' and facts.schema <> all ($1)"
    );
    let schemas: Vec<String> = except.schemas.iter().cloned().collect();
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(schemas)
        .fetch_all(session)
        .await
        .unwrap_or_else(|error| panic!("{error}\nin: {question}"));
    let text = |row: &PgRow, index| row.get::<Option<String>, _>(index).unwrap_or_default();
    rows.iter().map(|row| [text(row, 0), text(row, 1), text(row, 2)]).collect()
}

/// A relation with rows of its own.
struct Relation {
    kind: String,
    name: String,
    quoted: String,
}

async fn relations(session: &mut PgConnection, except: &Except) -> Vec<Relation> {
    let question = "select n.nspname, format('%s.%s', n.nspname, c.relname), c.relkind, format('%I.%I', n.nspname, c.relname)
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where (c.relkind in ('r', 'S') or c.relkind = 'm' and c.relispopulated)
           and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') ";
    let found = answers(session, question, except).await;
    let relation = |[name, kind, quoted]: [String; 3]| Relation { kind, name, quoted };
    found.into_iter().filter(|[name, ..]| !except.relations.contains(name)).map(relation).collect()
}

/// `rows`: how many, and a sum over a hash of each row, whatever their order. `standing`: where a sequence is.
async fn of_each(
    session: &mut PgConnection,
    kind: &'static str,
    relations: &[Relation],
    except: &Except,
) -> BTreeMap<(&'static str, String), String> {
    let mut facts = BTreeMap::new();
    let wanted = |relation: &&Relation| (relation.kind == "S") == (kind == "standing");
    for relation in relations.iter().filter(wanted).filter(|_| !except.kinds.contains(kind)) {
        let quoted = &relation.quoted;
        let question = match relation.kind.as_str() {
            "S" => format!("select last_value, is_called from {quoted}"),
            // `only` is for tables that others inherit from; their rows are their own business.
            "r" => checksum(&format!("only {quoted}")),
            _ => checksum(quoted),
        };
        let fact = rows_on(session, &question).await.join("; ");
        facts.insert((kind, relation.name.clone()), fact);
    }
    facts
}

fn checksum(from: &str) -> String {
    format!(
        "select count(*) || ' rows, checksum ' || coalesce(sum(('x' || left(md5(\"~row\"::text), 15))::bit(60)::bigint), 0) from {from} as \"~row\""
    )
}
