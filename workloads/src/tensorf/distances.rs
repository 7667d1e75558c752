//! Distances to the nearest surface at nodes a few texels apart. As a distance changes no faster than a
//! point moves, a node bounds it for the texels around: far from a surface, or deep inside, the scene need not be
//! asked. Far nodes are filled in from a coarser grid.

use glam::Vec4;

use crate::scene::{Number, Point};

/// Texels from node to node.
pub(super) const PITCH: usize = 4;
/// Nodes along an edge of a block that is asked about first.
const BLOCK: usize = 4;

/// Distances, in texels.
pub(super) struct Distances {
    nodes: Vec<f32>,
    across: [usize; 3],
    /// Sides of a texel along the axes, in mean texels.
    texel: [f32; 3],
}

/// Where a node stands among the texels of an axis.
#[inline]
const fn place(node: usize) -> f32 {
    (node * PITCH) as f32 + 0.5 * (PITCH - 1) as f32
}

impl Distances {
    /// Asks for distances at places in texels, four at once. Beyond `reach` from a surface, on either side, they need not be
    /// exact. `None` where the scene knows no distance.
    pub fn new(
        grid: [usize; 3],
        texel: [f32; 3],
        reach: f32,
        distances: impl Fn(Point<Vec4>) -> Option<Vec4>,
    ) -> Option<Self> {
        distances(Point::of([0.0; 3]))?;
        let across = grid.map(|texels| texels.div_ceil(PITCH));
        let mut nodes = vec![0.0; across[0] * across[1] * across[2]];
        let largest = texel.into_iter().fold(0.0, f32::max);
        // From the middle of a block to its corner nodes, and from a node to the texels around.
        let diagonal = 3.0_f32.sqrt() * largest;
        let half = diagonal * 0.5 * ((BLOCK - 1) * PITCH) as f32;
        let around = diagonal * 0.5 * PITCH as f32;
        let blocks = across.map(|nodes| nodes.div_ceil(BLOCK));
        for block in 0..blocks[0] * blocks[1] * blocks[2] {
            let first = [
                block % blocks[0] * BLOCK,
                block / blocks[0] % blocks[1] * BLOCK,
                block / (blocks[0] * blocks[1]) * BLOCK,
            ];
            let middle = first.map(|node| place(node) + 0.5 * ((BLOCK - 1) * PITCH) as f32);
            let far = distances(Point::of(middle))?.x;
            let bound = if far > 0.0 { far - half } else { far + half };
            let known = (far.abs() > reach + half + around).then_some(bound);
            let end = |axis: usize| (first[axis] + BLOCK).min(across[axis]);
            for z in first[2]..end(2) {
                for y in first[1]..end(1) {
                    let mut row = Point::of([first[0], y, z].map(place));
                    row.x += Vec4::new(0.0, 1.0, 2.0, 3.0) * PITCH as f32;
                    let own = match known {
                        Some(bound) => Vec4::splat(bound),
                        None => distances(row)?,
                    };
                    let from = (z * across[1] + y) * across[0];
                    nodes[from + first[0]..from + end(0)]
                        .copy_from_slice(&own.to_array()[..end(0) - first[0]]);
                }
            }
        }
        Some(Self { nodes, across, texel })
    }

    /// The node nearest to a place along an axis, for a box around it, given by half its side.
    #[inline]
    pub fn along(&self, axis: usize, at: f32, half: f32) -> Along {
        let node = self.nearest(axis, at);
        let off = ((at - place(node)).abs() + half) * self.texel[axis];
        Along { node, off2: off * off }
    }

    /// Bounds of all distances in a box, from its places along the axes, as the node nearest to its middle knows them.
    #[inline]
    pub fn within(&self, [x, y, z]: [Along; 3]) -> (f32, f32) {
        let number = (z.node * self.across[1] + y.node) * self.across[0] + x.node;
        let away = (z.off2 + y.off2 + x.off2).sqrt();
        (self.nodes[number] - away, self.nodes[number] + away)
    }

    #[inline]
    fn nearest(&self, axis: usize, at: f32) -> usize {
        let node = ((at + 0.5) * (1.0 / PITCH as f32)).max(0.0) as i32 as usize;
        node.min(self.across[axis] - 1)
    }
}

/// A box's place along an axis: the nearest node, and the square of how far its ends are away from it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Along {
    node: usize,
    off2: f32,
}

impl Distances {
    /// Bounds of the distances at places that are all nearest to one node, four at once.
    #[inline]
    pub fn beside(&self, at: [Vec4; 3]) -> (Vec4, Vec4) {
        let (mut number, mut away2) = (0, Vec4::ZERO);
        for axis in [2, 1, 0] {
            let node = self.nearest(axis, at[axis].x);
            number = number * self.across[axis] + node;
            let off = (at[axis] - place(node)).abs() * self.texel[axis];
            away2 += off * off;
        }
        let (distance, away) = (Vec4::splat(self.nodes[number]), Number::sqrt(away2));
        (distance - away, distance + away)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bounds hold everywhere within reach, and tell far places as far.
    #[test]
    fn distances_lie_within_their_bounds() {
        let grid = [61, 50, 43];
        let texel = [1.02, 0.97, 1.0];
        let exact = |at: [f32; 3]| {
            let [x, y, z] = [0, 1, 2].map(|i| (at[i] - [30.0, 20.0, 22.0][i]) * texel[i]);
            (x * x + y * y + z * z).sqrt() - 9.0
        };
        let reach = 5.0;
        let all = |at| Some(Number::each(at, |at| exact(at.to_array())));
        let bounds = Distances::new(grid, texel, reach, all).unwrap();
        let mut decided = 0;
        for z in 0..grid[2] {
            for y in 0..grid[1] {
                for x in 0..grid[0] {
                    let at = [x as f32, y as f32, z as f32 + 0.3];
                    let along = [0, 1, 2].map(|axis| bounds.along(axis, at[axis], 0.0));
                    let (own, (low, high)) = (exact(at), bounds.within(along));
                    let (lows, highs) = bounds.beside(at.map(Vec4::splat));
                    assert_eq!(
                        (lows.w.to_bits(), highs.w.to_bits()),
                        (low.to_bits(), high.to_bits())
                    );
                    if own.abs() <= reach {
                        assert!(
                            low <= own + 1e-3 && own <= high + 1e-3,
                            "{at:?} {own} {low} {high}"
                        );
                    } else {
                        assert!(if own > 0.0 { low <= own + 1e-3 } else { own <= high + 1e-3 });
                    }
                    decided += usize::from(low > reach || high < -reach);
                }
            }
        }
        assert!(decided > grid.iter().product::<usize>() / 2, "{decided}");
        assert!(Distances::new(grid, texel, reach, |_| None).is_none());
    }
}
