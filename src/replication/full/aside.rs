//! Where a night builds: in place, under the names that readers use, or aside, in schemas that nobody reads yet.
//!
//! Everything that the night says of a table says its home (`public.users`). SQL that we make ourselves names the place where
//! it is for now (`public__next.users`). SQL of others (the archive's, an enrichment file's) says `public.users` and
//! means the new one: it runs in a transaction that [`Aside::begin`]s and [`Aside::commit`]s.

use std::collections::{BTreeSet, HashMap};

use super::publish::Patience;
use crate::adapters::postgres::catalog::{self, CopyTable, Definition, Dependency, Object, ObjectId};
use crate::adapters::postgres::generation::{self, Entered, Stored, Way};
use crate::adapters::postgres::{Database, SCRIPT_SETTINGS, Session};
use crate::config::Publishing;
use crate::error::Result;
use crate::ids::TableName;

/// Where the new generation is until it is published.
#[derive(Debug, Clone, Default)]
pub struct Aside {
    stored: Vec<Stored>,
    /// How it changes places with what readers see.
    way: Way,
    /// The relations that move then: their readers are waited for.
    outgoing_relations: Vec<i64>,
    /// What stays and SQL of others may need beside the copy, each with its schema: extensions, types of kept tables. Nobody
    /// waits for those to move, as for tables.
    lent: Vec<(ObjectId, String)>,
    patience: Option<Publishing>,
    /// The relations of the replicated schemas that the night does not replace.
    staying: BTreeSet<TableName>,
    /// Functions of the copy, and what leans on them. A function looks names up when it is called: SQL that says one of these runs
    /// where `public.users` is the new one.
    functions: BTreeSet<String>,
    /// A table uses a function that readers do not have yet: every query of that table fails outside, since its indexes are planned.
    always: bool,
    has_changed_functions: bool,
}

impl Aside {
    /// The next generation of these schemas, in schemas of its own.
    pub(super) fn next(schemas: &[String]) -> Self {
        Self { stored: schemas.iter().map(|schema| Stored::next(schema)).collect(), ..Self::default() }
    }

    /// The same for schemas that cannot be renamed: the objects move, and readers are waited for as the settings say.
    pub(in crate::replication) fn moving(self, settings: &Publishing) -> Self {
        let way = Way::Move { outgoing: Vec::new() };
        Self { way, patience: Some(settings.clone()), ..self }
    }

    /// Says which objects make place for the copy; only where objects move.
    pub(super) fn with_outgoing(mut self, objects: &[Object], statistics: Vec<(ObjectId, String)>) -> Self {
        let homes = self.homes();
        if let Way::Move { outgoing } = &mut self.way {
            let inside = || objects.iter().filter(|object| homes.contains(&object.schema_name));
            *outgoing = inside().map(|object| (object.id(), object.schema_name.clone())).collect();
            outgoing.extend(statistics);
            self.outgoing_relations =
                inside().filter(|object| object.is_relation()).map(|object| object.oid).collect();
        }
        self
    }

    /// Lends these to the copy whenever it has the names that readers use.
    pub(super) fn lending(mut self, lent: Vec<(ObjectId, String)>) -> Self {
        self.lent = lent;
        self
    }

    /// How the copy changes places with what readers see.
    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    /// Whether the schemas stay, and the objects move.
    pub(super) fn moves_objects(&self) -> bool {
        matches!(self.way, Way::Move { .. })
    }

    /// The relations that move away from readers.
    pub(super) fn outgoing_relations(&self) -> &[i64] {
        &self.outgoing_relations
    }

    /// A generation that is in these schemas already.
    pub(in crate::replication) fn of(stored: Vec<Stored>) -> Self {
        Self { stored, ..Self::default() }
    }

    /// Remembers which relations of the replicated schemas stay.
    pub(super) fn with_staying(mut self, staying: BTreeSet<TableName>) -> Self {
        self.staying = staying;
        self
    }

    /// Remembers the functions among these objects, and what leans on them.
    pub(in crate::replication) fn enter_for(
        &mut self,
        made: &[Object],
        before: &[Object],
        dependencies: &[Dependency],
    ) {
        let is_routine =
            |object: &&Object| matches!(object.kind.as_str(), "function" | "procedure" | "aggregate");
        let found = catalog::leaning_on(dependencies, made.iter().filter(is_routine).map(Object::id));
        let (tables, names): (Vec<_>, Vec<_>) =
            made.iter().filter(|object| found.contains(&object.id())).partition(|object| object.is_table());
        let is_new = |object: &&Object| {
            before.iter().all(|old| (&old.kind, &old.identity) != (&object.kind, &object.identity))
        };
        self.always = !tables.is_empty() && made.iter().filter(is_routine).any(|routine| is_new(&routine));
        let names = names.into_iter();
        self.functions = names.map(|object| bare(&object.object_name).to_owned()).collect();
    }

