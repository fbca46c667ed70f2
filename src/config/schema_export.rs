//! The export of the warehouse's schema: `DB_SCHEMA_EXPORTER_ENABLED`, `DB_SCHEMA_EXPORTER_DATABASE_TARGET`,
//! `DB_SCHEMA_EXPORTER_SCHEDULE`.

use croner::Cron;

use super::databases::{DatabaseUrl, read_url};
use super::queue::parse_cron;
use super::{Databases, Reader};

/// Where the warehouse's schema goes.
#[derive(Debug, Clone)]
pub struct SchemaExport {
    /// The database that gets it; none where it is not named.
    pub target: Option<DatabaseUrl>,
    /// When it goes there by itself; none where that is not enabled.
    pub schedule: Option<Cron>,
}

const DEFAULT_SCHEDULE: &str = "0 12 * * *";

impl SchemaExport {
    pub(super) fn read(reader: &mut Reader<'_>, databases: &Databases) -> Self {
        let is_enabled =
            reader.choice("DB_SCHEMA_EXPORTER_ENABLED", false, &[("true", true), ("false", false)]);
        let target = read_url(reader, "DB_SCHEMA_EXPORTER_DATABASE_TARGET");
        if is_enabled && reader.text("DB_SCHEMA_EXPORTER_DATABASE_TARGET").is_none() {
            reader.problem(
                "DB_SCHEMA_EXPORTER_DATABASE_TARGET",
                "not set, but DB_SCHEMA_EXPORTER_ENABLED is true: name the database that gets the schema",
            );
        }
        let is_one_of_ours =
            |url: &DatabaseUrl| *url == databases.warehouse || databases.source.as_ref() == Some(url);
        if target.as_ref().is_some_and(is_one_of_ours) {
            reader.problem(
                "DB_SCHEMA_EXPORTER_DATABASE_TARGET",
                "is the source or the warehouse itself: the schema goes into a third database",
            );
        }
        let default = parse_cron(DEFAULT_SCHEDULE).expect("the default schedule is a valid pattern");
        let schedule = reader.parse("DB_SCHEMA_EXPORTER_SCHEDULE", default, parse_cron);
        Self { target, schedule: is_enabled.then_some(schedule) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    fn read(pairs: &[(&str, &str)]) -> Result<SchemaExport, String> {
        let databases =
            [("SOURCE_DATABASE_URL", "postgres://s/app"), ("TARGET_DATABASE_URL", "postgres://w/dw")];
        let variables = Variables::from_pairs(databases.iter().chain(pairs).copied());
        let mut reader = Reader::new(&variables);
        let databases = Databases::read(&mut reader);
        let read = SchemaExport::read(&mut reader, &databases);
        reader.finish().map(|()| read).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_off_until_it_is_enabled_and_then_at_noon() {
        let target = ("DB_SCHEMA_EXPORTER_DATABASE_TARGET", "postgres://c/catalog");
        assert!(read(&[target]).unwrap().schedule.is_none());
        let enabled = read(&[target, ("DB_SCHEMA_EXPORTER_ENABLED", "true")]).unwrap();
        assert_eq!(enabled.schedule.unwrap().as_str(), "0 12 * * *");
    }

    #[test]
    fn the_target_is_a_third_database() {
        assert!(read(&[("DB_SCHEMA_EXPORTER_ENABLED", "true")]).unwrap_err().contains("not set, but"));
        for ours in ["postgres://s/app", "postgres://w/dw"] {
            let text = read(&[("DB_SCHEMA_EXPORTER_DATABASE_TARGET", ours)]).unwrap_err();
            assert!(text.contains("a third database"), "{text}");
        }
    }
}
