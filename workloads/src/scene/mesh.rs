//! Triangle meshes as scenes: read from OBJ text, moved into the unit cube, made dense in a thin
//! shell around their triangles.
//!
//! Distances come from the nearest triangle of the cell that a point lies in: triangles are
//! entered into a grid of cells and spread to their neighbours, which is exact near surfaces and
//! a close bound elsewhere. Distances are unsigned, since meshes found in the wild are seldom
//! closed. Left out: materials and textures.

use std::io::Cursor;

use glam::Vec3;

use super::SceneError;
use super::occupancy::Occupancy;

/// Density inside of the shell, per unit length.
pub(super) const SHELL_DENSITY: f32 = 400.0;
/// Half the thickness of the shell.
const SHELL: f32 = 0.004;
/// Part of the unit cube that a mesh fills.
const FILL: f32 = 0.8;
/// Cells of the distance grid along an axis.
const SIDE: usize = 64;
/// No triangle yet.
const NONE: u32 = u32::MAX;

/// A mesh in the unit cube.
#[derive(Debug, Clone)]
pub struct Mesh {
    triangles: Vec<[Vec3; 3]>,
    /// Nearest triangle of each cell.
    nearest: Vec<u32>,
}

impl Mesh {
    /// Reads OBJ text.
    ///
    /// # Errors
    /// When the text is no OBJ, has no faces, or vertices that are not finite.
    pub fn from_obj(text: &str) -> Result<Self, SceneError> {
        let triangles = Self::triangles_from_obj(text)?;
        let nearest = nearest_of_cells(&triangles);
        Ok(Self { triangles, nearest })
    }

    /// The triangles of OBJ text, moved into the unit cube.
    ///
    /// # Errors
    /// As [`Mesh::from_obj`].
    pub fn triangles_from_obj(text: &str) -> Result<Vec<[Vec3; 3]>, SceneError> {
        let no_vertex = |(line, index): (usize, &str)| {
            SceneError::new(
                line,
                format!("there is no vertex {index} to make a face of"),
                "number vertices from 1, or from -1 backwards from the last one above",
            )
        };
        if let Some(place) = impossible_index(text, [text.len() as u64; 3]) {
            return Err(no_vertex(place));
        }
        let options = tobj::LoadOptions { triangulate: true, ..tobj::LoadOptions::default() };
        let mut reader = Cursor::new(text.as_bytes());
        let loaded = tobj::load_obj_buf(&mut reader, &options, |_| Ok(Default::default()));
        let (models, _) = loaded.map_err(|error| {
            let line = bad_line(text);
            if let Some(place) = impossible_index(text, listed(text)).filter(|_| line == 0) {
                return no_vertex(place);
            }
            let short = |line: &str| line.trim().chars().take(60).collect::<String>();
            let there = line.checked_sub(1).and_then(|above| text.lines().nth(above));
            let quoted = there.map(|line| format!(" in \"{}\"", short(line)));
            SceneError::new(
                line,
                format!("not an OBJ mesh: {error}{}", quoted.unwrap_or_default()),
                "write `v x y z` for vertices and `f i j k` for faces, numbered from 1",
            )
        })?;
        let mut triangles = Vec::new();
        for model in &models {
            let mesh = &model.mesh;
            let vertex = |i: u32| {
                let at = mesh.positions.get(i as usize * 3..i as usize * 3 + 3)?;
                Some(Vec3::new(at[0], at[1], at[2]))
            };
            for face in mesh.indices.chunks_exact(3) {
                if let (Some(a), Some(b), Some(c)) =
                    (vertex(face[0]), vertex(face[1]), vertex(face[2]))
                {
                    triangles.push([a, b, c]);
                }
            }
        }
        if triangles.is_empty() {
            return Err(SceneError::new(
                0,
                "the mesh has no faces",
                "add faces (`f i j k`), or give an occupancy grid (.npy) instead",
            ));
        }
        if triangles.iter().flatten().any(|vertex| !vertex.is_finite()) {
            return Err(SceneError::new(
                bad_line(text),
                "the mesh has vertices that are not finite numbers",
                "repair the vertex coordinates (NaN or infinity)",
            ));
        }
        let low = triangles.iter().flatten().fold(Vec3::INFINITY, |low, v| low.min(*v));
        let high = triangles.iter().flatten().fold(Vec3::NEG_INFINITY, |high, v| high.max(*v));
        let extent = (high - low).max_element();
        if extent <= 0.0 || !extent.is_finite() {
            return Err(SceneError::new(
                0,
                "all vertices of the mesh are one point, or too far apart for fp32",
                "check the units of the mesh",
            ));
        }
        let middle = (low + high) / 2.0;
        for vertex in triangles.iter_mut().flatten() {
            *vertex = (*vertex - middle) * (FILL / extent) + 0.5;
        }
        Ok(triangles)
    }

