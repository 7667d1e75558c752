//! Instructions per thread of the kernels of neural graphics.
//!
//! Counted from machine code: kernels of our own with the structure of instant-ngp's and
//! tiny-cuda-nn's (loops, types, layouts), compiled for `sm_86` by NVRTC 12.8 and disassembled;
//! parts that depend on data are counted per trip. Another way to pass one table changed a count
//! by ten per cent, so that is how far they can be trusted. Which pipe executes an instruction
//! follows NVIDIA's throughput tables: multiply-adds of integers run on the fp32 side, logic,
//! shifts and comparisons on the other. Left out: control instructions, which issue beside others
//! but are counted as issue slots (`int32` side).

use serde::{Deserialize, Serialize};

use crate::encoding::{Grid, Interpolation};

/// What one thread executes; as every lane does the same, also warp instructions of a warp.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Work {
    /// fp32 side: FFMA, FMUL, FADD, IMAD.
    pub fp32: f64,
    /// Integer, logic, comparison, conversion to packed types, control.
    pub int32: f64,
    /// Packed half precision.
    pub fp16x2: f64,
    /// Special functions and conversions.
    pub sfu: f64,
    /// Memory instructions.
    pub memory: f64,
    /// Instructions on the longest dependent path.
    pub chain: f64,
    /// Registers of a thread.
    pub registers: u32,
}

impl Work {
    /// `(fma, imad, alu, fp16, special, memory, control)` of a listing; the chain is taken as a
    /// third of the instructions, as compilers interleave about three independent ones.
    pub(super) fn listed(counts: [f64; 7], registers: u32) -> Self {
        let [fma, imad, alu, fp16, special, memory, control] = counts;
        let all = fma + imad + alu + fp16 + special;
        Self {
            fp32: fma + imad,
            int32: alu + control,
            fp16x2: fp16,
            sfu: special,
            memory,
            chain: all / 3.0,
            registers,
        }
    }
}

/// One thread of the grid encoding for one level. Dense and hashed levels execute the same
/// instructions (the hash is always worked out and chosen by predicate); the reciprocal of the
/// run-time modulo is worked out once.
pub fn grid(grid: &Grid, backward: bool) -> Work {
    let dims = f64::from(grid.dims);
    let features = f64::from(grid.features);
    let corners = grid.corners() as f64;
    // Counted: 3-D with 2, 4, 8 features and 2-D with 2 features; what they share is linear in
    // corners, with 12.4 multiply-adds and 14.4 others a corner and about 13 and 24 fixed.
    let (fma, imad) = if grid.dims == 2 { (12.0, 54.0) } else { (23.0, 108.0) };
    let alu = if grid.dims == 2 { 70.0 } else { 138.0 };
    let full = f64::from(1_u32 << grid.dims);
    let share = corners / full;
    let smooth = if grid.interpolation == Interpolation::Smoothstep { 3.0 * dims } else { 0.0 };
    let handled = if backward { 2.0 } else { features };
    let fp16 = corners * (handled / 2.0).max(1.0);
    let memory = if backward { dims + 2.0 + corners } else { dims + corners + features };
    Work {
        // The compiled loop asks for a few corners, uses them, and asks for the rest: two waits.
        chain: 120.0,
        ..Work::listed(
            [
                fma * share + smooth,
                imad * share,
                alu * share,
                fp16,
                if grid.dims == 2 { 9.0 } else { 11.0 },
                memory,
                if backward { 19.0 } else { 24.0 },
            ],
            if backward { 36 } else { 48 },
        )
    }
}

/// Spherical harmonics of degree four: a direction read from a record, sixteen halves written.
pub fn harmonics() -> Work {
    Work::listed([37.0, 24.0, 38.0, 0.0, 0.0, 19.0, 5.0], 40)
}

/// Parts of the kernel that walks rays to their next samples.
pub mod march {
    use super::Work;

    /// Entry, box test, exit of a ray.
    pub fn fixed() -> Work {
        Work::listed([12.0, 8.0, 18.0, 0.0, 3.0, 10.0, 9.0], 40)
    }

