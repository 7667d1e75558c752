//! A frame of a radiance field on a GPU alone, with a neural graphics processor beside it, and with one of
//! one's own that has half the table memory.

use lumacycle::{Options, Scenario};

const HALF: &str = r#"
base = "ngpc-8"
[sources]
default = "estimate: what if"
[grid_sram]
capacity = "512 KiB"
"#;

/// Prints what it found.
#[expect(clippy::print_stdout, reason = "an example shows what it found")]
pub fn main() -> Result<(), lumacycle::Error> {
    let gpu = lumacycle::gpu("rtx3090")?;
    let scenario = Scenario::shipped("nerf")?.scene("statue")?.size(320, 180);
    let alone = scenario.frame(&gpu, Options::default())?;
    println!("alone: {:.2} ms, {:.0} mJ", alone.frame_ms, alone.energy_mj);
    for accelerator in [
        lumacycle::accelerator("ngpc-8")?,
        lumacycle::accelerator_from_toml("half the tables", HALF)?,
    ] {
        let with = scenario.frame_with(&gpu, &accelerator, Options::default())?;
        println!("{}: {:.2} ms, {:.0} mJ", with.accelerator, with.frame_ms, with.energy_mj);
    }
    Ok(())
}