    /// Triangles.
    pub fn faces(&self) -> usize {
        self.triangles.len()
    }

    /// Distance to the nearest triangle.
    pub fn distance(&self, at: Vec3) -> f32 {
        let inside = at.clamp(Vec3::ZERO, Vec3::ONE);
        let cell = (inside * SIDE as f32).min(Vec3::splat(SIDE as f32 - 1.0));
        let number = self.nearest[number([cell.x as usize, cell.y as usize, cell.z as usize])];
        let Some(triangle) = self.triangles.get(number as usize) else { return 1.0 };
        // Outside of the cube the mesh is at least as far as the cube is.
        let outside = at.distance(inside);
        let near = at.distance(closest(triangle, at));
        // A neighbour's triangle may be nearer by as much as a cell is wide.
        let slack = if near < 2.0 / SIDE as f32 { 0.0 } else { 0.5 / SIDE as f32 };
        (near - slack).max(outside)
    }

    /// Optical density, per unit length.
    pub fn density(&self, at: Vec3) -> f32 {
        if self.distance(at) < SHELL { SHELL_DENSITY } else { 0.0 }
    }

    /// Cells that a part of the shell lies in.
    pub fn occupancy(&self) -> Occupancy {
        let mut grid = Occupancy::empty(1);
        grid.fill(0, |low, side| self.distance(low + side / 2.0) < SHELL + 0.87 * side);
        grid
    }
}

/// Vertices, texture coordinates and normals of a text.
fn listed(text: &str) -> [u64; 3] {
    let count = |kind: &str| {
        text.lines().filter(|line| line.split_whitespace().next() == Some(kind)).count() as u64
    };
    [count("v"), count("vt"), count("vn")]
}

/// The first index of a face, line or point that cannot be there, with its line: further back than
/// what has been listed, or beyond the most there can be of its kind (at first what a text of this length has room
/// for, since the reader multiplies indices before it looks whether there is such a vertex).
fn impossible_index(text: &str, most: [u64; 3]) -> Option<(usize, &str)> {
    let mut listed = [0_u64; 3];
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("v") => listed[0] += 1,
            Some("vt") => listed[1] += 1,
            Some("vn") => listed[2] += 1,
            Some("f" | "l" | "p") => {
                let limits = listed.into_iter().zip(most);
                let parts = words.flat_map(|word| word.split('/').zip(limits.clone()));
                for (part, (listed, most)) in parts {
                    let (digits, most) = match part.strip_prefix('-') {
                        Some(digits) => (digits, listed),
                        None => (part.trim_start_matches('+'), most),
                    };
                    let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                    if whole && digits.parse::<u64>().map_or(true, |index| index > most) {
                        return Some((number + 1, part));
                    }
                }
            }
            _ => {}
        }
    }
    None
}

/// The first line with a vertex that is no finite number, 0 if there is none.
fn bad_line(text: &str) -> usize {
    let bad = |line: &str| {
        let mut words = line.split_whitespace();
        let vertex = words.next() == Some("v");
        let numbers = words.take(3).map(str::parse::<f32>);
        vertex && numbers.into_iter().any(|n| n.map_or(true, |n| !n.is_finite()))
    };
    text.lines().position(bad).map_or(0, |at| at + 1)
}

