//! Whether an operation can be meant: sizes that a memory could hold, finite amounts, launches
//! and tiles that a GPU could run. Everything that comes from a file or a command line passes
//! here once, so that arithmetic further down cannot overflow or divide by nothing.

use super::gemm::Tile;
use super::{
    Attention, ConvAlgorithm, Convolution, Counters, FusedMlp, FusedRenderer, Operation, PerThread,
    Recorded, Traced,
};
use crate::Launch;

/// Elements that one tensor may have: 2⁵⁰ of a byte each are a pebibyte.
const MOST_ELEMENTS: f64 = 1_125_899_906_842_624.0;
/// A single extent.
const MOST_EXTENT: u64 = 1 << 40;
/// Bytes or operations of one launch.
const MOST_AMOUNT: f64 = 1e18;

fn extents(list: &[(&str, u64)]) -> Result<(), String> {
    for (name, value) in list {
        if *value == 0 || *value > MOST_EXTENT {
            return Err(format!("{name} is {value}; it must lie between 1 and 2^40"));
        }
    }
    Ok(())
}

fn tensor(name: &str, extents: &[u64]) -> Result<(), String> {
    let elements: f64 = extents.iter().map(|extent| *extent as f64).product();
    if elements > MOST_ELEMENTS {
        return Err(format!("{name} has {elements:.2e} elements, more than any memory holds"));
    }
    Ok(())
}

fn amounts(list: &[(&str, f64)]) -> Result<(), String> {
    for (name, value) in list {
        if !(0.0..=MOST_AMOUNT).contains(value) {
            return Err(format!("{name} is {value}; it must lie between 0 and 1e18"));
        }
    }
    Ok(())
}

fn launch(launch: &Launch) -> Result<(), String> {
    if launch.is_possible() {
        Ok(())
    } else {
        Err("the launch shape is beyond CUDA's limits".to_owned())
    }
}

fn recorded(recorded: Option<&Recorded>) -> Result<(), String> {
    recorded.map_or(Ok(()), |recorded| launch(&recorded.launch))
}

fn tile(tile: Option<&Tile>) -> Result<(), String> {
    let Some(tile) = tile else { return Ok(()) };
    for (name, value, most) in [
        ("tile.m", tile.m, 1024),
        ("tile.n", tile.n, 1024),
        ("tile.k", tile.k, 1024),
        ("tile.stages", tile.stages, 64),
        ("tile.warps", tile.warps, 32),
    ] {
        if value == 0 || value > most {
            return Err(format!("{name} is {value}; it must lie between 1 and {most}"));
        }
    }
    Ok(())
}

fn convolution(c: &Convolution) -> Result<(), String> {
    extents(&[
        ("batch", c.batch),
        ("in_channels", c.in_channels),
        ("in_pixels", c.in_pixels),
        ("out_channels", c.out_channels),
        ("out_pixels", c.out_pixels),
        ("filter", c.filter),
        ("groups", c.groups),
    ])?;
    let even = |channels: u64| channels.is_multiple_of(c.groups);
    if !(even(c.in_channels) && even(c.out_channels)) {
        return Err(format!("{} groups don't divide the channels", c.groups));
    }
    if c.algorithm == ConvAlgorithm::Winograd && c.filter != 9 {
        return Err("winograd works on 3 x 3 filters (filter 9)".to_owned());
    }
    tensor("input", &[c.batch, c.in_channels, c.in_pixels])?;
    tensor("filter", &[c.in_channels, c.out_channels, c.filter])?;
    tensor("output", &[c.batch, c.out_channels, c.out_pixels])?;
    tensor("patches", &[c.in_channels, c.filter, c.batch, c.out_pixels])?;
    tile(c.tile.as_ref())?;
    recorded(c.recorded.as_ref())
}

fn attention(a: &Attention) -> Result<(), String> {
    extents(&[
        ("batch", a.batch),
        ("heads_q", a.heads_q),
        ("heads_kv", a.heads_kv),
        ("head_dim", a.head_dim),
        ("seq_q", a.seq_q),
        ("seq_kv", a.seq_kv),
    ])?;
    if !a.heads_q.is_multiple_of(a.heads_kv) {
        let (q, kv) = (a.heads_q, a.heads_kv);
        return Err(format!("{q} query heads cannot share {kv} KV heads evenly"));
    }
    tensor("Q", &[a.batch, a.heads_q, a.head_dim, a.seq_q])?;
    tensor("K", &[a.batch, a.heads_kv, a.head_dim, a.seq_kv])?;
    tensor("scores", &[a.heads_q, a.seq_q, a.seq_kv])?;
    if let Some(keys) = a.table_keys {
        extents(&[("table_keys", keys)])?;
    }
    if let Some(sizes) = a.tile
        && sizes.iter().any(|size| *size == 0 || *size > 1024)
    {
        return Err("the sizes of tile lie between 1 and 1024".to_owned());
    }
    recorded(a.recorded.as_ref())
}

