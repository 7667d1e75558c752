//! What a visit looks up. Around a cube lie a few texels of each plane and line (its patch). Lines are
//! decoded first; components that are zero there, or whose blocks are empty, need no look into their
//! plane. A bitmap answers one place per lookup; coordinates are compared a tree's leaves at a time, all of
//! a block's for each place. Appearance is decoded where a point of the visit is shaded.

use lumacycle_arch::SparseAccelerator;
use lumacycle_workloads::sparse::Format;
use lumacycle_workloads::tensorf::cubes::CubeVisit;
use lumacycle_workloads::tensorf::encoded::EncodedArray;
use lumacycle_workloads::tensorf::{AXES, COMPONENTS, DENSITY, MODES, Mode};

use super::SparseWork;

/// Multiply-adds of a component at a point: four places of a plane, two of a line, their product.
const MACS: f64 = 7.0;
/// Blocks that a patch of a plane can touch, as cubes are no larger than blocks by much.
const MOST_BLOCKS: usize = 16;
/// Density components, as bits.
const DENSITY_BITS: u64 = (1 << DENSITY) - 1;

/// What a visit uses.
#[derive(Debug, Clone)]
pub(super) struct VisitUse {
    /// Places looked up in bitmaps.
    pub lookups: f64,
    /// Passes of trees that compare.
    pub searches: f64,
    /// Passes of trees that add.
    pub reductions: f64,
    /// Multiply-adds of interpolation.
    pub macs: f64,
    /// Density components that are interpolated for a point.
    pub density_components: f64,
    /// Bytes read from the memory of factors.
    pub sram_bytes: f64,
    /// Bytes to and from the memory of patches.
    pub patch_bytes: f64,
    streams: [(u16, u32, u64); MODES * (MOST_BLOCKS + 2)],
    count: usize,
}

impl VisitUse {
    /// Of a visit that needs nothing.
    pub const fn nothing() -> Self {
        Self {
            lookups: 0.0,
            searches: 0.0,
            reductions: 0.0,
            macs: 0.0,
            density_components: 0.0,
            sram_bytes: 0.0,
            patch_bytes: 0.0,
            streams: [(0, 0, 0); MODES * (MOST_BLOCKS + 2)],
            count: 0,
        }
    }

    /// The same again; streams behind the last one are not looked at.
    const fn clear(&mut self) {
        self.lookups = 0.0;
        self.searches = 0.0;
        self.reductions = 0.0;
        self.macs = 0.0;
        self.density_components = 0.0;
        self.sram_bytes = 0.0;
        self.patch_bytes = 0.0;
        self.count = 0;
    }

    /// `(array, block, components)` of the streams that it reads.
    pub fn streams(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        self.streams[..self.count].iter().map(|(a, b, c)| (usize::from(*a), *b as usize, *c))
    }

    fn read(&mut self, array: usize, block: usize, components: u64) {
        if components != 0
            && let Some(slot) = self.streams.get_mut(self.count)
        {
            *slot = (array as u16, block as u32, components);
            self.count += 1;
        }
    }
}

/// Clocks of a lookup: bitmaps longer than the unit counts at once take several.
pub(super) fn clocks_per_lookup(accelerator: &SparseAccelerator) -> f64 {
    let block = f64::from(accelerator.policy.plane_block).powi(2);
    libm::ceil(block / f64::from(accelerator.search.bits)).max(1.0)
}

/// Planes or lines of a mode, by block.
struct Blocks<'a> {
    array: &'a EncodedArray,
    /// Components with something in a block.
    full: Vec<u64>,
    /// Components stored as bitmaps.
    bitmaps: u64,
    /// Components stored as coordinates (or as other lists that are searched).
    lists: u64,
    /// Passes of a tree for a place and bits, by block, then component.
    streams: Vec<(u32, u32)>,
}

impl<'a> Blocks<'a> {
    fn new(array: &'a EncodedArray, leaves: u32) -> Self {
        let mut full = vec![0; array.across[0] * array.across[1]];
        let mut streams = vec![(0, 0); full.len() * COMPONENTS];
        let (mut bitmaps, mut lists) = (0, 0);
        for (number, component) in array.components.iter().enumerate() {
            let bit = 1_u64 << number;
            match component.format {
                Format::Bitmap => bitmaps |= bit,
                Format::Dense => {}
                _ => lists |= bit,
            }
            let own = streams[number..].iter_mut().step_by(COMPONENTS);
            for ((full, stream), block) in full.iter_mut().zip(own).zip(&component.blocks) {
                if block.bits > 0 {
                    *full |= bit;
                }
                *stream = (block.full.div_ceil(leaves), block.bits);
            }
        }
        Self { array, full, bitmaps, lists, streams }
    }
}

