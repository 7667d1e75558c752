//! Rays on their way to the next full cell, four side by side. A ray that has arrived leaves its lane to the
//! next one. Each lane does what a ray alone does, operation by operation, so that results are the same bits.

use glam::{Vec3, Vec4};

use super::Ray;
use crate::scene::Occupancy;
use crate::scene::occupancy::CELLS;

/// Rays side by side.
const LANES: usize = 4;
/// More cells than any scene reaches below zero.
const OFFSET: f32 = 32_768.0;
/// Adding and taking away makes numbers whole.
const WHOLE: f32 = 8_388_608.0;
/// Fraction bits of a number.
const FRACTION: u32 = 0x007f_ffff;

/// What the marcher knows of steps and of the scene's cube.
#[derive(Debug, Clone, Copy)]
pub(super) struct March {
    pub low: Vec3,
    pub high: Vec3,
    /// Growth of a step with distance.
    pub cone: f32,
    pub shortest: f32,
    pub longest: f32,
}

/// Rays under way.
struct Lanes {
    /// Which ray is in a lane; none if it is the last one.
    ray: [usize; LANES],
    origin: [Vec4; 3],
    direction: [Vec4; 3],
    inverse: [Vec4; 3],
    /// One where a ray goes up along an axis.
    up: [Vec4; 3],
    end: Vec4,
    t: Vec4,
    voxels: Vec4,
    fine_steps: Vec4,
}

impl Lanes {
    fn put(&mut self, lane: usize, number: usize, ray: &Ray) {
        self.ray[lane] = number;
        let inverse = ray.direction.recip();
        for axis in 0..3 {
            self.origin[axis][lane] = ray.origin[axis];
            self.direction[axis][lane] = ray.direction[axis];
            self.inverse[axis][lane] = inverse[axis];
            self.up[axis][lane] = if ray.direction[axis] >= 0.0 { 1.0 } else { 0.0 };
        }
        (self.t[lane], self.end[lane]) = (ray.t, ray.end);
        (self.voxels[lane], self.fine_steps[lane]) = (0.0, 0.0);
    }
}

/// The next whole number below, for numbers that are not negative and far below 2^23.
#[inline]
fn floor(x: Vec4) -> Vec4 {
    let nearest = (x + WHOLE) - WHOLE;
    nearest - Vec4::select(nearest.cmpgt(x), Vec4::ONE, Vec4::ZERO)
}

/// The smallest power of two that is not smaller, for numbers from one on.
#[inline]
const fn power(x: f32) -> f32 {
    f32::from_bits((x.to_bits() + FRACTION) & !FRACTION)
}

/// One over a power of two.
#[inline]
const fn inverted(power: f32) -> f32 {
    f32::from_bits((254 << 23) - power.to_bits())
}

#[inline]
fn each(x: Vec4, of: impl Fn(f32) -> f32) -> Vec4 {
    Vec4::new(of(x.x), of(x.y), of(x.z), of(x.w))
}

/// Rays on their way through cells.
struct Walk {
    t: Vec4,
    target: Vec4,
    /// One for rays that are not there yet.
    going: Vec4,
    taken: Vec4,
}

impl Walk {
    /// Takes steps until every ray is there, at least one each.
    #[inline]
    fn run(&mut self, step: impl Fn(Vec4) -> Vec4) {
        while self.going != Vec4::ZERO {
            let moving = self.going.cmpgt(Vec4::ZERO);
            self.t = Vec4::select(moving, self.t + step(self.t), self.t);
            self.taken += self.going;
            self.going = Vec4::select(self.t.cmplt(self.target), self.going, Vec4::ZERO);
        }
    }
}

impl March {
    /// The step at a distance.
    #[inline]
    pub fn step(&self, t: f32) -> f32 {
        (t * self.cone).clamp(self.shortest, self.longest)
    }

    #[inline]
    fn steps(&self, t: Vec4) -> Vec4 {
        (t * self.cone).max(Vec4::splat(self.shortest)).min(Vec4::splat(self.longest))
    }

    /// Walks each of some rays to the first full cell at or after its place, and says where that is.
    pub fn seek(
        &self,
        grid: &Occupancy,
        rays: &mut [Ray],
        open: &[bool],
        found: &mut [Option<Vec3>],
    ) {
        found.fill(None);
        let (zero, none) = (Vec4::ZERO, [Vec4::ZERO; 3]);
        let mut lanes = Lanes {
            ray: [usize::MAX; LANES],
            origin: none,
            direction: none,
            inverse: none,
            up: none,
            end: zero,
            t: zero,
            voxels: zero,
            fine_steps: zero,
        };
        let mut waiting = (0..rays.len()).filter(|number| open.get(*number) == Some(&true));
        let mut active = [false; LANES];
        for (lane, active) in active.iter_mut().enumerate() {
            if let Some(next) = waiting.next() {
                lanes.put(lane, next, &rays[next]);
                *active = true;
            }
        }
        while active != [false; LANES] {
            let (arrived, at) = self.advance(grid, &mut lanes, active);
            for lane in 0..LANES {
                if !active[lane] || arrived[lane] == Arrived::No {
                    continue;
                }
                let number = lanes.ray[lane];
                let ray = &mut rays[number];
                ray.t = lanes.t[lane];
                ray.voxels += lanes.voxels[lane] as u32;
                ray.fine_steps += lanes.fine_steps[lane] as u32;
                if arrived[lane] == Arrived::Full {
                    found[number] = Some(Vec3::new(at[0][lane], at[1][lane], at[2][lane]));
                }
                match waiting.next() {
                    Some(next) => lanes.put(lane, next, &rays[next]),
                    None => active[lane] = false,
                }
            }
        }
    }

