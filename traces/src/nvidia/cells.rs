//! What stands in a cell: numbers with thousands separators, units of time and size, launch shapes.
//!
//! Commas are taken as thousands separators only where they stand between groups of three digits;
//! any other comma, and a second point, is a sign of a locale with decimal commas, which is refused
//! rather than guessed at.

/// Why a cell is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Odd {
    /// Digits as a locale with decimal commas writes them.
    Locale,
    /// Something else.
    NotANumber,
}

/// Whether a cell says that there is nothing in it.
pub(super) fn is_empty(cell: &str) -> bool {
    matches!(cell, "" | "None" | "-" | "n/a" | "N/A" | "(null)")
}

/// A number, thousands separators allowed.
pub(super) fn number(cell: &str) -> Result<f64, Odd> {
    // Plain digits are the common case.
    if let Ok(value) = cell.parse::<f64>() {
        return if value.is_finite() { Ok(value) } else { Err(Odd::NotANumber) };
    }
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let numeric =
        |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '\u{a0}' | '\u{202f}' | '’');
    if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Odd::NotANumber);
    }
    if !digits.chars().all(numeric) {
        return Err(Odd::NotANumber);
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !fraction.chars().all(|c| c.is_ascii_digit()) {
        return Err(Odd::Locale);
    }
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let plain = |group: &str| group.chars().all(|c| c.is_ascii_digit());
    let grouped = (1..=3).contains(&first.len())
        && plain(first)
        && groups.all(|group| group.len() == 3 && plain(group));
    if !grouped {
        return Err(Odd::Locale);
    }
    let joined: String = cell.chars().filter(|c| *c != ',').collect();
    joined.parse().map_err(|_| Odd::NotANumber)
}

/// A number that may carry a list of instances behind it, as `12 (3; 4; 5)`; a bare list is none.
pub(super) fn leading_number(cell: &str) -> Result<f64, Odd> {
    let head = cell.split_once(" (").map_or(cell, |(head, _)| head);
    number(head)
}

/// A whole number of at least zero.
pub(super) fn whole(cell: &str) -> Result<u64, Odd> {
    if let Ok(value) = cell.parse::<u64>() {
        return Ok(value);
    }
    let value = number(cell)?;
    if (0.0..=9e15).contains(&value) { Ok(value.round() as u64) } else { Err(Odd::NotANumber) }
}

/// A whole number of at least zero that fits 32 bits.
pub(super) fn small(cell: &str) -> Result<u32, Odd> {
    u32::try_from(whole(cell)?).map_err(|_| Odd::NotANumber)
}

/// A time in picoseconds, exact where the cell holds whole units.
pub(super) fn picoseconds(cell: &str, unit_ps: f64) -> Result<i64, Odd> {
    if let Ok(units) = cell.parse::<i64>()
        && let Some(ps) = units.checked_mul(unit_ps as i64)
    {
        return Ok(ps);
    }
    let ps = number(cell)? * unit_ps;
    if ps.abs() < 9e18 { Ok(ps.round() as i64) } else { Err(Odd::NotANumber) }
}

/// Picoseconds of a unit of time.
pub(super) fn time_unit_ps(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" | "nsec" | "nsecond" => 1e3,
        "us" | "usec" | "usecond" | "μs" | "µs" => 1e6,
        "ms" | "msec" | "msecond" => 1e9,
        "s" | "sec" | "second" => 1e12,
        _ => return None,
    })
}

/// Bytes of a unit of size; `kilo` is what its K stands for.
pub(super) fn size_unit(unit: &str, kilo: f64) -> Option<f64> {
    Some(match unit {
        "B" | "byte" | "bytes" => 1.0,
        "KB" | "kB" | "KiB" => kilo,
        "MB" | "MiB" => kilo * kilo,
        "GB" | "GiB" => kilo * kilo * kilo,
        _ => return None,
    })
}

/// What a metric's unit multiplies its values by to be in bytes, seconds, hertz, cycles and plain
/// counts: `Kbyte`, `usecond`, `cycle/nsecond`, `GHz`, `byte/block`.
pub(super) fn metric_scale(unit: &str) -> Option<f64> {
    let (top, bottom) = unit.split_once('/').unwrap_or((unit, ""));
    Some(base_scale(top.trim())? / base_scale(bottom.trim())?)
}

