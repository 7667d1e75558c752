//! Where area and power of a description go, part by part, for `lumacycle catalog show`.
//!
//! Of accelerators area, leakage, clocks and the power of every part at work in every clock, beside what the
//! publication states; of GPUs what the board draws anyway, and what each kind of event takes.

use lumacycle_arch::{Accelerator, Budget, Gpu, PartUse, SparseAccelerator};
use lumacycle_engines::GpuEngine;
use lumacycle_engines::gpu::breakdown::{self, Drawn};
use serde_json::{Value, json};

use super::catalog::csv;
use crate::failure::Failure;
use crate::output::{self, short};

/// The parts of a description.
pub enum Parts {
    Accelerator(Silicon),
    Gpu(Board),
}

/// An accelerator's.
pub struct Silicon {
    units: u32,
    process: String,
    temperature_c: f64,
    budget: Budget,
    /// Area of a unit as published, in mm²; 0 = not known.
    published_mm2: f64,
    /// Power of a unit as published, in watts; 0 = not known.
    published_w: f64,
}

/// A GPU's.
pub struct Board {
    clock_mhz: f64,
    limit_w: f64,
    idle_w: f64,
    /// Without work at that clock, and with work on every SM before its events, in watts.
    at_rest_w: (f64, f64),
    parts: Vec<Drawn>,
}

impl Parts {
    pub fn of_accelerator(accelerator: &Accelerator) -> Self {
        Self::Accelerator(Silicon {
            units: accelerator.accelerator.units,
            process: accelerator.accelerator.process.clone(),
            temperature_c: accelerator.technology.temperature_c,
            budget: accelerator.budget(),
            published_mm2: accelerator.published.unit_area.mm2(),
            published_w: accelerator.published.unit_power.watts(),
        })
    }

    pub fn of_sparse(accelerator: &SparseAccelerator) -> Self {
        Self::Accelerator(Silicon {
            units: accelerator.accelerator.units,
            process: accelerator.accelerator.process.clone(),
            temperature_c: accelerator.technology.temperature_c,
            budget: accelerator.budget(),
            published_mm2: accelerator.published.unit_area.mm2(),
            published_w: accelerator.published.unit_power.watts(),
        })
    }

    /// At the clock that simulations use.
    pub fn of_gpu(gpu: &Gpu) -> Self {
        let engine = GpuEngine::new(gpu);
        Self::Gpu(Board {
            clock_mhz: engine.clock_hz() / 1e6,
            limit_w: gpu.power.limit.watts(),
            idle_w: gpu.power.idle.watts(),
            at_rest_w: breakdown::at_rest_w(&engine),
            parts: breakdown::by_part(&engine),
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            Self::Accelerator(silicon) => silicon.text(),
            Self::Gpu(board) => board.text(),
        }
    }

    /// A row for each part, none for sums, so that parts can be stacked.
    pub fn csv(&self, id: &str) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Accelerator(silicon) => {
                let header = [
                    "accelerator",
                    "part",
                    "area_mm2",
                    "area_pct",
                    "full_rate_w",
                    "leakage_w",
                    "clock_w",
                ];
                let area = silicon.budget.area_mm2();
                let rows = silicon.budget.parts.iter().map(|part| {
                    let numbers = [
                        part.area_mm2,
                        part.area_mm2 / area * 100.0,
                        part.full_rate_w,
                        part.leakage_w,
                        part.clock_w,
                    ];
                    let mut row = vec![id.to_owned(), part.part.to_owned()];
                    row.extend(numbers.map(|number| format!("{number:.6}")));
                    row
                });
                csv(&header, rows)
            }
            Self::Gpu(board) => {
                let header = ["gpu", "part", "event", "energy_pj", "per_second", "power_w"];
                let rows = board.parts.iter().map(|part| {
                    let cell = |value: Option<String>| value.unwrap_or_default();
                    vec![
                        id.to_owned(),
                        part.part.to_owned(),
                        part.event.map_or("", |event| event.unit).to_owned(),
                        cell(part.event.map(|event| format!("{:.6}", event.energy_pj))),
                        cell(part.event.map(|event| format!("{:.0}", event.per_second))),
                        format!("{:.6}", part.watts),
                    ]
                });
                csv(&header, rows)
            }
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        match self {
            Self::Accelerator(silicon) => silicon.json(),
            Self::Gpu(board) => board.json(),
        }
    }
}

impl Silicon {
    /// What is published of all units, where anything is.
    fn published(&self) -> (Option<f64>, Option<f64>) {
        let all = |unit: f64| (unit > 0.0).then_some(unit * f64::from(self.units));
        (all(self.published_mm2), all(self.published_w))
    }

