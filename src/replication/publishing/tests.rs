use super::*;
use crate::adapters::postgres::archive::{EntryKind, Section};
use crate::adapters::postgres::catalog::{
    Dependency, Extension, ForeignObject, ForeignSchema, Object, ObjectId,
};
use crate::adapters::postgres::generation::{ASIDE, NEXT, PREVIOUS};
use crate::config::{Config, Variables};
use crate::replication::plan::plan;

fn entry(id: i32, kind: &str, schema: Option<&str>, name: &str) -> Entry {
    Entry {
        id,
        kind: EntryKind::from_archive(kind),
        section: Section::PreData,
        schema: schema.map(str::to_owned),
        name: name.into(),
        owner: String::new(),
        definition: String::new(),
        copy_statement: None,
        dependencies: vec![],
        table_access_method: None,
        tablespace: None,
        has_data: false,
    }
}

fn object(oid: i64, kind: &str, schema: &str, name: &str) -> Object {
    Object {
        class: 1,
        oid,
        kind: kind.into(),
        schema_name: schema.into(),
        object_name: name.into(),
        identity: format!("{schema}.{name}"),
    }
}

/// A night that replaces `public.users` and makes the schema `audit`, over a warehouse where analysts have two objects.
struct Night {
    entries: Vec<Entry>,
    world: World,
    facts: SwapFacts,
}

impl Night {
    fn new() -> Self {
        let objects = vec![
            object(1, "table", "public", "users"),
            object(2, "table", "public", "mine"),
            object(3, "view", "bi", "v"),
        ];
        Self {
            entries: vec![
                entry(1, "SCHEMA", None, "audit"),
                entry(2, "TABLE", Some("audit"), "log"),
                entry(3, "TABLE", Some("public"), "users"),
                entry(4, "EXTENSION", None, "pg_trgm"),
            ],
            world: World {
                objects,
                adopted: Some(vec![]),
                schemas: ["public", "bi", "nightferry"].map(str::to_owned).into(),
                extensions: ["pg_trgm".to_owned()].into(),
                brought: [("table".to_owned(), "public.users".to_owned())].into(),
                ..World::default()
            },
            facts: SwapFacts { role: "loader".into(), ..SwapFacts::default() },
        }
    }

    fn choose(&self, mode: PublishMode, room: Option<Room>) -> Result<Choice, Vec<Finding>> {
        let variables = Variables::from_pairs([
            ("SOURCE_DATABASE_URL", "postgres://s/a"),
            ("TARGET_DATABASE_URL", "postgres://t/b"),
        ]);
        let modes = Config::load(&variables).unwrap().replication.modes;
        let plan = plan(&self.entries, &modes, &self.world);
        assert_eq!(plan.problems, []);
        choose(mode, &self.entries, &plan, &self.world, &self.facts, room.as_ref())
    }

    /// The one reason why `auto` goes in place; `swap` must be refused for the same.
    fn reason(&self) -> Finding {
        let Choice { publish, mut reasons, .. } = self.choose(PublishMode::Auto, None).unwrap();
        assert_eq!((publish, reasons.len()), (Publish::InPlace, 1), "{reasons:?}");
        let refused = self.choose(PublishMode::Swap, None).unwrap_err();
        assert_eq!((refused.len(), &refused[0].subject), (1, &reasons[0].subject));
        assert!(refused[0].hint.ends_with("or set PUBLISH_MODE=auto"), "{refused:?}");
        assert_eq!(
            self.choose(PublishMode::InPlace, None).unwrap(),
            Choice { publish: Publish::InPlace, reasons: vec![], left_behind: vec![] }
        );
        reasons.remove(0)
    }

    /// The one reason why objects move; where a swap is asked for it is no other.
    fn why_objects_move(&self) -> Finding {
        let mut auto = self.choose(PublishMode::Auto, None).unwrap();
        assert!(auto.publish.moves_objects() && auto.reasons.len() == 1, "{auto:?}");
        assert_eq!(self.choose(PublishMode::Swap, None).unwrap(), auto);
        auto.reasons.remove(0)
    }

    fn is_renamed(&self) -> bool {
        let choice = self.choose(PublishMode::Auto, None).unwrap();
        choice.publish.name() == "swap" && !choice.publish.moves_objects() && choice.reasons.is_empty()
    }
}

fn belongs_to(oid: i64, owner: &str, is_superusers: bool) -> ForeignObject {
    ForeignObject { class: 1, oid, owner: owner.into(), is_superusers }
}

fn leans(from: i64, to: i64, is_foreign_key: bool) -> Dependency {
    let id = |oid| ObjectId { class: 1, oid };
    Dependency { from: id(from), to: id(to), is_foreign_key, is_policy: false }
}

