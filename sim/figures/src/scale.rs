//! Axes: from values to places, and the round values that are written on them.

/// How values become places between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

/// Between groups of three digits.
const GAP: char = '\u{a0}';

/// Values of a linear axis end here, so that differences of two are numbers.
const FARTHEST: f64 = 1e300;
/// Decades of a logarithmic axis either side of one, so that ratios with room around them are numbers.
const DECADES: (f64, f64) = (1e-120, 1e120);
/// Share of the range that is left free at either end.
const ROOM: f64 = 0.05;
/// Labels that a linear axis has at least.
const LEAST: usize = 3;

impl Scale {
    /// A linear axis that starts at zero where nothing is negative.
    pub fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ends(values.chain([0.0]));
        let room = (high - low) * ROOM;
        let low = if low < 0.0 { low - room } else { 0.0 };
        let high = if high > 0.0 { high + room } else { 0.0 };
        Self::linear(low, high)
    }

    /// A linear axis around the values.
    pub fn around(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ends(values);
        let room = (high - low) * ROOM;
        Self::linear(low - room, high + room)
    }

    /// A linear axis with given ends.
    pub fn linear(low: f64, high: f64) -> Self {
        if high - low > (f64::EPSILON * high.abs().max(low.abs())).max(1.0 / FARTHEST) {
            return Self { low, high, log: false };
        }
        // One value: something around it.
        let half = if low.abs() <= 1.0 / FARTHEST { 1.0 } else { low.abs() * 0.5 };
        Self { low: low - half, high: high + half, log: false }
    }

    /// A logarithmic axis around the positive ones of the values.
    pub fn log(values: impl Iterator<Item = f64>) -> Self {
        let positive = values.filter(|value| *value > 0.0);
        let (low, high) = ends(positive.map(|value| value.clamp(DECADES.0, DECADES.1)));
        let (low, high) = if low > 0.0 { (low, high) } else { (1.0, 10.0) };
        let room = f64::max(1.15, libm::pow(high / low, ROOM));
        let (mut low, mut high) = (low / room, high * room);
        // Less than two octaves would leave the axis without round values.
        if high / low < 4.0 {
            let middle = libm::sqrt(low * high);
            (low, high) = (middle / 2.2, middle * 2.2);
        }
        Self { low, high, log: true }
    }

    /// The place of a value: 0 at the low end, 1 at the high end.
    pub fn place(&self, value: f64) -> f64 {
        if self.log {
            let value = value.max(self.low * 1e-3).min(self.high * 1e9);
            libm::log(value / self.low) / libm::log(self.high / self.low)
        } else {
            (value.clamp(-FARTHEST, FARTHEST) - self.low) / (self.high - self.low)
        }
    }

    /// The ends.
    pub const fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Round values with their labels, about `wanted` of them.
    pub fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        let values = if self.log { self.log_ticks(wanted) } else { self.linear_ticks(wanted) };
        let step = values.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let label = |value| if self.log { plain(value) } else { stepped(value, step) };
        let mut ticks: Vec<(f64, String)> =
            values.into_iter().map(|value| (value, label(value))).collect();
        // Four digits are set in groups only beside numbers that are.
        if ticks.iter().any(|(_, label)| label.contains(GAP)) {
            for (_, label) in &mut ticks {
                let (head, digits) = label.split_at(label.find(char::is_numeric).unwrap_or(0));
                if digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    *label = format!("{head}{}{GAP}{}", &digits[..1], &digits[1..]);
                }
            }
        }
        ticks
    }

    /// Steps of 1, 2 or 5 times a power of ten, at most as many as are wanted; a short axis around few round
    /// values gets a finer step, as one label alone says nothing of the scale.
    fn linear_ticks(&self, wanted: usize) -> Vec<f64> {
        let raw = (self.high - self.low) / wanted.max(1) as f64;
        let power = libm::pow(10.0, libm::floor(libm::log10(raw)));
        let factors = [10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1];
        let fits = factors.iter().rposition(|factor| factor * power >= raw * 0.999).unwrap_or(0);
        let mut ticks = Vec::new();
        for factor in &factors[fits..] {
            let step = factor * power;
            let first = libm::ceil(self.low / step - 1e-9) as i64;
            let last = libm::floor(self.high / step + 1e-9) as i64;
            ticks = (first..=last.min(first + 50)).map(|index| index as f64 * step).collect();
            if ticks.len() >= LEAST {
                break;
            }
        }
        ticks
    }

    fn log_ticks(&self, wanted: usize) -> Vec<f64> {
        let (first, last) =
            (libm::floor(libm::log10(self.low)) as i32, libm::ceil(libm::log10(self.high)) as i32);
        let within = |factors: &[f64], every: i32| -> Vec<f64> {
            (first..=last)
                .filter(|decade| decade.rem_euclid(every) == 0)
                .flat_map(|decade| {
                    let power = libm::pow(10.0, f64::from(decade));
                    factors.iter().map(move |factor| factor * power)
                })
                .filter(|value| (self.low * 0.999..=self.high * 1.001).contains(value))
                .collect()
        };
        let few = [&[1.0][..], &[1.0, 3.0], &[1.0, 2.0, 5.0]];
        for factors in few {
            let found = within(factors, 1);
            if found.len() >= 3 && found.len() <= wanted + 2 {
                return found;
            }
        }
        let decades = within(&[1.0], 1);
        if decades.len() > wanted + 2 {
            let every = decades.len().div_ceil(wanted.max(1)) as i32;
            return within(&[1.0], every);
        }
        let found = within(&[1.0, 2.0, 5.0], 1);
        if found.is_empty() { vec![libm::sqrt(self.low * self.high)] } else { found }
    }

    /// Unlabelled lines between decades of a logarithmic axis.
    pub fn minor(&self) -> Vec<f64> {
        if !self.log || self.high / self.low > 1e5 {
            return Vec::new();
        }
        let (first, last) =
            (libm::floor(libm::log10(self.low)) as i32, libm::ceil(libm::log10(self.high)) as i32);
        (first..=last)
            .flat_map(|decade| {
                (2..10).map(move |n| f64::from(n) * libm::pow(10.0, f64::from(decade)))
            })
            .filter(|value| (self.low..=self.high).contains(value))
            .collect()
    }
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let ends = values
        .filter(|value| value.is_finite())
        .map(|value| value.clamp(-FARTHEST, FARTHEST))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    if ends.0 > ends.1 { (0.0, 1.0) } else { ends }
}

