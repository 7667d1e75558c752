//! Factors that a user brings: the arrays of a checkpoint's `state_dict`, one `.npy` each, under the
//! names that they have there (`density_plane.0`, `app_line.2`, `basis_mat.weight`,
//! `renderModule.mlp.0.weight`, …). Without a network one is drawn from a seed, which changes colours
//! only. Left out: alpha masks and bounding boxes of checkpoints; occupancy follows from the factors.

use super::{
    APPEARANCE, AXES, COMPONENTS, DENSITY, Extent, FEATURES, FactorError, Factors, HIDDEN, INPUTS,
    MODES, Mode, Network,
};
use crate::scene::npy::Array;

/// Most texels along an axis.
const MOST_TEXELS: usize = 1024;

/// Names of the arrays that a field needs.
pub fn needed() -> Vec<String> {
    let of = |what: &str| (0..MODES).map(move |mode| format!("{what}.{mode}")).collect::<Vec<_>>();
    ["density_plane", "density_line", "app_plane", "app_line"].iter().flat_map(|w| of(w)).collect()
}

/// Names of the arrays of basis and network: all of them or none.
pub const NETWORK: [&str; 7] = [
    "basis_mat.weight",
    "renderModule.mlp.0.weight",
    "renderModule.mlp.0.bias",
    "renderModule.mlp.2.weight",
    "renderModule.mlp.2.bias",
    "renderModule.mlp.4.weight",
    "renderModule.mlp.4.bias",
];

/// Puts factors together from the bytes of `.npy` files, asked for by name.
///
/// # Errors
/// When an array is missing, broken, of a wrong shape, or holds values that are not finite; when
/// nothing in the field is dense.
pub fn factors(mut read: impl FnMut(&str) -> Option<Vec<u8>>) -> Result<Factors, FactorError> {
    let mut arrays = Vec::new();
    for name in needed() {
        let bytes = read(&name).ok_or_else(|| {
            FactorError::new(
                &name,
                format!("{name}.npy is missing"),
                "write each array of the checkpoint's state_dict with numpy.save(name + \".npy\", …)",
            )
        })?;
        arrays.push(array(&name, &bytes)?);
    }
    // The line of a mode says how many texels its axis has.
    let mut grid = [0; 3];
    for mode in 0..MODES {
        let (name, line) = &arrays[MODES + mode];
        grid[AXES[mode].2] = texels(name, line, DENSITY)?;
    }
    let mut modes = Vec::new();
    for (mode, (u, v, w)) in AXES.into_iter().enumerate() {
        let size = [grid[u], grid[v], grid[w]];
        let part = |kind: usize, count: usize, shape: &[usize]| {
            let (name, array) = &arrays[kind * MODES + mode];
            transposed(name, array, count, shape)
        };
        modes.push(Mode {
            size,
            density_plane: part(0, DENSITY, &[size[1], size[0]])?,
            density_line: part(1, DENSITY, &[size[2]])?,
            appearance_plane: part(2, APPEARANCE, &[size[1], size[0]])?,
            appearance_line: part(3, APPEARANCE, &[size[2]])?,
        });
    }
    let network = network(&mut read)?;
    let modes: [Mode; MODES] = modes
        .try_into()
        .map_err(|_| FactorError::new("", "the field has not three modes", "give three"))?;
    Ok(Factors { grid, extent: Extent::WHOLE, modes, network, rounded: 0 })
}

fn array(name: &str, bytes: &[u8]) -> Result<(String, Array), FactorError> {
    let read = Array::read(bytes);
    let mut array =
        read.map_err(|error| FactorError::new(name, format!("{name}.npy: {error}"), error.help))?;
    // The batch of one in front, and the line's width of one behind, are PyTorch's.
    while array.shape.len() > 1 && array.shape.first() == Some(&1) {
        array.shape.remove(0);
    }
    while array.shape.len() > 1 && array.shape.last() == Some(&1) {
        array.shape.pop();
    }
    Ok((name.to_owned(), array))
}

fn wrong_shape(name: &str, array: &Array, expected: &str) -> FactorError {
    FactorError::new(
        name,
        format!("{name}.npy has the shape {:?}, not {expected}", array.shape),
        format!(
            "a field has {DENSITY} density and {APPEARANCE} appearance components a mode ({} in all), and \
             planes as large as the lines of their axes",
            COMPONENTS * MODES
        ),
    )
}

