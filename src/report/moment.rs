//! Times as logs write them, read by hand: a night's log has millions.

use chrono::{DateTime, FixedOffset, NaiveDate, TimeDelta, Utc};

/// A time, and how far the clock that wrote it was from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: DateTime<Utc>,
    /// Seconds east of UTC.
    pub(super) offset: i32,
}

impl Moment {
    /// The time as the clock showed it.
    pub(super) fn local(self) -> DateTime<FixedOffset> {
        let offset = FixedOffset::east_opt(self.offset).unwrap_or_else(|| chrono::Offset::fix(&Utc));
        self.at.with_timezone(&offset)
    }
}

/// The time that a text begins with, and how long it is: `2020-10-22 05:10:01.123456789 +0200 CEST`, `2020-10-22T03:10:01.123Z`. One without an
/// offset is taken for UTC.
pub(super) fn at_start(text: &[u8]) -> Option<(Moment, usize)> {
    if text.len() < 19 || text[4] != b'-' || text[7] != b'-' || text[13] != b':' || text[16] != b':' {
        return None;
    }
    if !matches!(text[10], b' ' | b'T') {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(number(&text[..4])?).ok()?,
        number(&text[5..7])?,
        number(&text[8..10])?,
    )?;
    let (hour, minute, second) = (number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?);
    let (nanos, mut length) = fraction(text, 19);
    let local = date.and_hms_nano_opt(hour, minute, second, nanos)?.and_utc();
    let offset = zone(text, &mut length);
    let at = local.checked_sub_signed(TimeDelta::seconds(i64::from(offset)))?;
    Some((Moment { at, offset }, length))
}

/// At most nine digits as a number.
fn number(digits: &[u8]) -> Option<u32> {
    let mut sum = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        sum = sum * 10 + u32::from(digit - b'0');
    }
    Some(sum)
}

/// The nanoseconds behind a point, and where the text goes on.
fn fraction(text: &[u8], from: usize) -> (u32, usize) {
    if !matches!(text.get(from), Some(b'.' | b',')) {
        return (0, from);
    }
    let digits = text[from + 1..].iter().take_while(|letter| letter.is_ascii_digit()).count();
    let known = &text[from + 1..from + 1 + digits.min(9)];
    let nanos = number(known).unwrap_or(0) * 10_u32.pow(9 - u32::try_from(known.len()).unwrap_or(9));
    (nanos, from + 1 + digits)
}

/// The offset from UTC in seconds; moves behind it, and behind a zone's name.
fn zone(text: &[u8], at: &mut usize) -> i32 {
    let mut offset = 0;
    let spaces = usize::from(text.get(*at) == Some(&b' '));
    match text.get(*at + spaces) {
        Some(b'Z') if spaces == 0 => *at += 1,
        Some(b'+' | b'-') => {
            if let Some((seconds, length)) = signed(&text[*at + spaces..]) {
                offset = seconds;
                *at += spaces + length;
            }
        }
        _ => {}
    }
    // `CEST`, `UTC`, or `-03` where a zone has no name of its own.
    if text.get(*at) == Some(&b' ') {
        let word = &text[*at + 1..];
        let letters = word.iter().take_while(|letter| letter.is_ascii_uppercase()).count();
        let length = if letters > 0 { letters } else { signed(word).map_or(0, |(_, length)| length) };
        if (2..=6).contains(&length) && matches!(word.get(length), None | Some(b' ')) {
            *at += 1 + length;
        }
    }
    offset
}

/// `+0200`, `+02:00`, `-03`.
fn signed(text: &[u8]) -> Option<(i32, usize)> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = number(text.get(1..3)?)?;
    let colon = usize::from(text.get(3) == Some(&b':'));
    let minutes = text.get(3 + colon..5 + colon).and_then(number);
    let length = if minutes.is_some() { 5 + colon } else { 3 };
    let seconds = i32::try_from(hours * 3600 + minutes.unwrap_or(0) * 60).ok()?;
    (seconds < 86_400).then_some((sign * seconds, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, i32, usize)> {
        at_start(text.as_bytes()).map(|(moment, length)| (moment.at.to_rfc3339(), moment.offset, length))
    }

    #[test]
    fn the_times_of_the_platform_of_bunyan_and_of_other_collectors_are_read() {
        let utc = "2020-10-22T03:10:01.123456789+00:00".to_owned();
        assert_eq!(
            read("2020-10-22 05:10:01.123456789 +0200 CEST [background-1] {}"),
            Some((utc.clone(), 7200, 40))
        );
        assert_eq!(read("2020-10-22 00:10:01.123456789 -0300 -03 x"), Some((utc, -10_800, 39)));
        let whole = "2020-10-22T03:10:01+00:00".to_owned();
        assert_eq!(read("2020-10-22T03:10:01Z"), Some((whole.clone(), 0, 20)));
        assert_eq!(read("2020-10-22T05:10:01+02:00 app"), Some((whole.clone(), 7200, 25)));
        assert_eq!(read("2020-10-22 03:10:01 UTC [7] LOG"), Some((whole.clone(), 0, 23)));
        assert_eq!(read("2020-10-22 03:10:01 pg_restore: x"), Some((whole, 0, 19)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in
            ["", "2020-10-22", "2020-13-22 05:10:01", "2020-10-22 25:10:01", "pg_restore: launching item 1"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("2020-10-22 05:10:01.999999999999 +9999").map(|(_, offset, _)| offset), Some(0));
    }
}
