//! The field at a point, and rays through it.

use glam::{Mat4, Vec3, Vec4};

use super::opacity::{opacities, opacity};
use super::{APPEARANCE, AXES, Cubes, DENSITY, Factors, MODES, Mode};
use crate::rays::View;
use crate::scene::Scene;

/// A ray in the unit cube of the field; its direction has length one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ray {
    /// Where it starts.
    pub origin: Vec3,
    /// Where it goes.
    pub direction: Vec3,
    /// Where it enters the box.
    pub near: f32,
    /// Where it leaves it; not behind `near` if it misses.
    pub far: f32,
}

/// An image's camera in the unit cube of the field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    view: View,
    /// Where the camera stands.
    pub origin: Vec3,
    /// Sides of the box.
    size: Vec3,
}

impl Sight {
    /// From a view of a scene with a field in it.
    pub fn new(scene: &Scene, view: &View, factors: &Factors) -> Self {
        let (low, high) = scene.bounds();
        let whole = super::to_unit(view.camera.origin, low, (high - low).x);
        let origin = super::to_unit(whole, factors.extent.low, factors.extent.side);
        Self { view: *view, origin, size: factors.extent.size }
    }

    /// Pixels of the image.
    pub const fn size(&self) -> (u32, u32) {
        (self.view.width, self.view.height)
    }

    /// The ray through the middle of a pixel.
    pub fn ray(&self, x: u32, y: u32) -> Ray {
        let (width, height) = self.size();
        let pixel = [x as f32 + 0.5, y as f32 + 0.5];
        let direction = self.view.camera.direction(pixel, width, height);
        let inverse = direction.recip();
        let (a, b) = (-self.origin * inverse, (self.size - self.origin) * inverse);
        let near = a.min(b).max_element().max(0.0);
        Ray { origin: self.origin, direction, near, far: a.max(b).min_element() }
    }

    /// Middle and radius in pixels of a ball as seen, and its depth; `None` if it lies behind or
    /// around the camera.
    pub fn project(&self, centre: Vec3, radius: f32) -> Option<([f32; 2], f32)> {
        let away = self.view.camera.axes.transpose() * (centre - self.origin);
        // A ball's outline is an ellipse; its half axis away from the middle of the image is the
        // longer one, by the tangent from the camera.
        let depth2 = away.z * away.z - radius * radius;
        if away.z <= radius || depth2 <= 0.0 {
            return None;
        }
        let (width, height) = self.size();
        let scale = self.view.camera.focal * height as f32;
        let aside = (away.x * away.x + away.y * away.y) / (away.z * away.z);
        let radius = scale * radius / depth2.sqrt() * (1.0 + aside).sqrt();
        let x = away.x / away.z * scale + self.view.camera.centre[0] * width as f32;
        let y = away.y / away.z * scale + self.view.camera.centre[1] * height as f32;
        Some(([x, y], radius))
    }

    /// Pixels that a ball before the camera may cover, along both axes: by its tangents, a pixel wider. The square of
    /// [`Self::project`] is far larger for balls far aside. Nothing where the ball is too near to tell.
    pub fn outline(&self, centre: Vec3, radius: f32) -> Option<[(f32, f32); 2]> {
        let away = self.view.camera.axes.transpose() * (centre - self.origin);
        let depth2 = away.z * away.z - radius * radius;
        if depth2 < 1e-2 * away.z * away.z || away.z <= 0.0 {
            return None;
        }
        let (width, height) = self.size();
        let scale = self.view.camera.focal * height as f32 / depth2;
        let pixels = [width as f32, height as f32];
        Some([(away.x, 0), (away.y, 1)].map(|(aside, axis)| {
            let spread = radius * (aside * aside + depth2).sqrt();
            let at = self.view.camera.centre[axis] * pixels[axis];
            let of = |tangent: f32| tangent * scale + at;
            (of(aside * away.z - spread) - 1.0, of(aside * away.z + spread) + 1.0)
        }))
    }
}

impl Ray {
    /// A point along it.
    #[inline]
    pub fn at(&self, distance: f32) -> Vec3 {
        self.origin + self.direction * distance
    }