fn texels(name: &str, line: &Array, count: usize) -> Result<usize, FactorError> {
    match line.shape[..] {
        [components, texels] if components == count && (2..=MOST_TEXELS).contains(&texels) => {
            Ok(texels)
        }
        _ => Err(wrong_shape(name, line, &format!("({count}, 2 to {MOST_TEXELS})"))),
    }
}

/// From component by component to place by place.
fn transposed(
    name: &str,
    array: &Array,
    count: usize,
    shape: &[usize],
) -> Result<Vec<f32>, FactorError> {
    let expected: Vec<usize> = std::iter::once(count).chain(shape.iter().copied()).collect();
    if array.shape != expected {
        return Err(wrong_shape(name, array, &format!("{expected:?}")));
    }
    let places: usize = shape.iter().product();
    let mut out = vec![0.0; places * count];
    for (component, values) in array.values.chunks_exact(places).enumerate() {
        for (place, value) in values.iter().enumerate() {
            out[place * count + component] = *value as f32;
        }
    }
    bounded(name, out)
}

/// Values that single precision can go on computing with.
fn bounded(name: &str, values: Vec<f32>) -> Result<Vec<f32>, FactorError> {
    let large = values.iter().find(|value| value.abs() >= 1e6);
    if let Some(large) = large {
        return Err(FactorError::new(
            name,
            format!("{name}.npy holds {large:e}, which is no value of a factor or weight"),
            "values lie below a million",
        ));
    }
    Ok(values)
}

