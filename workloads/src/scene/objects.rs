//! Eight single objects before nothing, of the kinds that the synthetic scenes of NeRF show: a chair, a
//! drum kit, a plant, a dish, a digger, balls, a microphone, a ship. Formulas of our own, sized so that
//! they fill about as much of the image as those do; coordinates are those of the synthetic scenes
//! (cameras at a distance of 4, y up), which instant-ngp scales by 0.33. Left out: what shines or lets
//! light through.

use std::sync::LazyLock;

use glam::Vec3;

use super::Analytic;
use super::number::{Number, Point, beyond, length};

/// Size of a unit of the synthetic scenes in the scene's cube.
pub(super) const SCALE: f32 = 0.33;

/// Half the width of the shell over which density rises.
pub(super) const SOFTNESS: f32 = 0.0015;

/// Density inside, per unit length of the scene's cube. Calibrated by what instant-ngp's march takes in the
/// digger: lego has 15.6 to 16.0 samples for each ray that hits (nerfacc, issue 101: 260,996 samples of
/// 16,798 rays at 20,000 steps of training, 267,778 of 16,749 at 10,000).
pub(super) const DENSITY: f32 = 1200.0;

/// Distance to the nearest surface of an object.
pub(super) fn distance<N: Number>(object: Analytic, at: Point<N>) -> N {
    let p = at.map(|v| (v - 0.5) / SCALE);
    let far = match object {
        Analytic::Chair => chair(p),
        Analytic::Drums => drums(p),
        Analytic::Plant => plant(p),
        Analytic::Dish => dish(p),
        Analytic::Digger => digger(p),
        Analytic::Balls => balls(p),
        Analytic::Microphone => microphone(p),
        _ => ship(p),
    };
    far * SCALE
}

/// The nearest whole number.
fn nearest<N: Number>(x: N) -> N {
    (x + 0.5).floor()
}

fn ball<N: Number>(p: Point<N>, at: [f32; 3], radius: f32) -> N {
    p.from(at).length() - radius
}

fn block<N: Number>(p: Point<N>, at: [f32; 3], half: [f32; 3]) -> N {
    beyond(p.from(at).map(N::abs).from(half))
}

/// A rod with round ends.
fn rod<N: Number>(p: Point<N>, a: [f32; 3], b: [f32; 3], radius: f32) -> N {
    let axis = Vec3::from(b) - Vec3::from(a);
    let d = p.from(a);
    let along = (d.x * axis.x + d.y * axis.y + d.z * axis.z) / axis.length_squared();
    let along = along.max(N::of(0.0)).min(N::of(1.0));
    let foot =
        Point { x: along * axis.x + a[0], y: along * axis.y + a[1], z: along * axis.z + a[2] };
    Point { x: p.x - foot.x, y: p.y - foot.y, z: p.z - foot.z }.length() - radius
}

/// An upright cylinder.
fn drum<N: Number>(p: Point<N>, at: [f32; 3], radius: f32, half: f32) -> N {
    let d = p.from(at);
    let (across, up) = (length(d.x, d.z) - radius, d.y.abs() - half);
    let zero = N::of(0.0);
    length(across.max(zero), up.max(zero)) + across.max(up).min(zero)
}

/// A ring around an upright axis.
fn ring<N: Number>(p: Point<N>, at: [f32; 3], radius: f32, thickness: f32) -> N {
    let d = p.from(at);
    length(length(d.x, d.z) - radius, d.y) - thickness
}

/// Both halves of something symmetric.
fn mirrored_x<N: Number>(p: Point<N>) -> Point<N> {
    Point { x: p.x.abs(), ..p }
}

fn mirrored_z<N: Number>(p: Point<N>) -> Point<N> {
    Point { z: p.z.abs(), ..p }
}

