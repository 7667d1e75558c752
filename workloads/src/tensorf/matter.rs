//! A scene as the makers of factors ask for it (`synthetic`): in slices across a mode's line and in slabs along
//! it, four texels of a row at once. Distances that are known nearby (`distances`) tell of most texels
//! without asking the scene; where the scene knows no distance, densities are asked for.

use std::ops::Range;

use glam::{BVec4A, Vec3, Vec4};

use super::distances::{Along, Distances, PITCH};
use super::{AXES, DENSITY_SHIFT, Extent, THICKNESS};
use crate::scene::{Noise, Point, Scene};

/// The negative constant.
pub(super) const OFFSET: f32 = 30.0;
/// Feature at which a surface's shell begins: a step there is hardly opaque.
const FAINT: f32 = 5.0;

/// What a slice needs to know at a point.
pub(super) struct Matter<'a> {
    scene: &'a Scene,
    low: Vec3,
    side: f32,
    /// Side of the scene's cube.
    whole: f32,
    /// Texels along the axes.
    grid: [usize; 3],
    /// Sides of the box in the unit cube.
    size: [f32; 3],
    texel: f32,
    /// Feature of the densest place.
    most: f32,
    /// Fall of the feature by texel beyond a surface.
    slope: f32,
    softness: f32,
    /// What is known of distances beforehand.
    known: Option<Distances>,
}

/// Feature of a density, per side of the scene's cube.
fn feature(density: f32) -> f32 {
    let x = (density / THICKNESS).max(1e-6);
    let inverse = if x > 15.0 { x } else { libm::logf(libm::expm1f(x)) };
    inverse - DENSITY_SHIFT
}

impl<'a> Matter<'a> {
    /// A scene in a box of texels; distances matter up to the ramp's reach and to `shell`.
    pub fn new(scene: &'a Scene, extent: Extent, grid: [usize; 3], shell: f32) -> Self {
        let (low, high) = scene.bounds();
        let whole = (high - low).x;
        let (low, side) = (low + extent.low * whole, extent.side * whole);
        let size = extent.size.to_array();
        let texel = size.iter().zip(grid).map(|(s, n)| side * s / n as f32).sum::<f32>() / 3.0;
        let most = feature(scene.densest() * whole);
        let softness = match &scene.matter {
            crate::scene::Matter::Analytic(analytic) => analytic.softness().unwrap_or(texel),
            _ => texel,
        };
        let slope = (most - FAINT) / (2.0 * softness / texel).max(1.0);
        let mut matter =
            Self { scene, low, side, whole, grid, size, texel, most, slope, softness, known: None };
        let sides = [0, 1, 2].map(|axis| side * size[axis] / (grid[axis] - 1) as f32 / texel);
        let reach = matter.reach().max(shell);
        matter.known = Distances::new(grid, sides, reach, |at| {
            let place = |at: Vec4, axis: usize| at / (grid[axis] - 1) as f32 * size[axis];
            let (x, y, z) = (place(at.x, 0), place(at.y, 1), place(at.z, 2));
            matter.distances(Point { x, y, z })
        });
        matter
    }

    /// A box's place along an axis, in texels, with half its side.
    #[inline]
    fn along(&self, axis: usize, at: f32, half: f32) -> Along {
        self.known.as_ref().map_or_else(Along::default, |known| known.along(axis, at, half))
    }

    /// A square's place along both axes of a mode's plane.
    fn square_along(&self, number: usize, square: Square) -> [Along; 2] {
        let [u, v] = square.middle();
        [self.along(AXES[number].0, u, HALF), self.along(AXES[number].1, v, HALF)]
    }

    /// Bounds of distances in a box of a mode, from its places along plane and line.
    #[inline]
    fn bounds(&self, number: usize, [u, v]: [Along; 2], w: Along) -> (f32, f32) {
        let Some(known) = &self.known else { return (f32::NEG_INFINITY, f32::INFINITY) };
        let (u_axis, v_axis, w_axis) = AXES[number];
        let mut at = [w; 3];
        (at[u_axis], at[v_axis], at[w_axis]) = (u, v, w);
        known.within(at)
    }

    /// A place on a mode's line, as a share of it.
    pub fn knot(&self, number: usize, w: f32) -> Knot {
        let w_axis = AXES[number].2;
        let place = w * (self.grid[w_axis] - 1) as f32;
        Knot { w, place, along: self.along(w_axis, place, 0.0) }
    }

    /// The same at texels of a square's row each.
    #[inline]
    fn row_bounds(&self, number: usize, u: usize, v: usize, w: f32) -> (Vec4, Vec4) {
        let infinite = Vec4::INFINITY;
        let Some(known) = &self.known else { return (-infinite, infinite) };
        let (u_axis, v_axis, w_axis) = AXES[number];
        let mut at = [Vec4::ZERO; 3];
        at[u_axis] = Vec4::splat(u as f32) + Vec4::new(0.0, 1.0, 2.0, 3.0);
        (at[v_axis], at[w_axis]) = (Vec4::splat(v as f32), Vec4::splat(w));
        known.beside(at)
    }

