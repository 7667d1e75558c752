//! RT-NeRF's renderer: a loop over the cubes that hold something, each taken for a ball. A ball
//! projects to a circle of pixels; each pixel's ray crosses it in an interval that follows in closed
//! form, and the samples in it that lie in the cube are the points that exist. Sub-regions are taken
//! from near to far, cubes in a region in the order of the axes' directions as seen from the camera,
//! so that pixels that have become opaque are skipped. The image is rendered in tiles whose pixels
//! fit in a memory. The abstract names ball-free geometry and coarse order; the sweep inside of a
//! region, tiles and the test against the cube are ours. Left out: levels of cubes of different sizes.

use glam::Vec3;
use serde::Serialize;

use super::tile::{Passage, Passing, Tile, next_whole, square};
use super::{Cubes, Field, Image, LEAST_WEIGHT, Sight};

/// In which order cubes are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As they lie in memory: what lies in front is not known, so that every point that is not clear
    /// has to be shaded, and images are not right.
    Memory,
    /// Sub-regions from near to far, the cubes of one along the axes as seen from its middle.
    Coarse,
    /// The same, but along each axis outward from the camera: no cube before one that hides it.
    Exact,
}

/// How the loop runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CubeLoop {
    /// Order of cubes.
    pub order: Order,
    /// Sub-regions along an axis.
    pub regions: u32,
    /// Transmittance below which a pixel is done.
    pub least_transmittance: f32,
    /// Largest side of a tile of the image, in pixels.
    pub tile: u32,
    /// One pixel of so many along rows and columns stands for its neighbours; 1 renders all, as
    /// images need.
    pub every: u32,
}

impl Default for CubeLoop {
    fn default() -> Self {
        Self { order: Order::Coarse, regions: 4, least_transmittance: 1e-4, tile: 256, every: 1 }
    }
}

/// What one visit to a cube takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CubeVisit {
    /// Number of the cube.
    pub cube: u32,
    /// Pixels in the square around its circle.
    pub pixels: u32,
    /// Of these, pixels that are not done and whose ray crosses the ball.
    pub rays: u32,
    /// Samples in the balls' intervals, which are tested against the cube.
    pub tested: u32,
    /// Points: samples in the cube, which get a density.
    pub points: u32,
    /// Points that get a colour.
    pub shaded: u32,
}

/// A frame's visits.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CubeTrace {
    /// Cubes along an axis.
    pub per_axis: u32,
    /// Visits in order, tile after tile.
    pub visits: Vec<CubeVisit>,
    /// Visits up to the end of each tile.
    pub tile_ends: Vec<usize>,
    /// Tiles of the image.
    pub tiles: u64,
    /// Sub-regions looked at, over all tiles.
    pub regions: u64,
    /// Cubes looked at, over all tiles: those of regions that meet the tile.
    pub looked_at: u64,
    /// Visits in which no pixel had anything left to see.
    pub hidden: u64,
    /// Pixels of the image.
    pub pixels: u64,
    /// One pixel of so many along rows and columns was looked at.
    pub every: u32,
    /// Points that get a colour among the pixels looked at, by group.
    pub shaded_of: [u64; GROUPS],
}

/// Sums over a frame.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct CubeCounts {
    /// Cubes that hold something.
    pub cubes: f64,
    /// Visits to cubes, over all tiles.
    pub visits: f64,
    /// Visits in which every pixel was done or missed.
    pub hidden: f64,
    /// Pixels tested.
    pub pixels_tested: f64,
    /// Rays that cross balls.
    pub rays: f64,
    /// Samples tested against cubes.
    pub tested: f64,
    /// Points that get a density.
    pub points: f64,
    /// Points that get a colour.
    pub shaded: f64,
}

impl CubeTrace {
    /// Half the width of the interval that the number of coloured points lies in with 95 % confidence, in percent of
    /// it, as pixels looked at stand for the rest; from the spread of groups of these. Groups are coarser
    /// grids than all of them together, so this is on the safe side.
    pub fn sampling_pct(&self) -> f64 {
        /// Student's t for 15 degrees of freedom.
        const QUANTILE: f64 = 2.131;
        let groups = GROUPS as f64;
        let mean = self.shaded_of.iter().sum::<u64>() as f64 / groups;
        if self.every <= 1 || mean <= 0.0 {
            return 0.0;
        }
        let squares: f64 = self.shaded_of.iter().map(|n| (*n as f64 - mean).powi(2)).sum();
        QUANTILE * libm::sqrt(squares / (groups - 1.0) / groups) / mean * 100.0
    }

