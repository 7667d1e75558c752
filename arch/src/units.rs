//! Physical quantities as they are written in TOML files (`"1.41 GHz"`, `"40 MiB"`,
//! `"1555 GB/s"`) and as types, so that a frequency can never be passed for a bandwidth.
//!
//! Each quantity stores an `f64` in its base unit. Decimal prefixes are powers of 1000,
//! binary ones (`KiB`, `MiB`, `GiB`) powers of 1024.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};

/// Why a written quantity could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} such as \"{example}\", found \"{found}\"{hint}")]
pub struct QuantityError {
    expected: &'static str,
    example: &'static str,
    found: String,
    hint: String,
}

/// Splits `"1.41 GHz"` into its number and its unit.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .char_indices()
        .find(|&(i, c)| {
            let exponent_sign =
                (c == '-' || c == '+') && i > 0 && matches!(text.as_bytes()[i - 1], b'e' | b'E');
            let digit = c.is_ascii_digit() || c == '.' || c == '_' || exponent_sign;
            let exponent = matches!(c, 'e' | 'E')
                && text[i + 1..].starts_with(|d: char| d.is_ascii_digit() || d == '-' || d == '+');
            let sign = i == 0 && c == '-';
            !(digit || exponent || sign)
        })
        .map_or(text.len(), |(i, _)| i);
    let number: f64 = text[..end].replace('_', "").parse().ok()?;
    number.is_finite().then(|| (number, text[end..].trim()))
}

/// What a unit measures, for messages when a unit of another quantity is written.
fn measured_by(unit: &str) -> Option<&'static str> {
    TABLES
        .iter()
        .find(|(_, units)| units.iter().any(|(name, _)| *name == unit))
        .map(|(what, _)| *what)
}

/// A written quantity of any kind: its number, its unit, and what one unit is in the base unit of its
/// quantity.
pub fn measure(text: &str) -> Option<(f64, &'static str, f64)> {
    let (number, unit) = split(text)?;
    let mut all = TABLES.iter().flat_map(|(_, units)| units.iter());
    all.find(|(name, _)| *name == unit).map(|(name, factor)| (number, *name, *factor))
}

macro_rules! quantities {
    ($($(#[$meta:meta])* $name:ident, $accessor:ident, $what:literal, $example:literal,
        [$($unit:literal => $factor:expr),+ $(,)?];)+) => {
        const TABLES: &[(&str, &[(&str, f64)])] = &[$(($what, &[$(($unit, $factor)),+])),+];

        $(
            $(#[$meta])*
            #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
            pub struct $name(f64);

            impl $name {
                /// How it is written.
                pub const WRITTEN: &'static str = concat!($what, ", such as \"", $example, "\"");

                /// From a number in the base unit.
                pub const fn new(base: f64) -> Self {
                    Self(base)
                }

                /// The number in the base unit that the name says.
                pub const fn $accessor(self) -> f64 {
                    self.0
                }

                /// Reads a number with its unit.
                ///
                /// # Errors
                /// When the text is no number with a unit of this quantity, or is negative.
                pub fn parse(text: &str) -> Result<Self, QuantityError> {
                    let error = |hint: String| QuantityError {
                        expected: $what, example: $example, found: text.to_owned(), hint,
                    };
                    let Some((number, unit)) = split(text) else {
                        return Err(error(String::new()));
                    };
                    if number < 0.0 {
                        return Err(error(": it must not be negative".to_owned()));
                    }
                    let units: &[(&str, f64)] = &[$(($unit, $factor)),+];
                    match units.iter().find(|(name, _)| *name == unit) {
                        Some((_, factor)) => Ok(Self(number * factor)),
                        None if unit.is_empty() => Err(error(": the unit is missing".to_owned())),
                        None => Err(error(match measured_by(unit) {
                            Some(other) => format!(": {unit} is {other}"),
                            None => {
                                let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
                                format!(": unknown unit {unit} (known: {})", names.join(", "))
                            }
                        })),
                    }
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    // The largest unit that leaves a number of at least one.
                    let units: &[(&str, f64)] = &[$(($unit, $factor)),+];
                    let (unit, factor) = units
                        .iter()
                        .filter(|(_, factor)| self.0 >= *factor)
                        .max_by(|a, b| a.1.total_cmp(&b.1))
                        .unwrap_or(&units[0]);
                    let number = format!("{:.4}", self.0 / factor);
                    let number = number.trim_end_matches('0').trim_end_matches('.');
                    write!(f, "{number} {unit}")
                }
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    struct Visitor;
                    impl serde::de::Visitor<'_> for Visitor {
                        type Value = $name;
                        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                            write!(f, "{} such as \"{}\" (a string with its unit)", $what, $example)
                        }
                        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                            $name::parse(text).map_err(E::custom)
                        }
                    }
                    deserializer.deserialize_str(Visitor).map_err(D::Error::custom)
                }
            }
        )+
    };
}

