//! What is done about each kind of difference, and what is said of it.

use super::{Difference, Judge};
use crate::adapters::postgres::columns::Column;
use crate::adapters::postgres::ident::{ident, literal};
use crate::adapters::postgres::shape::ShapeColumn;
use crate::config::SchemaDrift;
use crate::error::{Error, ErrorKind};
use crate::replication::enums::add_values;
use crate::replication::incremental::types::{Fit, fit, rounds, same_binary, same_order, unmodified};

impl<'a> Judge<'a> {
    pub(super) fn rename(&mut self, old: &str, new: &str) {
        let statement = self.alter(&format!("rename column {} to {}", ident(old), ident(new)));
        self.found(
            new,
            Difference {
                what: format!("was {old} at the last run"),
                statements: vec![statement],
                done: format!("renamed from {old}"),
                left: format!("was {old} at the last run: not renamed, and not copied"),
            },
        );
    }

    /// Both names are taken here, as where two columns changed names, or one was dropped and another got its name.
    pub(super) fn mixed(&mut self, old: &str, new: &str) {
        let said = format!(
            "was {old} at the last run, and the warehouse has both: older rows may hold something else in it"
        );
        let what = format!("was {old} at the last run");
        self.found(new, Difference { what, statements: Vec::new(), done: said.clone(), left: said });
    }

    pub(super) fn compare(&mut self, there: &ShapeColumn, here: &ShapeColumn, after: &mut Column) {
        let (name, defined_there, defined_here) =
            (there.name(), &there.column.type_name, &here.column.type_name);
        let are_enums = there.labels.is_some() && here.labels.is_some();
        let fit = if are_enums { Fit::Same } else { fit(&there.base_type, &here.base_type) };
        let is_key = self.key.iter().any(|key| key == name);
        if fit == Fit::Not || (is_key && !same_order(&there.base_type, &here.base_type)) {
            self.never_fits(there, here);
            return;
        }
        let mut binary = there.binary && here.binary && same_binary(&there.base_type, &here.base_type);
        match fit {
            Fit::Widens { to, by_cast } => {
                let widened = self.widen(there, here, &to, by_cast);
                binary = there.binary && widened && same_binary(&there.base_type, &to);
                if is_key && !widened && rounds(&here.base_type) {
                    // The same row would have another key on either side, and be copied again.
                    self.never_fits(there, here);
                    return;
                }
                if widened {
                    after.cast_type = unmodified(&to);
                    after.type_name = to;
                    after.collatable = there.column.collatable;
                }
            }
            Fit::Holds if self.last_seen.and_then(|seen| seen.type_of(name)) != Some(defined_there) => {
                self.found(
                    name,
                    Difference {
                        what: format!("is {defined_there} in the source and {defined_here} here"),
                        statements: Vec::new(),
                        done: format!("{defined_there} in the source: it fits into {defined_here}"),
                        left: format!("{defined_there} in the source: it fits into {defined_here}"),
                    },
                );
            }
            _ => {}
        }
        self.made.binary &= binary;
        if are_enums {
            self.grow(there, here);
        }
        if here.column.not_null && !there.column.not_null && !is_key {
            self.loosen(there, here, after);
        }
    }

    fn never_fits(&mut self, there: &ShapeColumn, here: &ShapeColumn) {
        self.incompatible.push(format!(
            "{}.{} is {} in the warehouse and {} in the source",
            self.table,
            there.name(),
            here.column.type_name,
            there.column.type_name
        ));
    }

    /// The source's column may be null. So may the warehouse's, where nothing but its own NOT NULL is against it.
    fn loosen(&mut self, there: &ShapeColumn, here: &ShapeColumn, after: &mut Column) {
        let name = there.name();
        let is_inherited = self
            .circumstances
            .holders
            .iter()
            .any(|held| held.name == here.name() && held.holder == "the table's parent");
        let is_free = !here.of_not_null_domain && !is_inherited && !self.is_of_primary_key(here.name());
        let statement = self.alter(&format!("alter column {} drop not null", ident(name)));
        let left =
            "may be null in the source, and must not be here: a row with null cannot be copied".to_owned();
        after.not_null &= !is_free || self.circumstances.policy != SchemaDrift::Add;
        self.found(
            name,
            Difference {
                what: "may be null in the source and must not be here".to_owned(),
                statements: if is_free { vec![statement] } else { Vec::new() },
                done: if is_free { "may be null now, as in the source".to_owned() } else { left.clone() },
                left,
            },
        );
    }

    fn is_of_primary_key(&self, name: &str) -> bool {
        let mut keys = self.warehouse.unique_keys.iter();
        keys.any(|key| key.is_primary && key.columns.iter().any(|one| one == name))
    }

