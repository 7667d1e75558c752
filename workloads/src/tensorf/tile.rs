//! A tile of an image under way: its pixels, which of them are done, and the rays that pass the cube at hand.

use glam::{Vec3, Vec4};

use super::{Ray, Sight};

/// A pixel under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixel {
    pub ray: Ray,
    pub transmittance: f32,
    pub colour: Vec3,
    pub opaque: f32,
}

/// A tile of the image.
pub(super) struct Tile {
    pub from: (u32, u32),
    pub to: (u32, u32),
    /// One pixel of so many along rows and columns is there.
    pub every: u32,
    pub columns: u32,
    pub pixels: Vec<Pixel>,
    /// Pixels that are not done, a bit each, row by row.
    pub open: Vec<u64>,
    /// How many these are.
    pub left: usize,
    pub passing: Passing,
}

/// Rays that pass a cube, with their points in it.
#[derive(Default)]
pub(super) struct Passing {
    pub rays: Vec<Passage>,
    pub points: Vec<Vec3>,
    /// Numbers of the points' samples.
    pub samples: Vec<u32>,
    pub alphas: Vec<f32>,
}

pub(super) struct Passage {
    pub pixel: usize,
    pub group: usize,
    /// Samples from first to one behind the last.
    pub samples: (u32, u32),
    /// One behind the last point.
    pub end: usize,
}

impl Passing {
    pub fn clear(&mut self) {
        self.rays.clear();
        self.points.clear();
        self.samples.clear();
    }

    /// Keeps the samples of a ray, from first to one behind the last, that lie within bounds in cubes along an axis;
    /// four are looked at at once.
    pub fn pass(
        &mut self,
        ray: &Ray,
        (first, behind): (u32, u32),
        step: f32,
        (low, high): (Vec3, Vec3),
        cubes: f32,
    ) {
        let four = Vec4::new(0.0, 1.0, 2.0, 3.0);
        for k in (first..behind).step_by(4) {
            let distance = (four + k as f32) * step + ray.near;
            let mut at = [Vec4::ZERO; 3];
            let mut inside = distance.cmplt(Vec4::splat(ray.far));
            for axis in 0..3 {
                at[axis] = distance * ray.direction[axis] + ray.origin[axis];
                let own = at[axis] * cubes;
                let (low, high) = (Vec4::splat(low[axis]), Vec4::splat(high[axis]));
                inside &= own.cmpge(low) & own.cmplt(high);
            }
            let [x, y, z] = [at[0].to_array(), at[1].to_array(), at[2].to_array()];
            let mut rest = inside.bitmask();
            while rest != 0 {
                let lane = rest.trailing_zeros();
                rest &= rest - 1;
                if lane < behind - k {
                    let lane = lane as usize;
                    self.points.push(Vec3::new(x[lane], y[lane], z[lane]));
                    self.samples.push(k + lane as u32);
                }
            }
        }
    }
}

impl Tile {
    pub fn new(sight: &Sight, from: (u32, u32), to: (u32, u32), every: u32) -> Self {
        let [columns, rows] = [to.0 - from.0, to.1 - from.1].map(|side| side.div_ceil(every));
        let count = (columns * rows) as usize;
        let (pixels, open) = (Vec::with_capacity(count), vec![u64::MAX; count.div_ceil(64)]);
        let mut tile = Self {
            from,
            to,
            every,
            columns,
            pixels,
            open,
            left: count,
            passing: Passing::default(),
        };
        for row in 0..rows {
            for column in 0..columns {
                let y = tile.first(from.1, 0) + row * every;
                let x = tile.first(from.0, y / every) + column * every;
                let ray = sight.ray(x, y);
                tile.pixels.push(Pixel {
                    ray,
                    transmittance: 1.0,
                    colour: Vec3::ZERO,
                    opaque: 0.0,
                });
            }
        }
        tile
    }

    /// The first row, or column of a row, at or behind one. Rows start at different columns, so that thin structures
    /// along an axis are not missed.
    #[inline]
    pub const fn first(&self, from: u32, shift: u32) -> u32 {
        from + (self.every - (from + shift) % self.every) % self.every
    }

    #[inline]
    pub const fn number(&self, x: u32, y: u32) -> usize {
        let (row, column) = ((y - self.from.1) / self.every, (x - self.from.0) / self.every);
        (row * self.columns + column) as usize
    }

    /// The first pixel at or behind one, up to an end, that is not done.
    #[inline]
    pub fn next_open(&self, from: usize, end: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.open.get(word)? & u64::MAX << (from % 64);
        while bits == 0 {
            word += 1;
            if word * 64 >= end {
                return None;
            }
            bits = *self.open.get(word)?;
        }
        let found = word * 64 + bits.trailing_zeros() as usize;
        (found < end).then_some(found)
    }

    pub fn close(&mut self, number: usize) {
        self.open[number / 64] &= !(1 << (number % 64));
        self.left -= 1;
    }
}

/// The next whole number from a number that is not negative.
#[inline]
pub(super) fn next_whole(at: f32) -> u32 {
    let cut = at as u32;
    cut.saturating_add(u32::from(at > cut as f32))
}

/// Pixels of a tile in the square around a circle, from first to one behind the last.
pub(super) fn square(
    ([x, y], radius): ([f32; 2], f32),
    tile: &Tile,
) -> Option<((u32, u32), (u32, u32))> {
    let axis = |at: f32, from: u32, to: u32| {
        // Most lie beside the tile.
        if at + radius <= from as f32 || at - radius >= to as f32 {
            return None;
        }
        let low = (at - radius).max(from as f32) as u32;
        let high = next_whole((at + radius).min(to as f32));
        (low < high).then_some((low, high))
    };
    let (x0, x1) = axis(x, tile.from.0, tile.to.0)?;
    let (y0, y1) = axis(y, tile.from.1, tile.to.1)?;
    Some(((x0, y0), (x1, y1)))
}