/// An armchair.
fn chair<N: Number>(p: Point<N>) -> N {
    let m = mirrored_x(p);
    let seat = block(p, [0.0, -0.12, 0.0], [0.56, 0.08, 0.52]) - 0.04;
    let cushion = block(p, [0.0, 0.02, 0.02], [0.48, 0.05, 0.44]) - 0.04;
    let back = block(p, [0.0, 0.48, -0.55], [0.5, 0.44, 0.04]) - 0.04;
    let crest = rod(m, [0.0, 1.0, -0.55], [0.5, 0.94, -0.55], 0.06);
    let front = rod(m, [0.56, -0.2, 0.5], [0.6, -1.0, 0.56], 0.06);
    let rear = rod(m, [0.54, -0.2, -0.5], [0.58, -1.0, -0.62], 0.06);
    let arm = rod(m, [0.62, 0.3, 0.42], [0.56, 0.34, -0.55], 0.055);
    let post = rod(m, [0.6, -0.12, 0.44], [0.62, 0.3, 0.42], 0.04);
    seat.min(cushion).min(back).min(crest).min(front).min(rear).min(arm).min(post)
}

/// A drum kit: shells, thin discs, thinner stands.
fn drums<N: Number>(p: Point<N>) -> N {
    let turned = Point { x: p.x, y: p.z, z: p.y };
    let bass = drum(turned, [0.0, 0.0, -0.42], 0.42, 0.24);
    let m = mirrored_x(p);
    let toms = drum(m, [0.24, 0.18, 0.08], 0.19, 0.12);
    let floor = drum(p, [0.68, -0.5, 0.22], 0.25, 0.24);
    let snare = drum(p, [-0.6, -0.28, 0.3], 0.22, 0.07);
    let hat =
        drum(p, [-0.92, 0.08, 0.1], 0.22, 0.008).min(drum(p, [-0.92, 0.03, 0.1], 0.22, 0.008));
    let cymbals = drum(m, [0.75, 0.55, -0.15], 0.34, 0.008);
    let splash = drum(p, [0.1, 0.72, -0.3], 0.24, 0.008);
    let stands = rod(m, [0.75, 0.62, -0.15], [0.75, -0.75, -0.15], 0.018)
        .min(rod(p, [-0.92, 0.2, 0.1], [-0.92, -0.75, 0.1], 0.018))
        .min(rod(p, [-0.6, -0.35, 0.3], [-0.6, -0.75, 0.3], 0.018))
        .min(rod(p, [0.1, 0.76, -0.3], [0.1, -0.1, -0.2], 0.018));
    let feet = rod(m, [0.75, -0.5, -0.15], [0.95, -0.84, -0.15], 0.015)
        .min(rod(m, [0.75, -0.5, -0.15], [0.6, -0.84, 0.0], 0.015))
        .min(rod(p, [-0.92, -0.5, 0.1], [-1.08, -0.84, 0.1], 0.015))
        .min(rod(p, [-0.6, -0.5, 0.3], [-0.45, -0.84, 0.45], 0.015))
        .min(rod(mirrored_x(p), [0.35, -0.5, 0.2], [0.42, -0.84, 0.3], 0.015));
    bass.min(toms).min(floor).min(snare).min(hat).min(cymbals).min(splash).min(stands).min(feet)
}

/// A plant in a pot: leaves in cells of a lattice, one in most.
fn plant<N: Number>(p: Point<N>) -> N {
    let pot = drum(p, [0.0, -0.82, 0.0], 0.2, 0.18);
    let stem = rod(p, [0.0, -0.7, 0.0], [0.03, 0.1, 0.02], 0.03)
        .min(rod(p, [0.02, -0.3, 0.0], [0.28, 0.3, 0.1], 0.018))
        .min(rod(p, [0.02, -0.2, 0.0], [-0.26, 0.35, -0.08], 0.018))
        .min(rod(p, [0.03, 0.0, 0.02], [0.0, 0.75, -0.1], 0.018))
        .min(rod(p, [0.02, -0.1, 0.0], [-0.05, 0.45, 0.3], 0.015))
        .min(rod(p, [0.02, -0.1, 0.0], [0.1, 0.5, -0.3], 0.015));
    pot.min(stem).min(leaves(p))
}