    fn text(&self) -> String {
        let budget = &self.budget;
        let header =
            ["part", "area mm²", "of all", "work W", "leakage W", "clock W", "full rate W"];
        let mut table = output::table(&header, 1);
        let all = budget.area_mm2();
        let row = |name: &str, part: &PartUse| {
            let sum = part.full_rate_w + part.leakage_w + part.clock_w;
            vec![
                name.to_owned(),
                short(part.area_mm2),
                format!("{:.1} %", part.area_mm2 / all * 100.0),
                short(part.full_rate_w),
                short(part.leakage_w),
                short(part.clock_w),
                short(sum),
            ]
        };
        for part in &budget.parts {
            table.add_row(row(part.part, part));
        }
        let sum = |of: fn(&PartUse) -> f64| budget.parts.iter().map(of).sum::<f64>();
        let total = PartUse {
            part: "all",
            area_mm2: all,
            full_rate_w: sum(|part| part.full_rate_w),
            leakage_w: sum(|part| part.leakage_w),
            clock_w: sum(|part| part.clock_w),
        };
        table.add_row(row("all", &total));
        if self.units > 1 {
            let n = f64::from(self.units);
            let unit = PartUse {
                part: "each",
                area_mm2: all / n,
                full_rate_w: total.full_rate_w / n,
                leakage_w: total.leakage_w / n,
                clock_w: total.clock_w / n,
            };
            table.add_row(row(&format!("each of {}", self.units), &unit));
        }
        let published = self.published();
        if published.0.or(published.1).is_some() {
            let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
            let mut row = vec!["as published".to_owned(), cell(published.0)];
            row.push(
                published.0.map_or_else(String::new, |mm2| format!("{:.1} %", mm2 / all * 100.0)),
            );
            row.extend(vec![String::new(); 3]);
            row.push(cell(published.1));
            table.add_row(row);
        }
        let mut text =
            format!("area and power by part ({}, {} °C)\n", self.process, self.temperature_c);
        text.push_str(&output::render(&table));
        text.push_str(
            "  full rate: every part works in every clock, which no work asks for; without memory outside of the chip\n",
        );
        text
    }

    fn json(&self) -> Value {
        let budget = &self.budget;
        let parts: Vec<Value> = budget
            .parts
            .iter()
            .map(|part| {
                json!({
                    "part": part.part,
                    "area_mm2": part.area_mm2,
                    "full_rate_w": part.full_rate_w,
                    "leakage_w": part.leakage_w,
                    "clock_w": part.clock_w,
                })
            })
            .collect();
        let published = self.published();
        json!({
            "units": self.units,
            "temperature_c": self.temperature_c,
            "parts": parts,
            "area_mm2": budget.area_mm2(),
            "idle_w": budget.idle_w(),
            "full_rate_w": budget.full_rate_w(),
            "published_area_mm2": published.0,
            "published_w": published.1,
        })
    }
}

impl Board {
    fn text(&self) -> String {
        let mut anyway = output::table(&["drawn whatever happens", "W", "of the limit"], 1);
        let share = |watts: f64| format!("{:.1} %", watts / self.limit_w * 100.0);
        for part in self.parts.iter().filter(|part| part.event.is_none()) {
            anyway.add_row(vec![part.part.to_owned(), short(part.watts), share(part.watts)]);
        }
        let (without, with) = self.at_rest_w;
        anyway.add_row(vec!["all, SMs without work".to_owned(), short(without), share(without)]);
        anyway.add_row(vec!["all, work on every SM".to_owned(), short(with), share(with)]);
        let header = ["event", "energy pJ", "each", "at most, 10¹² a second", "W at that rate"];
        let mut events = output::table(&header, 3);
        for part in &self.parts {
            let Some(event) = part.event else { continue };
            events.add_row(vec![
                part.part.to_owned(),
                short(event.energy_pj),
                event.unit.to_owned(),
                short(event.per_second / 1e12),
                short(part.watts),
            ]);
        }
        if let Some(column) = events.column_mut(1) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
        let mut text = format!(
            "power by part at {:.0} MHz (limit {} W, {} W in idle clocks)\n",
            self.clock_mhz,
            short(self.limit_w),
            short(self.idle_w)
        );
        text.push_str(&output::render(&anyway));
        text.push('\n');
        text.push_str(&output::render(&events));
        text.push_str(
            "  no work reaches all of these rates at once; within the limit the clock gives way\n",
        );
        text
    }

    fn json(&self) -> Value {
        let parts: Vec<Value> = self
            .parts
            .iter()
            .map(|part| match part.event {
                None => json!({"part": part.part, "power_w": part.watts}),
                Some(event) => json!({
                    "part": part.part,
                    "event": event.unit,
                    "energy_pj": event.energy_pj,
                    "per_second": event.per_second,
                    "power_w": part.watts,
                }),
            })
            .collect();
        json!({
            "clock_mhz": self.clock_mhz,
            "limit_w": self.limit_w,
            "idle_w": self.idle_w,
            "at_rest_w": self.at_rest_w.0,
            "at_rest_with_work_w": self.at_rest_w.1,
            "parts": parts,
        })
    }
}
