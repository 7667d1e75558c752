//! The arrays of a small checkpoint, of which an input says what differs: bytes cut into sixteen equal files would
//! each be refused at the first array, and nothing further in be tried.
//!
//! The first byte says whether arrays of a network, which take most of the time, are there. Each change is an array, what is done to it, a place and a
//! length (a byte each), and as many bytes. Left out: rendering the field.

use std::collections::BTreeMap;
use std::hint::black_box;

use lumacycle_workloads::tensorf::{FactorError, Factors, import};

/// Texels along the axes.
const GRID: [usize; 3] = [2, 3, 4];
/// Axes of each mode: along a row of its plane, from row to row, along its line.
const AXES: [(usize, usize, usize); 3] = [(0, 1, 2), (0, 2, 1), (1, 2, 0)];
/// Shapes of the arrays of [`import::NETWORK`].
const NETWORK: [&[usize]; 7] =
    [&[27, 144], &[128, 150], &[128], &[128, 128], &[128], &[3, 128], &[3]];

type Files = BTreeMap<String, Vec<u8>>;

/// Reads the checkpoint that an input describes, and goes on with what was accepted.
pub fn factors(bytes: &[u8]) {
    let Some(Ok(mut factors)) = read(bytes) else { return };
    factors.prune_and_round(0.01, 16);
    black_box(factors);
}

fn read(bytes: &[u8]) -> Option<Result<Factors, FactorError>> {
    let (first, mut rest) = bytes.split_first()?;
    let mut files = checkpoint(first % 8 == 1);
    let names: Vec<String> = files.keys().cloned().collect();
    while let Some((&[which, how, at, long], after)) = rest.split_first_chunk::<4>() {
        let (own, left) = after.split_at(usize::from(long).min(after.len()));
        rest = left;
        let name = &names[usize::from(which) % names.len()];
        if how % 5 == 4 {
            files.remove(name);
        } else if let Some(file) = files.get_mut(name) {
            change(file, how % 5, usize::from(at), own);
        }
    }
    Some(import::factors(|name| files.get(name).cloned()))
}

fn change(file: &mut Vec<u8>, how: u8, at: usize, own: &[u8]) {
    let at = at.min(file.len());
    match how {
        // Other bytes in the place of some.
        0 => file.iter_mut().skip(at).zip(own).for_each(|(old, new)| *old = *new),
        // More of them, of which the header knows where it has one.
        1 => {
            file.splice(at..at, own.iter().copied());
            if let Some(&[low, high]) = file.get(8..10) {
                let longer = u16::from_le_bytes([low, high]).wrapping_add(own.len() as u16);
                file[8..10].copy_from_slice(&longer.to_le_bytes());
            }
        }
        2 => file.truncate(at),
        // Another shape, whole.
        _ => {
            let shape: Vec<usize> = own.iter().take(3).map(|side| usize::from(side % 64)).collect();
            *file = npy(&shape);
        }
    }
}

fn checkpoint(network: bool) -> Files {
    let mut files = Files::new();
    for (mode, (u, v, w)) in AXES.into_iter().enumerate() {
        for (kind, count) in [("density", 16), ("app", 48)] {
            files.insert(format!("{kind}_plane.{mode}"), npy(&[1, count, GRID[v], GRID[u]]));
            files.insert(format!("{kind}_line.{mode}"), npy(&[1, count, GRID[w], 1]));
        }
    }
    if network {
        let arrays = import::NETWORK.iter().zip(NETWORK);
        files.extend(arrays.map(|(name, shape)| ((*name).to_owned(), npy(shape))));
    }
    files
}

/// A whole file of that shape, with ones.
fn npy(shape: &[usize]) -> Vec<u8> {
    let sides: Vec<String> = shape.iter().map(|side| format!("{side},")).collect();
    let sides = sides.join(" ");
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sides}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend((0..shape.iter().product()).flat_map(|_| 1_f32.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

    /// Changes begin from what is read, not from what is refused at the door.
    #[test]
    fn seeds_are_read_as_far_as_their_names_say() {
        let seed = |name: &str| std::fs::read(format!("seeds/factors/{name}.bin")).unwrap();
        for name in ["field", "network", "other-grid"] {
            assert!(super::read(&seed(name)).unwrap().is_ok(), "{name}");
        }
        let told = |name: &str| super::read(&seed(name)).unwrap().unwrap_err().what;
        assert!(told("shape").contains("has the shape [16, 9, 2]"), "{}", told("shape"));
        assert!(told("missing").contains("is missing while"), "{}", told("missing"));
        assert!(told("not-finite").contains("not finite"), "{}", told("not-finite"));
        assert!(told("cut").contains("elements"), "{}", told("cut"));
    }
}