#[test]
fn a_swap_takes_the_schemas_that_the_night_makes_or_fills_and_no_other() {
    let mut night = Night::new();
    // Brought last night, and gone from the source.
    night.world.objects.push(object(9, "table", "old", "gone"));
    night.world.objects.push(object(10, "cast", "", "a cast"));
    night.world.brought.extend(
        [("table", "old.gone"), ("cast", ".a cast")].map(|(kind, name)| (kind.to_owned(), name.to_owned())),
    );
    for mode in [PublishMode::Auto, PublishMode::Swap] {
        let choice = night.choose(mode, None).unwrap();
        assert_eq!(choice.publish.schemas(), ["audit", "old", "public"]);
        assert_eq!((choice.publish.name(), choice.reasons.as_slice()), ("swap", [].as_slice()));
    }
}

#[test]
fn a_schema_of_the_superuser_names_the_statement_that_helps() {
    let mut night = Night::new();
    let foreign = |name: &str| ForeignSchema { name: name.into(), owner: "postgres".into() };
    night.facts.foreign_schemas = vec![foreign("bi"), foreign("public")];
    let reason = night.why_objects_move();
    assert_eq!(reason.subject, "schema public");
    assert_eq!(reason.text, "it belongs to postgres, and only its owner may rename it");
    assert_eq!(reason.hint, "as an administrator: ALTER SCHEMA \"public\" OWNER TO \"loader\";");
}

#[test]
fn an_extension_holds_a_schema_in_place_only_from_within_and_only_where_it_cannot_move() {
    let mut night = Night::new();
    let extension = |reaches_into: &[&str], is_relocatable, is_owned| Extension {
        name: "pg_trgm".into(),
        schema_name: reaches_into[0].into(),
        reaches_into: reaches_into.iter().map(|name| (*name).to_owned()).collect(),
        is_relocatable,
        is_owned,
    };
    night.facts.extensions =
        vec![extension(&["public"], true, true), extension(&["extensions"], false, false)];
    assert!(night.is_renamed());
    night.facts.extensions[0] = extension(&["public"], true, false);
    let reason = night.why_objects_move();
    assert_eq!(reason.subject, "extension pg_trgm");
    assert!(reason.hint.contains("ALTER EXTENSION \"pg_trgm\" SET SCHEMA extensions;"), "{reason:?}");
    for stuck in [extension(&["public"], false, true), extension(&["elsewhere", "public"], true, true)] {
        night.facts.extensions[0] = stuck;
        assert!(night.why_objects_move().hint.contains("CREATE EXTENSION \"pg_trgm\" SCHEMA extensions;"));
    }
}

#[test]
fn what_stays_must_be_the_roles_own_and_what_is_replaced_need_not() {
    let mut night = Night::new();
    night.facts.foreign_objects = vec![belongs_to(1, "bi", false), belongs_to(3, "bi", false)];
    assert!(night.is_renamed());
    night.facts.foreign_objects.push(belongs_to(2, "bi", false));
    let reason = night.why_objects_move();
    assert_eq!(reason.subject, "table public.mine");
    assert!(reason.text.starts_with("it belongs to bi: "), "{reason:?}");
    assert!(reason.hint.starts_with("as an administrator: GRANT \"bi\" TO \"loader\";"), "{reason:?}");
    // Nobody is told to make the role a superuser.
    night.facts.foreign_objects = vec![belongs_to(2, "postgres", true)];
    let hint = night.why_objects_move().hint;
    assert!(
        hint.contains("ALTER TABLE public.mine OWNER TO \"loader\";") && !hint.contains("GRANT"),
        "{hint}"
    );
}

#[test]
fn a_range_type_keeps_objects_from_moving_where_schemas_cannot_be_renamed() {
    let mut night = Night::new();
    night.entries.push(Entry {
        definition: "CREATE TYPE public.span AS RANGE (\n    subtype = double precision\n);".into(),
        ..entry(9, "TYPE", Some("public"), "span")
    });
    assert!(night.is_renamed());
    night.facts.foreign_schemas = vec![ForeignSchema { name: "public".into(), owner: "postgres".into() }];
    let choice = night.choose(PublishMode::Auto, None).unwrap();
    assert_eq!((choice.publish, choice.reasons.len()), (Publish::InPlace, 2));
    assert_eq!(choice.reasons[1].subject, "type public.span");
    assert_eq!(night.choose(PublishMode::Swap, None).unwrap_err().len(), 2);
    night.facts.is_superuser = true;
    assert!(night.choose(PublishMode::Auto, None).unwrap().publish.moves_objects());
}

