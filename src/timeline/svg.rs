//! The drawing. Bars that the keyboard reaches are groups with a title and a line of text that the style shows while they are
//! pointed at or focused; the others have a title only.

use std::fmt::Write;

use super::axis::{Tick, shown, ticks, widened};
use super::marks::{self, Mark, Scale};
use super::text::{escaped, shortened};
use super::{Band, Item, Lane, Timeline};
use crate::format;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 12.0;
const LANE: f64 = 26.0;
const BAR: f64 = 16.0;
const BAND: f64 = 20.0;
const LEGEND: f64 = 24.0;
const AXIS: f64 = 34.0;
/// What a letter takes at the most, at the size that the style gives.
const LETTER: f64 = 6.6;
/// A bar that is narrower could not be seen, nor pointed at.
const NARROWEST: f64 = 1.0;
const LONGEST_LABEL: usize = 140;

/// The picture as inline SVG, for a page that has the style. About 150 kB at the most, however many items there are.
#[must_use]
pub fn svg(timeline: &Timeline) -> String {
    let (from, to) = widened(timeline.from, timeline.to);
    let scale = Scale { from, to, left: LEFT, width: WIDTH - LEFT - RIGHT };
    let (lanes, bands) = (timeline.lanes(), timeline.band_rows());
    let top = LEGEND + BAND * bands.len() as f64 + 6.0;
    let bottom = top + LANE * lanes.len().max(1) as f64;
    let drawing = Drawing { timeline, scale, top, bottom };
    let mut svg = format!(
        "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {:.0}\" role=\"group\" aria-label=\"{}\">",
        bottom + AXIS,
        escaped(&drawing.summary(lanes.len()))
    );
    svg.push_str(&drawing.legend());
    svg.push_str(&drawing.ticks(&ticks(from, to, timeline.zone)));
    for (row, bands) in bands.iter().enumerate() {
        bands.iter().for_each(|band| svg.push_str(&drawing.band(row, band)));
    }
    if lanes.is_empty() {
        let (x, y) = (LEFT + 8.0, top + BAR);
        let _ = write!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\">Nothing was recorded.</text>");
    }
    for (nth, (lane, marks)) in lanes.iter().zip(marks::of(timeline, &lanes, scale)).enumerate() {
        svg.push_str(&drawing.lane(nth, lane, &marks));
    }
    svg.push_str("</svg>");
    svg
}

struct Drawing<'a> {
    timeline: &'a Timeline,
    scale: Scale,
    top: f64,
    bottom: f64,
}