    /// Distance of sample number `k`.
    #[inline]
    pub fn sample(&self, k: u32, step: f32) -> f32 {
        self.near + k as f32 * step
    }

    /// Where it crosses a ball.
    #[inline]
    pub fn ball(&self, centre: Vec3, radius: f32) -> Option<(f32, f32)> {
        let along = (centre - self.origin).dot(self.direction);
        let reach = radius * radius - (self.at(along) - centre).length_squared();
        (reach > 0.0).then(|| (along - reach.sqrt(), along + reach.sqrt()))
    }
}

/// Four texels of a plane and two of a line, with their weights.
struct Taps {
    plane: [(usize, f32); 4],
    line: [(usize, f32); 2],
}

/// Texels around a place, both ends of the axis included, and the way between them.
#[inline]
fn between(at: f32, size: usize) -> (usize, usize, f32) {
    let at = at.clamp(0.0, 1.0) * (size - 1) as f32;
    let first = (at as i32 as usize).min(size.saturating_sub(2));
    (first, (first + 1).min(size - 1), at - first as f32)
}

fn taps(mode: &Mode, axes: (usize, usize, usize), at: [f32; 3]) -> Taps {
    let (u0, u1, u) = between(at[axes.0], mode.size[0]);
    let (v0, v1, v) = between(at[axes.1], mode.size[1]);
    let (w0, w1, w) = between(at[axes.2], mode.size[2]);
    let columns = mode.size[0];
    Taps {
        plane: [
            (v0 * columns + u0, (1.0 - u) * (1.0 - v)),
            (v0 * columns + u1, u * (1.0 - v)),
            (v1 * columns + u0, (1.0 - u) * v),
            (v1 * columns + u1, u * v),
        ],
        line: [(w0, 1.0 - w), (w1, w)],
    }
}

/// Products of plane and line by component, at one place of a mode.
fn products<const N: usize>(plane: &[f32], line: &[f32], taps: &Taps) -> [f32; N] {
    let of = |values: &[f32], (place, weight): (usize, f32), sum: &mut [f32; N]| {
        for (sum, value) in sum.iter_mut().zip(&values[place * N..place * N + N]) {
            *sum += weight * value;
        }
    };
    let (mut p, mut l) = ([0.0; N], [0.0; N]);
    taps.plane.iter().for_each(|tap| of(plane, *tap, &mut p));
    taps.line.iter().for_each(|tap| of(line, *tap, &mut l));
    for (p, l) in p.iter_mut().zip(&l) {
        *p *= l;
    }
    p
}

/// A field with what the renderers need of it.
#[derive(Debug, Clone)]
pub struct Field {
    /// Planes, lines and network.
    pub factors: Factors,
    /// Occupied cubes.
    pub cubes: Cubes,
    lines: Lines,
    step: f32,
}

/// Components that are looked at together.
const GROUP: usize = 4;

/// Which density components are not zero at places of lines: most are, and need no look into their plane.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    /// A bit for each group of components, by mode and place.
    groups: [Vec<u8>; MODES],
    /// Length of a step, in sides of the scene's cube.
    length: f32,
}

impl Lines {
    pub(super) fn new(factors: &Factors) -> Self {
        let bits = |place: &[f32; DENSITY]| {
            let groups = place.as_chunks::<GROUP>().0.iter().enumerate();
            groups.fold(0, |bits, (i, group)| bits | u8::from(*group != [0.0; GROUP]) << i)
        };
        let of =
            |mode: &Mode| mode.density_line.as_chunks::<DENSITY>().0.iter().map(bits).collect();
        Self { groups: factors.modes.each_ref().map(of), length: factors.length() }
    }

    /// Opacity of a step at a point.
    pub(super) fn alpha(&self, factors: &Factors, at: Vec3) -> f32 {
        opacity(self.feature(factors, factors.in_box(at).to_array()), self.length)
    }