/// Side of a leaf's cell.
const LEAF_PITCH: f32 = 0.17;
/// What leaves keep from the walls of their cells.
const LEAF_MARGIN: f32 = 0.028;
/// Middle and half sides of the crown.
const CROWN: ([f32; 3], [f32; 3]) = ([0.0, 0.38, 0.0], [0.48, 0.64, 0.48]);

/// Flat leaves. Each keeps a margin to the walls of its cell, so what is further away than the nearest eight
/// cells is no nearer than half a cell and the margin.
fn leaves<N: Number>(p: Point<N>) -> N {
    let half = Vec3::from(CROWN.1).max_element();
    let around = p.from(CROWN.0).length() - half - LEAF_PITCH;
    let far = |lane: usize| around.lane(lane) > LEAF_PITCH;
    let first = p.map(|v| (v / LEAF_PITCH - 0.5).floor());
    let mut all = around;
    for lane in (0..N::LANES).filter(|lane| !far(*lane)) {
        if (0..lane).any(|before| first.lane(before) == first.lane(lane) && !far(before)) {
            continue;
        }
        // Neighbours mostly have the same eight cells.
        let own = first.lane(lane);
        let nearest = leaves_of(p, own).max(around);
        for lane in (lane..N::LANES).filter(|other| first.lane(*other) == own && !far(*other)) {
            all.set(lane, nearest.lane(lane));
        }
    }
    all
}

/// Cells around the crown: the first one along each axis, and how many.
const LEAF_CELLS: ([i32; 3], [usize; 3]) = ([-4, -3, -4], [8, 10, 8]);

/// Which way the leaf of each cell faces, x first; none where there is none.
static LEAVES: LazyLock<Vec<Option<Vec3>>> = LazyLock::new(|| {
    let ([x0, y0, z0], [nx, ny, nz]) = LEAF_CELLS;
    let along = |first: i32, count: usize| (0..count).map(move |i| (first + i as i32) as f32);
    let cells = along(z0, nz).flat_map(|z| {
        along(y0, ny).flat_map(move |y| along(x0, nx).map(move |x| Vec3::new(x, y, z)))
    });
    cells.map(leaf).collect()
});

/// Which way the leaf of a cell faces, if it has one: most in the crown have.
fn leaf(cell: Vec3) -> Option<Vec3> {
    let (middle, half) = (Vec3::from(CROWN.0), Vec3::from(CROWN.1));
    let centre = (cell + 0.5) * LEAF_PITCH;
    if ((centre - middle) / half).length_squared() >= 1.0 {
        return None;
    }
    let of = |v: f32| (v as i64 + 4096) as u64;
    let seed = crate::samples::mix(of(cell.x) | of(cell.y) << 16 | of(cell.z) << 32 | 7 << 48);
    let random = |shift: u32| (seed >> shift & 0xff) as f32 / 127.5 - 1.0;
    (random(0) < 0.8).then(|| Vec3::new(random(8), 1.2, random(16)).normalize())
}

/// The same from the table; there is nothing beyond it.
#[inline]
fn known_leaf(leaves: &[Option<Vec3>], cell: Vec3) -> Option<Vec3> {
    let (first, count) = LEAF_CELLS;
    let mut number = 0;
    for axis in [2, 1, 0] {
        let place = (cell[axis] as i32).wrapping_sub(first[axis]) as usize;
        if place >= count[axis] {
            return None;
        }
        number = number * count[axis] + place;
    }
    leaves.get(number).copied().flatten()
}

