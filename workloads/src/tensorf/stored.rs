//! Sparsely stored factors as a GPU would decode them in software: what the warps of a sample launch find
//! around their samples. A warp goes the way of any of its lanes, so that what counts is whether some lane has
//! something to decode. Counted over some warps of real samples; left out: lanes that wait for others within
//! a search.

use std::ops::Range;

use super::encoded::{EncodedArray, EncodedFactors};
use super::{Factors, Mode};
use crate::ops::PlaneSample;
use crate::ops::plane_sample::Stored;
use crate::samples::SampleSet;
use crate::sparse::Format;

/// Samples of a warp.
const WARP: usize = 32;
/// Warps that are looked at in each window of samples.
const WARPS: usize = 64;

/// What decoding components of a plane or a line takes for samples at these places.
pub fn stored(
    factors: &Factors,
    encoded: &EncodedFactors,
    (mode, line): (usize, bool),
    components: Range<usize>,
    sample: &PlaneSample,
    places: &SampleSet,
) -> Option<Stored> {
    let array = if line { encoded.lines.get(mode)? } else { encoded.planes.get(mode)? };
    let own = array.components.get(components.clone())?;
    let from = factors.modes.get(mode)?;
    let bits: u64 = own.iter().map(|component| component.bits).sum();
    let mut found = Found::default();
    for window in &places.windows {
        let warps: Vec<&[[f32; 3]]> = window.positions.chunks(WARP).collect();
        let every = warps.len().div_ceil(WARPS).max(1);
        for warp in warps.into_iter().step_by(every) {
            found.warp(array, from, line, components.clone(), sample, warp);
        }
    }
    let all = found.places.max(1.0);
    Some(Stored {
        channel_bytes: bits as f64 / 8.0 / own.len().max(1) as f64,
        blocks: (array.across[0] * array.across[1]) as u32,
        cells: array.shape.cells(),
        bitmaps: found.bitmaps / all,
        coordinates: found.coordinates / all,
        steps: found.steps / found.coordinates.max(1.0),
        values: found.values / all,
    })
}

/// Sums over warps, channels and taps.
#[derive(Debug, Default)]
struct Found {
    places: f64,
    bitmaps: f64,
    coordinates: f64,
    steps: f64,
    values: f64,
}

impl Found {
    fn warp(
        &mut self,
        array: &EncodedArray,
        mode: &Mode,
        line: bool,
        components: Range<usize>,
        sample: &PlaneSample,
        warp: &[[f32; 3]],
    ) {
        let (columns, rows) = (array.shape.columns as usize, array.shape.rows as usize);
        for tap in 0..sample.taps() {
            let places: Vec<usize> =
                warp.iter().map(|position| sample.place(position, tap) as usize).collect();
            let block = |place: usize| {
                let (x, y) = (place % array.size[0], place / array.size[0]);
                y / rows * array.across[0] + x / columns
            };
            for number in components.clone() {
                let component = &array.components[number];
                let fullest = places
                    .iter()
                    .filter_map(|place| component.blocks.get(block(*place)))
                    .map(|block| block.full)
                    .max()
                    .unwrap_or(0);
                self.places += 1.0;
                if fullest == 0 {
                    continue;
                }
                if component.format == Format::Coordinates {
                    self.coordinates += 1.0;
                    self.steps += f64::from(u32::BITS - fullest.leading_zeros());
                } else {
                    self.bitmaps += 1.0;
                }
                let some = places.iter().any(|place| mode.value(line, number, *place) != 0.0);
                self.values += f64::from(u8::from(some));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Positions;
    use crate::scene::Scene;
    use crate::sparse::Choice;
    use crate::tensorf::{DENSITY, Encoding, Synthetic};
    use std::sync::Arc;

    /// Nothing is decoded where the field is empty, and what is decoded is what lies there.
    #[test]
    fn shares_follow_the_field() {
        let scene = Scene::shipped("statue").unwrap();
        let factors = Synthetic { grid: 64, ..Synthetic::default() }.factors(&scene);
        let encoding =
            Encoding { choice: Choice::Smaller, bits: 16, plane_block: 16, line_block: 64 };
        let encoded = EncodedFactors::new(&factors, encoding);
        let at = |place: [f32; 3]| {
            let set = SampleSet::whole(vec![place; 64]);
            let sample = PlaneSample {
                axes: vec![0, 1],
                size: vec![factors.grid[0] as u64, factors.grid[1] as u64],
                channels: DENSITY as u32,
                samples: 64,
                positions: Positions::Known(Arc::new(set.clone())),
                stored: None,
            };
            stored(&factors, &encoded, (0, false), 0..DENSITY, &sample, &set).unwrap()
        };
        // Above the plinth, beside the head.
        let (corner, middle) = (at([0.01, 0.99, 0.01]), at([0.5; 3]));
        assert!(corner.values < 0.2 * middle.values, "{corner:?} {middle:?}");
        assert!(middle.bitmaps + middle.coordinates >= middle.values);
        assert!(middle.is_possible() && middle.channel_bytes > 0.0);
        let full = (0..DENSITY).filter(|component| {
            let [columns, rows, _] = factors.grid;
            let first = |texels: usize| (texels - 1) / 2;
            let place =
                |tap: usize| first(columns) + (tap & 1) + (first(rows) + (tap >> 1)) * columns;
            (0..4).any(|tap| factors.modes[0].value(false, *component, place(tap)) != 0.0)
        });
        assert_eq!(middle.values > 0.0, full.count() > 0);
    }
}
