//! Targets that read descriptions of work: applications, studies, spaces, expressions, scenes, cameras.
//!
//! Left out: rendering whole frames of what was accepted, which takes seconds.

use std::collections::BTreeMap;
use std::hint::black_box;

use lumacycle_sim::explore::expression::{Expression, Value};
use lumacycle_sim::explore::space::Space;
use lumacycle_sim::study::Study;
use lumacycle_workloads::apps::Application;
use lumacycle_workloads::rays::SampleCounts;
use lumacycle_workloads::scene::npy::Array;
use lumacycle_workloads::scene::{CameraPath, Mesh, Occupancy, Vec3};

use crate::text;

pub fn application(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(app) = Application::parse(text) else { return };
    black_box(app.networks(1 << 21));
    for scale in [1, 128] {
        let grid = app.grid(scale);
        if grid.validate().is_ok() {
            for level in &grid.tables() {
                let entries = grid.entries_of(level, [0.3, 0.7, 0.999_999]);
                black_box(entries);
            }
            black_box(grid.table_bytes());
        }
    }
}

pub fn study(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        let _ = black_box(Study::parse(text));
    }
}

pub fn space(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(space) = Space::parse(text) else { return };
    let base = space.base();
    let _ = black_box((space.unmet(&base), space.derived_labels(&base)));
}

pub fn expression(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let names = BTreeMap::from([
        ("a.b".to_owned(), Value::Number(3.0)),
        ("c".to_owned(), Value::Number(-1e300)),
        ("app".to_owned(), Value::Text("nerf".to_owned())),
    ]);
    let known: Vec<&str> = names.keys().map(String::as_str).collect();
    match Expression::parse(text, &known) {
        Ok(expression) => {
            let _ = black_box((expression.value(&names), expression.number(&names)));
        }
        Err(error) => assert!(error.at <= text.len(), "{text:?}: {error:?}"),
    }
}

/// The grid of nearest triangles, which takes as long for a few triangles as for many, is made for some inputs.
pub fn mesh(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(triangles) = Mesh::triangles_from_obj(text) else { return };
    let within = |at: &Vec3| at.cmpge(Vec3::ZERO).all() && at.cmple(Vec3::ONE).all();
    assert!(triangles.iter().flatten().all(within), "{triangles:?}");
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    if !sum.is_multiple_of(256) {
        return;
    }
    let Ok(mesh) = Mesh::from_obj(text) else { return };
    for at in [Vec3::ZERO, Vec3::splat(0.5), Vec3::new(0.1, 0.93, -2.0)] {
        let distance = mesh.distance(at);
        assert!(distance.is_finite(), "{distance} at {at}");
    }
}

pub fn array(bytes: &[u8]) {
    if let Ok(array) = Array::read(bytes) {
        let count: usize = array.shape.iter().product();
        assert_eq!(array.values.len(), count);
    }
    let Ok(counts) = SampleCounts::from_npy(bytes) else { return };
    for (column, row) in [(0, 0), (1919, 1079), (u32::MAX, u32::MAX)] {
        black_box(counts.at(column, row, 1920, 1080));
    }
}

/// An input that ends early is carried on by itself, as a whole grid is larger than inputs are.
pub fn occupancy(bytes: &[u8]) {
    let mut file = bytes.to_vec();
    if Array::read(bytes).is_err() && !bytes.is_empty() {
        file.extend(bytes.iter().cycle().take(1 << 21));
    }
    let Ok(grid) = Occupancy::from_npy(&file) else { return };
    for at in [Vec3::ZERO, Vec3::splat(0.5), Vec3::splat(-60.0)] {
        for cascade in 0..grid.cascades() {
            black_box(grid.occupied_at(at, cascade));
        }
    }
}

pub fn cameras(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(path) = CameraPath::from_transforms(text) else { return };
    for share in [0.0, 0.5, 1.0] {
        if let Some(camera) = path.at(share) {
            black_box(camera.direction([12.5, 700.0], 1920, 1080));
        }
    }
}
