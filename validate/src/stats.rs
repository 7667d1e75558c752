//! Error statistics: error = (predicted − measured) / measured, as reported everywhere.

use serde::Serialize;

/// Figures of a set of rows; percentages of absolute errors unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Figures {
    /// Rows compared.
    pub rows: usize,
    /// Mean absolute error.
    pub mape_pct: f64,
    /// Median absolute error.
    pub median_ape_pct: f64,
    /// 90th percentile of absolute errors.
    pub p90_ape_pct: f64,
    /// Mean signed error.
    pub bias_pct: f64,
    /// Pearson correlation of logarithms; 0 where it is not defined.
    pub correlation: f64,
}

impl Figures {
    /// Statistics of `(predicted, measured)` pairs with positive values.
    pub fn of(pairs: impl Iterator<Item = (f64, f64)>) -> Self {
        let pairs: Vec<(f64, f64)> = pairs.filter(|(p, m)| *p > 0.0 && *m > 0.0).collect();
        if pairs.is_empty() {
            return Self::default();
        }
        let n = pairs.len() as f64;
        let errors: Vec<f64> = pairs.iter().map(|(p, m)| (p - m) / m).collect();
        let mut absolute: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
        absolute.sort_by(f64::total_cmp);
        let quantile = |q: f64| absolute[((absolute.len() - 1) as f64 * q).round() as usize];
        Self {
            rows: pairs.len(),
            mape_pct: absolute.iter().sum::<f64>() / n * 100.0,
            median_ape_pct: quantile(0.5) * 100.0,
            p90_ape_pct: quantile(0.9) * 100.0,
            bias_pct: errors.iter().sum::<f64>() / n * 100.0,
            correlation: correlation(&pairs),
        }
    }
}

impl Figures {
    /// The figures as people read them, in the order of the fields.
    pub fn cells(&self) -> [String; 6] {
        [
            self.rows.to_string(),
            format!("{:.1}", self.mape_pct),
            format!("{:.1}", self.median_ape_pct),
            format!("{:.1}", self.p90_ape_pct),
            format!("{:+.1}", self.bias_pct),
            // Two rows always lie on a line.
            if self.rows < 3 { "–".to_owned() } else { format!("{:.3}", self.correlation) },
        ]
    }
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let logs: Vec<(f64, f64)> = pairs.iter().map(|(p, m)| (libm::log(*p), libm::log(*m))).collect();
    let mean = |pick: fn(&(f64, f64)) -> f64| logs.iter().map(pick).sum::<f64>() / n;
    let (mx, my) = (mean(|l| l.0), mean(|l| l.1));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in &logs {
        xy += (x - mx) * (y - my);
        xx += (x - mx) * (x - mx);
        yy += (y - my) * (y - my);
    }
    // Equal values differ from their mean by rounding.
    let varies = |sum: f64| sum > 1e-18 * n;
    if varies(xx) && varies(yy) { xy / libm::sqrt(xx * yy) } else { 0.0 }
}

/// Size bucket by measured time.
pub fn bucket(measured_us: f64) -> &'static str {
    match measured_us {
        t if t < 20.0 => "< 20 us",
        t if t < 100.0 => "20-100 us",
        _ => ">= 100 us",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_known_errors() {
        let figures = Figures::of([(110.0, 100.0), (90.0, 100.0), (300.0, 200.0)].into_iter());
        assert_eq!(figures.rows, 3);
        assert!((figures.mape_pct - 70.0 / 3.0).abs() < 1e-9);
        assert!((figures.median_ape_pct - 10.0).abs() < 1e-9);
        assert!((figures.bias_pct - 50.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn perfect_predictions_correlate() {
        let figures = Figures::of((1..10).map(|i| (f64::from(i), f64::from(i))));
        assert!((figures.correlation - 1.0).abs() < 1e-12);
        // One prediction for all says nothing of which is longer.
        let same = (1..1000).map(|i| (1155.7, 1000.0 + f64::from(i)));
        assert_eq!(Figures::of(same).correlation, 0.0);
        assert_eq!(figures.mape_pct, 0.0);
    }
}
