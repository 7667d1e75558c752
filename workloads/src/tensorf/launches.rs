//! The authors' renderer as launches on a GPU: PyTorch, fp32, chunks of 4096 rays, each chunk with
//! all of its steps in memory at once (apchenstu/TensoRF at 6a1e23b, `tensorBase.forward`). Passes over
//! elements are those that the code asks for, one launch each, with the depth map that it always makes; a mask that
//! is used as an index is counted, listed and turned into places by row and column first (PyTorch, `Nonzero.cu`), every
//! time anew; interpolated reads have the addresses of real samples. Factors may be stored sparsely and decoded where
//! they are read, which nobody's renderer does. Left out: JIT fusion of elementwise passes, passes over rays rather
//! than steps.

use std::sync::Arc;

use super::encoded::EncodedFactors;
use super::stored::stored;
use super::uniform::UniformCounts;
use super::{APPEARANCE, AXES, COMPONENTS, DENSITY, FEATURES, Factors, HIDDEN, INPUTS, MODES};
use crate::apps::{Frame, Launch, Part};
use crate::ops::{Gemm, Operation, PlaneSample, Reduction, SortKind, SortScan, Streaming};
use crate::samples::{Positions, SampleSet};
use crate::{DType, KernelClass};

/// Rays of a chunk.
const CHUNK: f64 = 4096.0;
/// Bytes of a value.
const VALUE: f64 = 4.0;
/// Bytes of a truth value.
const FLAG: f64 = 1.0;
/// Bytes of a number of a place.
const INDEX: f64 = 8.0;
/// Times that a chunk waits for the host: masks are used as indices nine times and counted each time, and asked twice
/// whether any of theirs is set.
const WAITS: f64 = 11.0;

/// Builds the launches of a chunk.
struct Chunk<'a> {
    times: f64,
    launches: Vec<Launch>,
    encoded: Option<&'a EncodedFactors>,
}