quantities! {
    /// An amount of data, in bytes.
    Bytes, bytes, "an amount of data", "40 MiB",
    ["B" => 1.0, "KiB" => 1024.0, "MiB" => 1_048_576.0, "GiB" => 1_073_741_824.0,
     "kB" => 1e3, "MB" => 1e6, "GB" => 1e9, "TB" => 1e12];
    /// A clock frequency, in hertz.
    Frequency, hz, "a frequency", "1.41 GHz",
    ["Hz" => 1.0, "kHz" => 1e3, "MHz" => 1e6, "GHz" => 1e9];
    /// A data rate, in bytes per second.
    Bandwidth, bytes_per_s, "a bandwidth", "1555 GB/s",
    ["B/s" => 1.0, "kB/s" => 1e3, "MB/s" => 1e6, "GB/s" => 1e9, "TB/s" => 1e12];
    /// A time, in nanoseconds.
    Duration, ns, "a time", "1.2 us",
    ["ns" => 1.0, "ps" => 1e-3, "us" => 1e3, "µs" => 1e3, "ms" => 1e6, "s" => 1e9];
    /// An electrical power, in watts.
    Power, watts, "a power", "250 W",
    ["W" => 1.0, "mW" => 1e-3, "kW" => 1e3];
    /// An energy, in picojoules.
    Energy, pj, "an energy", "1.5 pJ",
    ["pJ" => 1.0, "fJ" => 1e-3, "nJ" => 1e3, "uJ" => 1e6, "mJ" => 1e9, "J" => 1e12];
    /// An area, in square millimetres.
    Area, mm2, "an area", "826 mm2",
    ["mm2" => 1.0, "mm²" => 1.0, "um2" => 1e-6, "µm²" => 1e-6];
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_numbers_with_units() {
        assert_eq!(Frequency::parse("1.41 GHz").unwrap().hz(), 1.41e9);
        assert_eq!(Bytes::parse("40MiB").unwrap().bytes(), 41_943_040.0);
        assert_eq!(Bandwidth::parse("1_555 GB/s").unwrap().bytes_per_s(), 1.555e12);
        assert_eq!(Energy::parse("1e-1 nJ").unwrap().pj(), 100.0);
    }

    #[test]
    fn says_what_a_wrong_unit_measures() {
        let error = Frequency::parse("936 GB/s").unwrap_err().to_string();
        assert_eq!(
            error,
            "expected a frequency such as \"1.41 GHz\", found \"936 GB/s\": GB/s is a bandwidth"
        );
        assert!(Bytes::parse("12").unwrap_err().to_string().contains("the unit is missing"));
        assert!(Bytes::parse("-1 B").unwrap_err().to_string().contains("negative"));
        assert!(Bytes::parse("12 parsec").unwrap_err().to_string().contains("known: B, KiB"));
    }

    proptest! {
        #[test]
        fn display_reads_back(value in 1.0e0..1.0e13f64) {
            let bytes = Bytes::new(value);
            let again = Bytes::parse(&bytes.to_string()).unwrap();
            prop_assert!((again.bytes() - value).abs() / value < 1e-3);
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Duration::parse(&text);
        }
    }
}
