//! The report as a page of its own: the night as a picture, and the tables below it. Nothing is loaded from elsewhere.

use std::fmt::Write;

use super::text::{of_a_run, of_report, printable};
use super::words::{Language, duration};
use super::{Report, Summary};
use crate::timeline::{self, escaped, svg};

/// The style of the page around the picture.
const STYLE: &str = include_str!("page.css");

/// A page of all runs of a report.
#[must_use]
pub fn page(report: &Report, name: &str, language: Language) -> String {
    let code = match language {
        Language::English => "en",
        Language::French => "fr",
    };
    let title = escaped(name);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{code}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{title}</title><style>{}{STYLE}</style></head><body><main><h1>{title}</h1>\n",
        timeline::STYLE
    );
    for run in &report.runs {
        page.push_str(&section(run, language));
    }
    if report.runs.is_empty() {
        let _ = write!(page, "<p>{}</p>", escaped(&language.nothing(&crate::format::count(report.lines))));
    }
    page.push_str(&paragraphs(&of_report(report, language)));
    page.push_str("</main></body></html>\n");
    page
}

fn section(run: &Summary, language: Language) -> String {
    let name = run.run.as_ref().or(run.container.as_ref()).map_or("", String::as_str);
    let start = run.started_at.map(|at| at.format("%Y-%m-%d %H:%M:%S %z").to_string()).unwrap_or_default();
    let mut text = format!(
        "<section><h2>{} {}</h2><p>{start}, {}</p>\n",
        language.run(),
        escaped(&printable(name)),
        language.status(run.status)
    );
    let _ = writeln!(text, "<div class=\"picture\">{}</div>", svg(&run.timeline()));
    let parts = &run.durations;
    let parts = [parts.backup, parts.replication, parts.enrichment, parts.total];
    let rows = language.headings().into_iter().zip(parts).map(|(name, part)| {
        let time = match part {
            None => language.not_in_the_log().to_owned(),
            Some(part) if part.finished => duration(part.duration),
            Some(part) => format!("{}, {}", duration(part.duration), language.not_finished()),
        };
        (name.to_owned(), time)
    });
    text.push_str(&table(language.headings()[3], rows));
    for category in run.categories.iter().filter(|category| category.count > 0) {
        let caption = format!("{} : {}", category.category.name(), duration(category.total));
        let rows = category.slowest.iter().map(|item| (item.name.clone(), precise(item.duration)));
        text.push_str(&table(&caption, rows));
    }
    for stage in &run.stages {
        let caption = format!("STAGE {} : {}", stage.stage, duration(stage.part.duration));
        let rows = stage.steps.iter().map(|step| (step.step.clone(), precise(step.part.duration)));
        text.push_str(&table(&caption, rows));
    }
    text.push_str(&paragraphs(&of_a_run(run, language)));
    text.push_str("</section>\n");
    text
}

/// The short ones too: a page has room for what is behind the point.
fn precise(time: chrono::TimeDelta) -> String {
    crate::format::duration(time.to_std().unwrap_or_default())
}

fn table(caption: &str, rows: impl Iterator<Item = (String, String)>) -> String {
    let mut text = format!("<table><caption>{}</caption><tbody>", escaped(caption));
    for (name, time) in rows {
        let _ = write!(text, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escaped(&name), escaped(&time));
    }
    text.push_str("</tbody></table>\n");
    text
}

fn paragraphs(notes: &[String]) -> String {
    notes.iter().map(|note| format!("<p>{}</p>\n", escaped(note))).collect()
}