/// A value with as many decimals as the step between labels needs.
fn stepped(value: f64, step: f64) -> String {
    if !step.is_finite() || step <= 0.0 {
        return plain(value);
    }
    if value.abs() >= 1e6 || step < 1e-4 {
        return plain(value);
    }
    let decimals = (-libm::floor(libm::log10(step) + 1e-9)).max(0.0) as usize;
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    grouped(&format!("{value:.decimals$}"))
}

/// A value with about three digits, as it is written beside a point.
pub fn plain(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        let text = format!("{value:.1e}").replace(".0e", "e");
        return text.replace('-', "−");
    }
    let decimals = (2.0 - libm::floor(libm::log10(size))).clamp(0.0, 5.0) as usize;
    let text = format!("{value:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    grouped(text)
}

/// Values that are compared with each other, all with as many decimals: three digits of the largest and two of the
/// smallest, where that leaves the largest with no more than five; zeros that all of them end with are left out.
pub fn alike(values: &[f64]) -> Vec<String> {
    let sizes = values.iter().map(|value| value.abs()).filter(|size| *size > 0.0);
    let (low, high) = ends(sizes);
    // Nothing but zeros has the ends 0 and 1.
    if !(low == 0.0 || low >= 1e-3) || high >= 1e6 {
        return values.iter().map(|value| plain(*value)).collect();
    }
    let decimals = |size: f64, digits: f64| digits - 1.0 - libm::floor(libm::log10(size));
    let of_low = if low > 0.0 { decimals(low, 2.0).min(decimals(high, 5.0)) } else { 0.0 };
    let decimals = decimals(high, 3.0).max(of_low).clamp(0.0, 5.0) as usize;
    let texts: Vec<String> = values.iter().map(|value| format!("{value:.decimals$}")).collect();
    let zeros = |text: &String| text.len() - text.trim_end_matches('0').len();
    let spare = texts.iter().map(zeros).min().unwrap_or(0).min(decimals);
    let cut = if spare == decimals && decimals > 0 { spare + 1 } else { spare };
    texts
        .iter()
        .map(|text| {
            let text = &text[..text.len() - cut];
            let nothing = !text.contains(|digit: char| ('1'..='9').contains(&digit));
            grouped(if nothing { text.trim_start_matches('-') } else { text })
        })
        .collect()
}

