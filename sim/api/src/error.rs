//! What can go wrong, by where it comes from. Each carries a sentence, and where there is one a help
//! ([`miette::Diagnostic`]).

use lumacycle_engines::EngineError;
use lumacycle_sim::explore::store::StoreError;
use lumacycle_sim::frame::FrameError;
use lumacycle_sim::replay::ReplayError;
use lumacycle_sim::study::StudyError;
use lumacycle_traces::TraceError;
use lumacycle_workloads::apps::AppError;
use lumacycle_workloads::scene::SceneError;
use miette::Diagnostic;

/// Why there is no result.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub enum Error {
    /// A description of hardware, or the name of one.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Hardware(#[from] lumacycle_arch::Error),
    /// A recorded profile.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trace(#[from] TraceError),
    /// Work that a GPU has no room for.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Replay(#[from] ReplayError),
    /// Work that hardware cannot run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A launch of a frame that hardware cannot run.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An application of one's own.
    #[error(transparent)]
    Application(#[from] AppError),
    /// A scene, a camera or sample counts.
    #[error(transparent)]
    Scene(#[from] SceneError),
    /// A design space.
    #[error(transparent)]
    Space(#[from] StudyError),
    /// The folder of an exploration.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Sizes that no hardware has.
    #[error("impossible work: {reason}")]
    Work {
        /// Why.
        reason: String,
    },
    /// A name that does not exist.
    #[error("there is no {what} called \"{name}\"")]
    #[diagnostic(help("known: {known}"))]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// Names that there are.
        known: String,
    },
}