    /// Takes every ray through the empty cell that it is in, if it is in one; says which are at a full cell or have
    /// left the scene, and where they were.
    #[inline]
    fn advance(
        &self,
        grid: &Occupancy,
        lanes: &mut Lanes,
        active: [bool; LANES],
    ) -> ([Arrived; LANES], [Vec4; 3]) {
        let (t, mut at) = (lanes.t, [Vec4::ZERO; 3]);
        let mut left = t.cmpgt(lanes.end);
        let mut most = self.steps(t) * 2.0 * CELLS as f32;
        let mut centred = [Vec4::ZERO; 3];
        for axis in 0..3 {
            at[axis] = lanes.origin[axis] + lanes.direction[axis] * t;
            left |= !(at[axis].cmpge(Vec4::splat(self.low[axis]))
                & at[axis].cmple(Vec4::splat(self.high[axis])));
            centred[axis] = at[axis] - 0.5;
            most = most.max(centred[axis].abs() * 2.0);
        }
        // Side of the cascade that place and step ask for.
        let largest = (1_u32 << (grid.cascades() - 1)) as f32;
        let side = each(most.max(Vec4::ONE), power).min(Vec4::splat(largest));
        let inverse_side = each(side, inverted);
        let mut cell = [Vec4::ZERO; 3];
        let mut within = t.cmpeq(t);
        for axis in 0..3 {
            cell[axis] = (centred[axis] * inverse_side + 0.5) * CELLS as f32;
            within &= cell[axis].cmpge(Vec4::ZERO) & cell[axis].cmplt(Vec4::splat(CELLS as f32));
        }
        let row = CELLS as f32;
        let number = (floor(cell[2]) * row + floor(cell[1])) * row + floor(cell[0]);
        let number = Vec4::select(within, number, Vec4::ZERO) + WHOLE;
        let (number, side_bits) = (number.to_array(), side.to_array());
        let (left, within) = (left.bitmask(), within.bitmask());
        let mut arrived = [Arrived::No; LANES];
        let mut under_way = [false; LANES];
        for lane in 0..LANES {
            let cascade = (side_bits[lane].to_bits() >> 23).saturating_sub(127);
            let full =
                within >> lane & 1 == 1 && grid.is_full(cascade, number[lane].to_bits() & FRACTION);
            arrived[lane] = match (left >> lane & 1 == 1, full) {
                (true, _) => Arrived::Outside,
                (_, true) => Arrived::Full,
                _ => Arrived::No,
            };
            under_way[lane] = active[lane] && arrived[lane] == Arrived::No;
        }
        if under_way == [false; LANES] {
            return (arrived, at);
        }
        // To the far side of the empty cell, in whole steps.
        let cells = inverse_side * CELLS as f32;
        let mut away = [Vec4::ZERO; 3];
        for axis in 0..3 {
            let local = centred[axis] * cells;
            let far = floor(local + OFFSET) - OFFSET + lanes.up[axis];
            away[axis] = (far - local) * lanes.inverse[axis] * (side * (1.0 / CELLS as f32));
        }
        let target = t + away[0].min(away[1].min(away[2])).max(Vec4::ZERO);
        let one = |lane: usize| if under_way[lane] { 1.0 } else { 0.0 };
        let going = Vec4::new(one(0), one(1), one(2), one(3));
        lanes.voxels += going;
        let mut walk = Walk { t, target, going, taken: lanes.fine_steps };
        let (cone, shortest) = (self.cone, Vec4::splat(self.shortest));
        // Steps mostly are all of one kind, and are known sooner without a look at their bounds.
        if cone == 0.0 {
            walk.run(|_| shortest);
        } else if (t * cone).cmpge(shortest).all() && (target * cone).max_element() <= self.longest
        {
            walk.run(|t| t * cone);
        } else {
            walk.run(|t| self.steps(t));
        }
        (lanes.t, lanes.fine_steps) = (walk.t, walk.taken);
        (arrived, at)
    }
}

/// Whether a ray is where it was going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrived {
    No,
    Outside,
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rays::{RayMarching, Walker};
    use crate::scene::Scene;

    /// Rays side by side go where each goes alone, bit by bit, in as many cells and steps.
    #[test]
    fn rays_together_go_where_each_goes_alone() {
        for name in ["room", "lattice", "cloud"] {
            let scene = Scene::shipped(name).unwrap();
            let walker = RayMarching::new(&scene, 0.01);
            let camera = scene.path.at(0.4).unwrap();
            let ray = |i: u64| {
                let [x, y, _] = crate::samples::scattered(i);
                let direction = camera.direction([x * 200.0, y * 100.0], 200, 100);
                Ray { origin: camera.origin, direction, seed: i, ..Ray::default() }
            };
            let mut alone: Vec<Ray> = (0..501).map(ray).collect();
            let mut together = alone.clone();
            let mut open: Vec<bool> = alone.iter_mut().map(|ray| walker.start(ray)).collect();
            assert_eq!(walker.start_all(&mut together), open, "{name}");
            let mut found = vec![None; alone.len()];
            let mut seen = 0;
            for _ in 0..12 {
                walker.query_all(&mut together, &open, &mut found);
                for (number, ray) in alone.iter_mut().enumerate() {
                    let at = if open[number] { walker.query(ray) } else { None };
                    let other = &mut together[number];
                    assert_eq!((at, ray.t), (found[number], other.t), "{name} {number}");
                    let ways = (ray.voxels, ray.fine_steps);
                    assert_eq!(ways, (other.voxels, other.fine_steps), "{name} {number}");
                    seen += usize::from(at.is_some());
                    open[number] = at.is_some();
                    if let Some(at) = at {
                        walker.answer(ray, at);
                        walker.answer(other, at);
                    }
                }
            }
            assert!(seen > 500, "{name} {seen}");
        }
    }
}