#[test]
fn a_view_of_others_is_left_behind_where_it_leans_on_the_copy() {
    let mut night = Night::new();
    let left_behind = |night: &Night| -> Vec<String> {
        let choice = night.choose(PublishMode::Auto, None).unwrap();
        choice.left_behind.into_iter().map(|finding| finding.subject).collect()
    };
    night.facts.foreign_objects = vec![belongs_to(3, "bi", false)];
    // Through a view of the role's own.
    night.facts.dependencies = vec![leans(3, 5, false), leans(5, 1, false)];
    assert_eq!(left_behind(&night), ["view bi.v"]);
    night.facts.dependencies = vec![leans(3, 1, true)];
    assert_eq!(left_behind(&night), ["view bi.v"]);
    // A key to a table that itself only leans on the copy need not be taken off.
    night.facts.dependencies = vec![leans(3, 5, true), leans(5, 1, false)];
    assert_eq!(left_behind(&night), [""; 0]);
    assert!(night.is_renamed());
}

#[test]
fn a_name_leaves_room_for_what_is_put_behind_it() {
    for (bytes, fits) in [(51, true), (52, false)] {
        let mut night = Night::new();
        night.entries.push(entry(5, "TABLE", Some(&"s".repeat(bytes)), "t"));
        match fits {
            true => assert_eq!(night.choose(PublishMode::Swap, None).unwrap().publish.name(), "swap"),
            false => assert!(night.reason().text.starts_with("its name has 52 bytes")),
        }
    }
    let mut night = Night::new();
    night.entries.push(entry(5, "TABLE", Some(&"é".repeat(26)), "t"));
    assert!(night.reason().text.contains("52 bytes"));
}

#[test]
fn a_schema_under_a_name_that_the_swap_needs_is_ours_or_in_the_way() {
    for ending in [NEXT, PREVIOUS, ASIDE] {
        let mut night = Night::new();
        let name = format!("public{ending}");
        night.world.schemas.insert(name.clone());
        let reason = night.reason();
        assert_eq!(reason.subject, format!("schema {name}"));
        assert!(reason.hint.contains(&format!("ALTER SCHEMA \"{name}\" RENAME TO")), "{reason:?}");
        night.world.stored_schemas.insert(name);
        assert_eq!(night.choose(PublishMode::Swap, None).unwrap().publish.name(), "swap");
    }
    // Also where only the source has it.
    let mut night = Night::new();
    night.entries.push(entry(5, "TABLE", Some("public__next"), "t"));
    assert_eq!(night.reason().hint, "rename it in the source");
}

#[test]
fn a_quota_decides_by_what_both_ways_take_at_their_fullest() {
    let night = Night::new();
    // 100 are used, 30 of them by yesterday's yesterday, 50 by what is replaced; the new copy takes 60.
    let room =
        |quota| Some(Room { quota, used: 100, freed: 30, replaced: 50, need: 60, is_lower_bound: false });
    assert_eq!(night.choose(PublishMode::Auto, room(130)).unwrap().publish.name(), "swap");
    let choice = night.choose(PublishMode::Auto, room(129)).unwrap();
    assert_eq!((choice.publish, choice.reasons.len()), (Publish::InPlace, 1));
    assert_eq!(choice.reasons[0].subject, "WAREHOUSE_QUOTA");
    assert_eq!(
        choice.reasons[0].text,
        "two copies side by side would take 130 B: the warehouse holds 100 B, of which 30 B are dropped when the night \
         starts, the new copy needs 60 B, the quota is 129 B"
    );
    assert!(night.choose(PublishMode::Swap, room(129)).is_err());
    assert!(night.choose(PublishMode::InPlace, room(80)).is_ok());
    for mode in [PublishMode::Auto, PublishMode::Swap, PublishMode::InPlace] {
        let refused = night.choose(mode, room(79)).unwrap_err();
        assert!(refused[0].text.contains("not even in the place of the old one (50 B)"), "{refused:?}");
    }
}

#[test]
fn every_reason_is_said_and_each_note_names_one() {
    let mut night = Night::new();
    night.facts.foreign_schemas = vec![ForeignSchema { name: "public".into(), owner: "postgres".into() }];
    night.facts.foreign_objects = vec![belongs_to(2, "bi", false)];
    let notes = night.choose(PublishMode::Auto, None).unwrap().notes(PublishMode::Auto);
    assert_eq!(notes.len(), 3);
    assert!(notes[0].text.ends_with("published in one moment, object by object"), "{notes:?}");
    assert!(notes[1].text.contains("schema public: it belongs to postgres"), "{notes:?}");
    assert!(notes[1..].iter().all(|note| note.subject == "PUBLISH_MODE" && !note.hint.is_empty()));
    let swap = Night::new().choose(PublishMode::Auto, None).unwrap().notes(PublishMode::Auto);
    assert_eq!(
        swap[0].text,
        "auto takes swap: schemas audit, public are built aside and published in one moment"
    );
}