    /// Sums.
    pub fn counts(&self, cubes: &Cubes) -> CubeCounts {
        let sum = |of: fn(&CubeVisit) -> u32| {
            self.visits.iter().map(|visit| f64::from(of(visit))).sum::<f64>()
        };
        CubeCounts {
            cubes: cubes.count() as f64,
            visits: self.visits.len() as f64,
            hidden: self.hidden as f64,
            pixels_tested: sum(|v| v.pixels),
            rays: sum(|v| v.rays),
            tested: sum(|v| v.tested),
            points: sum(|v| v.points),
            shaded: sum(|v| v.shaded),
        }
    }
}

/// Cubes of a sub-region that are seen, in order, as circles of pixels, with a ball around the region.
struct Region {
    middle: Vec3,
    reach: f32,
    /// Cubes, with those behind the camera.
    cubes: u64,
    seen: Vec<Circle>,
}

struct Circle {
    cube: u32,
    at: [f32; 2],
    radius: f32,
}

impl CubeLoop {
    /// Runs the loop; `coloured` makes an image, which takes far longer than counting.
    pub fn run(&self, field: &Field, sight: &Sight, coloured: bool) -> (Option<Image>, CubeTrace) {
        let (width, height) = sight.size();
        let mut image = if coloured { Image::white(width, height) } else { Image::white(0, 0) };
        let every = if coloured { 1 } else { self.every.max(1) };
        let mut trace = CubeTrace {
            per_axis: field.cubes.per_axis(),
            every,
            pixels: u64::from(width) * u64::from(height),
            ..CubeTrace::default()
        };
        let regions = self.ordered(field, sight);
        let cut = |side: u32| {
            let parts = side.div_ceil(self.tile.max(1));
            (0..parts).map(|i| (side * i / parts, side * (i + 1) / parts)).collect::<Vec<_>>()
        };
        for (y0, y1) in cut(height) {
            for (x0, x1) in cut(width) {
                let mut tile = Tile::new(sight, (x0, y0), (x1, y1), every);
                self.tile(field, sight, coloured, &regions, &mut tile, &mut trace);
                trace.tiles += 1;
                trace.tile_ends.push(trace.visits.len());
                if !coloured {
                    continue;
                }
                for (i, pixel) in tile.pixels.iter().enumerate() {
                    let (x, y) = (x0 + i as u32 % (x1 - x0), y0 + i as u32 / (x1 - x0));
                    image.pixels[(y * width + x) as usize] =
                        pixel.colour + Vec3::splat(1.0 - pixel.opaque);
                }
            }
        }
        (coloured.then_some(image), trace)
    }

    /// Cubes by sub-region, in the order in which they are taken, with a ball around each region.
    fn ordered(&self, field: &Field, sight: &Sight) -> Vec<Region> {
        let cubes = &field.cubes;
        let n = cubes.per_axis() as usize;
        let count = (self.regions.max(1) as usize).min(n);
        let bounds = |i: usize| n * i / count..n * (i + 1) / count;
        let mut regions = Vec::new();
        for i in 0..count.pow(3) {
            let [x, y, z] = [i % count, i / count % count, i / count / count].map(bounds);
            let middle = [&x, &y, &z].map(|r| (r.start + r.end) as f32 / 2.0 / n as f32);
            let half = [&x, &y, &z].map(|r| r.len() as f32 / 2.0 / n as f32);
            let sweep = |axis: usize, range: std::ops::Range<usize>| {
                let mut places: Vec<usize> = range.collect();
                let eye = sight.origin.to_array()[axis];
                match self.order {
                    Order::Coarse if eye > middle[axis] => places.reverse(),
                    Order::Memory | Order::Coarse => {}
                    Order::Exact => places.sort_by(|a, b| {
                        let away = |c: usize| ((c as f32 + 0.5) / n as f32 - eye).abs();
                        away(*a).total_cmp(&away(*b))
                    }),
                }
                places
            };
            let (xs, ys, zs) = (sweep(0, x), sweep(1, y), sweep(2, z));
            let (middle, reach) = (Vec3::from(middle), Vec3::from(half).length());
            let mut region = Region { middle, reach, cubes: 0, seen: Vec::new() };
            for z in &zs {
                for y in &ys {
                    let row = xs.iter().map(|x| (z * n + y) * n + x);
                    for cube in row.filter(|cube| cubes.holds(*cube)) {
                        region.cubes += 1;
                        let (centre, radius) = cubes.ball(cube);
                        let seen = sight.project(centre, radius);
                        let circle = |(at, radius)| Circle { cube: cube as u32, at, radius };
                        region.seen.extend(seen.map(circle));
                    }
                }
            }
            if region.cubes > 0 {
                regions.push(region);
            }
        }
        if self.order != Order::Memory {
            let away = |at: Vec3| (at - sight.origin).length_squared();
            regions.sort_by(|a, b| away(a.middle).total_cmp(&away(b.middle)));
        }
        regions
    }

