//! Small pictures, as SVG of numbers alone (pure): colours come from the stylesheet, words from the page around them.

use std::fmt::Write;

/// Points of a line, scaled into a box of this size. The bottom is zero, or the least value where the line would be flat else.
#[expect(clippy::cast_precision_loss, reason = "a picture is some hundred points wide")]
fn points(values: &[i64], width: f64, height: f64) -> Vec<(f64, f64)> {
    let (least, most) = match (values.iter().min(), values.iter().max()) {
        (Some(least), Some(most)) => (*least as f64, *most as f64),
        _ => return Vec::new(),
    };
    // A table of millions that grows by thousands would be a straight line above zero.
    let bottom = if least > most * 0.5 { (least - (most - least) * 0.5).max(0.0) } else { 0.0 };
    let room = if most > bottom { most - bottom } else { 1.0 };
    let step = width / (values.len().max(2) - 1) as f64;
    let place =
        |(at, value): (usize, &i64)| (at as f64 * step, height - (*value as f64 - bottom) / room * height);
    values.iter().enumerate().map(place).collect()
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (at, (x, y)) in points.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { "M" } else { "L" });
    }
    path
}

/// A line as high as a word. The numbers stand beside it, so it is not read aloud.
pub(super) fn sparkline(values: &[i64]) -> String {
    if values.len() < 2 {
        return String::new();
    }
    let line = path(&points(values, 96.0, 20.0));
    format!(
        "<svg class=\"spark\" viewBox=\"-2 -2 100 24\" width=\"100\" height=\"24\" aria-hidden=\"true\"><path d=\"{line}\"/></svg>"
    )
}

/// A line with its area, as wide as the page. `label` is written by this program alone.
pub(super) fn area(values: &[i64], label: &str) -> String {
    const WIDTH: f64 = 720.0;
    const HEIGHT: f64 = 160.0;
    let points = points(values, WIDTH, HEIGHT);
    if points.len() < 2 {
        return String::new();
    }
    let line = path(&points);
    let last = points.last().copied().unwrap_or_default();
    format!(
        "<svg class=\"area\" viewBox=\"-4 -6 728 172\" role=\"img\" aria-label=\"{label}\">\
         <path class=\"fill\" d=\"{line}L{WIDTH:.0} {HEIGHT:.0}L0 {HEIGHT:.0}Z\"/><path class=\"line\" d=\"{line}\"/>\
         <circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"/></svg>",
        last.0, last.1
    )
}

/// One night of [`bars`].
#[derive(Debug)]
pub(super) struct Bar {
    /// How high.
    pub(super) value: i64,
    /// The class of its colour.
    pub(super) class: &'static str,
    /// Where it leads: a URL of this process, and what it says, both escaped already.
    pub(super) link: String,
    pub(super) title: String,
}

/// A bar for each night, the oldest first. The table below has the same, so it is passed over by the keyboard.
#[expect(clippy::cast_precision_loss, reason = "a picture is some hundred points high")]
pub(super) fn bars(bars: &[Bar], label: &str) -> String {
    const STEP: usize = 12;
    // A week's nights are not as wide as a month's.
    const FEWEST: usize = 30;
    const HEIGHT: f64 = 90.0;
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or_default().max(1) as f64;
    let first = FEWEST.saturating_sub(bars.len());
    let width = (first + bars.len()) * STEP;
    let mut svg = format!(
        "<svg class=\"bars\" viewBox=\"0 0 {width} {HEIGHT:.0}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{label}\">"
    );
    for (at, bar) in bars.iter().enumerate() {
        let height = (bar.value.max(0) as f64 / most * HEIGHT).max(3.0);
        let _ = write!(
            svg,
            "<a href=\"{}\" tabindex=\"-1\"><title>{}</title><rect class=\"bar {}\" x=\"{}\" y=\"{:.1}\" width=\"9\" height=\"{height:.1}\" rx=\"1.5\"/></a>",
            bar.link,
            bar.title,
            bar.class,
            (first + at) * STEP + 1,
            HEIGHT - height
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_needs_two_nights() {
        assert_eq!((sparkline(&[]), sparkline(&[4]), area(&[4], "rows")), Default::default());
        let svg = sparkline(&[0, 50, 100]);
        assert!(svg.contains("d=\"M0.0 20.0L48.0 10.0L96.0 0.0\""), "{svg}");
    }

    #[test]
    fn a_flat_line_and_extremes_are_numbers() {
        for values in [&[7, 7, 7][..], &[0, 0], &[i64::MAX, i64::MIN, 0], &[1_000_000, 1_000_010]] {
            let svg = area(values, "rows");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn a_night_of_no_length_is_seen_too() {
        let bar = Bar { value: 0, class: "failed", link: "/nights/x".into(), title: "x".into() };
        assert!(bars(&[bar], "nights").contains("class=\"bar failed\" x=\"349\" y=\"87.0\""));
        assert!(bars(&[], "nights").contains("viewBox=\"0 0 360 90\""));
    }
}