fn base_scale(unit: &str) -> Option<f64> {
    const BASES: [&str; 18] = [
        "",
        "byte",
        "B",
        "second",
        "s",
        "hz",
        "Hz",
        "cycle",
        "inst",
        "sector",
        "request",
        "warp",
        "thread",
        "block",
        "register",
        "%",
        "wavefront",
        "SM",
    ];
    if BASES.contains(&unit) {
        return Some(1.0);
    }
    let prefix = unit.chars().next()?;
    let scale = match prefix {
        'n' => 1e-9,
        'u' | 'µ' | 'μ' => 1e-6,
        'm' => 1e-3,
        'K' | 'k' => 1e3,
        'M' => 1e6,
        'G' => 1e9,
        'T' => 1e12,
        _ => return None,
    };
    let base = &unit[prefix.len_utf8()..];
    (!base.is_empty() && BASES.contains(&base)).then_some(scale)
}

/// The roundest number in binary between two: sizes of buffers are such numbers, and exporters round
/// them to a kilobyte.
pub(super) fn roundest(low: f64, high: f64) -> u64 {
    let (low, high) = (low.max(0.0).ceil() as u64, high.max(0.0).floor() as u64);
    (0..64).rev().map(|bits| high >> bits << bits).find(|found| *found >= low).unwrap_or(high)
}

/// Three sizes as `(64, 2, 1)` or, padded, as `  64    2    1`.
pub(super) fn three(cell: &str) -> Option<[u32; 3]> {
    let bare = cell.trim().trim_start_matches('(').trim_end_matches(')');
    let mut parts = bare.split(|c: char| c == ',' || c.is_whitespace()).filter(|p| !p.is_empty());
    let mut next = || parts.next()?.parse::<u32>().ok();
    let sizes = [next()?, next()?, next()?];
    parts.next().is_none().then_some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_profilers_write_them() {
        assert_eq!(number("53,261,312"), Ok(53_261_312.0));
        assert_eq!(number("1,759,000.00"), Ok(1_759_000.0));
        assert_eq!(number("-0.5"), Ok(-0.5));
        assert_eq!(leading_number("344 (8; 4; 332)"), Ok(344.0));
        assert_eq!(picoseconds("3950466075123", 1e3), Ok(3_950_466_075_123_000));
        assert_eq!(picoseconds("8.362723", 1e12), Ok(8_362_723_000_000));
    }

    #[test]
    fn decimal_commas_are_told_from_thousands() {
        for cell in ["18,1", "1.234.567", "1.234,5", "0,89", "12,3456", "1\u{202f}234"] {
            assert_eq!(number(cell), Err(Odd::Locale), "{cell}");
        }
        for cell in ["", "abc", "inf", "NaN", "1;2", "(1", "--1", "32.00; 32.00"] {
            assert_eq!(number(cell), Err(Odd::NotANumber), "{cell}");
        }
        assert_eq!(whole("-3"), Err(Odd::NotANumber));
        assert_eq!(small("4294967296"), Err(Odd::NotANumber));
        assert_eq!(picoseconds("99999999999999999999", 1e3), Err(Odd::NotANumber));
    }

    #[test]
    fn units_of_all_spellings() {
        for unit in ["ns", "nsecond", "nsec"] {
            assert_eq!(time_unit_ps(unit), Some(1e3));
        }
        for (unit, scale) in [
            ("usecond", 1e-6),
            ("us", 1e-6),
            ("cycle/usecond", 1e6),
            ("cycle/nsecond", 1e9),
            ("Ghz", 1e9),
            ("GHz", 1e9),
            ("hz", 1.0),
            ("Mbyte", 1e6),
            ("byte/block", 1.0),
            ("Kbyte/block", 1e3),
            ("inst/cycle", 1.0),
            ("", 1.0),
        ] {
            let found = metric_scale(unit).unwrap();
            assert!((found / scale - 1.0).abs() < 1e-12, "{unit}: {found}");
        }
        assert_eq!(metric_scale("furlong"), None);
        assert_eq!(metric_scale("m"), None);
        assert_eq!(size_unit("MB", 1024.0), Some(1_048_576.0));
    }

    #[test]
    fn rounded_sizes_become_round_in_binary() {
        for (thousands, exact) in [(0.0, 0), (16.0, 16_384), (82.0, 81_920), (49.0, 49_152)] {
            assert_eq!(roundest(1e3 * thousands - 500.0, 1e3 * thousands + 500.0), exact);
        }
        assert_eq!(roundest(8.0, 8.0), 8);
        assert_eq!(roundest(7.2, 7.8), 7);
    }

    #[test]
    fn shapes_in_both_spellings() {
        assert_eq!(three("(64, 2, 1)"), Some([64, 2, 1]));
        assert_eq!(three("91344    1    1"), Some([91_344, 1, 1]));
        assert_eq!(three("(64, 2)"), None);
        assert_eq!(three("1 2 3 4"), None);
    }
}
