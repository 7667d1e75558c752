//! A recorded profile (the first argument, or the small one that ships) on two GPUs: sum of kernel times
//! and the classes that take most.

use std::path::PathBuf;

use lumacycle::Options;

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), lumacycle::Error> {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/transformer.jsonl");
    let path: PathBuf = std::env::args_os().nth(1).unwrap_or_else(|| shipped.into()).into();
    for name in ["rtx3090", "h100-sxm"] {
        let gpu = lumacycle::gpu(name)?;
        for result in lumacycle::replay(&path, &gpu, Options::default())? {
            println!("{name}: {:.2} ms of kernels", result.totals.predicted_sum_ms);
            for class in result.classes.iter().take(3) {
                println!("  {}: {:.2} ms", class.class, class.predicted_ms);
            }
        }
    }
    Ok(())
}