/// The nearest leaf of eight cells.
fn leaves_of<N: Number>(p: Point<N>, first: Vec3) -> N {
    const RADIUS: f32 = 0.052;
    const THICKNESS: f32 = 0.004;
    let leaves = LEAVES.as_slice();
    let mut nearest = N::of(LEAF_PITCH / 2.0 + LEAF_MARGIN);
    for i in 0..8_u32 {
        let offset = Vec3::new((i & 1) as f32, (i >> 1 & 1) as f32, (i >> 2 & 1) as f32);
        let cell = first + offset;
        // Most cells are outside of the crown, or their leaf is further away than another.
        let Some(up) = known_leaf(leaves, cell) else { continue };
        let centre = (cell + 0.5) * LEAF_PITCH;
        let d = p.from(centre.to_array());
        let least = d.length() - RADIUS - THICKNESS;
        if (0..N::LANES).all(|lane| least.lane(lane) > nearest.lane(lane)) {
            continue;
        }
        let height = d.x * up.x + d.y * up.y + d.z * up.z;
        let beside =
            Point { x: d.x - height * up.x, y: d.y - height * up.y, z: d.z - height * up.z };
        let (aside, over) = (beside.length() - RADIUS, height.abs() - THICKNESS);
        let zero = N::of(0.0);
        let leaf = length(aside.max(zero), over.max(zero)) + aside.max(over).min(zero);
        nearest = nearest.min(leaf);
    }
    nearest
}

/// Two rolls with sausages on a plate.
fn dish<N: Number>(p: Point<N>) -> N {
    let plate = drum(p, [0.0, -0.22, 0.0], 1.12, 0.025);
    let rim = ring(p, [0.0, -0.17, 0.0], 1.18, 0.045);
    let m = mirrored_z(p);
    let rolls = rod(m, [-0.7, -0.02, 0.28], [0.7, -0.02, 0.28], 0.24);
    let sausages = rod(m, [-0.86, 0.14, 0.3], [0.86, 0.14, 0.3], 0.13);
    plate.min(rim).min(rolls).min(sausages)
}

/// Distance between the digger's studs.
pub(super) const STUD_PITCH: f32 = 0.12;

/// A digger of bricks on a studded plate.
fn digger<N: Number>(p: Point<N>) -> N {
    const PITCH: f32 = STUD_PITCH;
    let plate = block(p, [0.0, -0.42, 0.0], [1.14, 0.04, 0.62]);
    let m = mirrored_z(p);
    // Studs every pitch, as far as the plate goes.
    let fold =
        |x: N, most: f32| x - (nearest(x / PITCH) * PITCH).max(N::of(-most)).min(N::of(most));
    let own = Point { x: fold(p.x, 1.08), y: p.y, z: fold(p.z, 0.54) };
    let studs = drum(own, [0.0, -0.36, 0.0], 0.036, 0.022);
    let tracks = block(m, [-0.1, -0.18, 0.38], [0.56, 0.08, 0.07]) - 0.06;
    let body = block(p, [-0.1, 0.02, 0.0], [0.56, 0.12, 0.3]);
    let hood = block(p, [0.26, 0.22, 0.0], [0.24, 0.1, 0.2]);
    let cab = block(p, [-0.24, 0.42, 0.0], [0.24, 0.28, 0.26])
        .max(-block(p, [-0.24, 0.44, 0.0], [0.2, 0.18, 0.4]))
        .max(-block(p, [-0.24, 0.44, 0.0], [0.4, 0.18, 0.22]));
    let roof = block(p, [-0.24, 0.74, 0.0], [0.3, 0.03, 0.32]);
    let chimney = rod(p, [0.34, 0.3, 0.12], [0.34, 0.7, 0.12], 0.035);
    let arms = rod(m, [0.2, -0.02, 0.4], [0.86, -0.16, 0.4], 0.04);
    let blade = block(p, [0.92, -0.1, 0.0], [0.05, 0.22, 0.58]);
    let ripper = rod(p, [-0.66, 0.1, 0.0], [-0.98, 0.42, 0.0], 0.06).min(rod(
        p,
        [-0.98, 0.42, 0.0],
        [-1.1, -0.2, 0.0],
        0.05,
    ));
    let lower = plate.min(studs).min(tracks).min(body).min(hood).min(arms).min(blade);
    lower.min(cab).min(roof).min(chimney).min(ripper)
}

