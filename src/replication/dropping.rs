//! Taking objects away, all that were named and nothing else.

use std::collections::BTreeSet;

use crate::adapters::postgres::Session;
use crate::adapters::postgres::catalog::Object;
use crate::error::Result;

/// Drops these objects, in the open transaction, with all that leans on them: see [`gone_unnamed`].
///
/// # Errors
/// One of them cannot be dropped, or is locked for too long.
pub(super) async fn drop_objects(session: &mut Session, objects: &[Object]) -> Result<()> {
    // Views first: less is left for each cascade to find.
    let rank = |object: &Object| match object.kind.as_str() {
        "view" => 0,
        "materialized view" => 1,
        "table" => 2,
        "sequence" => 3,
        _ => 4,
    };
    let mut dropped: Vec<&Object> = objects.iter().collect();
    dropped.sort_by_key(|object| (rank(object), object.identity.clone()));
    let script: Vec<String> = dropped.into_iter().map(drop_statement).collect();
    session.execute(&script.join("\n")).await
}

fn drop_statement(object: &Object) -> String {
    // An aggregate without arguments is the one kind whose identity is not what DROP takes.
    let identity = match object.identity.strip_suffix("()") {
        Some(name) if object.kind == "aggregate" => format!("{name}(*)"),
        _ => object.identity.clone(),
    };
    format!("drop {} if exists {identity} cascade;", object.kind)
}

/// What a cascade took beside what was named (pure).
pub(super) fn gone_unnamed<'a>(
    before: &[Object],
    remaining: &[Object],
    named: impl Iterator<Item = &'a Object>,
) -> Vec<String> {
    let there: BTreeSet<_> = remaining.iter().map(Object::id).collect();
    let named: BTreeSet<_> = named.map(Object::id).collect();
    before
        .iter()
        .filter(|object| !there.contains(&object.id()) && !named.contains(&object.id()))
        .map(Object::label)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(oid: i64, kind: &str, identity: &str) -> Object {
        Object {
            class: 1,
            oid,
            kind: kind.into(),
            schema_name: "public".into(),
            object_name: "x".into(),
            identity: identity.into(),
        }
    }

    #[test]
    fn an_aggregate_without_arguments_is_dropped_by_its_star() {
        assert_eq!(
            drop_statement(&object(1, "aggregate", "public.n()")),
            "drop aggregate if exists public.n(*) cascade;"
        );
        assert_eq!(
            drop_statement(&object(1, "function", "public.n()")),
            "drop function if exists public.n() cascade;"
        );
    }

    #[test]
    fn what_went_without_being_named_is_said() {
        let (ours, leaning, other) =
            (object(1, "table", "public.t"), object(2, "view", "bi.v"), object(3, "table", "bi.t"));
        let before = [ours.clone(), leaning, other.clone()];
        assert_eq!(gone_unnamed(&before, &[other], std::iter::once(&ours)), ["view bi.v"]);
    }
}
