//! Work whose caches have been looked up, to be priced at many clocks.
//!
//! What an operation lowers to, how its CTAs fit an SM and what its lookups find do not depend on how
//! fast anything runs, and take most of the time that pricing takes. Searches over the clock (a frame
//! that gives way to the power limit as a whole) prepare once. Transfers, collectives and kernels known
//! by counters have nothing to prepare.

use lumacycle_workloads::ops::{Operation, library};

use super::GpuEngine;
use super::kernel::PlacedKernel;
use crate::cost::KernelCost;
use crate::{Cost, Engine, EngineError};

/// An operation prepared for one GPU and state of L2.
#[derive(Debug, Clone)]
pub struct Prepared(Work);

#[derive(Debug, Clone)]
enum Work {
    /// Priced as it is.
    Whole(Box<Operation>),
    /// Kernels of each candidate, in the library's order; those that don't fit are left out.
    Candidates(Vec<Vec<PlacedKernel>>),
}

impl Prepared {
    /// Lowers and places.
    ///
    /// # Errors
    /// When no candidate fits the GPU.
    pub fn new(engine: &GpuEngine<'_>, work: &Operation) -> Result<Self, EngineError> {
        if matches!(
            work,
            Operation::Transfer(_) | Operation::Collective(_) | Operation::Counters(_)
        ) {
            return Ok(Self(Work::Whole(Box::new(work.clone()))));
        }
        let (mut candidates, mut failure) = (Vec::new(), EngineError::NoCandidate);
        for candidate in work.lower(&engine.target()) {
            let placed: Result<Vec<_>, _> = candidate
                .kernels
                .into_iter()
                .map(|kernel| PlacedKernel::new(engine, kernel))
                .collect();
            match placed {
                Ok(kernels) => candidates.push(kernels),
                Err(error) => failure = error,
            }
        }
        if candidates.is_empty() { Err(failure) } else { Ok(Self(Work::Candidates(candidates))) }
    }

    /// Prices with an engine of the same GPU and state of L2.
    ///
    /// # Errors
    /// When the work cannot run.
    pub fn price(&self, engine: &GpuEngine<'_>) -> Result<Cost, EngineError> {
        self.with(engine, true)
    }

    /// The same but for the binding resource, which is a guess: to find it takes several times as long
    /// as all else.
    ///
    /// # Errors
    /// When the work cannot run.
    pub fn estimate(&self, engine: &GpuEngine<'_>) -> Result<Cost, EngineError> {
        self.with(engine, false)
    }

    fn with(&self, engine: &GpuEngine<'_>, explained: bool) -> Result<Cost, EngineError> {
        let candidates = match &self.0 {
            Work::Whole(operation) => return engine.price(operation),
            Work::Candidates(candidates) => candidates,
        };
        let mut best: Option<(f64, Vec<KernelCost>, &[PlacedKernel])> = None;
        for placed in candidates {
            let costs: Vec<KernelCost> = placed.iter().map(|kernel| kernel.price(engine)).collect();
            let time: f64 = costs.iter().map(|cost| cost.time_ns).sum();
            // Lists run from large to small tiles; libraries keep the large one unless a smaller is
            // worth the change.
            let better = best
                .as_ref()
                .is_none_or(|(least, ..)| time < *least * (1.0 - library::WORTH_A_SMALLER_TILE));
            if better {
                best = Some((time, costs, placed));
            }
        }
        let (_, mut kernels, placed) = best.ok_or(EngineError::NoCandidate)?;
        if explained && engine.options.relief.is_none() {
            for (cost, kernel) in kernels.iter_mut().zip(placed) {
                cost.binding = kernel.binding(engine, cost);
            }
        }
        let shares = GpuEngine::shares(&kernels);
        Ok(Cost::sequence(kernels, shares))
    }
}
