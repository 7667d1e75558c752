//! A kernel of which only the launch shape is known.
//!
//! Every thread is assumed to read and write a little; the assumption is the same for all such
//! kernels and reports mark them, so that nobody takes the figure for knowledge.

use serde::{Deserialize, Serialize};

use super::{Recorded, Streaming};
use crate::{Kernel, KernelClass, Target};

/// Bytes that each thread is assumed to read.
const READ_BYTES_PER_THREAD: f64 = 16.0;
/// Bytes that each thread is assumed to write.
const WRITE_BYTES_PER_THREAD: f64 = 8.0;

/// An unclassified launch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unknown {
    /// The launch.
    pub recorded: Recorded,
    /// The kind of work, where the name gives that much away.
    pub class: KernelClass,
    /// Multiple of the assumed work; 1 unless something better is known.
    pub scale: f64,
}

impl Unknown {
    fn threads(&self) -> f64 {
        self.recorded.launch.ctas() as f64 * self.recorded.launch.threads() as f64
    }

    /// What the assumption amounts to.
    pub fn assumed_bytes(&self) -> f64 {
        self.threads() * (READ_BYTES_PER_THREAD + WRITE_BYTES_PER_THREAD) * self.scale
    }

    /// The launch with the assumed work.
    pub fn kernel(&self, target: &Target) -> Kernel {
        let threads = self.threads();
        let mut launch = self.recorded.launch;
        // A build for another device would ask for what that device has.
        launch.shared_bytes = launch.shared_bytes.min(target.shared_bytes_per_cta);
        let mut kernel = Streaming {
            read_bytes: threads * READ_BYTES_PER_THREAD * self.scale,
            write_bytes: threads * WRITE_BYTES_PER_THREAD * self.scale,
            int_per_element: 8.0,
            recorded: Some(Recorded { launch, ..self.recorded }),
            ..Streaming::new(self.class, threads * 4.0 * self.scale)
        }
        .kernel(target);
        "work assumed from the launch shape".clone_into(&mut kernel.variant);
        kernel
    }
}