/// Twelve balls on small plates.
fn balls<N: Number>(p: Point<N>) -> N {
    const PITCH: f32 = 0.6;
    let fold = |x: N, first: f32, last: f32| {
        let number = nearest(x / PITCH - first) + first;
        x - number.max(N::of(first)).min(N::of(last)) * PITCH
    };
    let own = Point { x: fold(p.x, -1.5, 1.5), y: p.y, z: fold(p.z, -1.0, 1.0) };
    let dents = (own.x * 26.0).sine() * 0.012 * (own.y * 24.0).sine() * (own.z * 25.0).sine();
    let skin = ball(own, [0.0, 0.0, 0.0], 0.25) + dents;
    // Dents are as steep as a third; a smaller step keeps the distance a bound.
    (skin * 0.75).min(drum(own, [0.0, -0.26, 0.0], 0.2, 0.02))
}

/// A microphone on a stand with a cable.
fn microphone<N: Number>(p: Point<N>) -> N {
    let head = ball(p, [0.3, 0.62, 0.1], 0.36);
    // A grille: what is left of the shell between holes.
    let d = p.from([0.3, 0.62, 0.1]).map(|v| (v * 40.0).sine());
    let waves = d.x * d.y * d.z;
    let grille = (head.abs() - 0.015 + waves * 0.01) * 0.7;
    let band = ring(p, [0.3, 0.62, 0.1], 0.36, 0.035);
    let neck = rod(p, [0.18, 0.4, 0.04], [-0.14, -0.08, -0.06], 0.13);
    let boom = rod(p, [-0.14, -0.08, -0.06], [-0.46, 0.3, -0.1], 0.035);
    let post = rod(p, [-0.3, 0.1, -0.08], [-0.3, -0.9, -0.08], 0.035);
    let base = drum(p, [-0.3, -0.92, -0.08], 0.52, 0.03);
    let cable =
        ring(p, [0.35, -0.92, 0.25], 0.4, 0.022).min(ring(p, [0.4, -0.88, 0.2], 0.32, 0.022));
    grille.min(band).min(neck).min(boom).min(post).min(base).min(cable)
}

/// A ship under bare poles in a disc of water.
fn ship<N: Number>(p: Point<N>) -> N {
    let waves = (p.x * 9.0 + 0.5).sine() * 0.018 * (p.z * 11.0).sine();
    let water = drum(p, [0.0, -0.52, 0.0], 1.34, 0.12) + waves;
    let m = mirrored_z(p);
    let hull = rod(p, [-0.6, -0.3, 0.0], [0.62, -0.3, 0.0], 0.2)
        .max(p.y + 0.22)
        .min(block(p, [-0.66, -0.14, 0.0], [0.14, 0.12, 0.16]))
        .min(rod(m, [-0.7, -0.2, 0.17], [0.66, -0.2, 0.12], 0.02));
    let masts = [(-0.45, 0.42), (0.0, 0.62), (0.42, 0.48)].iter().fold(
        N::of(f32::INFINITY),
        |d, (x, top)| {
            d.min(rod(p, [*x, -0.25, 0.0], [*x, *top, 0.0], 0.02))
                .min(rod(m, [*x, top * 0.8, 0.0], [*x, top * 0.8, 0.26], 0.013))
                .min(rod(m, [*x, top * 0.3, 0.0], [*x, top * 0.3, 0.34], 0.013))
                .min(rod(m, [*x, *top, 0.0], [x - 0.12, -0.2, 0.17], 0.006))
                .min(block(p, [*x, top * 0.55, 0.0], [0.006, top * 0.18, 0.27]))
        },
    );
    let bowsprit = rod(p, [0.6, -0.2, 0.0], [0.96, -0.02, 0.0], 0.02);
    (water * 0.85).min(hull).min(masts).min(bowsprit)
}
