//! What `lumacycle run` reads: scenes, cameras, sample counts, sizes of images.

use std::path::Path;

use lumacycle_workloads::rays::SampleCounts;
use lumacycle_workloads::scene::{CameraPath, Matter, Mesh, Occupancy, Scene, SceneError, Vec3};

use crate::args::{EncodingArg, RunArgs};
use crate::failure::Failure;
use crate::output;

/// Whether a name is that of a file with this extension.
pub fn is_file(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case(extension))
}

/// Bytes of a file that is not meant to be large.
pub fn bytes_of(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    /// Larger than any grid or mesh that makes sense here.
    const MOST_BYTES: u64 = 1 << 29;
    let failed = |reason: String| Failure::Input { path: path.to_owned(), reason };
    let whole = |source: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        let read = source.take(MOST_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(failed("it is larger than 512 MiB".to_owned()));
        }
        Ok(bytes)
    };
    let mut file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let bytes = whole(&mut file)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return whole(&mut flate2::read::MultiGzDecoder::new(&bytes[..]));
    }
    Ok(bytes)
}

fn text_of(path: &Path) -> Result<String, Failure> {
    super::text::decoded(path, bytes_of(path)?)
}

fn told(file: &str, error: SceneError) -> Failure {
    Failure::BadScene {
        file: if error.line > 0 { format!("{file}:{}", error.line) } else { file.to_owned() },
        what: error.what,
        help: error.help,
    }
}

/// Samples per pixel.
pub fn sample_counts(path: &Path) -> Result<SampleCounts, Failure> {
    let file = path.display().to_string();
    SampleCounts::from_npy(&bytes_of(path)?).map_err(|error| told(&file, error))
}

/// A scene by name or file, with cameras of its own or from a file.
pub fn scene(name: &str, camera: Option<&Path>) -> Result<Scene, Failure> {
    let path = Path::new(name);
    let stem = name.trim_end_matches(".gz");
    let brought = |matter, aabb_scale| Scene {
        name: path
            .file_stem()
            .map_or_else(|| name.to_owned(), |s| s.to_string_lossy().into_owned()),
        aabb_scale,
        matter,
        path: CameraPath::orbit(Vec3::splat(0.5), 1.33, 20.0, 0.69),
    };
    let mut scene = if is_file(stem, "obj") {
        let mesh = Mesh::from_obj(&text_of(path)?).map_err(|error| told(name, error))?;
        brought(Matter::Mesh(mesh.into()), 1)
    } else if is_file(stem, "npy") {
        let grid = Occupancy::from_npy(&bytes_of(path)?).map_err(|error| told(name, error))?;
        let scale = 1 << (grid.cascades() - 1);
        brought(Matter::Grid(grid.into()), scale)
    } else {
        Scene::shipped(name).ok_or_else(|| Failure::UnknownName {
            what: format!("there is no scene called \"{name}\""),
            help: format!(
                "known: {}; or give a mesh (.obj) or an occupancy grid (.npy)",
                Scene::names().join(", ")
            ),
        })?
    };
    if let Some(camera) = camera {
        let file = camera.display().to_string();
        scene.path =
            CameraPath::from_transforms(&text_of(camera)?).map_err(|error| told(&file, error))?;
    }
    Ok(scene)
}

/// `fhd`, `1920x1080`, or with a number of eyes, `2064x2208x2`.
pub fn resolution(text: &str) -> Result<(u32, u32, u32), Failure> {
    let known = match text.to_ascii_lowercase().as_str() {
        "hd" => Some((1280, 720, 1)),
        "fhd" => Some((1920, 1080, 1)),
        "qhd" => Some((2560, 1440, 1)),
        "4k" => Some((3840, 2160, 1)),
        "8k" => Some((7680, 4320, 1)),
        "vr" => Some((2064, 2208, 2)),
        _ => None,
    };
    let parts: Option<Vec<u32>> = text.split('x').map(|part| part.parse().ok()).collect();
    let written = match parts.as_deref() {
        Some(&[width, height]) => Some((width, height, 1)),
        Some(&[width, height, eyes]) => Some((width, height, eyes)),
        _ => None,
    };
    known
        .or(written)
        .filter(|(w, h, eyes)| {
            (1..=32768).contains(w) && (1..=32768).contains(h) && (1..=16).contains(eyes)
        })
        .ok_or_else(|| {
            Failure::usage(
                format!("--resolution: \"{text}\" is no image size"),
                "write hd, fhd, qhd, 4k, 8k, vr (2 x 2064 x 2208), WIDTHxHEIGHT, or \
                 WIDTHxHEIGHTxEYES, with sides up to 32768 and up to 16 eyes",
            )
        })
}

/// Says which options of the command line this application has no use for.
pub fn tell_ignored(args: &RunArgs) {
    let splat = args.app == "splat";
    let image = args.app == "gia";
    let given = [
        ("--encoding", splat && args.encoding != EncodingArg::Hashgrid),
        ("--rest", (splat || image) && args.rest.is_some()),
        ("--samples", splat && args.samples.is_some()),
        ("--rounds", (splat || image) && args.rounds),
        ("--scene", image && args.scene.is_some()),
        ("--camera", image && args.camera.is_some()),
        ("--gaussians", !splat && args.gaussians.is_some()),
        ("--factors", args.field.factors.is_some()),
        ("--prune", args.field.prune.is_some()),
        ("--image", args.field.image.is_some()),
    ];
    tell(&args.app, &given);
}

/// The same for decomposed fields.
pub fn tell_ignored_by_field(args: &RunArgs) {
    let given = [
        ("--encoding", args.encoding != EncodingArg::Hashgrid),
        ("--rest", args.rest.is_some()),
        ("--rounds", args.rounds),
        ("--gaussians", args.gaussians.is_some()),
        ("--timeline", args.timeline.is_some()),
    ];
    tell(&args.app, &given);
}

fn tell(app: &str, given: &[(&str, bool)]) {
    for (option, _) in given.iter().filter(|(_, ignored)| *ignored) {
        output::say(&format!("note: {option} means nothing to {app} and was ignored"));
    }
}

/// Frames along a path that are worth the wait.
const MOST_FRAMES: u32 = 10_000;

/// Places along the camera path, as shares of it.
pub fn shares(args: &RunArgs) -> Result<Vec<f64>, Failure> {
    if !(0.0..1.0).contains(&args.at) {
        return Err(Failure::usage("--at must lie in [0, 1)", "0 is the start of the path"));
    }
    Ok(match args.path_frames {
        None => vec![args.at],
        Some(n) if !(1..=MOST_FRAMES).contains(&n) => {
            return Err(Failure::usage(
                format!("--path-frames is {n}"),
                format!("ask for 1 to {MOST_FRAMES}"),
            ));
        }
        Some(n) => (0..n).map(|i| f64::from(i) / f64::from(n)).collect(),
    })
}