    /// Whether the column gets the type that holds both sides' values.
    fn widen(&mut self, there: &ShapeColumn, here: &ShapeColumn, to: &str, by_cast: bool) -> bool {
        let (name, from) = (there.name(), &here.column.type_name);
        let to = self
            .local_type(there)
            .filter(|_| *to == there.base_type && there.extension.is_some())
            .unwrap_or(to);
        let using = if by_cast { format!(" using {}::{to}", ident(name)) } else { String::new() };
        let statement = self.alter(&format!("alter column {} type {to}{using}", ident(name)));
        let holders: Vec<&str> = self
            .circumstances
            .holders
            .iter()
            .filter(|held| held.name == here.name() && (by_cast || !held.of_casts))
            .map(|held| held.holder.as_str())
            .collect();
        let follows = self.circumstances.policy == SchemaDrift::Add;
        let there = &there.column.type_name;
        let left = format!(
            "{there} in the source, {from} here: copied as text, which fails where a value does not fit"
        );
        let held = format!("{left}; not widened, since {} cannot go with it", holders.join(", "));
        let is_free = holders.is_empty();
        self.found(
            name,
            Difference {
                what: format!("is {there} in the source and {from} here"),
                statements: if is_free { vec![statement] } else { Vec::new() },
                done: if is_free { format!("widened from {from} to {to}") } else { held },
                left,
            },
        );
        follows && is_free
    }

    fn grow(&mut self, there: &ShapeColumn, here: &ShapeColumn) {
        let (Some(labels), Some(known), Some(name)) = (&there.labels, &here.labels, &here.enum_type) else {
            return;
        };
        let new: Vec<&str> =
            labels.iter().filter(|label| !known.contains(label)).map(String::as_str).collect();
        if new.is_empty() {
            return;
        }
        let values = new.join(", ");
        self.found(
            there.name(),
            Difference {
                what: format!("has values in the source that {name} lacks here: {values}"),
                statements: add_values(name, labels, |label| known.iter().any(|there| there == label)),
                done: format!("its type {name} got {values}"),
                left: format!("its type {name} lacks {values}: a row with it cannot be copied"),
            },
        );
    }

    /// A column that only the warehouse has: dropped in the source, or never there.
    pub(super) fn only_here(&mut self, here: &ShapeColumn, after: &mut Column) {
        const LEFT: &str = "only the warehouse has it: new rows get its default, or null";
        let name = here.name();
        let was_there = self.last_seen.is_some_and(|seen| seen.type_of(name).is_some());
        let must_be_there = here.column.not_null && !here.column.has_default;
        let is_of_key = self.is_of_primary_key(name);
        let can_be_null = was_there
            && !is_of_key
            && !here.of_not_null_domain
            && self.circumstances.policy == SchemaDrift::Add;
        if must_be_there && !can_be_null && self.circumstances.policy != SchemaDrift::Fail {
            let error = Error::new(
                ErrorKind::Schema,
                format!(
                    "{}: the source has no column {name:?}, which the warehouse must have in each row",
                    self.table
                ),
            );
            self.made.problems.push(error.hint("drop the column in the warehouse, or let it be null"));
            return;
        }
        if self.last_seen.is_some() && !was_there && !must_be_there {
            self.note(name, LEFT.to_owned());
            return;
        }
        let statement = self.alter(&format!("alter column {} drop not null", ident(name)));
        after.not_null &= !must_be_there;
        self.found(
            name,
            Difference {
                what: "is only in the warehouse".to_owned(),
                statements: if must_be_there { vec![statement] } else { Vec::new() },
                done: if must_be_there {
                    "dropped in the source: it stays here, and is null in new rows".to_owned()
                } else {
                    LEFT.to_owned()
                },
                left: LEFT.to_owned(),
            },
        );
    }

    /// A column that only the source has. A key without values in the rows that are here orders nothing: it is not added.
    pub(super) fn only_there(&mut self, there: &ShapeColumn, is_named: bool) {
        let name = there.name();
        if self.key.iter().any(|key| key == name) {
            return;
        }
        let follows = self.circumstances.policy == SchemaDrift::Add;
        let written = there.column.type_name.clone();
        let local = self.local_type(there).map(str::to_owned);
        if follows && local.is_none() && !self.circumstances.types_will_come {
            let error = Error::new(
                ErrorKind::Schema,
                format!(
                    "{}.{name} is {written} in the source, a type that the warehouse does not have",
                    self.table
                ),
            );
            self.made.problems.push(error.hint("run the full stage, which makes it"));
            return;
        }
        let local = local.unwrap_or(written);
        let add = self.alter(&format!("add column if not exists {} {local}", ident(name)));
        let (statement, filled) = match &there.missing {
            // One statement: rows that come later must not get it.
            Some(value) => {
                let no_default = self.alter(&format!("alter column {} drop default", ident(name)));
                let filled = format!(", {} in the rows that are here, as in the source", literal(value));
                (format!("{add} default {}; {no_default}", literal(value)), filled)
            }
            None if there.column.not_null => {
                (add, ", null in the rows that are here, unlike the source's".to_owned())
            }
            None => (add, String::new()),
        };
        if !is_named {
            self.found(
                name,
                Difference {
                    what: "is only in the source".to_owned(),
                    statements: vec![statement],
                    done: format!("added as {local}{filled}"),
                    left: "only the source has it: not copied".to_owned(),
                },
            );
        }
        if follows {
            self.made.columns.push(Column {
                name: name.to_owned(),
                type_name: local,
                not_null: false,
                has_default: false,
                generated: false,
                ..there.column.clone()
            });
            self.made.copied.push(name.to_owned());
            self.made.binary &= there.binary;
        }
    }

    fn local_type(&self, there: &ShapeColumn) -> Option<&'a str> {
        let mut types = self.circumstances.local_types.iter();
        types.find(|(written, _)| *written == there.column.type_name).map(|(_, local)| local.as_str())
    }
}
