//! Arrays in NumPy's `.npy` format, as far as grids and counts need it: booleans, integers and
//! floats in C order. Left out: structured types, Fortran order, versions beyond 3.

use super::SceneError;
use super::occupancy::{CELLS, MOST_CASCADES, Occupancy};

/// An array as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Extents.
    pub shape: Vec<usize>,
    /// Values in C order.
    pub values: Vec<f64>,
}

/// More elements than any grid here has.
const MOST_ELEMENTS: usize = 1 << 28;

fn wrong(what: impl Into<String>) -> SceneError {
    SceneError::new(
        0,
        what,
        "write it with numpy.save, as bool, integers, or floats of 4 or 8 bytes",
    )
}

impl Array {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// When they are no such array.
    pub fn read(bytes: &[u8]) -> Result<Self, SceneError> {
        if bytes.get(..6) != Some(b"\x93NUMPY") {
            return Err(wrong("not a .npy file: it does not start with \\x93NUMPY"));
        }
        let (start, length) = match bytes.get(6) {
            Some(1) => {
                (10, bytes.get(8..10).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]]))))
            }
            Some(2 | 3) => (
                12,
                bytes.get(8..12).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize),
            ),
            _ => return Err(wrong("a .npy file of an unknown version")),
        };
        let header = length
            .and_then(|length| bytes.get(start..start + length))
            .and_then(|header| std::str::from_utf8(header).ok())
            .ok_or_else(|| wrong("the .npy file is cut short in its header"))?;
        let field = |name: &str| {
            let at = header.find(&format!("'{name}'"))?;
            header[at..].split_once(':').map(|(_, rest)| rest.trim_start())
        };
        let descr = field("descr")
            .and_then(|text| text.strip_prefix('\''))
            .and_then(|text| text.split('\'').next())
            .ok_or_else(|| wrong("the .npy header has no simple type"))?;
        if field("fortran_order").is_none_or(|text| text.starts_with("True")) {
            return Err(SceneError::new(
                0,
                "the .npy array is in Fortran order",
                "numpy.ascontiguousarray before numpy.save puts it in C order",
            ));
        }
        let shape: Option<Vec<usize>> = field("shape")
            .and_then(|text| text.strip_prefix('('))
            .and_then(|text| text.split(')').next())
            .map(|text| text.split(',').map(str::trim).filter(|t| !t.is_empty()))
            .and_then(|parts| parts.map(|part| part.parse().ok()).collect());
        let shape = shape.ok_or_else(|| wrong("the .npy header has no shape"))?;
        let count = shape
            .iter()
            .try_fold(1_usize, |all, &n| all.checked_mul(n))
            .filter(|n| *n <= MOST_ELEMENTS)
            .ok_or_else(|| wrong("the .npy array is too large for a grid"))?;
        let data = &bytes[start + length.unwrap_or_default()..];
        let values = values(descr, data, count)?;
        if let Some(number) = values.iter().position(|value| !value.is_finite()) {
            return Err(SceneError::new(
                0,
                format!(
                    "the .npy array holds values that are not finite, the first is number {number}"
                ),
                "numpy.isfinite finds them; numpy.nan_to_num replaces them",
            ));
        }
        Ok(Self { shape, values })
    }
}

fn values(descr: &str, data: &[u8], count: usize) -> Result<Vec<f64>, SceneError> {
    macro_rules! read {
        ($type:ty) => {
            read!($type, f64::from)
        };
        ($type:ty, $convert:expr) => {{
            const SIZE: usize = size_of::<$type>();
            data.chunks_exact(SIZE)
                .take(count)
                .map(|chunk| {
                    let mut raw = [0_u8; SIZE];
                    raw.copy_from_slice(chunk);
                    $convert(<$type>::from_le_bytes(raw))
                })
                .collect::<Vec<f64>>()
        }};
    }
    if let Some(small) = descr.strip_prefix('>') {
        return Err(SceneError::new(
            0,
            format!("the .npy array is big-endian (elements of type {descr})"),
            format!("array.astype(\"<{small}\") before numpy.save writes it in the other order"),
        ));
    }
    let values = match descr.trim_start_matches(['<', '|', '=']) {
        "b1" | "u1" => read!(u8),
        "i1" => read!(i8),
        "u2" => read!(u16),
        "i2" => read!(i16),
        "u4" => read!(u32),
        "i4" => read!(i32),
        "u8" => read!(u64, |v| v as f64),
        "i8" => read!(i64, |v| v as f64),
        "f4" => read!(f32),
        "f8" => read!(f64),
        other => return Err(wrong(format!("elements of type {other} in the .npy array"))),
    };
    if values.len() < count {
        let found = values.len();
        return Err(wrong(format!("the .npy array has {found} of its {count} elements")));
    }
    Ok(values)
}

impl Occupancy {
    /// A grid of full (not zero) and empty cells: `128 × 128 × 128` in the order z, y, x, or
    /// that with the cascades in front.
    ///
    /// # Errors
    /// When the bytes are no `.npy` of that shape, or all cells are empty.
    pub fn from_npy(bytes: &[u8]) -> Result<Self, SceneError> {
        let array = Array::read(bytes)?;
        let cells = CELLS as usize;
        let cascades = match array.shape[..] {
            [z, y, x] if [z, y, x] == [cells; 3] => 1,
            [c, z, y, x]
                if [z, y, x] == [cells; 3] && (1..=MOST_CASCADES as usize).contains(&c) =>
            {
                c
            }
            _ => {
                return Err(SceneError::new(
                    0,
                    format!("the occupancy grid has the shape {:?}", array.shape),
                    "it must be (128, 128, 128), or (cascades, 128, 128, 128) with up to 8 cascades",
                ));
            }
        };
        let mut grid = Self::empty(cascades as u32);
        let mut any = false;
        for (index, _) in array.values.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            let (x, y, z) = (index % cells, index / cells % cells, index / cells.pow(2) % cells);
            grid.set((index / cells.pow(3)) as u32, x as u32, y as u32, z as u32);
            any = true;
        }
        if any {
            Ok(grid)
        } else {
            Err(SceneError::new(
                0,
                "all cells of the occupancy grid are empty",
                "mark some as full",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn file(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn numbers_come_back() {
        let data: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let array = Array::read(&file("<f4", "(2,)", &data)).unwrap();
        assert_eq!((array.shape, array.values), (vec![2], vec![1.5, -2.0]));
    }

    #[test]
    fn a_grid_of_one_full_cell() {
        let mut data = vec![0_u8; 128 * 128 * 128];
        data[(3 * 128 + 2) * 128 + 1] = 1;
        let grid = Occupancy::from_npy(&file("|b1", "(128, 128, 128)", &data)).unwrap();
        let at = (glam::Vec3::new(1.0, 2.0, 3.0) + 0.5) / 128.0;
        assert!(grid.occupied_at(at, 0));
        assert!(grid.full_share(0) < 1e-6);
    }

    #[test]
    fn broken_files_say_what_is_wrong() {
        let message = |bytes: &[u8]| Occupancy::from_npy(bytes).unwrap_err().what;
        assert!(message(b"PK").contains("not a .npy"));
        assert!(message(&file("|b1", "(2, 2)", &[1; 4])).contains("shape"));
        assert!(message(&file("|b1", "(128, 128, 128)", &[1; 4])).contains("4 of its 2097152"));
        assert!(message(&file("|b1", "(128, 128, 128)", &vec![0; 1 << 21])).contains("empty"));
        assert!(message(&file("|O", "(1,)", &[0; 8])).contains("type"));
    }
}
