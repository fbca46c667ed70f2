//! The learning-content API as data: its tables, their columns, and where in a record each value is found.
//!
//! Every table has `id text primary key` before the columns listed here. Another API is another [`Api`] beside this one.

/// An API that answers one JSON object with a list of records per table.
#[derive(Debug)]
pub(super) struct Api {
    /// The path below the base URL.
    pub(super) path: &'static [&'static str],
    /// The tables, in the order in which they are written.
    pub(super) tables: &'static [Table],
}

/// A table and the list it comes from, of the same name.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name, in schema public.
    pub(super) name: &'static str,
    /// Its columns behind `id`.
    pub(super) columns: &'static [Column],
    /// The columns that have an index, named `<table>_<column>_idx`.
    pub(super) indexed: &'static [&'static str],
}

/// A column and where its value comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: &'static str,
    /// Its type.
    pub(super) kind: Kind,
    /// Where its value is in a record.
    pub(super) from: From,
}

/// The types that content has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    TextList,
    SmallInt,
    Numeric,
    /// numeric(6,5): below 10, with five decimals.
    PixValue,
    Boolean,
    Timestamp,
}

impl Kind {
    /// The type's name exactly as `format_type` gives it back.
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::TextList => "text[]",
            Self::SmallInt => "smallint",
            Self::Numeric => "numeric",
            Self::PixValue => "numeric(6,5)",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp with time zone",
        }
    }
}

/// Where a value is in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The member of this name.
    Member(&'static str),
    /// A member of a member: `name_i18n.fr`.
    Within(&'static str, &'static str),
    /// A list of this one member.
    ListOf(&'static str),
    /// Whether this member is there and not empty.
    IsPresent(&'static str),
    /// Whether this member is true.
    IsTrue(&'static str),
    /// Always this.
    Constant(&'static str),
    /// Always null.
    Null,
}

impl Column {
    const fn from(self, from: From) -> Self {
        Self { from, ..self }
    }
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, from: From::Member(name) }
}
const fn text(name: &'static str) -> Column {
    column(name, Kind::Text)
}
const fn list(name: &'static str) -> Column {
    column(name, Kind::TextList)
}
const fn small(name: &'static str) -> Column {
    column(name, Kind::SmallInt)
}
const fn boolean(name: &'static str) -> Column {
    column(name, Kind::Boolean)
}
const fn time(name: &'static str) -> Column {
    column(name, Kind::Timestamp)
}

/// The learning-content API.
pub(super) const LEARNING_CONTENT: Api = Api {
    path: &["databases", "airtable"],
    tables: &[
        Table { name: "areas", columns: &[text("name")], indexed: &[] },
        Table {
            name: "attachments",
            columns: &[
                text("type"),
                text("challengeId"),
                text("alt"),
                text("url"),
                column("size", Kind::Numeric),
            ],
            indexed: &[],
        },
        Table {
            name: "competences",
            columns: &[
                text("name").from(From::Within("name_i18n", "fr")),
                text("code").from(From::Member("index")),
                text("title").from(From::Within("name_i18n", "fr")),
                text("origin"),
                text("areaId"),
            ],
            indexed: &["areaId"],
        },
        Table {
            name: "tubes",
            columns: &[
                text("name"),
                text("practicalTitle").from(From::Within("practicalTitle_i18n", "fr")),
                text("practicalDescription").from(From::Within("practicalDescription_i18n", "fr")),
                text("competenceId"),
            ],
            indexed: &["competenceId"],
        },
        Table { name: "skills", columns: SKILLS, indexed: &["tubeId"] },
        Table { name: "challenges", columns: CHALLENGES, indexed: &["firstSkillId"] },
        Table { name: "courses", columns: &[text("name")], indexed: &[] },
        Table {
            name: "tutorials",
            columns: &[
                text("title"),
                text("link"),
                list("tutorialForSkills"),
                list("furtherInformation"),
                text("locale"),
            ],
            indexed: &["title"],
        },
    ],
};

const SKILLS: &[Column] = &[
    text("name"),
    text("description"),
    small("level"),
    text("tubeId"),
    text("status"),
    column("pixValue", Kind::PixValue),
    text("hint").from(From::Within("hint_i18n", "fr")),
    text("hintStatus"),
    list("tutorialIds"),
    list("learningMoreTutorialIds"),
    text("internationalisation"),
];

const CHALLENGES: &[Column] = &[
    text("instruction"),
    text("status"),
    text("type"),
    small("timer"),
    boolean("autoReply"),
    text("skillId"),
    list("skillIds").from(From::ListOf("skillId")),
    small("skillCount").from(From::Constant("1")),
    text("firstSkillId").from(From::Member("skillId")),
    text("secondSkillId").from(From::Null),
    text("thirdSkillId").from(From::Null),
    list("languages").from(From::Member("locales")),
    text("embedUrl"),
    boolean("hasEmbedUrl").from(From::IsPresent("embedUrl")),
    text("alternativeInstruction"),
    boolean("hasAlternativeInstruction").from(From::IsPresent("alternativeInstruction")),
    text("area"),
    boolean("focus").from(From::IsTrue("focusable")),
    text("explicativeResponse").from(From::Member("solutionToDisplay")),
    column("delta", Kind::Numeric),
    column("alpha", Kind::Numeric),
    time("createdAt"),
    time("validatedAt"),
    time("archivedAt"),
    time("madeObsoleteAt"),
    text("accessibility1"),
    text("accessibility2"),
    text("spoil"),
    text("responsive"),
    text("deafAndHardOfHearing"),
    boolean("requireGafamWebsiteAccess"),
    boolean("isIncompatibleIpadCertif"),
    boolean("toRephrase"),
    boolean("isAwarenessChallenge"),
    text("genealogy"),
    small("version"),
    small("alternativeVersion"),
    text("declinable"),
    text("proposals"),
    text("solution"),
    text("pedagogy"),
    boolean("shuffled").from(From::IsTrue("shuffled")),
    list("contextualizedFields"),
    list("urlsToConsult"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_column_comes_twice_and_every_index_has_its_column() {
        for table in LEARNING_CONTENT.tables {
            let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            for (at, name) in names.iter().enumerate() {
                assert!(*name != "id" && !names[..at].contains(name), "{}.{name}", table.name);
            }
            for indexed in table.indexed {
                assert!(names.contains(indexed), "{}.{indexed}", table.name);
            }
        }
    }

    #[test]
    fn the_tables_are_those_of_the_api() {
        let names = LEARNING_CONTENT.tables.iter().map(|table| (table.name, table.columns.len()));
        assert_eq!(
            names.collect::<Vec<_>>(),
            [
                ("areas", 1),
                ("attachments", 5),
                ("competences", 5),
                ("tubes", 4),
                ("skills", 11),
                ("challenges", 44),
                ("courses", 1),
                ("tutorials", 5)
            ]
        );
    }
}