    fn tile(
        &self,
        field: &Field,
        sight: &Sight,
        coloured: bool,
        regions: &[Region],
        tile: &mut Tile,
        trace: &mut CubeTrace,
    ) {
        for region in regions {
            trace.regions += 1;
            let around = sight.project(region.middle, region.reach);
            if around.is_some_and(|seen| square(seen, tile).is_none()) {
                continue;
            }
            trace.looked_at += region.cubes;
            for circle in &region.seen {
                let Some(square) = square((circle.at, circle.radius), tile) else { continue };
                let visit = self.visit((field, sight), coloured, circle.cube, square, tile, trace);
                trace.hidden += u64::from(visit.points == 0);
                trace.visits.push(visit);
            }
        }
    }

    fn visit(
        &self,
        (field, sight): (&Field, &Sight),
        coloured: bool,
        cube: u32,
        (from, to): ((u32, u32), (u32, u32)),
        tile: &mut Tile,
        trace: &mut CubeTrace,
    ) -> CubeVisit {
        let mut visit = CubeVisit { cube, pixels: 0, rays: 0, tested: 0, points: 0, shaded: 0 };
        visit.pixels = (to.0 - from.0) * (to.1 - from.1);
        if tile.left == 0 {
            return visit;
        }
        let (centre, radius) = field.cubes.ball(cube as usize);
        let (low, high) = field.cubes.bounds(cube as usize);
        let (every, step, n) = (tile.every, field.step(), field.cubes.per_axis() as f32);
        // Rays that cross the ball lie in the square, but may be few of it.
        let outline = if visit.pixels > LARGE { sight.outline(centre, radius) } else { None };
        let (from, to) = narrowed((from, to), outline);
        // First where points are, then what is there, then what pixels make of it: all points of a cube are alike.
        let mut passing = std::mem::take(&mut tile.passing);
        passing.clear();
        for y in (tile.first(from.1, 0)..to.1).step_by(every as usize) {
            let x = tile.first(from.0, y / every);
            let mut number = tile.number(x, y);
            let end = number + to.0.saturating_sub(x).div_ceil(every) as usize;
            let (group, column) = (x / every, number);
            while let Some(open) = tile.next_open(number, end) {
                number = open + 1;
                let ray = &tile.pixels[open].ray;
                let Some((enter, leave)) = ray.ball(centre, radius) else { continue };
                visit.rays += 1;
                let first = next_whole((enter.max(ray.near) - ray.near) / step);
                let last = (leave.min(ray.far) - ray.near) / step;
                // Casting cuts off what is behind the last whole one.
                if last < 0.0 || (last as u32) < first {
                    continue;
                }
                let behind = (last as u32).saturating_add(1);
                passing.pass(ray, (first, behind), step, (low, high), n);
                passing.rays.push(Passage {
                    pixel: open,
                    group: self::group(group + (open - column) as u32, y / every),
                    samples: (first, behind),
                    end: passing.points.len(),
                });
            }
        }
        field.alphas(&passing.points, &mut passing.alphas);
        self.composite(field, coloured, &passing, &mut visit, tile, trace);
        tile.passing = passing;
        for count in [&mut visit.rays, &mut visit.tested, &mut visit.points, &mut visit.shaded] {
            *count *= every * every;
        }
        visit
    }

