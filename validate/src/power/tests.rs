//! The power suite on made-up rows.

use super::*;

fn row(cells: &[(&str, &str)]) -> Row {
    let mut all = vec![
        ("gpu", "V100"),
        ("benchmark", "real"),
        ("kernel", "add"),
        ("param", "input0"),
        ("power_w", "150"),
        ("runtime_us", "1000"),
        ("core_mhz", "1380"),
        ("mem_mhz", "877"),
    ];
    for (name, value) in cells {
        match all.iter_mut().find(|(known, _)| known == name) {
            Some(cell) => cell.1 = value,
            None => all.push((name, value)),
        }
    }
    Row::of(&all)
}

fn predicted(cells: &[(&str, &str)]) -> Predicted {
    let entry = Catalog::embedded().get("v100-pcie-16gb").unwrap();
    let table = CounterTable::of(&[], &Catalog::embedded());
    let case = Case::of(&row(cells), (&entry.id, &entry.gpu), &table).unwrap();
    case.predict(&entry.gpu).unwrap()
}

const BUSY: [(&str, &str); 4] =
    [("act_sm", "1"), ("act_fp32", "0.2"), ("act_fp64", "0"), ("act_dram", "0.85")];

#[test]
fn measured_power_is_not_looked_at() {
    let other = [&BUSY[..], &[("power_w", "33")]].concat();
    assert_eq!(predicted(&BUSY), predicted(&other));
}

#[test]
fn activities_and_clocks_count() {
    let plain = predicted(&BUSY).watts;
    for (cell, factor) in [(("act_fp32", "0.6"), 1.1), (("act_dram", "0.1"), 0.9)] {
        let watts = predicted(&[&BUSY[..], &[cell]].concat()).watts;
        assert!((watts / plain > factor) == (factor > 1.0), "{cell:?} {watts} {plain}");
    }
    let slow = predicted(&[&BUSY[..], &[("core_mhz", "600")]].concat()).watts;
    assert!(slow < 0.75 * plain, "{slow} {plain}");
    let cleared = predicted(&[&BUSY[..], &[("benchmark", "microbenchmark")]].concat()).watts;
    assert!(cleared < 0.97 * plain, "{cleared} {plain}");
}

#[test]
fn a_name_alone_is_not_enough() {
    let entry = Catalog::embedded().get("v100-pcie-16gb").unwrap();
    let table = CounterTable::of(&[], &Catalog::embedded());
    let error = Case::of(&row(&[]), (&entry.id, &entry.gpu), &table).unwrap_err();
    assert!(error.contains("name"), "{error}");
}

#[test]
fn recorded_rates_decide() {
    let at = |gflops: &str, dram: &str| {
        predicted(&[("benchmark", "gpu-roofline"), ("gflops", gflops), ("dram_gbs", dram)]).watts
    };
    assert!(at("9000", "100") > at("1000", "100") + 20.0);
    assert!(at("1000", "800") > at("1000", "100") + 20.0);
}

#[test]
fn the_best_clock_is_found_within_a_step() {
    let curve = |energies: [(f64, f64); 4]| {
        let points = energies.iter().zip([600.0, 900.0, 1200.0, 1400.0]);
        optimum(points.map(|((m, p), clock)| (clock, *m, *p)).collect()).unwrap()
    };
    assert_eq!(curve([(3.0, 3.0), (2.0, 2.0), (4.0, 4.0), (5.0, 5.0)]), (true, 0.0));
    let (near, lost) = curve([(2.0, 9.0), (3.0, 8.0), (4.0, 7.0), (5.0, 6.0)]);
    assert!(!near && (lost - 1.5).abs() < 1e-9);
    assert!(optimum(vec![(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)]).is_none());
}

#[test]
fn a_model_that_is_off_by_a_factor_still_follows_the_clocks() {
    let at = |clock: f64, power: (f64, f64), time: (f64, f64)| PowerRow {
        reference: String::new(),
        gpu: "p100".to_owned(),
        benchmark: "real".to_owned(),
        kernel: "add".to_owned(),
        basis: Basis::Counters,
        core_mhz: clock,
        mem_mhz: 715.0,
        measured_w: power.0,
        predicted_w: power.1,
        at_measured_time_w: power.1,
        limit_w: 250.0,
        measured_us: time.0,
        predicted_us: Some(time.1),
    };
    let rows = [
        at(1328.0, (100.0, 150.0), (10.0, 20.0)),
        at(1000.0, (80.0, 120.0), (12.0, 24.0)),
        at(600.0, (50.0, 90.0), (20.0, 40.0)),
    ];
    let shapes = shapes(&rows);
    let time = shapes[&("p100", "real", true)];
    assert!(time.rows == 2 && time.mape_pct < 1e-9, "{time:?}");
    // Of power the middle clock follows, and the lowest is 0.6 instead of 0.5 of the highest.
    let power = shapes[&("p100", "real", false)];
    assert!((power.mape_pct - 10.0).abs() < 1e-9, "{power:?}");
}

#[test]
fn clocks_that_cannot_have_been_held_are_seen() {
    let at = |clock: &str, time: &str| row(&[("core_mhz", clock), ("runtime_us", time)]);
    // Bound by arithmetic, then by memory; at 405 MHz the board ran at half of that.
    let rows = [at("1380", "1000"), at("1000", "1380"), at("690", "1400"), at("405", "4800")];
    assert_eq!(unheld(&rows), BTreeSet::from([3]));
    // Another input is another sweep.
    let other = row(&[("core_mhz", "405"), ("runtime_us", "9000"), ("param", "input1")]);
    assert!(unheld(&[at("1380", "1000"), other]).is_empty());
}