/// What lies around every cube.
pub(super) struct Patches<'a> {
    accelerator: &'a SparseAccelerator,
    per_axis: usize,
    planes: Vec<Blocks<'a>>,
    lines: Vec<Blocks<'a>>,
    /// Components that are not zero around each place of the cubes' faces, by mode.
    plane_full: Vec<Vec<u64>>,
    line_full: Vec<Vec<u64>>,
    /// First and last texel of each cube along each axis.
    texels: [Vec<(usize, usize)>; 3],
}

/// Components that are not zero at each place of a plane or a line.
fn masks(mode: &Mode, line: bool) -> Vec<u64> {
    let (density, appearance) = if line {
        (&mode.density_line, &mode.appearance_line)
    } else {
        (&mode.density_plane, &mode.appearance_plane)
    };
    let bits = |values: &[f32]| {
        let fours = values.as_chunks::<4>().0.iter().enumerate();
        fours.fold(0, |mask, (number, four)| {
            let one = |lane: usize| u64::from(four[lane] != 0.0) << lane;
            mask | (one(0) | one(1) | one(2) | one(3)) << (4 * number)
        })
    };
    let pairs = density.chunks_exact(DENSITY).zip(appearance.chunks_exact(COMPONENTS - DENSITY));
    pairs.map(|(own, other)| bits(own) | bits(other) << DENSITY).collect()
}

impl<'a> Patches<'a> {
    pub fn new(accelerator: &'a SparseAccelerator, work: &SparseWork<'a>) -> Self {
        let per_axis = work.trace.per_axis.max(1) as usize;
        let sides = work.factors.extent.size.to_array();
        let blocks = |arrays: &'a [EncodedArray]| -> Vec<Blocks<'a>> {
            arrays.iter().map(|array| Blocks::new(array, accelerator.tree.leaves)).collect()
        };
        let texels = [0, 1, 2].map(|axis: usize| {
            let last = work.factors.grid[axis] - 1;
            let place = |cube: usize| cube as f32 / per_axis as f32 / sides[axis] * last as f32;
            (0..per_axis)
                .map(|cube| {
                    let end = libm::ceilf(place(cube + 1)) as usize;
                    ((place(cube) as usize).min(last), end.min(last))
                })
                .collect::<Vec<_>>()
        });
        let mut planes_full = Vec::new();
        let mut lines_full = Vec::new();
        for (mode, (u, v, w)) in work.factors.modes.iter().zip(AXES) {
            let columns = mode.size[0];
            let (in_plane, in_line) = (masks(mode, false), masks(mode, true));
            let mut plane = Vec::with_capacity(per_axis * per_axis);
            for (v0, v1) in &texels[v] {
                for (u0, u1) in &texels[u] {
                    let places =
                        (*v0..=*v1).flat_map(|y| (*u0..=*u1).map(move |x| y * columns + x));
                    plane.push(places.fold(0, |mask, place| mask | in_plane[place]));
                }
            }
            planes_full.push(plane);
            let ends = texels[w].iter();
            lines_full
                .push(ends.map(|(a, b)| (*a..=*b).fold(0, |m, at| m | in_line[at])).collect());
        }
        Self {
            accelerator,
            per_axis,
            planes: blocks(&work.encoded.planes),
            lines: blocks(&work.encoded.lines),
            plane_full: planes_full,
            line_full: lines_full,
            texels,
        }
    }

