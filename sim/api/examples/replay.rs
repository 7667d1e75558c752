//! A recorded profile (the small one that ships; put yours there) on two GPUs: sum of kernel times
//! and the classes that take most.

use std::path::Path;

use lumacycle::Options;

/// Prints what it found.
#[expect(clippy::print_stdout, reason = "an example shows what it found")]
pub fn main() -> Result<(), lumacycle::Error> {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/transformer.jsonl");
    for name in ["rtx3090", "h100-sxm"] {
        let gpu = lumacycle::gpu(name)?;
        for result in lumacycle::replay(Path::new(shipped), &gpu, Options::default())? {
            println!("{name}: {:.2} ms of kernels", result.totals.predicted_sum_ms);
            for class in result.classes.iter().take(3) {
                println!("  {}: {:.2} ms", class.class, class.predicted_ms);
            }
        }
    }
    Ok(())
}