    /// The same at several points.
    pub(super) fn alphas(&self, factors: &Factors, at: &[Vec3], alphas: &mut Vec<f32>) {
        alphas.clear();
        match Together::new(factors, self) {
            Some(together) => {
                let (fours, rest) = at.as_chunks::<LANES>();
                for four in fours {
                    alphas.extend(together.features(factors.extent.size, four));
                }
                if let Some(last) = rest.last() {
                    let mut four = [*last; LANES];
                    four[..rest.len()].copy_from_slice(rest);
                    alphas.extend(&together.features(factors.extent.size, &four)[..rest.len()]);
                }
            }
            None => alphas
                .extend(at.iter().map(|at| self.feature(factors, factors.in_box(*at).to_array()))),
        }
        opacities(alphas, self.length);
    }

    /// Density feature at a place, in shares of the box.
    fn feature(&self, factors: &Factors, at: [f32; 3]) -> f32 {
        let grid = factors.grid;
        let axes = [between(at[0], grid[0]), between(at[1], grid[1]), between(at[2], grid[2])];
        let mut sums = [Vec4::ZERO; DENSITY / GROUP];
        let [xy, xz, yz] = &factors.modes;
        let [on_z, on_y, on_x] = &self.groups;
        let touched = add(xy, on_z, [axes[0], axes[1], axes[2]], &mut sums)
            | add(xz, on_y, [axes[0], axes[2], axes[1]], &mut sums)
            | add(yz, on_x, [axes[1], axes[2], axes[0]], &mut sums);
        let mut sum = 0.0;
        for (group, own) in sums.into_iter().enumerate() {
            if touched >> group & 1 == 1 {
                sum = sum + own.x + own.y + own.z + own.w;
            }
        }
        sum
    }
}

/// Adds what a mode has around a place, group by group of components; says which groups that are.
#[inline]
fn add(
    mode: &Mode,
    groups: &[u8],
    [(u0, u1, u), (v0, v1, v), (w0, w1, w)]: [(usize, usize, f32); 3],
    sums: &mut [Vec4; DENSITY / GROUP],
) -> u8 {
    let touched = groups[w0] | groups[w1];
    if touched == 0 {
        return 0;
    }
    let (upper, lower) = (v0 * mode.size[0], v1 * mode.size[0]);
    let (wa, wb, wc, wd) = ((1.0 - u) * (1.0 - v), u * (1.0 - v), (1.0 - u) * v, u * v);
    let (plane, line) =
        (mode.density_plane.as_chunks::<DENSITY>().0, mode.density_line.as_chunks::<DENSITY>().0);
    let (a, b) = (&plane[upper + u0], &plane[upper + u1]);
    let (c, d) = (&plane[lower + u0], &plane[lower + u1]);
    let (first, second) = (&line[w0], &line[w1]);
    for (group, sum) in sums.iter_mut().enumerate() {
        if touched >> group & 1 == 1 {
            let at = |texel: &[f32; DENSITY]| Vec4::from_array(texel.as_chunks::<GROUP>().0[group]);
            let over = (at(a) * wa + at(b) * wb) + (at(c) * wc + at(d) * wd);
            *sum += over * (at(first) * (1.0 - w) + at(second) * w);
        }
    }
    touched
}

/// Points that are looked at together.
const LANES: usize = 4;

/// Density features of several points at once. Each is what a point alone gives, bit by bit: sums of components that are
/// zero may be added, as no sum is minus zero.
struct Together<'a> {
    grid: [usize; 3],
    modes: [OfMode<'a>; MODES],
}

/// What a mode has for them: plane and line by texel, groups of the line that are not zero, texels in a row.
struct OfMode<'a> {
    plane: &'a [[f32; DENSITY]],
    line: &'a [[f32; DENSITY]],
    groups: &'a [u8],
    columns: usize,
}

/// Places of points along an axis: the texel before, and the way to the next one.
struct Places {
    first: [usize; LANES],
    way: Vec4,
}