const fn number([x, y, z]: [usize; 3]) -> usize {
    (z * SIDE + y) * SIDE + x
}

fn centre([x, y, z]: [usize; 3]) -> Vec3 {
    (Vec3::new(x as f32, y as f32, z as f32) + 0.5) / SIDE as f32
}

/// The plane of a triangle, to tell which cells it may pass through.
struct Plane {
    point: Vec3,
    /// Unit length; zero for a triangle without area.
    normal: Vec3,
    /// The axis that the normal is steepest along, then the other two.
    axes: [usize; 3],
}

impl Plane {
    fn of([a, b, c]: &[Vec3; 3]) -> Self {
        let normal = (*b - *a).cross(*c - *a).normalize_or_zero();
        let steep = normal.abs();
        let axes = if steep.x >= steep.y && steep.x >= steep.z {
            [0, 1, 2]
        } else if steep.y >= steep.z {
            [1, 0, 2]
        } else {
            [2, 0, 1]
        };
        Self { point: *a, normal, axes }
    }

    /// Less than the distance to the triangle.
    fn distance(&self, at: Vec3) -> f32 {
        self.normal.dot(at - self.point).abs()
    }

    /// Those cells of a column along the first axis that the plane passes through or next to.
    fn cells(
        &self,
        mut column: [usize; 3],
        within: std::ops::Range<usize>,
    ) -> std::ops::Range<usize> {
        let axis = self.axes[0];
        if self.normal[axis] == 0.0 {
            return within;
        }
        column[axis] = 0;
        let start = centre(column);
        let meets = -self.normal.dot(start - self.point) / self.normal[axis] * SIDE as f32;
        // Half the diagonal of a cell, seen along the axis.
        let reach = 0.87 / self.normal[axis].abs();
        let low = libm::ceilf(meets - reach).max(within.start as f32);
        let high = libm::floorf(meets + reach).min(within.end as f32 - 1.0);
        // Empty where the plane passes by.
        if low > high { 0..0 } else { low as usize..high as usize + 1 }
    }
}

/// Enters each triangle into the cells of its box that its plane passes through, then spreads the nearest from cell to cell,
/// forwards and backwards along each diagonal, until nothing gets nearer.
fn nearest_of_cells(triangles: &[[Vec3; 3]]) -> Vec<u32> {
    let mut nearest = vec![NONE; SIDE.pow(3)];
    let mut distance = vec![f32::INFINITY; SIDE.pow(3)];
    for (index, triangle) in triangles.iter().enumerate() {
        let low = triangle[0].min(triangle[1]).min(triangle[2]) * SIDE as f32;
        let high = triangle[0].max(triangle[1]).max(triangle[2]) * SIDE as f32;
        let range = |axis: usize| low[axis] as usize..(high[axis] as usize + 1).min(SIDE);
        let plane = Plane::of(triangle);
        let [along, first, second] = plane.axes;
        let mut cell = [0; 3];
        for u in range(first) {
            for v in range(second) {
                (cell[first], cell[second]) = (u, v);
                for w in plane.cells(cell, range(along)) {
                    cell[along] = w;
                    let (at, here) = (centre(cell), number(cell));
                    if plane.distance(at) >= distance[here] {
                        continue;
                    }
                    let away = at.distance(closest(triangle, at));
                    if away < distance[here] {
                        distance[here] = away;
                        nearest[here] = index as u32;
                    }
                }
            }
        }
    }
    for _ in 0..3 {
        let mut changed = false;
        for backwards in [false, true] {
            for step in 0..SIDE.pow(3) {
                let here = if backwards { SIDE.pow(3) - 1 - step } else { step };
                let cell = [here % SIDE, here / SIDE % SIDE, here / SIDE / SIDE];
                for other in neighbours(cell) {
                    let candidate = nearest[number(other)];
                    if candidate == NONE || candidate == nearest[here] {
                        continue;
                    }
                    let triangle = &triangles[candidate as usize];
                    let away = centre(cell).distance(closest(triangle, centre(cell)));
                    if away < distance[here] {
                        distance[here] = away;
                        nearest[here] = candidate;
                        changed = true;
                    }
                }
            }
        }
        if !changed {
            break;
        }
    }
    nearest
}