impl Drawing<'_> {
    fn summary(&self, lanes: usize) -> String {
        let items = format::counted(self.timeline.items.len(), "item", "items");
        let (from, to) = (self.time(self.timeline.from), self.time(self.timeline.to));
        format!("Timeline: {items} on {}, {from} to {to}", format::counted(lanes, "lane", "lanes"))
    }

    fn time(&self, at: chrono::DateTime<chrono::Utc>) -> String {
        shown(at, self.timeline.zone, "%H:%M:%S")
    }

    fn legend(&self) -> String {
        let mut x = LEFT;
        let mut legend = String::new();
        let kinds = self.timeline.kinds();
        let mut entries: Vec<(&str, &str)> = kinds.iter().map(|kind| (kind.class(), kind.name())).collect();
        if self.timeline.items.iter().any(|item| item.failed) {
            entries.push(("x", "failed"));
        }
        for (class, name) in entries {
            let _ = write!(
                legend,
                "<rect class=\"{class}\" x=\"{x:.0}\" y=\"4\" width=\"10\" height=\"10\"/><text x=\"{:.0}\" y=\"13\">{name}</text>",
                x + 14.0
            );
            x += 14.0 + LETTER * (name.len() + 2) as f64;
        }
        legend
    }

    fn ticks(&self, ticks: &[Tick]) -> String {
        let mut text = String::new();
        for tick in ticks {
            let x = self.scale.x(tick.at);
            let (top, bottom) = (LEGEND, self.bottom);
            // The last one ends at the edge.
            let text_x = |text: &str| x.min(WIDTH - LETTER * text.len() as f64);
            let _ = write!(
                text,
                "<path class=\"g\" d=\"M{x:.1} {top:.0}V{bottom:.0}\"/><text class=\"a\" x=\"{:.1}\" y=\"{:.0}\">{}</text>",
                text_x(&tick.label),
                bottom + 14.0,
                tick.label
            );
            if let Some(day) = &tick.day {
                let (x, y) = (text_x(day), bottom + 28.0);
                let _ = write!(text, "<text class=\"a\" x=\"{x:.1}\" y=\"{y:.0}\">{day}</text>");
            }
        }
        text
    }

    fn band(&self, row: usize, band: &Band) -> String {
        let (start, end) =
            (self.scale.x(band.start), self.scale.x(band.end.unwrap_or(self.timeline.to)).max(0.0));
        let y = LEGEND + BAND * row as f64;
        let width = (end - start).max(NARROWEST);
        let time = (band.end.unwrap_or(self.timeline.to) - band.start).to_std().unwrap_or_default();
        let mut title = format!("{}, {} from {}", band.label, format::duration(time), self.time(band.start));
        title.push_str(ending(band.end.is_none(), band.failed));
        let mut text = format!(
            "<g class=\"b{}\"><title>{}</title><rect x=\"{start:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{:.0}\"/>\
             <path d=\"M{start:.1} {y:.0}V{:.0}\"/>",
            if band.failed { " x" } else { "" },
            escaped(&title),
            BAND - 3.0,
            self.bottom
        );
        // Only the letters that have room; at least the beginning of a word, or none.
        let room = letters_in(width - 6.0);
        if room >= band.label.chars().count().min(5) {
            let label = escaped(&shortened(&band.label, room));
            let _ = write!(text, "<text x=\"{:.1}\" y=\"{:.0}\">{label}</text>", start + 4.0, y + 12.0);
        }
        text.push_str("</g>");
        text
    }

    fn lane(&self, nth: usize, lane: &Lane, marks: &[Mark]) -> String {
        let y = self.top + LANE * nth as f64;
        let mut text = format!("<g transform=\"translate(0 {y:.0})\">");
        if let Some(name) = &lane.name {
            let label = escaped(&shortened(name, letters_in(LEFT - 6.0)));
            let _ = write!(
                text,
                "<text class=\"l\" x=\"0\" y=\"18\">{label}<title>{}</title></text>",
                escaped(name)
            );
        }
        marks.iter().for_each(|mark| text.push_str(&self.mark(mark)));
        text.push_str("</g>");
        text
    }

    fn mark(&self, mark: &Mark) -> String {
        let item = &self.timeline.items[mark.item];
        let label = self.label(item, mark);
        let title = format!("<title>{}</title>", escaped(&label));
        let class = if item.failed { "x" } else { item.kind.class() };
        let open = if item.end.is_none() { " u" } else { "" };
        let y = (LANE - BAR) / 2.0 + 1.0;
        let (x, width) = (mark.start, (mark.end - mark.start).max(NARROWEST));
        let rect = format!(
            "<rect class=\"{class}{open}\" x=\"{x:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{BAR}\""
        );
        if !mark.is_stop {
            return format!("{rect}>{title}</rect>");
        }
        let shown = shortened(&label, LONGEST_LABEL);
        let text_x = x.min(WIDTH - LETTER * shown.chars().count() as f64).max(0.0);
        format!(
            "<g tabindex=\"0\" role=\"img\">{title}{rect}/><text class=\"d\" x=\"{text_x:.0}\" y=\"2\">{}</text></g>",
            escaped(&shown)
        )
    }

    fn label(&self, item: &Item, mark: &Mark) -> String {
        let took = format::duration(self.timeline.duration(item).to_std().unwrap_or_default());
        let mut label = format!("{}, {took} from {}", item.label, self.time(item.start));
        label.push_str(ending(item.end.is_none(), item.failed));
        if !item.detail.is_empty() {
            let _ = write!(label, ", {}", item.detail);
        }
        if mark.number > 1 {
            let busy = format::duration(mark.busy.to_std().unwrap_or_default());
            label = format!("{} in {busy}; the longest: {label}", format::count(mark.number as u64));
        }
        label
    }
}

