//! Whether a type holds every value of another one, as the catalog writes them (pure). PostgreSQL manual, chapter 8.

/// How a column of the source fits into the warehouse's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fit {
    /// The types are the same.
    Same,
    /// The warehouse's holds every value of the source's.
    Holds,
    /// It would, as this type; `by_cast` where only an explicit cast leads there.
    Widens {
        /// The type that holds the values of both.
        to: String,
        /// Whether the values must be cast.
        by_cast: bool,
    },
    /// They have nothing to do with each other.
    Not,
}

/// How a column of type `source` fits into one of type `warehouse`.
pub(super) fn fit(source: &str, warehouse: &str) -> Fit {
    if source == warehouse {
        return Fit::Same;
    }
    let (from, into) = (Type::parse(source), Type::parse(warehouse));
    if from.is_array == into.is_array {
        if into.holds(&from) {
            return Fit::Holds;
        }
        if from.holds(&into) {
            return Fit::Widens { to: source.to_owned(), by_cast: false };
        }
        if let Some(to) = both_numerics(&from, &into) {
            return Fit::Widens { to, by_cast: false };
        }
    }
    if from.holds_any_text() && (from.is_array == into.is_array || !from.is_array) {
        return Fit::Widens { to: source.to_owned(), by_cast: true };
    }
    // What is no number or time is the same thing in words.
    let is_word = from.is_array || (!from.is_number() && !from.is_time() && from.name != "boolean");
    if into.holds_any_text() && !into.is_array && is_word { Fit::Holds } else { Fit::Not }
}

/// Whether the values of both types have one order, so that a key may be of one here and of the other there.
pub(super) fn same_order(one: &str, other: &str) -> bool {
    let (one, other) = (Type::parse(one), Type::parse(other));
    let both = |is: fn(&Type) -> bool| is(&one) && is(&other);
    one.is_array == other.is_array
        && (one.name == other.name || both(Type::is_number) || both(Type::is_text) || both(Type::is_time))
}

/// Whether a type stores a value that is too fine for it as another one; the others refuse it.
pub(super) fn rounds(written: &str) -> bool {
    let parsed = Type::parse(written);
    parsed.is_time() || matches!(parsed.name.as_str(), "numeric" | "real" | "double precision")
}

/// Whether the binary format of both is the same.
pub(super) fn same_binary(one: &str, other: &str) -> bool {
    let (one, other) = (Type::parse(one), Type::parse(other));
    one.name == other.name && one.is_array == other.is_array
}

/// The type without its length, for a cast that cuts nothing.
pub(super) fn unmodified(written: &str) -> String {
    let parsed = Type::parse(written);
    let name = match parsed.name.as_str() {
        // These words alone mean a length of one.
        "character" => "bpchar",
        "bit" => "bit varying",
        name => name,
    };
    if parsed.is_array { format!("{name}[]") } else { name.to_owned() }
}

/// `numeric(6,5)`: its name without length, its modifiers, and whether it is an array.
struct Type {
    name: String,
    modifiers: Option<String>,
    is_array: bool,
}

impl Type {
    fn parse(written: &str) -> Self {
        let (element, is_array) =
            written.strip_suffix("[]").map_or((written, false), |element| (element, true));
        let mut quoted = false;
        let opening = element.char_indices().find(|(_, letter)| {
            quoted ^= *letter == '"';
            *letter == '(' && !quoted
        });
        let parts = opening.and_then(|(open, _)| {
            let (before, rest) = element.split_at(open);
            let (modifiers, after) = rest.trim_start_matches('(').split_once(')')?;
            Some((format!("{before}{after}"), modifiers.to_owned()))
        });
        match parts {
            Some((name, modifiers)) => Self { name, modifiers: Some(modifiers), is_array },
            None => Self { name: element.to_owned(), modifiers: None, is_array },
        }
    }

    /// The one modifier of a length or precision.
    fn length(&self) -> Option<i64> {
        self.modifiers.as_deref().and_then(|text| text.parse().ok())
    }

    /// Digits before and behind the point; none where there is no limit.
    fn digits(&self) -> Option<(i64, i64)> {
        match self.name.as_str() {
            "smallint" => Some((5, 0)),
            "integer" => Some((10, 0)),
            "bigint" => Some((19, 0)),
            "numeric" => {
                let text = self.modifiers.as_deref()?;
                let (precision, scale) = text.split_once(',').unwrap_or((text, "0"));
                let (precision, scale): (i64, i64) = (precision.parse().ok()?, scale.parse().ok()?);
                Some((precision - scale, scale))
            }
            _ => None,
        }
    }

    fn is_integer(&self) -> bool {
        matches!(self.name.as_str(), "smallint" | "integer" | "bigint")
    }

    fn is_number(&self) -> bool {
        self.is_integer() || matches!(self.name.as_str(), "numeric" | "real" | "double precision" | "money")
    }

    fn is_text(&self) -> bool {
        matches!(self.name.as_str(), "text" | "character varying" | "character" | "bpchar")
    }

    fn is_time(&self) -> bool {
        self.name == "date"
            || ["timestamp", "time ", "interval"].iter().any(|start| self.name.starts_with(start))
    }

    fn holds_any_text(&self) -> bool {
        self.name == "text" || (self.name == "character varying" && self.modifiers.is_none())
    }

