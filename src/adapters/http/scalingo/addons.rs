//! Which of an application's addons is the database. Pure.

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

/// An addon of an application.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Addon {
    /// What the API asks for it by.
    pub id: String,
    /// What the dashboard shows.
    #[serde(default)]
    pub resource_id: String,
    /// `running`, `provisioning`, `suspended`.
    #[serde(default)]
    pub status: String,
    /// Who provides it.
    #[serde(rename = "addon_provider")]
    pub provider: Provider,
}

/// The provider of an addon: PostgreSQL, Redis and so on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Provider {
    /// `postgresql`, `scalingo-redis`.
    pub id: String,
    /// What people call it.
    pub name: String,
}

impl Addon {
    fn is_postgresql(&self) -> bool {
        [&self.provider.id, &self.provider.name].iter().any(|name| name.to_lowercase().contains("postgresql"))
    }

    fn is_called(&self, name: &str) -> bool {
        let provider = [&self.provider.id, &self.provider.name];
        self.id == name
            || self.resource_id == name
            || provider.iter().any(|provider| provider.eq_ignore_ascii_case(name))
    }

    fn describe(&self) -> String {
        format!("{} ({}, {}, {})", self.id, self.provider.name, self.resource_id, self.status)
    }
}

/// The addon of this name (id, resource or provider), or the one PostgreSQL.
pub(super) fn choose(addons: Vec<Addon>, name: Option<&str>, app: &str) -> Result<Addon> {
    let all = describe(&addons);
    let fits = |addon: &Addon| name.map_or_else(|| addon.is_postgresql(), |name| addon.is_called(name));
    let mut fitting: Vec<Addon> = addons.into_iter().filter(fits).collect();
    match fitting.pop() {
        Some(addon) if fitting.is_empty() => Ok(addon),
        Some(addon) => {
            fitting.push(addon);
            let what = name.map_or_else(|| "PostgreSQL addons".to_owned(), |name| format!("addons {name:?}"));
            Err(wrong(format!("the application {app} has several {what}: {}", describe(&fitting)))
                .hint("name one by its id in SCALINGO_ADDON"))
        }
        None => {
            let what = name.map_or_else(|| "PostgreSQL addon".to_owned(), |name| format!("addon {name:?}"));
            Err(wrong(format!("the application {app} has no {what}, but {all}"))
                .hint("check SCALINGO_APP, and SCALINGO_ADDON where it is set"))
        }
    }
}

fn wrong(text: String) -> Error {
    Error::new(ErrorKind::Configuration, text)
}

fn describe(addons: &[Addon]) -> String {
    let all: Vec<String> = addons.iter().map(Addon::describe).collect();
    if all.is_empty() { "none at all".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addon(id: &str, provider: &str) -> Addon {
        Addon {
            id: id.to_owned(),
            resource_id: format!("app_{id}"),
            status: "running".to_owned(),
            provider: Provider { id: provider.to_lowercase(), name: provider.to_owned() },
        }
    }

    fn chosen(addons: &[Addon], name: Option<&str>) -> Result<String, String> {
        choose(addons.to_vec(), name, "app").map(|addon| addon.id).map_err(|error| error.to_string())
    }

    #[test]
    fn the_one_postgresql_is_taken_without_a_name() {
        for provider in ["PostgreSQL", "Scalingo-PostgreSQL", "postgresql-ng"] {
            let addons = [addon("1", "Scalingo Redis"), addon("2", provider)];
            assert_eq!(chosen(&addons, None), Ok("2".to_owned()), "{provider}");
        }
    }

    #[test]
    fn a_name_is_an_id_a_resource_or_a_provider() {
        let addons = [addon("1", "MySQL"), addon("2", "PostgreSQL"), addon("3", "PostgreSQL")];
        assert_eq!(chosen(&addons, Some("2")), Ok("2".to_owned()));
        assert_eq!(chosen(&addons, Some("app_3")), Ok("3".to_owned()));
        assert_eq!(chosen(&addons, Some("mysql")), Ok("1".to_owned()));
    }

    #[test]
    fn none_and_several_are_errors_that_list_what_there_is() {
        let redis = addon("1", "Redis");
        let text = chosen(std::slice::from_ref(&redis), None).unwrap_err();
        assert_eq!(text, "the application app has no PostgreSQL addon, but 1 (Redis, app_1, running)");
        let text = chosen(&[], Some("x")).unwrap_err();
        assert_eq!(text, "the application app has no addon \"x\", but none at all");
        let text = chosen(&[addon("2", "PostgreSQL"), redis, addon("3", "PostgreSQL")], None).unwrap_err();
        assert!(text.contains("several PostgreSQL addons: 2 (") && text.contains(", 3 ("), "{text}");
        assert!(!text.contains("Redis"), "{text}");
    }
}
