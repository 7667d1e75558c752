//! Numbers that formulas of scenes are written in: one, or four side by side, for four places at once. Both give
//! the same bits, as each lane goes through the same operations in the same order.

use std::ops::{Add, Div, Mul, Neg, Sub};

use glam::{Vec3, Vec4};

/// One number or four.
pub trait Number:
    Copy
    + PartialEq
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + Add<f32, Output = Self>
    + Sub<f32, Output = Self>
    + Mul<f32, Output = Self>
    + Div<f32, Output = Self>
{
    /// The same number everywhere.
    fn of(value: f32) -> Self;
    /// The smaller one.
    #[must_use]
    fn min(self, other: Self) -> Self;
    /// The larger one.
    #[must_use]
    fn max(self, other: Self) -> Self;
    /// Without its sign.
    #[must_use]
    fn abs(self) -> Self;
    /// The next whole number below, for numbers far below 2^31.
    #[must_use]
    fn floor(self) -> Self;
    /// Square root.
    #[must_use]
    fn sqrt(self) -> Self;
    /// Sine.
    #[must_use]
    fn sine(self) -> Self;
    /// The largest of them.
    fn largest(self) -> f32;
    /// Zero where another number is not positive.
    #[must_use]
    fn where_positive(self, other: Self) -> Self;
    /// How many.
    const LANES: usize;
    /// One of them.
    fn lane(self, lane: usize) -> f32;
    /// Puts one of them.
    fn set(&mut self, lane: usize, value: f32);

    /// What a function of a single place gives.
    #[inline]
    fn each(at: Point<Self>, of: impl Fn(Vec3) -> f32) -> Self {
        let mut all = Self::of(0.0);
        (0..Self::LANES).for_each(|lane| all.set(lane, of(at.lane(lane))));
        all
    }
}

impl Number for f32 {
    #[inline]
    fn of(value: f32) -> Self {
        value
    }
    #[inline]
    fn min(self, other: Self) -> Self {
        self.min(other)
    }
    #[inline]
    fn max(self, other: Self) -> Self {
        self.max(other)
    }
    #[inline]
    fn abs(self) -> Self {
        self.abs()
    }
    #[inline]
    fn floor(self) -> Self {
        let whole = self as i32 as Self;
        if whole > self { whole - 1.0 } else { whole }
    }
    #[inline]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    #[inline]
    fn sine(self) -> Self {
        libm::sinf(self)
    }
    #[inline]
    fn largest(self) -> f32 {
        self
    }
    #[inline]
    fn where_positive(self, other: Self) -> Self {
        if other > 0.0 { self } else { 0.0 }
    }
    const LANES: usize = 1;
    #[inline]
    fn lane(self, _: usize) -> f32 {
        self
    }
    #[inline]
    fn set(&mut self, _: usize, value: f32) {
        *self = value;
    }
}

impl Number for Vec4 {
    #[inline]
    fn of(value: f32) -> Self {
        Self::splat(value)
    }
    #[inline]
    fn min(self, other: Self) -> Self {
        self.min(other)
    }
    #[inline]
    fn max(self, other: Self) -> Self {
        self.max(other)
    }
    #[inline]
    fn abs(self) -> Self {
        self.abs()
    }
    #[inline]
    fn floor(self) -> Self {
        self.floor()
    }
    #[inline]
    fn sqrt(self) -> Self {
        Self::new(self.x.sqrt(), self.y.sqrt(), self.z.sqrt(), self.w.sqrt())
    }
    #[inline]
    fn sine(self) -> Self {
        let of = libm::sinf;
        Self::new(of(self.x), of(self.y), of(self.z), of(self.w))
    }
    #[inline]
    fn largest(self) -> f32 {
        self.max_element()
    }
    #[inline]
    fn where_positive(self, other: Self) -> Self {
        Self::select(other.cmpgt(Self::ZERO), self, Self::ZERO)
    }
    const LANES: usize = 4;
    #[inline]
    fn lane(self, lane: usize) -> f32 {
        self[lane]
    }
    #[inline]
    fn set(&mut self, lane: usize, value: f32) {
        self[lane] = value;
    }
}

/// A place, or four.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<N> {
    /// Along x.
    pub x: N,
    /// Along y.
    pub y: N,
    /// Along z.
    pub z: N,
}

impl From<Vec3> for Point<f32> {
    fn from(at: Vec3) -> Self {
        Self { x: at.x, y: at.y, z: at.z }
    }
}

impl<N: Number> Point<N> {
    /// The same place everywhere.
    pub fn of([x, y, z]: [f32; 3]) -> Self {
        Self { x: N::of(x), y: N::of(y), z: N::of(z) }
    }

    /// One of them.
    #[inline]
    pub fn lane(self, lane: usize) -> Vec3 {
        Vec3::new(self.x.lane(lane), self.y.lane(lane), self.z.lane(lane))
    }

    /// Each coordinate by itself.
    #[inline]
    #[must_use]
    pub fn map(self, of: impl Fn(N) -> N) -> Self {
        Self { x: of(self.x), y: of(self.y), z: of(self.z) }
    }

    /// As seen from a place.
    #[inline]
    pub(super) fn from(self, [x, y, z]: [f32; 3]) -> Self {
        Self { x: self.x - x, y: self.y - y, z: self.z - z }
    }

    #[inline]
    pub(super) fn length(self) -> N {
        (self.x * self.x + self.y * self.y + self.z * self.z).sqrt()
    }
}

/// Length of a vector in a plane.
#[inline]
pub(super) fn length<N: Number>(x: N, y: N) -> N {
    (x * x + y * y).sqrt()
}

/// Distance to what lies within half sides of the middle, from how far coordinates exceed these.
#[inline]
pub(super) fn beyond<N: Number>(q: Point<N>) -> N {
    let zero = N::of(0.0);
    q.map(|q| q.max(zero)).length() + q.x.max(q.y.max(q.z)).min(zero)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Analytic;

    /// Four places at once give what each gives alone, bit by bit.
    #[test]
    fn lanes_agree_with_single_places() {
        for scene in Analytic::ALL {
            for i in 0..4_000_u64 {
                let at = [0, 1, 2, 3]
                    .map(|k| (Vec3::from(crate::samples::scattered(4 * i + k)) - 0.5) * 1.4 + 0.5);
                let of = |axis: usize| Vec4::from_array(at.map(|at| at[axis]));
                let four = scene.distances(Point { x: of(0), y: of(1), z: of(2) });
                for (lane, at) in at.into_iter().enumerate() {
                    let one = scene.distance(at).map(f32::to_bits);
                    assert_eq!(four.map(|d| d[lane].to_bits()), one, "{scene:?} {at}");
                }
            }
        }
    }
}
