//! A time as it is written in a header: a duration, so that clocks that differ do not
//! matter.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header in which gRPC says how long its client waits.
pub(crate) static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Digits.
    Milliseconds,
    /// At most eight digits and a unit, as gRPC has it.
    Grpc,
}

/// More than gRPC has digits for.
const NINE_DIGITS: u128 = 100_000_000;

impl Form {
    /// `None`: it is no time.
    pub(crate) fn read(self, value: &HeaderValue) -> Option<Duration> {
        let text = value.to_str().ok()?;
        match self {
            Self::Milliseconds => digits(text).map(Duration::from_millis),
            Self::Grpc => read_grpc(text),
        }
    }

    /// Rounded up: whoever says it is the first to see that it is over, and nobody is told
    /// that there is none while there is some.
    pub(crate) fn write(self, time: Duration) -> HeaderValue {
        let text = match self {
            Self::Milliseconds => {
                let milliseconds = time.as_nanos().div_ceil(1_000_000);
                u64::try_from(milliseconds).unwrap_or(u64::MAX).to_string()
            }
            Self::Grpc => write_grpc(time.as_nanos()),
        };
        HeaderValue::try_from(text).expect("digits and a letter")
    }

    /// Says in the headers that there is so much time, if they do not say that there is less;
    /// and how much they say by then.
    #[cfg_attr(not(any(feature = "reqwest", feature = "tonic")), allow(dead_code))]
    pub(crate) fn say(
        self,
        headers: &mut HeaderMap,
        name: &HeaderName,
        time: Duration,
    ) -> Duration {
        let said = headers.get_all(name).iter().filter_map(|value| self.read(value)).min();
        let least = said.map_or(time, |said| said.min(time));
        // In the place of all there are, and of what is no time.
        if said != Some(least) || headers.get_all(name).iter().count() > 1 {
            headers.insert(name.clone(), self.write(least));
        }
        least
    }
}

/// Digits alone: no sign, and no space.
fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // So many of them are more than any time.
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

fn read_grpc(text: &str) -> Option<Duration> {
    let (last, _) = text.char_indices().next_back()?;
    let (number, unit) = text.split_at(last);
    let number = digits(number).filter(|_| number.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// In the finest unit for which eight digits do.
fn write_grpc(nanoseconds: u128) -> String {
    const UNITS: [(u128, char); 6] = [
        (1, 'n'),
        (1_000, 'u'),
        (1_000_000, 'm'),
        (1_000_000_000, 'S'),
        (60_000_000_000, 'M'),
        (3_600_000_000_000, 'H'),
    ];
    let in_units = UNITS.map(|(length, unit)| (nanoseconds.div_ceil(length), unit));
    let (number, unit) = in_units
        .into_iter()
        .find(|(number, _)| *number < NINE_DIGITS)
        .unwrap_or((NINE_DIGITS - 1, 'H'));
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn read(form: Form, text: &str) -> Option<Duration> {
        form.read(&HeaderValue::from_bytes(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_time_of_grpc_has_at_most_eight_digits_and_a_unit() {
        for (text, time) in [
            ("1H", SECOND * 3600),
            ("2M", SECOND * 120),
            ("3S", SECOND * 3),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
            ("0S", Duration::ZERO),
            ("007S", SECOND * 7),
            ("99999999H", SECOND * 99_999_999 * 3600),
        ] {
            assert_eq!(read(Form::Grpc, text), Some(time), "{text}");
        }
        for text in
            ["", "S", "1", "1s", "1 S", " 1S", "-1S", "+1S", "1.5S", "123456789S", "1SS", "1é"]
        {
            assert_eq!(read(Form::Grpc, text), None, "{text}");
        }
    }

    #[test]
    fn milliseconds_are_digits_however_many() {
        assert_eq!(read(Form::Milliseconds, "1500"), Some(SECOND * 3 / 2));
        assert_eq!(read(Form::Milliseconds, "0"), Some(Duration::ZERO));
        let most = Some(Duration::from_millis(u64::MAX));
        assert_eq!(read(Form::Milliseconds, "99999999999999999999999999"), most);
        for text in ["", "-1", "+1", "1.5", "1e3", "1s", " 1", "0x10", "١"] {
            assert_eq!(read(Form::Milliseconds, text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_the_time_or_the_next_that_can_be() {
        for (time, milliseconds, grpc) in [
            (Duration::ZERO, "0", "0n"),
            (Duration::from_nanos(1), "1", "1n"),
            (Duration::from_micros(99_999) + Duration::from_nanos(999), "100", "99999999n"),
            (Duration::from_millis(100), "100", "100000u"),
            (Duration::from_nanos(100_000_001), "101", "100001u"),
            (SECOND * 99, "99000", "99000000u"),
            (SECOND * 100, "100000", "100000m"),
            (SECOND * 3600 * 24 * 2, "172800000", "172800S"),
            (Duration::from_secs(6_000_000_001), "6000000001000", "1666667H"),
            (Duration::MAX, "18446744073709551615", "99999999H"),
        ] {
            assert_eq!(Form::Milliseconds.write(time), milliseconds, "{time:?}");
            assert_eq!(Form::Grpc.write(time), grpc, "{time:?}");
        }
    }

    /// Up to the greatest that can be said.
    #[test]
    fn what_is_written_is_read_as_no_less_and_hardly_more() {
        let mut time = Duration::from_nanos(1);
        while time < SECOND * 3600 * 24 * 365 * 100 {
            for (form, finest) in [(Form::Milliseconds, 1_000_000), (Form::Grpc, 1)] {
                let read = form.read(&form.write(time)).unwrap();
                // One in a hundred thousand, or one of its finest.
                let more = (time.as_nanos() / 99_999).max(finest);
                assert!(read >= time, "{form:?} {time:?} {read:?}");
                assert!(read.as_nanos() - time.as_nanos() <= more, "{form:?} {time:?} {read:?}");
            }
            time = time * 17 / 10 + Duration::from_nanos(1);
        }
    }

    #[test]
    fn the_least_is_said_once() {
        let name = HeaderName::from_static("x-request-timeout-ms");
        for (before, time, after) in [
            (&[][..], 1500, "1500"),
            (&["2000"], 1500, "1500"),
            (&["1000"], 1500, "1000"),
            (&["0001"], 1500, "0001"),
            (&["2000", "1000", "3000"], 1500, "1000"),
            (&["nonsense"], 1500, "1500"),
            (&["nonsense", "7"], 1500, "7"),
        ] {
            let mut headers = HeaderMap::new();
            for said in before {
                headers.append(&name, said.parse().unwrap());
            }
            let least = Form::Milliseconds.say(&mut headers, &name, Duration::from_millis(time));
            let said: Vec<_> = headers.get_all(&name).iter().collect();
            assert_eq!(said, [after], "{before:?}");
            assert_eq!(Some(least), read(Form::Milliseconds, after), "{before:?}");
        }
    }
}