fn ending(is_open: bool, failed: bool) -> &'static str {
    match (is_open, failed) {
        (_, true) => ", failed",
        (true, false) => ", no end seen",
        (false, false) => "",
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a width of the page, and none below zero"
)]
fn letters_in(width: f64) -> usize {
    (width.max(0.0) / LETTER) as usize
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, item, timeline};
    use super::*;
    use crate::timeline::Kind;
    use chrono::DateTime;

    #[test]
    fn a_bar_says_what_it_is_when_it_was_and_how_long_it_took() {
        let mut items = vec![item(0, 90), item(10, 20)];
        items[0].detail = "7 rows".into();
        items[1].lane = Some("c1".into());
        items[1].failed = true;
        items[1].kind = Kind::ForeignKey;
        let svg = svg(&timeline(items));
        assert!(svg.contains("<title>public.answers, 1 min 30 s from 05:10:00, 7 rows</title>"), "{svg}");
        assert!(svg.contains(r#"<rect class="t" x="96.0" y="6" width="892.0" height="16""#), "{svg}");
        assert!(svg.contains("10.00 s from 05:10:10, failed") && svg.contains("class=\"x\""), "{svg}");
        assert!(svg.contains(">c1<title>"), "{svg}");
        assert_eq!(svg.matches("tabindex").count(), 2);
    }

    #[test]
    fn bars_of_the_hour_that_comes_twice_say_in_which_of_the_two_they_were() {
        let from = (DateTime::from_timestamp(1_792_886_400, 0).unwrap() - at(0)).num_seconds();
        let mut timeline = timeline(vec![item(from + 60, from + 70), item(from + 3660, from + 9000)]);
        timeline.bands = vec![Band {
            label: "load".into(),
            start: at(from + 3660),
            end: Some(at(from + 9000)),
            failed: false,
        }];
        let svg = svg(&timeline);
        for said in [
            "10.00 s from 02:01:00 CEST<",
            "from 02:01:00 CET<",
            "load, 1 h 29 min from 02:01:00 CET<",
            "02:01:00 CEST to 03:30:00\"",
        ] {
            assert!(svg.contains(said), "{said} is not in {svg}");
        }
    }

    #[test]
    fn hostile_names_are_text() {
        let mut items = vec![item(0, 90)];
        items[0].label = "\"><script>alert(1)</script>\u{202e}".into();
        items[0].detail = "<img onerror=x>".into();
        items[0].lane = Some("<i>".into());
        let mut timeline = timeline(items);
        timeline.bands =
            vec![Band { label: "</svg><b>".into(), start: at(0), end: Some(at(90)), failed: false }];
        let svg = svg(&timeline);
        for wrong in ["<script", "<img", "<i>", "<b>", "\u{202e}"] {
            assert!(!svg.contains(wrong), "{wrong}: {svg}");
        }
        assert_eq!(svg.matches("</svg>").count(), 1);
    }

    #[test]
    fn a_picture_of_nothing_says_so() {
        let empty = Timeline::around(vec![], vec![], at(0), chrono_tz::Europe::Paris);
        let svg = svg(&empty);
        assert!(svg.contains("Nothing was recorded.") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn a_night_of_twenty_thousand_long_names_fits_on_a_page() {
        let name = |nth: i64| format!("schema_of_some_length.knowledge_elements_of_a_long_name_{nth}_idx");
        let items = (0..20_000).map(|nth| Item {
            label: name(nth),
            detail: "7 rows, 812 B".into(),
            ..item(nth, nth + 8)
        });
        let drawn = svg(&timeline(items.collect()));
        assert!(drawn.len() < 150_000, "{}", drawn.len());
    }

    #[test]
    fn what_has_no_end_reaches_the_right_edge_and_says_so() {
        let mut items = vec![item(0, 10), item(50, 100)];
        items[0].end = None;
        let drawn = svg(&timeline(items));
        assert!(
            drawn.contains("no end seen") && drawn.contains(r#"class="t u" x="96.0" y="6" width="892.0""#),
            "{drawn}"
        );
    }
}