/// Thousands apart, and a true minus sign.
fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
    let (whole, rest) = digits.split_once('.').map_or((digits, None), |(w, r)| (w, Some(r)));
    let mut out = String::from(sign);
    for (index, c) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && whole.len() > 4 {
            out.push(GAP);
        }
        out.push(c);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_of_an_axis_are_grouped_alike() {
        let labels = |low: f64, high: f64| {
            let ticks = Scale::linear(low, high).ticks(7);
            ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };
        assert!(labels(0.0, 60_000.0).contains(&"60\u{a0}000".to_owned()));
        assert!(labels(0.0, 30_000.0).contains(&"5\u{a0}000".to_owned()));
        assert!(labels(-30_000.0, 0.0).contains(&"−5\u{a0}000".to_owned()));
        assert!(labels(0.0, 8_000.0).contains(&"2000".to_owned()));
    }

    #[test]
    fn labels_are_round() {
        let labels = |scale: Scale| scale.ticks(5).into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(labels(Scale::from_zero([3.0, 9.5].into_iter())), ["0", "2", "4", "6", "8"]);
        assert_eq!(labels(Scale::log([1.0, 900.0].into_iter())), ["1", "10", "100", "1000"]);
        assert_eq!(labels(Scale::linear(0.0, 0.3)), ["0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(plain(-12345.0), "−12\u{a0}345");
    }

    #[test]
    fn values_side_by_side_have_as_many_decimals() {
        assert_eq!(alike(&[1.2, 1.25, 3.0]), ["1.20", "1.25", "3.00"]);
        assert_eq!(alike(&[3.0, 3.1]), ["3.0", "3.1"]);
        assert_eq!(alike(&[1.0, 16.0, 1024.0]), ["1", "16", "1024"]);
        assert_eq!(alike(&[0.0, 8.224, 120.04]), ["0.0", "8.2", "120.0"]);
        assert_eq!(alike(&[0.5, 120_000.0]), ["0", "120\u{a0}000"]);
        assert_eq!(alike(&[-0.001, 12.0, -2.5]), ["−0.001", "12.000", "−2.500"]);
        assert_eq!(alike(&[-0.004, 120.0, -2.5]), ["0.0", "120.0", "−2.5"]);
        assert_eq!(alike(&[0.0, 0.0]), ["0", "0"]);
        assert_eq!(alike(&[1e-9, 2.0]), ["1e−9", "2"]);
        assert_eq!(alike(&[]), [""; 0]);
    }

    #[test]
    fn values_at_the_ends_of_numbers_have_few_labels() {
        let extremes = [5e-324, 1e-308, 1e-200, 1.0, 1e200, f64::MAX];
        for a in extremes {
            for b in extremes {
                for (a, b) in [(a, b), (-a, b), (-a, -b)] {
                    for scale in [Scale::log, Scale::around, Scale::from_zero]
                        .map(|of: fn(std::array::IntoIter<f64, 2>) -> Scale| of([a, b].into_iter()))
                    {
                        let ticks = scale.ticks(5);
                        assert!((1..60).contains(&ticks.len()), "{a} {b}: {}", ticks.len());
                        assert!(ticks.iter().all(|tick| tick.0.is_finite()), "{a} {b}: {ticks:?}");
                        assert!(scale.minor().len() < 60, "{a} {b}");
                        for value in [a, b] {
                            assert!(scale.place(value).is_finite(), "{a} {b}: {value}");
                        }
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_axis_has_labels_and_holds_its_values(
            a in -1e9f64..1e9, b in 1e-9f64..1e9, log in any::<bool>()
        ) {
            let values = if log { [b, b * 3.0] } else { [a, a + b] };
            let scale = if log {
                Scale::log(values.into_iter())
            } else {
                Scale::around(values.into_iter())
            };
            for wanted in [0, 1, 2, 5] {
                let ticks = scale.ticks(wanted);
                prop_assert!(ticks.len() >= if log { 1 } else { LEAST }, "{ticks:?}");
                prop_assert!(ticks.len() < 12, "{ticks:?}");
            }
            for value in values {
                let place = scale.place(value);
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&place), "{place}");
            }
        }
    }
}