fn counters(c: &Counters) -> Result<(), String> {
    launch(&c.launch)?;
    amounts(&[
        ("fp32", c.fp32),
        ("fp64", c.fp64),
        ("fp16x2", c.fp16x2),
        ("int32", c.int32),
        ("control", c.control),
        ("other", c.other),
        ("sfu", c.sfu),
        ("memory", c.memory),
        ("loads", c.loads),
        ("shared_loads", c.shared_loads),
        ("shared_wavefronts", c.shared_wavefronts),
        ("l1_bytes", c.l1_bytes),
        ("l2_read_bytes", c.l2_read_bytes),
        ("l2_write_bytes", c.l2_write_bytes),
        ("dram_read_bytes", c.dram_read_bytes),
        ("dram_write_bytes", c.dram_write_bytes),
        ("resident_warps", c.resident_warps),
        ("active_threads", c.active_threads),
    ])?;
    if c.active_threads > 32.0 {
        return Err(format!("active_threads is {}; a warp has 32 threads", c.active_threads));
    }
    Ok(())
}

fn traced(t: &Traced) -> Result<(), String> {
    launch(&t.launch)?;
    amounts(&t.amounts())?;
    t.check_samples()
}

fn mlp(m: &FusedMlp) -> Result<(), String> {
    extents(&[("samples", m.samples), ("hidden_layers", m.hidden_layers.into())])?;
    if ![16, 32, 64, 128].contains(&m.width) {
        return Err(format!("width is {}; it must be 16, 32, 64 or 128", m.width));
    }
    for (name, n) in
        [("inputs", m.inputs), ("outputs", m.outputs), ("rows_per_cta", m.rows_per_cta)]
    {
        if n == 0 || n % 16 != 0 || n > 4096 {
            return Err(format!("{name} is {n}; it must be a multiple of 16 up to 4096"));
        }
    }
    tensor("the inputs", &[m.samples, m.inputs.into()])?;
    recorded(m.recorded.as_ref())
}

fn per_thread(t: &PerThread) -> Result<(), String> {
    amounts(&[("items", t.items)])?;
    if t.threads == 0 || t.threads > 1024 || t.registers > 255 {
        return Err("a CTA has 1 to 1024 threads of up to 255 registers".to_owned());
    }
    for part in &t.parts {
        amounts(&[
            ("times", part.times),
            ("read_bytes", part.read_bytes),
            ("write_bytes", part.write_bytes),
            ("shared_bytes", part.shared_bytes),
            ("scattered_bytes", part.scattered_bytes),
            ("round_trips", part.round_trips),
            ("fp32", part.work.fp32),
            ("int32", part.work.int32),
            ("fp16x2", part.work.fp16x2),
            ("sfu", part.work.sfu),
            ("memory", part.work.memory),
            ("chain", part.work.chain),
        ])?;
        for (name, value) in [("divergence", part.divergence), ("longest", part.longest)] {
            if !(1.0..=1e5).contains(&value) {
                return Err(format!("{name} must lie between 1 and 100000"));
            }
        }
        if !(0.5..=32.0).contains(&part.store_bytes) {
            return Err("store_bytes must lie between 0.5 and 32".to_owned());
        }
    }
    recorded(t.recorded.as_ref())
}

fn renderer(r: &FusedRenderer) -> Result<(), String> {
    r.grid.validate()?;
    r.networks.iter().try_for_each(mlp)?;
    amounts(&[
        ("rays", r.rays),
        ("queries_per_ray", r.queries_per_ray),
        ("voxels_per_ray", r.voxels_per_ray),
    ])?;
    if !(1.0..=1e4).contains(&r.divergence) {
        return Err("divergence must lie between 1 and 10000".to_owned());
    }
    recorded(r.recorded.as_ref())
}