    /// Whether SQL of others must run where the copy has the names that readers use: it says one of the schemas, or a function.
    pub(in crate::replication) fn must_be_entered_for(&self, sql: &str) -> bool {
        let homes = self.stored.iter().map(|one| &one.home);
        let says = homes.chain(&self.functions).any(|name| sql.contains(name.as_str()));
        !self.is_in_place() && (self.always || says)
    }

    /// Whether everything is where readers see it.
    pub(in crate::replication) fn is_in_place(&self) -> bool {
        self.stored.is_empty()
    }

    /// The schemas, each with the name it has for now; none in place.
    pub(in crate::replication) fn stored(&self) -> &[Stored] {
        &self.stored
    }

    /// The names that readers use for the schemas; none in place.
    pub(in crate::replication) fn homes(&self) -> Vec<String> {
        self.stored.iter().map(|one| one.home.clone()).collect()
    }

    /// The schema in which objects of this home are for now.
    pub(in crate::replication) fn place_of<'a>(&'a self, home: &'a str) -> &'a str {
        self.stored.iter().find(|one| one.home == home).map_or(home, |one| &one.stored_as)
    }

    /// Where a table of the new generation is for now.
    pub(super) fn place(&self, table: &TableName) -> TableName {
        TableName::new(self.place_of(&table.schema), &table.name)
    }

    /// What the new generation calls a relation that the catalog found; none for one of yesterday, which it replaces.
    pub(in crate::replication) fn home(&self, found: TableName) -> Option<TableName> {
        if let Some(one) = self.stored.iter().find(|one| one.stored_as == found.schema) {
            return Some(TableName::new(&one.home, found.name));
        }
        let is_replicated = self.stored.iter().any(|one| one.home == found.schema);
        (!is_replicated || self.staying.contains(&found)).then_some(found)
    }

    /// Calls tables that the catalog found by the names of their homes.
    pub(super) fn call_home(&self, tables: &mut [CopyTable]) {
        for table in tables {
            if let Some(one) = self.stored.iter().find(|one| one.stored_as == table.schema_name) {
                table.stored_as = Some(std::mem::replace(&mut table.schema_name, one.home.clone()));
            }
        }
    }

    /// Calls the tables of definitions, and those that keys refer to, by the names of their homes.
    pub(super) fn call_definitions_home(&self, definitions: &mut [Definition], at_home: Vec<Definition>) {
        if self.is_in_place() {
            return;
        }
        let key = |one: &Definition| (one.kind.clone(), one.relation, one.name.clone());
        let mut at_home: HashMap<_, _> = at_home.into_iter().map(|one| (key(&one), one.statements)).collect();
        for definition in definitions.iter_mut() {
            definition.home_statements = at_home.remove(&key(definition)).unwrap_or_default();
        }
        let home =
            |schema: &str| self.stored.iter().find(|one| one.stored_as == schema).map(|one| one.home.clone());
        for definition in definitions {
            if let Some(home) = home(&definition.schema_name) {
                definition.stored_as = Some(std::mem::replace(&mut definition.schema_name, home));
            }
            if let Some(home) = definition.referenced_schema.as_deref().and_then(home) {
                definition.referenced_schema = Some(home);
            }
        }
    }

    /// Whether a statement of our own says one of the copy's functions, and must find the copy's.
    pub(super) fn calls_functions(&self, statement: &str) -> bool {
        let says = self.functions.iter().any(|name| statement.contains(name.as_str()));
        says && self.must_find_the_new_functions()
    }

    /// Renaming is free. Where readers would have to wait, a function that is as it was can be called where it is.
    pub(super) fn must_find_the_new_functions(&self) -> bool {
        !self.is_in_place() && (!self.moves_objects() || self.has_changed_functions || self.always)
    }

    /// Remembers whether a function is not what readers have.
    pub(super) fn note_changed_functions(&mut self, has_changed: bool) {
        self.has_changed_functions = has_changed;
    }

    /// Whether no table of the copy can be read but where it has the names that readers use.
    pub(super) fn must_always_be_entered(&self) -> bool {
        self.always && !self.is_in_place()
    }

    /// Whether the copy has functions, and is built aside.
    pub(super) fn has_functions(&self) -> bool {
        !self.functions.is_empty() && !self.is_in_place()
    }