fn network(read: &mut impl FnMut(&str) -> Option<Vec<u8>>) -> Result<Network, FactorError> {
    let files = NETWORK.map(|name| (name, read(name)));
    if files.iter().all(|(_, bytes)| bytes.is_none()) {
        return Ok(Network::drawn(1));
    }
    let shapes: [&[usize]; 7] = [
        &[FEATURES, MODES * APPEARANCE],
        &[HIDDEN, INPUTS],
        &[HIDDEN],
        &[HIDDEN, HIDDEN],
        &[HIDDEN],
        &[3, HIDDEN],
        &[3],
    ];
    let mut values = Vec::new();
    for ((name, bytes), shape) in files.into_iter().zip(shapes) {
        let bytes = bytes.ok_or_else(|| {
            FactorError::new(
                name,
                format!("{name}.npy is missing while other arrays of the network are there"),
                "give all arrays of basis and network, or none",
            )
        })?;
        let (_, array) = array(name, &bytes)?;
        if array.shape != shape {
            return Err(wrong_shape(name, &array, &format!("{shape:?}")));
        }
        values.push(bounded(name, array.values.iter().map(|v| *v as f32).collect())?);
    }
    let mut values = values.into_iter();
    let mut next = || values.next().unwrap_or_default();
    let basis = next();
    let [(w0, b0), (w1, b1), (w2, b2)] = [0, 1, 2].map(|_| (next(), next()));
    Ok(Network { basis, weights: [w0, w1, w2], biases: [b0, b1, b2] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn npy(shape: &[usize], value: impl Fn(usize) -> f32) -> Vec<u8> {
        let shape_text: Vec<String> = shape.iter().map(|n| format!("{n},")).collect();
        let header = format!(
            "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}\n",
            shape_text.join(" ")
        );
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        let count: usize = shape.iter().product();
        bytes.extend((0..count).flat_map(|i| value(i).to_le_bytes()));
        bytes
    }

    type Files = BTreeMap<String, Vec<u8>>;

    fn checkpoint() -> Files {
        // Grid of 4 × 5 × 6 texels.
        let grid = [4, 5, 6];
        let mut files = BTreeMap::new();
        for (mode, (u, v, w)) in AXES.into_iter().enumerate() {
            for (kind, count) in [("density", DENSITY), ("app", APPEARANCE)] {
                let plane = npy(&[1, count, grid[v], grid[u]], |i| i as f32);
                files.insert(format!("{kind}_plane.{mode}"), plane);
                let line = npy(&[1, count, grid[w], 1], |i| i as f32);
                files.insert(format!("{kind}_line.{mode}"), line);
            }
        }
        files
    }

    #[test]
    fn arrays_of_a_checkpoint_are_understood() {
        let files = checkpoint();
        let factors = factors(|name| files.get(name).cloned()).unwrap();
        assert_eq!(factors.grid, [4, 5, 6]);
        // Component 3 of row 2, column 1 of the first plane, which has 5 rows of 4.
        assert_eq!(factors.modes[0].value(false, 3, 2 * 4 + 1), (3 * 20 + 2 * 4 + 1) as f32);
        assert_eq!(factors.modes[2].value(true, 17, 2), (4 + 2) as f32);
    }

    /// Files as other programs and broken copies leave them: told or understood, never taken for something else.
    #[test]
    fn other_orders_types_and_lengths() {
        let with = |bytes: Vec<u8>| {
            let mut files = checkpoint();
            files.insert("density_plane.0".to_owned(), bytes);
            factors(|name| files.get(name).cloned())
        };
        let good = npy(&[16, 5, 4], |i| i as f32 / 8.0);
        let header = |from: &str, to: &str| {
            let at = good.windows(from.len()).position(|own| own == from.as_bytes()).unwrap();
            let mut bytes = good.clone();
            bytes.splice(at..at + from.len(), to.bytes());
            let grown = bytes.len().wrapping_sub(good.len()) as u16;
            let length = u16::from_le_bytes([bytes[8], bytes[9]]).wrapping_add(grown);
            bytes[8..10].copy_from_slice(&length.to_le_bytes());
            bytes
        };
        let told = |bytes: Vec<u8>| {
            let error = with(bytes).unwrap_err();
            assert_eq!(error.array, "density_plane.0");
            format!("{}; {}", error.what, error.help)
        };
        let fortran = told(header("False", "True "));
        assert!(fortran.contains("Fortran order; numpy.ascontiguousarray"), "{fortran}");
        let big = told(header("<f4", ">f4"));
        assert!(big.contains("big-endian") && big.contains("astype(\"<f4\")"), "{big}");
        assert!(told(header("<f4", "<f2")).contains("floats of 4 or 8 bytes"));
        let short = told(good[..good.len() - 3].to_vec());
        assert!(short.contains("319 of its 320 elements"), "{short}");
        assert!(told(good[..40].to_vec()).contains("cut short in its header"));
        for huge in ["99999999999, 99999999999,", "4294967296, 16,", "-16, 5, 4,", "1e9,"] {
            let text = told(header("16, 5, 4,", huge));
            assert!(text.contains("too large") || text.contains("no shape"), "{text}");
        }
        assert!(told(header("16, 5, 4,", "16, 5, 9999,")).contains("320 of its 799920"));
        // Doubles say the same as floats.
        let mut double = header("<f4", "<f8");
        let data = double.len() - 4 * 320;
        let own: Vec<u8> = double[data..]
            .as_chunks::<4>()
            .0
            .iter()
            .flat_map(|raw| f64::from(f32::from_le_bytes(*raw)).to_le_bytes())
            .collect();
        double.truncate(data);
        double.extend(own);
        assert_eq!(with(double).unwrap(), with(good.clone()).unwrap());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let told = |change: &dyn Fn(&mut Files)| {
            let mut files = checkpoint();
            change(&mut files);
            factors(|name| files.get(name).cloned()).unwrap_err().what
        };
        let put = |name: &str, bytes: Vec<u8>| {
            let name = name.to_owned();
            move |files: &mut Files| {
                files.insert(name.clone(), bytes.clone());
            }
        };
        let missing = told(&|files| {
            files.remove("app_line.1");
        });
        assert_eq!(missing, "app_line.1.npy is missing");
        let nan = npy(&[16, 5, 4], |i| if i == 7 { f32::NAN } else { 1.0 });
        assert!(told(&put("density_plane.0", nan)).contains("not finite"));
        let shape = npy(&[16, 4, 4], |_| 1.0);
        assert!(told(&put("density_plane.0", shape)).contains("[16, 4, 4], not [16, 5, 4]"));
        let few = npy(&[8, 5], |_| 1.0);
        assert!(told(&put("density_line.1", few)).contains("[8, 5]"));
        assert!(told(&put("density_line.1", b"PK".to_vec())).contains("not a .npy"));
        assert!(told(&put("app_line.0", npy(&[48, 6], |_| 1e9))).contains("no value of a factor"));
        let half = npy(&[27, 144], |_| 1.0);
        let large = |files: &mut Files| {
            put("basis_mat.weight", npy(&[27, 144], |i| if i == 9 { 1e30 } else { 0.0 }))(files);
            for (name, shape) in NETWORK[1..].iter().zip([
                &[128, 150][..],
                &[128],
                &[128, 128],
                &[128],
                &[3, 128],
                &[3],
            ]) {
                put(name, npy(shape, |_| 0.0))(files);
            }
        };
        assert!(told(&large).contains("basis_mat.weight.npy holds 1e30,"));
        assert!(told(&put("basis_mat.weight", half)).contains("other arrays of the network"));
    }
}