    /// Test of a cell and way through it, on the first cascade or a larger one.
    pub fn voxel(cascades: bool) -> Work {
        if cascades {
            Work::listed([31.0, 16.0, 71.0, 0.0, 9.0, 1.0, 21.0], 40)
        } else {
            Work::listed([29.0, 18.0, 52.0, 0.0, 7.0, 1.0, 17.0], 40)
        }
    }

    /// One smallest step on that way; four of its five dependent instructions carry over.
    pub fn fine_step() -> Work {
        Work { chain: 4.0, ..Work::listed([2.0, 0.0, 3.0, 0.0, 0.0, 0.0, 1.0], 40) }
    }

    /// Test of a full cell and the record of a sample.
    pub fn sample(cascades: bool) -> Work {
        if cascades {
            Work::listed([25.0, 19.0, 66.0, 0.0, 7.0, 8.0, 17.0], 40)
        } else {
            Work::listed([24.0, 20.0, 51.0, 0.0, 6.0, 8.0, 15.0], 40)
        }
    }
}

/// Compositing: what a ray costs, and each of its samples.
pub mod composite {
    use super::Work;

    /// A ray.
    pub fn fixed() -> Work {
        Work::listed([3.0, 4.0, 18.0, 0.0, 0.0, 13.0, 10.0], 40)
    }

    /// A sample, with activations chosen at run time.
    pub fn sample() -> Work {
        Work::listed([27.0, 8.0, 18.0, 4.0, 8.0, 8.0, 11.0], 40)
    }
}

/// Closing gaps: a ray that goes on, or is put aside as ended.
pub fn compact() -> Work {
    Work::listed([0.0, 11.0, 9.0, 0.0, 3.0, 27.0, 10.0], 28)
}

/// Making a ray from a pixel.
pub fn init_ray() -> Work {
    Work::listed([42.0, 6.0, 42.0, 0.0, 8.0, 13.0, 11.0], 47)
}

/// Writing a finished ray to its pixel, or accumulating, tone-mapping and copying pixels.
pub fn pixel() -> Work {
    Work::listed([20.0, 6.0, 12.0, 0.0, 4.0, 8.0, 4.0], 24)
}

/// Adam: a parameter with a gradient, and one without (which is skipped).
pub mod adam {
    use super::Work;

    /// With a gradient.
    pub fn full() -> Work {
        Work::listed([23.0, 8.0, 31.0, 1.0, 9.0, 10.0, 11.0], 22)
    }

    /// Without.
    pub fn skipped() -> Work {
        Work::listed([1.0, 4.0, 4.0, 1.0, 1.0, 1.0, 8.0], 22)
    }
}

/// Making training samples: rays through random pixels, walked twice.
pub mod training_samples {
    use super::Work;

    /// Choice of a pixel (with some 20 steps of the generator), ray, place for the samples.
    pub fn fixed() -> Work {
        Work::listed([54.0, 70.0 + 400.0, 108.0 + 220.0, 0.0, 20.0, 24.0, 40.0], 48)
    }

    /// A full cell while counting.
    pub fn counted() -> Work {
        Work::listed([16.0, 17.0, 51.0, 0.0, 3.0, 1.0, 13.0], 48)
    }

    /// A full cell while writing.
    pub fn written() -> Work {
        Work::listed([27.0, 25.0, 52.0, 0.0, 6.0, 8.0, 14.0], 48)
    }
}

/// Loss: what a ray costs and each of its samples, on the way forth and back.
pub mod loss {
    use super::Work;

    /// A ray.
    pub fn fixed() -> Work {
        Work::listed([44.0, 43.0 + 300.0, 127.0 + 340.0, 0.0, 14.0, 18.0, 30.0], 98)
    }

    /// A sample on the way forth.
    pub fn forward() -> Work {
        Work::listed([17.0, 1.0, 8.0, 4.0, 8.0, 2.0, 1.0], 98)
    }

    /// A sample on the way back, with its compacted record.
    pub fn backward() -> Work {
        Work::listed([58.0, 4.0, 23.0, 4.0, 10.0, 16.0, 1.0], 98)
    }
}
