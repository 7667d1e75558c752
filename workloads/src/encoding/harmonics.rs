//! Real spherical harmonics up to degree four: how a viewing direction is encoded.
//!
//! The sixteen basis functions (Sloan 2008 lists them as polynomials of a unit vector), in the
//! order of bands.

/// The sixteen values for a unit direction.
#[rustfmt::skip]
pub fn spherical_harmonics([x, y, z]: [f32; 3]) -> [f32; 16] {
    let (xx, yy, zz, xy, yz, xz) = (x * x, y * y, z * z, x * y, y * z, x * z);
    [
        0.282_094_8,
        -0.488_602_5 * y,
        0.488_602_5 * z,
        -0.488_602_5 * x,
        1.092_548_4 * xy,
        -1.092_548_4 * yz,
        0.315_391_57 * (3.0 * zz - 1.0),
        -1.092_548_4 * xz,
        0.546_274_2 * (xx - yy),
        0.590_043_6 * y * (yy - 3.0 * xx),
        2.890_611_4 * xy * z,
        0.457_045_8 * y * (1.0 - 5.0 * zz),
        0.373_176_33 * z * (5.0 * zz - 3.0),
        0.457_045_8 * x * (1.0 - 5.0 * zz),
        1.445_305_7 * z * (xx - yy),
        0.590_043_6 * x * (3.0 * yy - xx),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A basis is one because its functions are orthonormal over the sphere.
    #[test]
    fn orthonormal_over_the_sphere() {
        let (rings, steps) = (200, 200);
        let mut products = [[0.0_f64; 16]; 16];
        for i in 0..rings {
            let z = -1.0 + 2.0 * (f64::from(i) + 0.5) / f64::from(rings);
            let r = (1.0 - z * z).sqrt();
            for j in 0..steps {
                let angle = std::f64::consts::TAU * (f64::from(j) + 0.5) / f64::from(steps);
                let direction = [libm::cos(angle) * r, libm::sin(angle) * r, z].map(|v| v as f32);
                let values = spherical_harmonics(direction);
                for (row, a) in products.iter_mut().zip(values) {
                    for (cell, b) in row.iter_mut().zip(values) {
                        *cell += f64::from(a * b);
                    }
                }
            }
        }
        let area = 4.0 * std::f64::consts::PI / f64::from(rings * steps);
        for (i, row) in products.iter().enumerate() {
            for (j, cell) in row.iter().enumerate() {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((cell * area - expected).abs() < 2e-3, "{i} {j} {}", cell * area);
            }
        }
    }
}