impl Places {
    /// As [`between`] has it, for axes of two texels or more.
    #[inline]
    fn new(at: Vec4, size: usize) -> Self {
        /// Adding and taking away makes numbers whole.
        const WHOLE: f32 = 8_388_608.0;
        let at = Vec4::ONE.min(Vec4::ZERO.max(at)) * (size - 1) as f32;
        let nearest = (at + WHOLE) - WHOLE;
        let floor = nearest - Vec4::select(nearest.cmpgt(at), Vec4::ONE, Vec4::ZERO);
        let first = floor.min(Vec4::splat((size - 2) as f32));
        let bits = first + WHOLE;
        let whole = |x: f32| ((x.to_bits() & 0x007f_ffff) as usize).min(size - 2);
        Self {
            first: [whole(bits.x), whole(bits.y), whole(bits.z), whole(bits.w)],
            way: at - first,
        }
    }
}

impl<'a> Together<'a> {
    /// Nothing where an axis has a single texel.
    fn new(factors: &'a Factors, lines: &'a Lines) -> Option<Self> {
        let of = |number: usize| {
            let mode: &Mode = &factors.modes[number];
            OfMode {
                plane: mode.density_plane.as_chunks::<DENSITY>().0,
                line: mode.density_line.as_chunks::<DENSITY>().0,
                groups: &lines.groups[number],
                columns: mode.size[0],
            }
        };
        let wide = factors.grid.iter().all(|texels| *texels >= 2);
        wide.then(|| Self { grid: factors.grid, modes: [of(0), of(1), of(2)] })
    }

    /// Density features at points of the unit cube.
    #[inline]
    fn features(&self, size: Vec3, [a, b, c, d]: &[Vec3; LANES]) -> [f32; LANES] {
        let places = [
            Places::new(Vec4::new(a.x, b.x, c.x, d.x) / size.x, self.grid[0]),
            Places::new(Vec4::new(a.y, b.y, c.y, d.y) / size.y, self.grid[1]),
            Places::new(Vec4::new(a.z, b.z, c.z, d.z) / size.z, self.grid[2]),
        ];
        let mut sums = [[Vec4::ZERO; DENSITY / GROUP]; LANES];
        let mut touched = 0;
        for (mode, (u, v, w)) in self.modes.iter().zip(AXES) {
            touched |= mode.add([&places[u], &places[v], &places[w]], &mut sums);
        }
        let mut sum = Vec4::ZERO;
        for group in 0..DENSITY / GROUP {
            if touched >> group & 1 == 1 {
                let [a, b, c, d] = &sums;
                let parts = Mat4::from_cols(a[group], b[group], c[group], d[group]).transpose();
                sum = sum + parts.x_axis + parts.y_axis + parts.z_axis + parts.w_axis;
            }
        }
        sum.to_array()
    }
}

impl OfMode<'_> {
    /// Adds what there is around places, group by group of components; says which groups that are.
    #[inline]
    fn add(&self, [u, v, w]: [&Places; 3], sums: &mut [[Vec4; DENSITY / GROUP]; LANES]) -> u8 {
        let (u_rest, v_rest, w_rest) = (1.0 - u.way, 1.0 - v.way, 1.0 - w.way);
        let (wa, wb, wc, wd) = (u_rest * v_rest, u.way * v_rest, u_rest * v.way, u.way * v.way);
        let mut all = 0;
        for (lane, sums) in sums.iter_mut().enumerate() {
            let place = w.first[lane];
            let touched = self.groups[place] | self.groups[place + 1];
            if touched == 0 {
                continue;
            }
            all |= touched;
            let upper = v.first[lane] * self.columns + u.first[lane];
            let lower = upper + self.columns;
            let (upper, lower) = (&self.plane[upper..upper + 2], &self.plane[lower..lower + 2]);
            let line = &self.line[place..place + 2];
            let (wa, wb, wc, wd) = (wa[lane], wb[lane], wc[lane], wd[lane]);
            let (w_rest, w) = (w_rest[lane], w.way[lane]);
            for (group, sum) in sums.iter_mut().enumerate() {
                if touched >> group & 1 == 1 {
                    let at = |texel: &[f32; DENSITY]| {
                        Vec4::from_array(texel.as_chunks::<GROUP>().0[group])
                    };
                    let over = (at(&upper[0]) * wa + at(&upper[1]) * wb)
                        + (at(&lower[0]) * wc + at(&lower[1]) * wd);
                    *sum += over * (at(&line[0]) * w_rest + at(&line[1]) * w);
                }
            }
        }
        all
    }
}