    /// Whether the scene knows distances.
    pub const fn has_surfaces(&self) -> bool {
        self.known.is_some()
    }

    /// Whether there is nothing in a square, as far as is known without distances.
    fn clear(&self, number: usize, square: Square, w: f32) -> bool {
        if self.known.is_some() {
            return false;
        }
        let (u_axis, v_axis, w_axis) = AXES[number];
        let texel = |axis: usize| self.size[axis] / (self.grid[axis] - 1) as f32 * self.side;
        let (mut at, [u, v]) = (self.low, square.middle());
        at[u_axis] += u * texel(u_axis);
        at[v_axis] += v * texel(v_axis);
        at[w_axis] += w * self.size[w_axis] * self.side;
        // To the corners.
        let reach = HALF * (texel(u_axis) + texel(v_axis));
        self.scene.clear(at, reach)
    }

    /// Squares of texels of a mode's plane.
    pub fn squares(&self, number: usize) -> Vec<Square> {
        let (columns, rows) = (self.grid[AXES[number].0], self.grid[AXES[number].1]);
        let cut =
            |n: usize| (0..n).step_by(PITCH).map(move |first| (first, (first + PITCH).min(n)));
        cut(rows).flat_map(|v| cut(columns).map(move |u| Square { u, v })).collect()
    }

    /// Distance from which on inwards the feature is that of the densest place.
    fn solid(&self) -> f32 {
        -self.softness / self.texel
    }

    /// Points of the unit cube from places in a mode, along a row of the plane: in texels of the plane, as a share
    /// of the line.
    #[inline]
    fn row(&self, number: usize, u: usize, v: usize, w: Vec4) -> Point<Vec4> {
        let (u_axis, v_axis, w_axis) = AXES[number];
        let u = Vec4::splat(u as f32) + Vec4::new(0.0, 1.0, 2.0, 3.0);
        let mut at = [Vec4::ZERO; 3];
        at[u_axis] = u / (self.grid[u_axis] - 1) as f32 * self.size[u_axis];
        at[v_axis] = Vec4::splat(v as f32 / (self.grid[v_axis] - 1) as f32 * self.size[v_axis]);
        at[w_axis] = w * self.size[w_axis];
        let [x, y, z] = at;
        Point { x, y, z }
    }

    /// A point of the unit cube in the scene.
    #[inline]
    fn in_scene(&self, at: Point<Vec4>) -> Point<Vec4> {
        let Point { x, y, z } = at.map(|v| v * self.side);
        Point { x: x + self.low.x, y: y + self.low.y, z: z + self.low.z }
    }

    /// Distances to the nearest surface in texels, as far as the scene knows them.
    #[inline]
    pub fn distances(&self, at: Point<Vec4>) -> Option<Vec4> {
        self.distances_in_scene(self.in_scene(at))
    }

    #[inline]
    fn distances_in_scene(&self, at: Point<Vec4>) -> Option<Vec4> {
        self.scene.distances(at).map(|d| d / self.texel)
    }

    /// Points of the scene moved to places along an axis, as shares of it.
    #[inline]
    fn moved(&self, mut at: Point<Vec4>, axis: usize, places: Vec4) -> Point<Vec4> {
        let to = [&mut at.x, &mut at.y, &mut at.z];
        *to[axis] = places * self.size[axis] * self.side + self.low[axis];
        at
    }

    /// Features plus offset at points of the unit cube, not below zero.
    pub fn ramp(&self, at: Point<Vec4>, distances: Option<Vec4>, noise: &mut Noise<Vec4>) -> Vec4 {
        let features = if let Some(d) = distances {
            self.most - self.slope * (d + self.softness / self.texel).max(Vec4::ZERO)
        } else {
            let densities = self.scene.densities_up_to(self.in_scene(at), f32::INFINITY, noise);
            let of = |density: f32| {
                if density > 0.0 { feature(density * self.whole) } else { -OFFSET }
            };
            Vec4::new(of(densities.x), of(densities.y), of(densities.z), of(densities.w))
        };
        (features + OFFSET).max(Vec4::ZERO)
    }

    /// Whether there is anything at points, that is, a feature above zero.
    pub fn holds(&self, at: Point<Vec4>, noise: &mut Noise<Vec4>) -> [bool; 4] {
        /// Softplus of the shift, as a density.
        const LEAST: f32 = 4.54e-5 * THICKNESS;
        let at = self.in_scene(at);
        let densities = self.scene.densities_up_to(at, 2.0 * LEAST / self.whole, noise);
        (densities * self.whole).cmpgt(Vec4::splat(LEAST)).into()
    }