fn neighbours([x, y, z]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let sides = [(-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)];
    sides.into_iter().filter_map(move |(dx, dy, dz)| {
        let cell =
            [x.checked_add_signed(dx)?, y.checked_add_signed(dy)?, z.checked_add_signed(dz)?];
        cell.iter().all(|c| *c < SIDE).then_some(cell)
    })
}

/// The point of a triangle that is nearest to `p` (Ericson, Real-Time Collision Detection, 5.1.5).
fn closest([a, b, c]: &[Vec3; 3], p: Vec3) -> Vec3 {
    let (ab, ac, ap) = (*b - *a, *c - *a, p - *a);
    let (d1, d2) = (ab.dot(ap), ac.dot(ap));
    if d1 <= 0.0 && d2 <= 0.0 {
        return *a;
    }
    let bp = p - *b;
    let (d3, d4) = (ab.dot(bp), ac.dot(bp));
    if d3 >= 0.0 && d4 <= d3 {
        return *b;
    }
    let cp = p - *c;
    let (d5, d6) = (ab.dot(cp), ac.dot(cp));
    if d6 >= 0.0 && d5 <= d6 {
        return *c;
    }
    let (va, vb, vc) = (d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2);
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 {
        return *a + ab * (d1 / (d1 - d3));
    }
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 {
        return *a + ac * (d2 / (d2 - d6));
    }
    if va <= 0.0 && d4 >= d3 && d5 >= d6 {
        return *b + (*c - *b) * ((d4 - d3) / ((d4 - d3) + (d5 - d6)));
    }
    let sum = va + vb + vc;
    if sum.abs() < f32::MIN_POSITIVE {
        return *a;
    }
    *a + ab * (vb / sum) + ac * (vc / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TETRAHEDRON: &str =
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n";

    #[test]
    fn indices_that_cannot_be_are_told_where() {
        let faces =
            ["1 2 9223372036854775807", "1 2 -4", "1/-9223372036854775808 2 3", "1//-1 2 3"];
        for face in faces {
            let text = format!("v 0 0 0\nv 1 0 0\nv 1 1 0\nf {face}\n");
            let error = Mesh::from_obj(&text).unwrap_err();
            assert_eq!(error.line, 4, "{face}: {error}");
            assert!(error.to_string().contains("no vertex"), "{face}: {error}");
        }
    }

    #[test]
    fn distances_to_a_tetrahedron_are_those_of_its_triangles() {
        let mesh = Mesh::from_obj(TETRAHEDRON).unwrap();
        assert_eq!(mesh.faces(), 4);
        for i in 0..2000 {
            let at = Vec3::from(crate::samples::scattered(i));
            let exact = mesh
                .triangles
                .iter()
                .map(|triangle| at.distance(closest(triangle, at)))
                .fold(f32::INFINITY, f32::min);
            let ours = mesh.distance(at);
            assert!(ours <= exact + 1.0 / SIDE as f32 && ours >= exact - 1.0 / SIDE as f32);
        }
        let share = mesh.occupancy().full_share(0);
        assert!((0.005..0.06).contains(&share), "{share}");
        assert_eq!(mesh.occupancy().cascades(), 1);
    }

    #[test]
    fn broken_meshes_say_what_is_wrong() {
        let message = |text: &str| Mesh::from_obj(text).unwrap_err();
        assert!(message("v 0 0 0\nv 1 0 0\nv 0 1 0\n").what.contains("no faces"));
        let nan = message("v 0 0 0\nv NaN 0 0\nv 0 1 0\nf 1 2 3\n");
        assert!(nan.what.contains("finite") && nan.line == 2, "{nan:?}");
        assert!(message("v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n").what.contains("one point"));
        assert!(message("v 0 0 0\nf 1 2 9\n").what.contains("no vertex 2"));
        assert_eq!(message("v 0 0 0\nf 1 2 9\n").line, 2);
        assert!(message("v a b c\nf 1 1 1\n").line == 1);
    }
}
