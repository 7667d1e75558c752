//! A small design space: processors and table memory of NGPC for an image, the Pareto front of time and
//! area. Records are kept in a temporary folder.

const SPACE: &str = r#"
name = "small"
question = "How much table memory, and how many processors?"
[system]
app = "gia"
accelerator = "ngpc-8"
resolution = [320, 180]
[search]
method = "grid"
[[parameter]]
path = "accelerator.accelerator.units"
values = [8, 16, 32, 64]
[[parameter]]
path = "accelerator.grid_sram.capacity"
values = ["128 KiB", "512 KiB", "2 MiB"]
[[objective]]
metric = "frame_time_ms"
goal = "minimise"
[[objective]]
metric = "area_mm2"
goal = "minimise"
"#;

/// Prints what it found.
#[expect(clippy::print_stdout, reason = "an example shows what it found")]
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let explored = lumacycle::explore(SPACE, folder.path())?;
    for design in explored.front.iter().filter_map(|point| explored.design(*point)) {
        let metric = |name| design.metric(name).unwrap_or(f64::NAN);
        let settings: Vec<&str> = design.settings.iter().map(|(_, value)| value.as_str()).collect();
        let knee = if explored.knee == Some(design.point) { ", the knee" } else { "" };
        println!(
            "{}: {:.4} ms, {:.0} mm2{knee}",
            settings.join(", "),
            metric("frame_time_ms"),
            metric("area_mm2")
        );
    }
    Ok(())
}