    /// Gives the copy the names that readers use, in the open transaction. Whoever else of us does so is waited for; and where
    /// objects move, their readers.
    ///
    /// # Errors
    /// A reader holds a table (`Timeout`), or the warehouse fails: roll back.
    pub(in crate::replication) async fn enter(&self, session: &mut Session) -> Result<Entered> {
        if self.is_in_place() {
            return Ok(Entered::default());
        }
        generation::take_turn(session).await?;
        if let Some(settings) = &self.patience {
            Patience::new(settings).lock(session, &self.outgoing_relations).await?;
        }
        let entered = generation::enter(session, &self.stored, &self.way).await?;
        generation::move_objects(session, &self.lent).await?;
        Ok(entered)
    }

    /// Opens a transaction on a session and enters, as often as readers must be waited for.
    pub(super) async fn begin_on(&self, session: &mut Session, warehouse: &Database) -> Result<Entered> {
        self.begin_with(session, warehouse, "").await
    }

    async fn begin_with(
        &self,
        session: &mut Session,
        warehouse: &Database,
        settings: &str,
    ) -> Result<Entered> {
        let mut patience = self.patience.as_ref().map(Patience::new);
        loop {
            session.execute(&format!("begin;\n{settings}")).await?;
            match (self.enter(session).await, &mut patience) {
                (Ok(entered), _) => return Ok(entered),
                (Err(error), Some(patience)) => {
                    session.execute("rollback").await?;
                    patience.wait(error, warehouse, &self.outgoing_relations).await?;
                }
                (Err(error), None) => return Err(error),
            }
        }
    }

    /// Takes the names back; what was made goes along.
    pub(in crate::replication) async fn leave(
        &self,
        session: &mut Session,
        entered: Entered,
        made: &[Object],
    ) -> Result<()> {
        if self.is_in_place() {
            return Ok(());
        }
        let back: Vec<(ObjectId, String)> =
            self.lent.iter().map(|(id, home)| (*id, generation::aside_of(home))).collect();
        generation::move_objects(session, &back).await?;
        self.give_back(session, entered, made).await
    }

    /// The same where nothing was lent.
    pub(super) async fn give_back(
        &self,
        session: &mut Session,
        entered: Entered,
        made: &[Object],
    ) -> Result<()> {
        let along: Vec<(ObjectId, String)> =
            made.iter().map(|object| (object.id(), object.schema_name.clone())).collect();
        generation::leave(session, &self.stored, &self.way, entered, &along).await
    }

    /// Opens a transaction in which an archive's SQL means what it means to pg_restore, and the copy has the names that readers use.
    pub(in crate::replication) async fn begin(&self, warehouse: &Database) -> Result<Inside> {
        let mut session = warehouse.connect().await?;
        let entered = self.begin_with(&mut session, warehouse, SCRIPT_SETTINGS).await?;
        Ok(Inside { session, entered })
    }

    /// Ends such a transaction, in which nothing was made that has a schema.
    pub(in crate::replication) async fn commit(&self, inside: Inside) -> Result<()> {
        self.commit_with(inside, &[]).await
    }

    /// Ends such a transaction; what was made in it goes along with the copy.
    pub(in crate::replication) async fn commit_with(&self, inside: Inside, made: &[Object]) -> Result<()> {
        let Inside { mut session, entered } = inside;
        self.leave(&mut session, entered, made).await?;
        session.execute("commit").await?;
        session.close().await;
        Ok(())
    }
}

/// A transaction in which the copy has the names that readers use.
pub(in crate::replication) struct Inside {
    /// Its session.
    pub(in crate::replication) session: Session,
    entered: Entered,
}

/// The name of a routine without its argument types.
fn bare(signature: &str) -> &str {
    signature.split_once('(').map_or(signature, |(name, _)| name)
}

/// Opens a transaction with the settings of pg_restore.
pub(super) async fn begin_script(warehouse: &Database) -> Result<Session> {
    let mut session = warehouse.connect().await?;
    session.execute(&format!("begin;\n{SCRIPT_SETTINGS}")).await?;
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yesterdays_tables_are_not_the_new_ones_and_kept_tables_are_both() {
        let kept = TableName::new("public", "answers");
        let aside = Aside::next(&["public".to_owned()]).with_staying([kept.clone()].into());
        let home = |schema: &str, name: &str| aside.home(TableName::new(schema, name));
        assert_eq!(home("public__next", "users"), Some(TableName::new("public", "users")));
        assert_eq!(home("public", "users"), None);
        assert_eq!(home("public", "answers"), Some(kept));
        assert_eq!(home("bi", "users"), Some(TableName::new("bi", "users")));
        assert_eq!(aside.place(&TableName::new("public", "users")), TableName::new("public__next", "users"));
        assert_eq!(Aside::default().place_of("public"), "public");
    }
}