impl Field {
    /// With cubes of its own: `per_axis` along an axis.
    pub fn new(factors: Factors, per_axis: u32) -> Self {
        let cubes = Cubes::of(&factors, per_axis);
        let (lines, step) = (Lines::new(&factors), factors.step());
        Self { factors, cubes, lines, step }
    }

    /// Opacity of a step at a point.
    pub fn alpha(&self, at: Vec3) -> f32 {
        self.lines.alpha(&self.factors, at)
    }

    /// The same at several points, in the place of what `alphas` held.
    pub fn alphas(&self, at: &[Vec3], alphas: &mut Vec<f32>) {
        self.lines.alphas(&self.factors, at, alphas);
    }

    /// Step along a ray, in sides of the field's cube.
    pub const fn step(&self) -> f32 {
        self.step
    }

    /// Colour at a point, seen along a direction.
    pub fn colour(&self, at: Vec3, direction: Vec3) -> Vec3 {
        let at = self.factors.in_box(at).to_array();
        let mut all = [0.0; MODES * APPEARANCE];
        for ((mode, axes), out) in
            self.factors.modes.iter().zip(AXES).zip(all.chunks_exact_mut(APPEARANCE))
        {
            let taps = taps(mode, axes, at);
            let own: [f32; APPEARANCE] =
                products(&mode.appearance_plane, &mode.appearance_line, &taps);
            out.copy_from_slice(&own);
        }
        self.factors.network.colour(&all, direction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texels_and_what_lies_between() {
        assert_eq!(between(0.0, 5), (0, 1, 0.0));
        assert_eq!(between(1.0, 5), (3, 4, 1.0));
        assert_eq!(between(0.5, 5), (2, 3, 0.0));
        assert_eq!(between(0.3, 1), (0, 0, 0.0));
        assert!(between(f32::NAN, 5).0 < 5);
    }

    /// Points together are what each is alone, bit by bit, also at the box's faces and beyond them.
    #[test]
    fn points_together_are_those_alone() {
        let scene = Scene::shipped("statue").unwrap();
        for grid in [17, 48] {
            let synthetic = super::super::Synthetic { grid, ..Default::default() };
            let factors = synthetic.factors(&scene);
            let size = factors.extent.size;
            let field = Field::new(factors, 16);
            let mut points: Vec<Vec3> = (0..4_001)
                .map(|i| (Vec3::from(crate::samples::scattered(i)) * 1.2 - 0.1) * size)
                .collect();
            points.extend([Vec3::ZERO, size, Vec3::NAN, size / 2.0]);
            let mut together = Vec::new();
            field.alphas(&points, &mut together);
            let mut dense = 0;
            for (at, together) in points.iter().zip(together) {
                let alone = field.alpha(*at);
                assert!(alone.to_bits() == together.to_bits() || alone.is_nan(), "{at}");
                dense += i32::from(alone > 0.01);
            }
            assert!(dense > 20, "{dense}");
        }
    }

    #[test]
    fn a_ball_covers_what_it_projects_to() {
        let scene = Scene::shipped("statue").unwrap();
        let camera = scene.path.at(0.2).unwrap();
        let factors = super::super::Synthetic { grid: 32, ..Default::default() }.factors(&scene);
        let sight = Sight::new(&scene, &View { camera, width: 160, height: 120 }, &factors);
        for i in 0..40 {
            let centre = Vec3::from(crate::samples::scattered(i));
            let radius = 0.02;
            let Some(([x, y], r)) = sight.project(centre, radius) else { continue };
            for (px, py) in (0..120).flat_map(|py| (0..160).map(move |px| (px, py))) {
                let hit = sight.ray(px, py).ball(centre, radius).is_some();
                let (dx, dy) = (px as f32 + 0.5 - x, py as f32 + 0.5 - y);
                assert!(!hit || dx.abs().max(dy.abs()) <= r * 1.01 + 0.1, "{dx} {dy} {r}");
            }
        }
    }
}