    /// Whether every value of the other is one of this type, unchanged.
    fn holds(&self, other: &Self) -> bool {
        match (other.name.as_str(), self.name.as_str()) {
            ("smallint", "integer" | "bigint" | "real" | "double precision")
            | ("integer", "bigint" | "double precision")
            | ("real", "double precision")
            | ("date", "timestamp without time zone")
            | ("json", "jsonb") => true,
            ("smallint" | "integer" | "bigint" | "numeric", "numeric") => {
                match (other.digits(), self.digits()) {
                    (_, None) => true,
                    (None, Some(_)) => false,
                    (Some(small), Some(large)) => small.0 <= large.0 && small.1 <= large.1,
                }
            }
            ("character" | "character varying" | "text" | "bpchar", "character varying" | "text")
            | ("character", "character")
            | ("bit" | "bit varying", "bit varying") => self.is_as_long_as(other),
            (one, same) if one == same => {
                self.modifiers.is_none() || (self.is_time() && self.is_as_long_as(other))
            }
            _ => false,
        }
    }

    /// Without a length there is no limit.
    fn is_as_long_as(&self, other: &Self) -> bool {
        match (other.length(), self.length()) {
            (_, None) => self.modifiers.is_none(),
            (None, Some(limit)) => self.is_time() && limit >= 6,
            (Some(small), Some(large)) => small <= large,
        }
    }
}

/// The numeric that holds two of which neither holds the other.
fn both_numerics(one: &Type, other: &Type) -> Option<String> {
    let limited = |this: &Type| (this.name == "numeric" || this.is_integer()).then(|| this.digits());
    let ((before, behind), (also_before, also_behind)) = (limited(one)??, limited(other)??);
    let (before, behind) = (before.max(also_before), behind.max(also_behind));
    let array = if one.is_array { "[]" } else { "" };
    Some(format!("numeric({},{behind}){array}", before + behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widens(to: &str) -> Fit {
        Fit::Widens { to: to.into(), by_cast: false }
    }

    #[test]
    fn a_wider_type_of_the_source_widens_the_warehouses_and_a_narrower_one_fits() {
        for (narrow, wide) in [
            ("smallint", "integer"),
            ("smallint", "bigint"),
            ("integer", "bigint"),
            ("integer", "numeric"),
            ("integer", "numeric(12,2)"),
            ("numeric(6,2)", "numeric(8,2)"),
            ("numeric(6,2)", "numeric(7,3)"),
            ("numeric(6,2)", "numeric"),
            ("real", "double precision"),
            ("character varying(20)", "character varying(21)"),
            ("character varying(20)", "character varying"),
            ("character varying(20)", "text"),
            ("character(3)", "text"),
            ("character(3)", "character(4)"),
            ("timestamp(3) without time zone", "timestamp without time zone"),
            ("timestamp(0) with time zone", "timestamp(3) with time zone"),
            ("integer[]", "bigint[]"),
            ("character varying(3)[]", "text[]"),
            ("geometry(Point,4326)", "geometry"),
            ("json", "jsonb"),
        ] {
            assert_eq!(fit(wide, narrow), widens(wide), "{narrow} to {wide}");
            assert_eq!(fit(narrow, wide), Fit::Holds, "{wide} to {narrow}");
        }
    }

    #[test]
    fn numbers_of_which_neither_holds_the_other_meet_in_a_third() {
        assert_eq!(fit("numeric(10,4)", "numeric(10,2)"), widens("numeric(12,4)"));
        assert_eq!(fit("numeric(4,2)", "integer"), widens("numeric(12,2)"));
        assert_eq!(fit("numeric(4,2)[]", "integer[]"), widens("numeric(12,2)[]"));
    }

    #[test]
    fn everything_becomes_text_by_a_cast_and_words_fit_into_text() {
        let by_cast = Fit::Widens { to: "text".into(), by_cast: true };
        for any in ["integer", "uuid", "public.mood", "timestamp with time zone", "integer[]"] {
            assert_eq!(fit("text", any), by_cast, "{any}");
        }
        for word in ["uuid", "public.mood", "json", "integer[]"] {
            assert_eq!(fit(word, "text"), Fit::Holds, "{word}");
        }
    }

    #[test]
    fn what_has_another_meaning_does_not_fit() {
        for (source, warehouse) in [
            ("uuid", "integer"),
            ("integer", "text"),
            ("date", "text"),
            ("timestamp with time zone", "timestamp without time zone"),
            ("integer[]", "integer"),
            ("character varying(5)", "integer"),
            ("double precision", "numeric(4,2)"),
            ("public.\"odd(3)\"", "public.\"odd(4)\""),
        ] {
            assert_eq!(fit(source, warehouse), Fit::Not, "{warehouse} to {source}");
        }
    }

    #[test]
    fn keys_order_alike_within_numbers_texts_and_times() {
        assert!(same_order("integer", "numeric(12,0)") && same_order("character varying(3)", "text"));
        assert!(same_order("uuid", "uuid"));
        assert!(!same_order("integer", "text") && !same_order("uuid", "text"));
    }

    #[test]
    fn a_cast_cuts_nothing() {
        assert_eq!(unmodified("timestamp(3) with time zone"), "timestamp with time zone");
        assert_eq!(unmodified("character(3)"), "bpchar");
        assert_eq!(unmodified("numeric(6,5)[]"), "numeric[]");
        assert_eq!(unmodified("public.\"odd(3)\""), "public.\"odd(3)\"");
        assert!(same_binary("numeric(6,5)", "numeric") && !same_binary("integer", "bigint"));
    }
}