impl Chunk<'_> {
    fn add(&mut self, name: &'static str, part: Part, operation: Operation) {
        self.launches.push(Launch { name, part, round: 0, times: self.times, operation });
    }

    /// A pass over elements with so many bytes read and written for each.
    fn pass(&mut self, name: &'static str, elements: f64, read: f64, written: f64, special: f64) {
        let elements = elements.max(1.0);
        let pass = Streaming {
            read_bytes: elements * read,
            write_bytes: elements * written,
            sfu_per_element: special,
            ..Streaming::new(KernelClass::Elementwise, elements)
        };
        self.add(name, Part::Rest, Operation::Streaming(pass));
    }

    /// Elements that a mask chooses, copied: counted, listed, found by row and column, then moved.
    fn select(&mut self, name: &'static str, of: f64, chosen: f64, bytes: f64) {
        self.reduce(name, of, 1.0, DType::Bool);
        let scan = SortScan {
            kind: SortKind::Scan,
            elements: of.max(1.0) as u64,
            key_bytes: FLAG,
            value_bytes: 0.0,
            recorded: None,
        };
        self.add(name, Part::Rest, Operation::SortScan(scan));
        self.pass(name, chosen, INDEX, 2.0 * INDEX, 0.0);
        self.pass(name, chosen, 2.0 * INDEX + bytes, bytes, 0.0);
    }

    fn reduce(&mut self, name: &'static str, inputs: f64, outputs: f64, dtype: DType) {
        let reduction = Reduction {
            inputs: inputs.max(1.0),
            outputs: outputs.clamp(1.0, inputs.max(1.0)),
            dtype,
            recorded: None,
        };
        self.add(name, Part::Rest, Operation::Reduction(reduction));
    }

    /// Places in [-1, 1] along the box: less its corner, times its scale, less one.
    fn normalise(&mut self, places: f64) {
        for _ in 0..3 {
            self.pass("scale places", places * 3.0, VALUE, VALUE, 0.0);
        }
    }

    fn product(&mut self, name: &'static str, rows: f64, inputs: usize, outputs: usize) {
        let gemm = Gemm::new(rows.max(1.0) as u64, outputs as u64, inputs as u64, DType::Fp32);
        self.add(name, Part::Mlp, Operation::Gemm(gemm));
    }

    /// Planes and lines of all modes for samples, and their products.
    fn sample(
        &mut self,
        factors: &Factors,
        places: &Arc<SampleSet>,
        samples: f64,
        channels: usize,
    ) {
        let (plane, line, multiply) = if channels == DENSITY {
            ("sample density planes", "sample density lines", "density products")
        } else {
            ("sample appearance planes", "sample appearance lines", "appearance products")
        };
        // Pairs by plane picked and stacked, ones by line stacked, once more with zeros beside them; then each
        // mode's picked out again.
        for coordinates in [6.0, 6.0, 3.0, 6.0, 12.0] {
            self.pass("stack coordinates", samples * coordinates, VALUE, VALUE, 0.0);
        }
        self.pass("stack coordinates", samples * 3.0, 0.0, VALUE, 0.0);
        let components = if channels == DENSITY { 0..DENSITY } else { DENSITY..COMPONENTS };
        for (number, (mode, (u, v, w))) in factors.modes.iter().zip(AXES).enumerate() {
            let size = mode.size.map(|n| n as u64);
            for (name, axes, size) in
                [(plane, vec![u, v], vec![size[0], size[1]]), (line, vec![w], vec![size[2]])]
            {
                let mut sample = PlaneSample {
                    axes,
                    size,
                    channels: channels as u32,
                    samples: samples.max(1.0) as u64,
                    positions: Positions::Known(Arc::clone(places)),
                    stored: None,
                };
                if let Some(encoded) = self.encoded {
                    let of = (number, sample.axes.len() == 1);
                    sample.stored =
                        stored(factors, encoded, of, components.clone(), &sample, places);
                }
                self.add(name, Part::Encoding, Operation::PlaneSample(sample));
            }
            if channels == DENSITY {
                self.pass(multiply, samples * channels as f64, 2.0 * VALUE, VALUE, 0.0);
                self.reduce("density sum", samples * channels as f64, samples, DType::Fp32);
                self.pass("density sum", samples, 2.0 * VALUE, VALUE, 0.0);
            }
        }
        if channels != DENSITY {
            let all = samples * (MODES * channels) as f64;
            self.pass("join planes", all, VALUE, VALUE, 0.0);
            self.pass("join lines", all, VALUE, VALUE, 0.0);
            self.pass(multiply, all, 2.0 * VALUE, VALUE, 0.0);
        }
    }

    /// Places of all steps, which of them lie in the box, and which of those in occupied cells.
    fn steps(&mut self, steps: f64, inside: f64, cubes_per_axis: u32, occupied: &Arc<SampleSet>) {
        self.pass("place steps", steps, 0.0, VALUE, 0.0);
        self.pass("place steps", steps * 3.0, VALUE / 3.0, VALUE, 0.0);
        self.pass("place steps", steps * 3.0, VALUE, VALUE, 0.0);
        self.pass("test against box", steps * 3.0, VALUE, FLAG, 0.0);
        self.pass("test against box", steps * 3.0, VALUE, FLAG, 0.0);
        self.pass("test against box", steps * 3.0, 2.0 * FLAG, FLAG, 0.0);
        self.reduce("test against box", steps * 3.0, steps, DType::Bool);
        self.pass("test against box", steps, FLAG, FLAG, 0.0);
        self.pass("step lengths", steps, 2.0 * VALUE, VALUE, 0.0);
        self.pass("step lengths", steps, VALUE, VALUE, 0.0);
        self.select("choose steps in box", steps, inside, 3.0 * VALUE);
        self.normalise(inside);
        let mask = PlaneSample {
            axes: vec![0, 1, 2],
            size: vec![u64::from(cubes_per_axis); 3],
            channels: 1,
            samples: inside.max(1.0) as u64,
            // Neighbours along rays, as those that are occupied.
            positions: Positions::Known(Arc::clone(occupied)),
            stored: None,
        };
        self.add("sample occupancy", Part::Encoding, Operation::PlaneSample(mask));
        self.pass("occupied?", inside, VALUE, FLAG, 0.0);
        // Not in the box, or not occupied: taken out by the mask, changed, and put back by it.
        self.pass("combine masks", steps, FLAG, FLAG, 0.0);
        self.pass("combine masks", inside, FLAG, FLAG, 0.0);
        self.select("combine masks", steps, inside, FLAG);
        self.pass("combine masks", inside, 2.0 * FLAG, FLAG, 0.0);
        self.select("combine masks", steps, inside, FLAG);
        self.pass("combine masks", steps, FLAG, FLAG, 0.0);
    }

    /// Weights of all steps from their densities.
    fn weights(&mut self, steps: f64) {
        self.pass("step lengths", steps, VALUE, VALUE, 0.0);
        self.pass("opacity", steps, VALUE, VALUE, 0.0);
        self.pass("opacity", steps, 2.0 * VALUE, VALUE, 0.0);
        self.pass("opacity", steps, VALUE, VALUE, 1.0);
        self.pass("opacity", steps, VALUE, VALUE, 0.0);
        for _ in 0..3 {
            self.pass("transmittance", steps, VALUE, VALUE, 0.0);
        }
        let scan = SortScan {
            kind: SortKind::Scan,
            elements: steps.max(1.0) as u64,
            key_bytes: VALUE,
            value_bytes: 0.0,
            recorded: None,
        };
        self.add("transmittance", Part::Rest, Operation::SortScan(scan));
        self.pass("weights", steps, 2.0 * VALUE, VALUE, 0.0);
        self.pass("weights that matter", steps, VALUE, FLAG, 0.0);
        self.reduce("weights that matter", steps, 1.0, DType::Bool);
    }

    /// Basis and network for shaded steps.
    fn network(&mut self, coloured: f64) {
        self.product("basis", coloured, MODES * APPEARANCE, FEATURES);
        for octaves in [4.0 * FEATURES as f64, 4.0 * 3.0] {
            self.pass("positional encoding", coloured * octaves / 2.0, VALUE, VALUE, 0.0);
            self.pass("positional encoding", coloured * octaves / 2.0, VALUE, VALUE, 1.0);
            self.pass("positional encoding", coloured * octaves / 2.0, VALUE, VALUE, 1.0);
            self.pass("positional encoding", coloured * octaves, VALUE, VALUE, 0.0);
        }
        self.pass("join inputs", coloured * INPUTS as f64, VALUE, VALUE, 0.0);
        for (inputs, outputs) in [(INPUTS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 3)] {
            self.product("network", coloured, inputs, outputs);
            let special = f64::from(u8::from(outputs == 3));
            self.pass("activation", coloured * outputs as f64, VALUE, VALUE, special);
        }
    }
}