    /// Texels beyond a surface at which the ramp ends.
    fn reach(&self) -> f32 {
        (self.most + OFFSET) / self.slope
    }
}

/// Half a square's side, from the middle of its first texel to that of its last.
const HALF: f32 = 0.5 * (PITCH - 1) as f32;

/// A square of texels: from and to along both axes of a plane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Square {
    u: (usize, usize),
    v: (usize, usize),
}

impl Square {
    const fn middle(self) -> [f32; 2] {
        [self.u.0 as f32 + HALF, self.v.0 as f32 + HALF]
    }
}

/// A place on a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Knot {
    /// As a share of the line, and in texels.
    w: f32,
    place: f32,
    along: Along,
}

/// The distance of what is nearest in each column of each of some slabs, for columns within reach. Slabs of a square
/// follow each other, as their components lie together.
pub(super) fn slabs(
    matter: &Matter<'_>,
    number: usize,
    count: usize,
    mut each: impl FnMut(usize, Range<usize>, Vec4),
) {
    let w_axis = AXES[number].2;
    let grid = matter.grid[w_axis];
    // Pieces of slabs that lie around one node each.
    let cut = |part: usize| {
        let (first, end) = (part * grid / count, (part + 1) * grid / count);
        let (low, high) = (first as f32 - 0.5, end as f32 - 0.5);
        let pieces = (first / PITCH * PITCH..end).step_by(PITCH).map(move |from| {
            let (from, to) = (from as f32 - 0.5, (from + PITCH) as f32 - 0.5);
            let along = matter.along(w_axis, f32::midpoint(from, to), PITCH as f32 / 2.0);
            (along, from.max(low), to.min(high))
        });
        pieces.collect()
    };
    let parts: Vec<Vec<(Along, f32, f32)>> = (0..count).map(cut).collect();
    for square in matter.squares(number) {
        let along = matter.square_along(number, square);
        for (part, pieces) in parts.iter().enumerate() {
            slab(matter, number, (square, along), pieces, |places, nearest| {
                each(part, places, nearest);
            });
        }
    }
}

/// Goes through a square of a slab.
fn slab(
    matter: &Matter<'_>,
    number: usize,
    (square, along): (Square, [Along; 2]),
    all: &[(Along, f32, f32)],
    mut each: impl FnMut(Range<usize>, Vec4),
) {
    let (u_axis, _, w_axis) = AXES[number];
    let columns = matter.grid[u_axis];
    let reach = matter.reach();
    // The most promising piece first.
    let mut pieces = Vec::new();
    for (w, from, to) in all {
        let (least, most) = matter.bounds(number, along, *w);
        if least < reach {
            pieces.push((least, most, *from, *to));
        }
    }
    pieces.sort_by(|a, b| a.0.total_cmp(&b.0));
    if pieces.is_empty() {
        return;
    }
    let rows = square.v.1 - square.v.0;
    let mut columns_of = [Column::default(); PITCH];
    for (row, column) in columns_of[..rows].iter_mut().enumerate() {
        let at = matter.row(number, square.u.0, square.v.0 + row, Vec4::ZERO);
        column.at = matter.in_scene(at);
    }
    for piece in &pieces {
        walk(matter, w_axis, *piece, &mut columns_of[..rows]);
    }
    for (row, column) in columns_of[..rows].iter().enumerate() {
        if column.nearest.cmplt(Vec4::splat(reach)).any() {
            let from = (square.v.0 + row) * columns;
            each(from + square.u.0..from + square.u.1, column.nearest);
        }
    }
}

/// Four columns of a slab.
#[derive(Clone, Copy)]
struct Column {
    /// Their place across the slab.
    at: Point<Vec4>,
    /// What has been found so far.
    nearest: Vec4,
    /// Nothing further can be nearer.
    done: bool,
    /// Those that the piece at hand may have something for, and how far these are in it.
    open: BVec4A,
    w: Vec4,
}

impl Default for Column {
    fn default() -> Self {
        let (at, nearest) = (Point::of([0.0; 3]), Vec4::INFINITY);
        Self { at, nearest, done: false, open: BVec4A::FALSE, w: Vec4::ZERO }
    }
}