    /// What rays make of a cube's points.
    fn composite(
        &self,
        field: &Field,
        coloured: bool,
        passing: &Passing,
        visit: &mut CubeVisit,
        tile: &mut Tile,
        trace: &mut CubeTrace,
    ) {
        let ends = self.order != Order::Memory;
        let mut from = 0;
        for ray in &passing.rays {
            let pixel = &mut tile.pixels[ray.pixel];
            let (first, mut behind) = ray.samples;
            for point in from..ray.end {
                visit.points += 1;
                let alpha = passing.alphas[point];
                let weight = alpha * pixel.transmittance;
                pixel.transmittance *= 1.0 - alpha;
                pixel.opaque += weight;
                if (if ends { weight } else { alpha }) > LEAST_WEIGHT {
                    visit.shaded += 1;
                    trace.shaded_of[ray.group] += 1;
                    if coloured {
                        let at = passing.points[point];
                        pixel.colour += weight * field.colour(at, pixel.ray.direction);
                    }
                }
                if ends && pixel.transmittance < self.least_transmittance {
                    behind = passing.samples[point] + 1;
                    tile.close(ray.pixel);
                    break;
                }
            }
            visit.tested += behind - first;
            from = ray.end;
        }
    }
}

/// Groups that pixels are dealt to along rows and columns in turn: images of a sixteenth of the pixels each.
pub const GROUPS: usize = 16;

const fn group(column: u32, row: u32) -> usize {
    ((column & 3) | (row & 3) << 2) as usize
}

/// Pixels of a square beyond which it pays to look at what it covers more closely.
const LARGE: u32 = 1024;

/// What a square has in common with bounds along both axes.
fn narrowed(
    (from, to): ((u32, u32), (u32, u32)),
    bounds: Option<[(f32, f32); 2]>,
) -> ((u32, u32), (u32, u32)) {
    let Some([x, y]) = bounds else { return (from, to) };
    let first = |from: u32, to: u32, low: f32| from.max(low.max(0.0) as u32).min(to);
    let end = |to: u32, from: u32, high: f32| to.min(high.max(0.0) as u32 + 1).max(from);
    let from = (first(from.0, to.0, x.0), first(from.1, to.1, y.0));
    (from, (end(to.0, from.0, x.1), end(to.1, from.1, y.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rays::View;
    use crate::scene::Scene;
    use crate::tensorf::{Synthetic, psnr, uniform};

    fn field(scene: &Scene) -> Field {
        let factors = Synthetic { grid: 64, ..Synthetic::default() }.factors(scene);
        Field::new(factors, 32)
    }

    /// Cube after cube gives the image that ray after ray gives, and never more points.
    #[test]
    fn both_renderers_agree() {
        for (name, coarse_db) in [("statue", 35.0), ("lattice", 35.0), ("cloud", 30.0)] {
            let scene = Scene::shipped(name).unwrap();
            let field = field(&scene);
            let camera = scene.path.at(0.3).unwrap();
            let view = View { camera, width: 48, height: 36 };
            let sight = Sight::new(&scene, &view, &field.factors);
            let (reference, counts) = uniform::render(&field, &sight);
            assert!(counts.shaded > 1000.0, "{name} {counts:?}");
            for (order, least, db) in [
                (Order::Exact, 0.0, 100.0),
                (Order::Exact, 1e-4, 60.0),
                (Order::Coarse, 1e-4, coarse_db),
            ] {
                let cube_loop =
                    CubeLoop { order, least_transmittance: least, tile: 20, ..CubeLoop::default() };
                let (image, trace) = cube_loop.run(&field, &sight, true);
                let found = psnr(&reference, &image.unwrap());
                assert!(found > db, "{name} {order:?} {least}: {found}");
                let own = trace.counts(&field.cubes);
                assert!(own.points <= counts.occupied && own.shaded > 0.0);
                if least == 0.0 {
                    assert_eq!(own.points, counts.occupied, "{name}");
                }
            }
        }
    }

    #[test]
    fn counting_counts_what_rendering_does() {
        let scene = Scene::shipped("statue").unwrap();
        let field = field(&scene);
        let camera = scene.path.at(0.3).unwrap();
        let view = View { camera, width: 32, height: 32 };
        let sight = Sight::new(&scene, &view, &field.factors);
        let cube_loop = CubeLoop::default();
        assert_eq!(cube_loop.run(&field, &sight, true).1, cube_loop.run(&field, &sight, false).1);
        let memory = CubeLoop { order: Order::Memory, ..cube_loop };
        let (all, some) =
            (memory.run(&field, &sight, false).1, cube_loop.run(&field, &sight, false).1);
        assert!(all.counts(&field.cubes).points > some.counts(&field.cubes).points);
    }
}
