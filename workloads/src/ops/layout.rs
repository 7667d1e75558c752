//! How the operands of a matrix product lie in memory, and in what pieces a tile of them is read.
//!
//! BLAS gives each operand of its column-major product a letter: `n` where it is stored as it is, `t`
//! where as its transpose. Frameworks that store rows ask for the transposed product, so that at the
//! end of a kernel's name (`sgemm_128x64_tn`) the first letter is that of B. Left out: padding
//! between rows (leading dimensions beyond the row).

use serde::{Deserialize, Serialize};

use super::Tile;
use crate::kernel::Runs;

/// Which operands lie along k.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct Layout {
    /// A\[m,k\] is stored row by row (k is consecutive), not as its transpose.
    pub a_along_k: bool,
    /// B\[k,n\] is stored as its transpose (k is consecutive), as the weights of a linear layer are.
    pub b_along_k: bool,
}

impl Default for Layout {
    /// Both operands row-major: `nn`.
    fn default() -> Self {
        Self { a_along_k: true, b_along_k: false }
    }
}

impl From<Layout> for &'static str {
    fn from(layout: Layout) -> Self {
        layout.letters()
    }
}

impl TryFrom<String> for Layout {
    type Error = String;

    fn try_from(letters: String) -> Result<Self, String> {
        Self::of_operands(&letters)
            .ok_or_else(|| format!("\"{letters}\" is no layout: there are nn, nt, tn and tt"))
    }
}

impl Layout {
    /// Reads the letters of BLAS (`nn`, `tn`, `nt`, `tt`), alone or at the end of a kernel's name, for
    /// a column-major product of which m is the first dimension.
    pub fn column_major(name: &str) -> Option<Self> {
        let letters = name.rsplit('_').find(|part| {
            part.len() == 2 && part.chars().all(|letter| matches!(letter, 'n' | 't'))
        })?;
        Some(Self { a_along_k: letters.starts_with('t'), b_along_k: letters.ends_with('n') })
    }

    /// The same for a row-major product, which is BLAS's with A and B exchanged.
    pub fn row_major(name: &str) -> Option<Self> {
        let Self { a_along_k, b_along_k } = Self::column_major(name)?;
        Some(Self { a_along_k: b_along_k, b_along_k: a_along_k })
    }

    /// Reads letters for A and for B of a row-major product: `n` as they are, `t` as transposes.
    pub fn of_operands(letters: &str) -> Option<Self> {
        match letters {
            "nn" => Some(Self { a_along_k: true, b_along_k: false }),
            "nt" => Some(Self { a_along_k: true, b_along_k: true }),
            "tn" => Some(Self { a_along_k: false, b_along_k: false }),
            "tt" => Some(Self { a_along_k: false, b_along_k: true }),
            _ => None,
        }
    }

    /// The letters that [`Layout::of_operands`] reads.
    pub const fn letters(self) -> &'static str {
        match (self.a_along_k, self.b_along_k) {
            (true, false) => "nn",
            (true, true) => "nt",
            (false, false) => "tn",
            (false, true) => "tt",
        }
    }

    /// Pieces of A and of B that a step of a tile reads, for a product of `n` columns, `m` rows and
    /// depth `k`, in elements of so many bytes; `ahead` steps are asked for together.
    pub(super) fn runs(
        self,
        tile: Tile,
        [m, n, k]: [u64; 3],
        element: f64,
        ahead: f64,
    ) -> [Runs; 2] {
        let of = |along_k: bool, across: u32, width: u64| {
            let (run, pitch) =
                if along_k { (f64::from(tile.k) * ahead, k) } else { (f64::from(across), width) };
            let pitch_bytes = pitch as f64 * element;
            Runs { bytes: (run * element).min(pitch_bytes), pitch_bytes }
        };
        [of(self.a_along_k, tile.m, m), of(self.b_along_k, tile.n, n)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tile::Math;

    #[test]
    fn letters_are_those_of_the_column_major_product() {
        let linear = Layout::row_major("volta_sgemm_128x64_tn").unwrap();
        assert_eq!(linear, Layout { a_along_k: true, b_along_k: true });
        let weights =
            Layout::row_major("ampere_fp16_s16816gemm_fp16_128x64_ldg8_stages_64x4_nt").unwrap();
        assert_eq!(weights, Layout { a_along_k: false, b_along_k: false });
        assert_eq!(Layout::row_major("nn"), Some(Layout::default()));
        assert_eq!(
            Layout::row_major("cutlass_80_simt_sgemm_128x32_8x5_nn_align1"),
            Layout::row_major("nn")
        );
        assert_eq!(Layout::row_major("gemmk1_kernel"), None);
    }

    #[test]
    fn letters_round_trip() {
        for letters in ["nn", "nt", "tn", "tt"] {
            let layout = Layout::try_from(letters.to_owned()).unwrap();
            assert_eq!(<&str>::from(layout), letters);
        }
        assert!(Layout::try_from("no".to_owned()).is_err());
        // A linear layer: what BLAS calls tn.
        assert_eq!(Layout::of_operands("nt"), Layout::row_major("tn"));
    }

    #[test]
    fn rows_along_k_come_in_pieces_of_a_step() {
        let tile = Tile { m: 128, n: 32, k: 8, stages: 2, warps: 8, math: Math::Simt };
        let [a, b] = Layout::default().runs(tile, [1000, 20, 500], 4.0, 1.0);
        assert_eq!(a, Runs { bytes: 32.0, pitch_bytes: 2000.0 });
        // A row of B is shorter than the tile is wide.
        assert_eq!(b, Runs { bytes: 80.0, pitch_bytes: 80.0 });
    }
}
