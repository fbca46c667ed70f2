//! How an enum of the warehouse gets the values that the source's has (pure).

/// The statements that add the labels that are not there, each at its place. The type and the labels are quoted. Each
/// statement runs by itself: a value cannot be used in the transaction that adds it.
pub(super) fn add_values<S: AsRef<str>>(
    type_name: &str,
    labels: &[S],
    is_there: impl Fn(&str) -> bool,
) -> Vec<String> {
    let labels: Vec<&str> = labels.iter().map(AsRef::as_ref).collect();
    let add =
        |label: &str, place: String| format!("ALTER TYPE {type_name} ADD VALUE IF NOT EXISTS {label}{place}");
    // What comes before all that are there is added from the last one up.
    let first = labels.iter().position(|label| is_there(label)).unwrap_or(0);
    let rest = &labels[first..];
    let pairs = labels[..(first + 1).min(labels.len())].windows(2).rev();
    let before = pairs.map(|pair| add(pair[0], format!(" BEFORE {}", pair[1])));
    let previous = std::iter::once(None).chain(rest.iter().map(Some));
    let behind = rest.iter().zip(previous).filter(|(label, _)| !is_there(label)).map(|(label, previous)| {
        add(label, previous.map(|previous| format!(" AFTER {previous}")).unwrap_or_default())
    });
    before.chain(behind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(labels: &[&str], there: &[&str]) -> Vec<String> {
        let statements = add_values("public.mood", labels, |label| there.contains(&label));
        let short =
            |statement: String| statement.replace("ALTER TYPE public.mood ADD VALUE IF NOT EXISTS ", "");
        statements.into_iter().map(short).collect()
    }

    #[test]
    fn each_value_gets_its_place() {
        let labels = ["'a'", "'b'", "'c'", "'d'", "'e'"];
        assert_eq!(added(&labels, &["'c'", "'e'"]), ["'b' BEFORE 'c'", "'a' BEFORE 'b'", "'d' AFTER 'c'"]);
        assert_eq!(added(&["'a'", "'b'"], &["'a'"]), ["'b' AFTER 'a'"]);
        assert_eq!(added(&["'a'"], &["'a'"]), [""; 0]);
    }

    #[test]
    fn where_nothing_is_known_each_follows_the_one_before() {
        assert_eq!(added(&["'a'", "'b'", "'c'"], &[]), ["'a'", "'b' AFTER 'a'", "'c' AFTER 'b'"]);
        assert_eq!(added(&[], &[]), [""; 0]);
    }
}
