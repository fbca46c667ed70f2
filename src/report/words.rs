//! The words of the report, in the languages of those who read it.

use chrono::TimeDelta;

use super::run::Status;

/// The language of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// French, with the headings of the system that nightferry replaces.
    French,
}

impl Language {
    /// The one or the other.
    fn of<T>(self, english: T, french: T) -> T {
        match self {
            Self::English => english,
            Self::French => french,
        }
    }

    /// The headings of backup, replication, enrichment and of all.
    #[must_use]
    pub fn headings(self) -> [&'static str; 4] {
        self.of(
            ["Backup duration", "Replication duration", "Enrichment duration", "Total duration"],
            [
                "Durée de récupération du backup",
                "Durée de réplication",
                "Durée de l'enrichissement",
                "Durée totale",
            ],
        )
    }

    pub(super) fn not_in_the_log(self) -> &'static str {
        self.of("not in the log", "pas dans le log")
    }

    pub(super) fn not_finished(self) -> &'static str {
        self.of("not finished", "inachevé")
    }

    pub(super) fn failed(self) -> &'static str {
        self.of("failed", "échec")
    }

    pub(super) fn since(self) -> &'static str {
        self.of("since", "depuis")
    }

    pub(super) fn run(self) -> &'static str {
        self.of("Run", "Exécution")
    }

    pub(super) fn status(self, status: Status) -> &'static str {
        match status {
            Status::Succeeded => self.of("succeeded", "réussie"),
            Status::Failed => self.of("failed", "en échec"),
            Status::Unfinished => self.of("its end is not in the log", "sa fin n'est pas dans le log"),
            Status::Unknown => self.of("no start or end in the log", "ni début ni fin dans le log"),
        }
    }

    pub(super) fn more(self, number: usize) -> String {
        self.of(format!("and {number} more"), format!("et {number} de plus"))
    }

    pub(super) fn error(self, error: &str) -> String {
        self.of(format!("It failed: {error}"), format!("Échec : {error}"))
    }

    pub(super) fn retry(self, attempt: u64, error: Option<&str>) -> String {
        let before = error.map(|error| {
            self.of(format!(" The one before failed: {error}"), format!(" La précédente a échoué : {error}"))
        });
        let now =
            self.of(format!("It is at attempt {attempt}."), format!("Elle en est à la tentative {attempt}."));
        format!("{now}{}", before.unwrap_or_default())
    }

    pub(super) fn tries(self, tries: u64) -> String {
        self.of(
            format!("A stage was tried {tries} times; the times of all tries are added up."),
            format!(
                "Une étape a été tentée {tries} fois ; les durées de toutes les tentatives sont cumulées."
            ),
        )
    }

    pub(super) fn without_start(self, number: u64) -> String {
        self.of(
            format!("Ended without a start in the log, and not counted: {number}. The log begins in the middle of the run."),
            format!("Terminés sans début dans le log, et pas comptés : {number}. Le log commence au milieu de l'exécution."),
        )
    }

    pub(super) fn without_time(self, number: u64) -> String {
        self.of(
            format!("Without a time on their line, and not counted: {number}. pg_restore writes none: send its output through ts '%Y-%m-%d %H:%M:%.S %z'."),
            format!("Sans heure sur leur ligne, et pas comptés : {number}. pg_restore n'en écrit pas : faites passer sa sortie par ts '%Y-%m-%d %H:%M:%.S %z'."),
        )
    }

    pub(super) fn forgotten(self, number: u64) -> String {
        self.of(
            format!("Started again before they ended, or too many at once, and not counted: {number}."),
            format!("Relancés avant leur fin, ou trop nombreux à la fois, et pas comptés : {number}."),
        )
    }

    pub(super) fn unreadable(self, number: u64) -> String {
        self.of(
            format!("Lines that are broken, and left out: {number}."),
            format!("Lignes abîmées, et ignorées : {number}."),
        )
    }

    pub(super) fn too_long(self, number: u64) -> String {
        self.of(
            format!("Lines of more than 512 kB, and left out: {number}."),
            format!("Lignes de plus de 512 ko, et ignorées : {number}."),
        )
    }

    pub(super) fn broke_off(self, why: &str, lines: &str) -> String {
        self.of(
            format!("The log breaks off after {lines} lines ({why}); what is above is of the part before."),
            format!(
                "Le log s'interrompt après {lines} lignes ({why}) ; ce qui précède vient de la partie lue."
            ),
        )
    }

    pub(super) fn dropped(self, number: u64) -> String {
        self.of(
            format!("Earlier runs, of which nothing is shown: {number}. Name a day."),
            format!("Exécutions plus anciennes, dont rien n'est affiché : {number}. Précisez une date."),
        )
    }

    pub(super) fn nothing(self, lines: &str) -> String {
        self.of(
            format!("No run in this log of {lines} lines."),
            format!("Aucune exécution dans ce log de {lines} lignes."),
        )
    }

    pub(super) fn difference(self) -> &'static str {
        self.of("difference", "écart")
    }

    pub(super) fn parts_title(self) -> &'static str {
        self.of("part", "partie")
    }

    pub(super) fn slower(self) -> &'static str {
        self.of("slower", "plus lents")
    }

    pub(super) fn faster(self) -> &'static str {
        self.of("faster", "plus rapides")
    }

    pub(super) fn only_in_one(self) -> &'static str {
        self.of("only in one", "dans un seul")
    }

    pub(super) fn other_days(self, days: &str) -> String {
        self.of(
            format!("There are runs that started on {days}."),
            format!("Des exécutions ont commencé le {days}."),
        )
    }
}

/// `7h 57min 25s`, in whole seconds.
#[must_use]
pub(super) fn duration(time: TimeDelta) -> String {
    let seconds = super::category::millis(time).saturating_add(500).div_euclid(1000);
    format!("{}h {}min {}s", seconds / 3600, seconds % 3600 / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_the_form_that_operators_know_and_no_sixty_seconds() {
        let of = |millis| duration(TimeDelta::milliseconds(millis));
        assert_eq!(
            [of(0), of(499), of(59_600), of(28_645_000), of(10_199_700)],
            ["0h 0min 0s", "0h 0min 0s", "0h 1min 0s", "7h 57min 25s", "2h 50min 0s"]
        );
    }
}