    /// What a visit uses.
    pub fn of(&self, visit: &CubeVisit, used: &mut VisitUse) {
        used.clear();
        if visit.points == 0 {
            return;
        }
        let policy = &self.accelerator.policy;
        let n = self.per_axis;
        let cube = visit.cube as usize;
        let at = [cube % n, cube / n % n, cube / (n * n)];
        let wanted = if visit.shaded > 0 { u64::MAX } else { DENSITY_BITS };
        let (points, shaded) = (f64::from(visit.points), f64::from(visit.shaded));
        // Components with a product, and decoded ones, density and appearance apart.
        let (mut products, mut decoded) = ([0_u32; 2], 0);
        for (mode, (u, v, w)) in AXES.into_iter().enumerate() {
            let line = if policy.skips_zeros { self.line_full[mode][at[w]] } else { u64::MAX };
            let plane = if policy.skips_zeros {
                self.plane_full[mode][at[v] * n + at[u]]
            } else {
                u64::MAX
            };
            let product = line & plane;
            products[0] += (product & DENSITY_BITS).count_ones();
            products[1] += (product & !DENSITY_BITS).count_ones();
            decoded += self.decode(mode, [u, v, w], at, wanted, line, used);
        }
        let [density, appearance] = products.map(f64::from);
        used.density_components = density;
        used.macs = MACS * (points * density + shaded * appearance);
        let leaves = f64::from(self.accelerator.tree.leaves);
        used.reductions = points * libm::ceil(density / leaves).max(1.0);
        let value_bytes = f64::from(policy.value_bits) / 8.0;
        // Written once, read six places for each component of a point.
        used.patch_bytes = f64::from(decoded) * value_bytes
            + 6.0 * value_bytes * (points * density + shaded * appearance);
        let again = if !policy.from_cubes {
            f64::from(visit.rays).max(1.0)
        } else if !policy.keeps_patches {
            // Each point looks its own places up: six instead of the patch's.
            points * 6.0 / self.places(at)
        } else {
            1.0
        };
        used.lookups *= again;
        used.searches *= again;
        used.sram_bytes *= again;
    }

    /// Places of a patch, mean of planes, with those of its line.
    fn places(&self, at: [usize; 3]) -> f64 {
        let side = |axis: usize| {
            let (first, last) = self.texels[axis][at[axis]];
            (last - first + 1) as f64
        };
        AXES.iter().map(|(u, v, w)| side(*u) * side(*v) + side(*w)).sum::<f64>() / MODES as f64
    }

    /// Decodes plane and line of a mode; says how many values that makes.
    fn decode(
        &self,
        mode: usize,
        [u, v, w]: [usize; 3],
        at: [usize; 3],
        wanted: u64,
        line_full: u64,
        used: &mut VisitUse,
    ) -> u32 {
        let span = |axis: usize, block: u32| {
            let (first, last) = self.texels[axis][at[axis]];
            let block = block as usize;
            (first / block..=last / block).map(move |number| {
                let from = first.max(number * block);
                let to = last.min(number * block + block - 1);
                (number, (to - from + 1) as u32)
            })
        };
        let mut values = 0;
        let lines = &self.lines[mode];
        for (block, places) in span(w, lines.array.shape.columns) {
            let components = lines.full[block] & wanted;
            values += self.look_up(lines, block, components, places, used);
            used.read(MODES + mode, block, components);
        }
        let planes = &self.planes[mode];
        let side = planes.array.shape.columns;
        for (row, height) in span(v, side) {
            for (column, width) in span(u, side) {
                let block = row * planes.array.across[0] + column;
                let components = planes.full[block] & wanted & line_full;
                values += self.look_up(planes, block, components, width * height, used);
                used.read(mode, block, components);
            }
        }
        values
    }

    fn look_up(
        &self,
        blocks: &Blocks<'_>,
        block: usize,
        components: u64,
        places: u32,
        used: &mut VisitUse,
    ) -> u32 {
        let value_bits = f64::from(self.accelerator.policy.value_bits);
        let places = f64::from(places);
        let bitmaps = f64::from((components & blocks.bitmaps).count_ones());
        used.lookups += bitmaps * places;
        let cells = f64::from(blocks.array.shape.cells());
        let mut bits = bitmaps * cells;
        let mut rest = components & blocks.lists;
        let streams = &blocks.streams[block * COMPONENTS..(block + 1) * COMPONENTS];
        let (mut passes, mut listed) = (0_u64, 0_u64);
        while rest != 0 {
            let stream = streams[rest.trailing_zeros() as usize];
            rest &= rest - 1;
            passes += u64::from(stream.0);
            listed += u64::from(stream.1);
        }
        used.searches += places * passes as f64;
        bits += listed as f64;
        // Values of bitmaps and of dense storage, by place.
        let direct = f64::from((components & !blocks.lists).count_ones());
        bits += direct * places * value_bits;
        used.sram_bytes += bits / 8.0;
        components.count_ones() * places as u32
    }
}