impl Operation {
    /// Checks that all sizes and amounts are possible.
    ///
    /// # Errors
    /// Says which one is not.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            Self::Gemm(g) => {
                extents(&[("m", g.m), ("n", g.n), ("k", g.k), ("batch", g.batch)])?;
                tensor("A", &[g.m, g.k, g.batch])?;
                tensor("B", &[g.k, g.n, g.batch])?;
                tensor("C", &[g.m, g.n, g.batch])?;
                if g.split_k.is_some_and(|split| split == 0 || split > 65_535) {
                    return Err("split_k must lie between 1 and 65535".to_owned());
                }
                if !(0.5..=16.0).contains(&g.vector_bytes) {
                    return Err("vector_bytes must lie between 0.5 and 16".to_owned());
                }
                tile(g.tile.as_ref())?;
                recorded(g.recorded.as_ref())
            }
            Self::Convolution(c) => convolution(c),
            Self::Attention(a) => attention(a),
            Self::Streaming(s) => {
                amounts(&[
                    ("elements", s.elements),
                    ("read_bytes", s.read_bytes),
                    ("write_bytes", s.write_bytes),
                    ("flops_per_element", s.flops_per_element),
                    ("sfu_per_element", s.sfu_per_element),
                    ("int_per_element", s.int_per_element),
                    ("control_per_element", s.control_per_element),
                    ("constants_per_element", s.constants_per_element),
                    ("chain", s.chain),
                ])?;
                if !(0.5..=16.0).contains(&s.vector_bytes) {
                    return Err("vector_bytes must lie between 0.5 and 16".to_owned());
                }
                if !(1.0..=64.0).contains(&s.elements_at_once) {
                    return Err("elements_at_once must lie between 1 and 64".to_owned());
                }
                if !(0.01..=1.0).contains(&s.contiguous_share) {
                    return Err("contiguous_share must lie between 0.01 and 1".to_owned());
                }
                recorded(s.recorded.as_ref())
            }
            Self::Rows(r) => {
                extents(&[("rows", r.rows), ("columns", r.columns)])?;
                tensor("the rows", &[r.rows, r.columns])?;
                if !(0.5..=16.0).contains(&r.vector_bytes) {
                    return Err("vector_bytes must lie between 0.5 and 16".to_owned());
                }
                recorded(r.recorded.as_ref())
            }
            Self::Reduction(r) => {
                amounts(&[("inputs", r.inputs), ("outputs", r.outputs)])?;
                if r.outputs > r.inputs {
                    return Err("a reduction has at most as many outputs as inputs".to_owned());
                }
                recorded(r.recorded.as_ref())
            }
            Self::Embedding(e) => {
                let list =
                    [("table_rows", e.table_rows), ("width", e.width), ("lookups", e.lookups)];
                extents(&list)?;
                tensor("the table", &[e.table_rows, e.width])?;
                tensor("the result", &[e.lookups, e.width])?;
                recorded(e.recorded.as_ref())
            }
            Self::GridEncoding(e) => {
                e.grid.validate()?;
                extents(&[("samples", e.samples)])?;
                tensor("the features", &[e.samples, u64::from(e.grid.outputs())])?;
                amounts(&[("position_stride_bytes", e.position_stride_bytes)])?;
                recorded(e.recorded.as_ref())
            }
            Self::PlaneSample(p) => {
                extents(&[("samples", p.samples)])?;
                if !p.is_possible() {
                    return Err("a plane has one to three axes with up to 65536 places".to_owned());
                }
                tensor("the result", &[p.samples, u64::from(p.channels)])
            }
            Self::FusedMlp(m) => mlp(m),
            Self::FusedRenderer(r) => renderer(r),
            Self::PerThread(t) => per_thread(t),
            Self::SortScan(s) => {
                extents(&[("elements", s.elements)])?;
                if !(0.5..=16.0).contains(&s.key_bytes) || !(0.0..=256.0).contains(&s.value_bytes) {
                    return Err("keys have up to 16 bytes, values up to 256".to_owned());
                }
                recorded(s.recorded.as_ref())
            }
            Self::Transfer(t) => amounts(&[("bytes", t.bytes)]),
            Self::Collective(c) => amounts(&[("bytes", c.bytes), ("ranks", f64::from(c.ranks))]),
            Self::Counters(c) => counters(c),
            Self::Traced(t) => traced(t),
            Self::Unknown(u) => {
                amounts(&[("scale", u.scale)])?;
                launch(&u.recorded.launch)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::DType;
    use crate::ops::{Gemm, Operation, SortKind, SortScan, Transfer, transfer::CopyKind};

    #[test]
    fn impossible_sizes_are_named() {
        let gemm = |m, n, k| {
            Operation::Gemm(Gemm { m, n, k, ..Gemm::new(1, 1, 1, DType::Fp16) }).validate()
        };
        assert!(gemm(4096, 4096, 4096).is_ok());
        assert!(gemm(0, 1, 1).unwrap_err().starts_with("m is 0"));
        assert!(gemm(1 << 40, 1 << 40, 1).unwrap_err().starts_with("C has"));
        let bytes = Operation::Transfer(Transfer { kind: CopyKind::Set, bytes: f64::NAN });
        assert!(bytes.validate().is_err());
        let keys = Operation::SortScan(SortScan {
            kind: SortKind::Sort,
            elements: 10,
            key_bytes: 1e12,
            value_bytes: 0.0,
            recorded: None,
        });
        assert!(keys.validate().is_err());
    }
}
