//! Element types as frameworks and kernel names write them.

use serde::{Deserialize, Serialize};

/// An element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum DType {
    Fp64,
    Fp32,
    Tf32,
    Bf16,
    Fp16,
    Fp8,
    Fp4,
    Int64,
    Int32,
    Int16,
    Int8,
    Int4,
    Bool,
}

impl DType {
    /// Size of one element, in bytes (4-bit types are half a byte).
    pub const fn bytes(self) -> f64 {
        match self {
            Self::Fp64 | Self::Int64 => 8.0,
            Self::Fp32 | Self::Tf32 | Self::Int32 => 4.0,
            Self::Bf16 | Self::Fp16 | Self::Int16 => 2.0,
            Self::Fp8 | Self::Int8 | Self::Bool => 1.0,
            Self::Fp4 | Self::Int4 => 0.5,
        }
    }

    /// Reads the spelling of a framework (`float`, `c10::Half`, `BFloat16`, `long int`) or ours.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches("c10::").trim_start_matches("at::");
        Some(match text.to_ascii_lowercase().as_str() {
            "float" | "fp32" | "f32" | "float32" | "scalar" => Self::Fp32,
            "double" | "fp64" | "f64" | "float64" => Self::Fp64,
            "half" | "__half" | "fp16" | "f16" | "float16" => Self::Fp16,
            "bfloat16" | "__nv_bfloat16" | "bf16" => Self::Bf16,
            "tf32" => Self::Tf32,
            "float8_e4m3fn" | "float8_e5m2" | "fp8" | "e4m3" | "e5m2" | "__nv_fp8_e4m3" => {
                Self::Fp8
            }
            "fp4" | "e2m1" | "nvfp4" => Self::Fp4,
            "long" | "long int" | "int64" | "long long" | "int64_t" => Self::Int64,
            "int" | "int32" | "int32_t" | "unsigned int" => Self::Int32,
            "short" | "short int" | "int16" => Self::Int16,
            "signed char" | "unsigned char" | "char" | "int8" | "uint8" | "byte" | "int8_t" => {
                Self::Int8
            }
            "int4" => Self::Int4,
            "bool" => Self::Bool,
            _ => return None,
        })
    }

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp64 => "fp64",
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
            Self::Fp8 => "fp8",
            Self::Fp4 => "fp4",
            Self::Int64 => "int64",
            Self::Int32 => "int32",
            Self::Int16 => "int16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Bool => "bool",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_framework_spellings() {
        assert_eq!(DType::parse("c10::BFloat16"), Some(DType::Bf16));
        assert_eq!(DType::parse("long int"), Some(DType::Int64));
        assert_eq!(DType::parse("c10::Half"), Some(DType::Fp16));
        assert_eq!(DType::parse("TensorList"), None);
    }
}
