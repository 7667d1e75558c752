//! The memory system: a sampled cache model, DRAM service time, and the rule by which
//! concurrent work shares bandwidth.

pub mod cache;
pub mod dram;
pub mod fair_share;
pub mod gather;
pub mod lookups;