/// A frame on a GPU: counts of uniform sampling with places of occupied and shaded samples. With `encoded`, the
/// kernels that read planes and lines decode them.
pub fn frame(
    factors: &Factors,
    encoded: Option<&EncodedFactors>,
    cubes_per_axis: u32,
    counts: &UniformCounts,
    occupied: &Arc<SampleSet>,
    shaded: &Arc<SampleSet>,
) -> Frame {
    let chunks = libm::ceil(counts.rays / CHUNK).max(1.0);
    let per = |count: f64| count / chunks;
    let (steps, inside) = (per(counts.steps), per(counts.inside));
    let (dense, coloured) = (per(counts.occupied), per(counts.shaded));
    let mut chunk = Chunk { times: chunks, launches: Vec::new(), encoded };
    chunk.steps(steps, inside, cubes_per_axis, occupied);
    // Density.
    chunk.pass("clear densities", steps, 0.0, VALUE, 0.0);
    chunk.pass("clear colours", steps * 3.0, 0.0, VALUE, 0.0);
    chunk.reduce("combine masks", steps, 1.0, DType::Bool);
    chunk.normalise(steps);
    chunk.select("choose occupied steps", steps, dense, 3.0 * VALUE);
    chunk.sample(factors, occupied, dense, DENSITY);
    chunk.pass("density", dense, VALUE, VALUE, 0.0);
    chunk.pass("density", dense, VALUE, VALUE, 2.0);
    chunk.select("scatter density", steps, dense, VALUE);
    chunk.weights(steps);
    // Colour: places are chosen for the features and, unused, for the network.
    chunk.select("choose shaded steps", steps, coloured, 3.0 * VALUE);
    chunk.sample(factors, shaded, coloured, APPEARANCE);
    chunk.select("choose shaded steps", steps, coloured, 3.0 * VALUE);
    chunk.select("choose shaded steps", steps, coloured, 3.0 * VALUE);
    chunk.network(coloured);
    chunk.select("scatter colours", steps, coloured, 3.0 * VALUE);
    chunk.reduce("sum weights", steps, CHUNK, DType::Fp32);
    chunk.pass("weigh colours", steps * 3.0, 4.0 / 3.0 * VALUE, VALUE, 0.0);
    chunk.reduce("sum colours", steps * 3.0, CHUNK * 3.0, DType::Fp32);
    chunk.pass("background", CHUNK * 3.0, 2.0 * VALUE, VALUE, 0.0);
    chunk.pass("depth", steps, 2.0 * VALUE, VALUE, 0.0);
    chunk.reduce("depth", steps, CHUNK, DType::Fp32);
    let mut assumptions = vec![
        "PyTorch in fp32, chunks of 4096 rays, every elementwise pass a launch of its own"
            .to_owned(),
        "each chunk takes its share of the frame's samples".to_owned(),
        "instructions of grid_sample are estimated from its structure".to_owned(),
    ];
    if encoded.is_some() {
        assumptions.push(
            "instructions that decode are counted from what warps find, not compiled".to_owned(),
        );
    }
    Frame {
        launches: chunk.launches,
        walk: None,
        pixels: counts.rays,
        queries: counts.shaded,
        host_waits: (chunks * WAITS) as usize,
        assumptions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rays::View;
    use crate::scene::Scene;
    use crate::tensorf::{Field, Sight, Synthetic, uniform};

    #[test]
    fn a_frame_has_what_the_code_launches() {
        let scene = Scene::shipped("statue").unwrap();
        let field = Field::new(Synthetic { grid: 48, ..Synthetic::default() }.factors(&scene), 32);
        let view = View { camera: scene.path.at(0.3).unwrap(), width: 64, height: 64 };
        let (counts, occupied, shaded) =
            uniform::count(&field, &Sight::new(&scene, &view, &field.factors));
        let frame =
            frame(&field.factors, None, 32, &counts, &Arc::new(occupied), &Arc::new(shaded));
        let named = |name: &str| frame.launches.iter().filter(|l| l.name == name).count();
        assert_eq!((named("sample density planes"), named("sample appearance lines")), (3, 3));
        assert_eq!((named("network"), named("basis")), (3, 1));
        for launch in &frame.launches {
            assert!(launch.operation.validate().is_ok(), "{}", launch.name);
        }
        // Nine times a mask is an index, each time counted, listed, found by row and column, and moved by.
        let chosen = ["choose", "scatter", "combine"];
        let moved = |l: &&Launch| {
            chosen.iter().any(|name| l.name.starts_with(name))
                && matches!(l.operation, Operation::SortScan(_))
        };
        assert_eq!(frame.launches.iter().filter(moved).count(), 9);
        assert_eq!(frame.host_waits, 11);
        // One chunk holds this image's rays.
        assert_eq!(frame.launches[0].times, 1.0);
    }
}