/// Walks columns through a piece of a slab, given by bounds of its distances and by its ends. A step waits for the one
/// before it, but not for those of other columns.
fn walk(
    matter: &Matter<'_>,
    w_axis: usize,
    (least, most, from, to): (f32, f32, f32, f32),
    columns: &mut [Column],
) {
    let last = (matter.grid[w_axis] - 1) as f32;
    let (solid, reach) = (Vec4::splat(matter.solid()), Vec4::splat(matter.reach()));
    let mut walking = false;
    for column in columns.iter_mut().filter(|column| !column.done) {
        // What is solid somewhere is as dense as can be.
        column.open = column.nearest.cmpgt(solid) & column.nearest.cmpgt(Vec4::splat(least));
        column.done = !column.open.any();
        if !column.done && most <= matter.solid() {
            column.nearest = Vec4::select(column.open, Vec4::splat(most), column.nearest);
            column.done = true;
        }
        column.w = Vec4::splat(from);
        walking |= !column.done;
    }
    while walking {
        walking = false;
        for column in columns.iter_mut().filter(|column| !column.done) {
            let under_way =
                column.open & column.w.cmple(Vec4::splat(to)) & column.nearest.cmpgt(solid);
            if !under_way.any() {
                continue;
            }
            walking = true;
            let at = matter.moved(column.at, w_axis, column.w / last);
            let d = matter.distances_in_scene(at).unwrap_or(Vec4::INFINITY);
            column.nearest = Vec4::select(under_way, column.nearest.min(d), column.nearest);
            // Nothing nearer lies within the difference.
            column.w += (d - column.nearest.min(reach)).max(Vec4::splat(1.5));
        }
    }
}

/// Texels of a slice that are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// All, with distances.
    All,
    /// Those where the ramp is not zero, with distances that the ramp needs.
    Ramp,
    /// Those nearer to a surface than this, with any distance.
    Within(f32),
}

impl Wanted {
    /// What bounds tell: distances that do as well as any within them, infinite ones where nothing is asked for;
    /// and where the scene has to be asked.
    #[inline]
    fn told(self, matter: &Matter<'_>, (least, most): (Vec4, Vec4)) -> (Vec4, BVec4A) {
        let infinite = Vec4::INFINITY;
        let (end, solid) = (Vec4::splat(matter.reach()), Vec4::splat(matter.solid()));
        let (told, settled, skipped) = match self {
            Self::All => return (infinite, infinite.cmpeq(infinite)),
            Self::Ramp => (most, most.cmple(solid), least.cmpgt(end)),
            Self::Within(reach) => {
                let reach = Vec4::splat(reach);
                let skipped = least.cmpgt(reach) | most.cmplt(-reach);
                (least, least.cmpgt(-reach) & most.cmplt(reach), skipped)
            }
        };
        (Vec4::select(settled, told, infinite), !(settled | skipped))
    }
}

/// Goes through texels of slices at knots spread evenly over a line (all texels where the scene knows no distance),
/// up to four of a row at once. Slices of a square follow each other, as their components lie together.
pub(super) fn slices(
    matter: &Matter<'_>,
    number: usize,
    knots: usize,
    wanted: Wanted,
    mut each: impl FnMut(usize, Range<usize>, Point<Vec4>, Option<Vec4>),
) {
    let line: Vec<Knot> =
        (0..knots).map(|knot| matter.knot(number, knot as f32 / (knots - 1) as f32)).collect();
    for square in matter.squares(number) {
        let along = matter.square_along(number, square);
        for (knot, place) in line.iter().enumerate() {
            let each = |places: Range<usize>, at: Point<Vec4>, distances: Option<Vec4>| {
                each(knot, places, at, distances);
            };
            sliced(matter, number, (square, along, *place), wanted, each);
        }
    }
}

/// Goes through a square of a slice.
pub(super) fn slice(
    matter: &Matter<'_>,
    number: usize,
    (square, knot): (Square, Knot),
    wanted: Wanted,
    each: impl FnMut(Range<usize>, Point<Vec4>, Option<Vec4>),
) {
    let along = matter.square_along(number, square);
    sliced(matter, number, (square, along, knot), wanted, each);
}

fn sliced(
    matter: &Matter<'_>,
    number: usize,
    (square, along, knot): (Square, [Along; 2], Knot),
    wanted: Wanted,
    mut each: impl FnMut(Range<usize>, Point<Vec4>, Option<Vec4>),
) {
    let columns = matter.grid[AXES[number].0];
    let (w, place_w) = (knot.w, knot.place);
    let (least, most) = matter.bounds(number, along, knot.along);
    let alike = wanted.told(matter, (Vec4::splat(least), Vec4::splat(most)));
    let unknown = alike.1.any();
    if (!unknown && alike.0.x == f32::INFINITY) || matter.clear(number, square, w) {
        return;
    }
    for v in square.v.0..square.v.1 {
        let (told, open) = if unknown {
            wanted.told(matter, matter.row_bounds(number, square.u.0, v, place_w))
        } else {
            alike
        };
        let at = matter.row(number, square.u.0, v, Vec4::splat(w));
        let distances = if open.any() {
            matter.distances(at).map(|d| Vec4::select(open, d, told))
        } else if told.cmpeq(Vec4::INFINITY).all() {
            continue;
        } else {
            Some(told)
        };
        each(v * columns + square.u.0..v * columns + square.u.1, at, distances);
    }
}
