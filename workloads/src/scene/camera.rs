//! Cameras and their paths, in the `transforms.json` convention of the synthetic NeRF scenes and
//! of instant-ngp. Left out: lens distortion, rolling shutter, depth of field.

use glam::{Mat3, Vec3};
use serde::Deserialize;

use super::SceneError;

/// A pinhole camera in the scene's space; it looks along its third axis, rows grow along its
/// second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// Where it stands.
    pub origin: Vec3,
    /// Right, down, forward.
    pub axes: Mat3,
    /// Focal length over the height of the image.
    pub focal: f32,
    /// Principal point as shares of width and height.
    pub centre: [f32; 2],
}

impl Camera {
    /// A camera that looks from one point at another; `focal` is over the image height.
    pub fn look_at(origin: Vec3, target: Vec3, focal: f32) -> Self {
        let forward = (target - origin).normalize_or(Vec3::Z);
        let up = if forward.y.abs() > 0.999 { Vec3::Z } else { Vec3::Y };
        let right = forward.cross(up).normalize_or(Vec3::X);
        let down = forward.cross(right);
        Self { origin, axes: Mat3::from_cols(right, down, forward), focal, centre: [0.5, 0.5] }
    }

    /// Unit direction through a pixel of an image of that size.
    pub fn direction(&self, pixel: [f32; 2], width: u32, height: u32) -> Vec3 {
        let (width, height) = (width as f32, height as f32);
        let x = (pixel[0] - self.centre[0] * width) / (self.focal * height);
        let y = (pixel[1] - self.centre[1] * height) / (self.focal * height);
        (self.axes * Vec3::new(x, y, 1.0)).normalize()
    }
}

/// Cameras one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraPath {
    /// Keyframes; `at` walks through them.
    pub cameras: Vec<Camera>,
    /// `aabb_scale` of the file, where it has one.
    pub aabb_scale: Option<u32>,
}

/// Widths of a scene's cube, in unit cubes: one cascade of occupancy for each.
const ALLOWED_SCALES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
/// Scale from the units of a transforms file to the unit cube, where the file has none.
const DEFAULT_SCALE: f32 = 0.33;
/// Keyframes of the paths of shipped scenes.
const KEYFRAMES: u32 = 24;

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    camera_angle_x: Option<f64>,
    #[serde(default)]
    camera_angle_y: Option<f64>,
    #[serde(default)]
    fl_x: Option<f64>,
    #[serde(default)]
    fl_y: Option<f64>,
    #[serde(default)]
    cx: Option<f64>,
    #[serde(default)]
    cy: Option<f64>,
    #[serde(default)]
    w: Option<f64>,
    #[serde(default)]
    h: Option<f64>,
    #[serde(default)]
    aabb_scale: Option<f64>,
    #[serde(default)]
    scale: Option<f32>,
    #[serde(default)]
    offset: Option<[f32; 3]>,
    frames: Vec<Frame>,
}

#[derive(Debug, Deserialize)]
struct Frame {
    transform_matrix: Vec<Vec<f32>>,
}

impl CameraPath {
    /// A full circle around a point, from `degrees` above.
    pub fn orbit(centre: Vec3, radius: f32, degrees: f32, field: f32) -> Self {
        Self::arc(centre, radius, degrees, field, std::f32::consts::TAU)
    }

    /// Part of a circle (`extent` in radians) around a point; `field` is the vertical field of
    /// view in radians.
    pub fn arc(centre: Vec3, radius: f32, degrees: f32, field: f32, extent: f32) -> Self {
        let height = degrees.to_radians();
        let focal = 0.5 / libm::tanf(field / 2.0);
        let cameras = (0..KEYFRAMES).map(|i| {
            let angle = extent * (i as f32 / KEYFRAMES as f32 - 0.5) + 0.6;
            let flat = libm::cosf(height);
            let direction =
                Vec3::new(libm::sinf(angle) * flat, libm::sinf(height), libm::cosf(angle) * flat);
            Camera::look_at(centre + radius * direction, centre, focal)
        });
        Self { cameras: cameras.collect(), aabb_scale: None }
    }

    /// Reads a `transforms.json`, of either flavour.
    ///
    /// # Errors
    /// When it is no such file, or its matrices or angles make no sense.
    pub fn from_transforms(text: &str) -> Result<Self, SceneError> {
        let file: File = serde_json::from_str(text).map_err(|error| {
            SceneError::new(
                error.line(),
                format!("not a transforms.json: {error}"),
                "it holds camera_angle_x (or fl_x, w, h) and frames with a transform_matrix each",
            )
        })?;
        let focal = file.focal()?;
        if file.frames.is_empty() {
            return Err(SceneError::new(0, "the camera file has no frames", "give at least one"));
        }
        let scale = file.scale.unwrap_or(DEFAULT_SCALE);
        let offset = Vec3::from(file.offset.unwrap_or([0.5; 3]));
        let share = |at: Option<f64>, of: Option<f64>| match (at, of) {
            (Some(at), Some(of)) if of > 0.0 => (at / of) as f32,
            _ => 0.5,
        };
        let centre = [share(file.cx, file.w), share(file.cy, file.h)];
        let mut cameras = Vec::with_capacity(file.frames.len());
        for (number, frame) in file.frames.iter().enumerate() {
            let matrix = &frame.transform_matrix;
            let square = matrix.len() >= 3 && matrix.iter().take(3).all(|row| row.len() >= 4);
            let finite = matrix.iter().flatten().all(|value| value.is_finite());
            if !square || !finite {
                return Err(SceneError::new(
                    0,
                    format!("frame {number}: transform_matrix is not a 4 x 4 matrix of numbers"),
                    "write four rows of four numbers, camera to world",
                ));
            }
            let column = |c: usize| Vec3::new(matrix[0][c], matrix[1][c], matrix[2][c]);
            // Camera to world with y up and looking backwards, axes turned by one place.
            let turn = |v: Vec3| Vec3::new(v.y, v.z, v.x);
            let axes = [column(0), -column(1), -column(2)].map(turn);
            if axes.iter().any(|axis| axis.length() < 1e-6) {
                return Err(SceneError::new(
                    0,
                    format!("frame {number}: transform_matrix has a zero column"),
                    "the upper left 3 x 3 part is a rotation",
                ));
            }
            cameras.push(Camera {
                origin: turn(column(3) * scale + offset),
                axes: Mat3::from_cols(axes[0], axes[1], axes[2]),
                focal,
                centre,
            });
        }
        let aabb_scale = match file.aabb_scale {
            None => None,
            Some(scale) if ALLOWED_SCALES.contains(&scale) => Some(scale as u32),
            Some(scale) => {
                return Err(SceneError::new(
                    0,
                    format!("aabb_scale is {scale}"),
                    "it is a power of two from 1 to 128",
                ));
            }
        };
        Ok(Self { cameras, aabb_scale })
    }

    /// The camera at a share of the path in [0, 1).
    pub fn at(&self, share: f64) -> Option<Camera> {
        let count = self.cameras.len();
        let index = (share.clamp(0.0, 1.0) * count as f64) as usize;
        self.cameras.get(index.min(count.saturating_sub(1))).copied()
    }
}

impl File {
    /// Focal length over the image height.
    fn focal(&self) -> Result<f32, SceneError> {
        let wrong = |what: String| {
            SceneError::new(0, what, "give camera_angle_x in radians, or fl_x with w and h")
        };
        let aspect = match (self.w, self.h) {
            (Some(w), Some(h)) if w > 0.0 && h > 0.0 => w / h,
            (None, None) => 1.0,
            (w, h) => {
                let told = |size: Option<f64>| size.map_or("missing".to_owned(), |s| s.to_string());
                return Err(wrong(format!("image size: w is {}, h is {}", told(w), told(h))));
            }
        };
        for (name, length) in [("fl_x", self.fl_x), ("fl_y", self.fl_y)] {
            if let Some(length) = length
                && !(length.is_finite() && length > 0.0)
            {
                return Err(wrong(format!("{name} is {length}")));
            }
        }
        if let (Some(x), Some(y)) = (self.fl_x, self.fl_y)
            && !(0.5..=2.0).contains(&(x / y))
        {
            return Err(wrong(format!("fl_x is {x} and fl_y is {y}: pixels are nearly square")));
        }
        for (name, angle) in
            [("camera_angle_x", self.camera_angle_x), ("camera_angle_y", self.camera_angle_y)]
        {
            if let Some(angle) = angle
                && !(0.005..3.1).contains(&angle)
            {
                return Err(wrong(format!("{name} is {angle}, and no angle of view in radians")));
            }
        }
        let half_tangent = |angle: f64| libm::tan(angle / 2.0);
        let focal = match (self.fl_y, self.fl_x, self.h) {
            (Some(fl), _, Some(h)) | (None, Some(fl), Some(h)) => fl / h,
            _ => match (self.camera_angle_y, self.camera_angle_x) {
                (Some(angle), _) => 0.5 / half_tangent(angle),
                (None, Some(angle)) => 0.5 * aspect / half_tangent(angle),
                (None, None) => return Err(wrong("no field of view".to_owned())),
            },
        };
        if !(0.01..100.0).contains(&focal) {
            return Err(wrong(format!(
                "the field of view makes a focal length of {focal} heights"
            )));
        }
        Ok(focal as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synthetic_camera_looks_at_the_middle() {
        // A camera on the z axis of the file looking down at the origin.
        let text = r#"{"camera_angle_x": 0.6911, "frames": [{"file_path": "a", "transform_matrix":
            [[1,0,0,0],[0,1,0,0],[0,0,1,4],[0,0,0,1]]}]}"#;
        let path = CameraPath::from_transforms(text).unwrap();
        let camera = path.at(0.0).unwrap();
        let to_centre = (Vec3::splat(0.5) - camera.origin).normalize();
        assert!(camera.direction([400.0, 400.0], 800, 800).distance(to_centre) < 1e-5);
        assert!((camera.origin.distance(Vec3::splat(0.5)) - 4.0 * 0.33).abs() < 1e-5);
    }

    #[test]
    fn instant_ngp_files_bring_focal_length_and_scale() {
        let text = r#"{"fl_x": 1375.52, "fl_y": 1374.49, "cx": 554.5, "cy": 965.2, "w": 1080.0, "h": 1920.0,
            "aabb_scale": 4, "frames": [{"transform_matrix": [[1,0,0,0],[0,1,0,0],[0,0,1,1],[0,0,0,1]]}]}"#;
        let path = CameraPath::from_transforms(text).unwrap();
        assert_eq!(path.aabb_scale, Some(4));
        assert!((path.cameras[0].focal - 1374.49 / 1920.0).abs() < 1e-4);
    }

    #[test]
    fn broken_files_say_what_is_wrong() {
        let message = |text: &str| CameraPath::from_transforms(text).unwrap_err();
        assert!(message("{").what.contains("not a transforms.json"));
        assert!(message(r#"{"camera_angle_x": 0.7, "frames": []}"#).what.contains("no frames"));
        assert!(message(r#"{"frames": []}"#).what.contains("field of view"));
        let short = r#"{"camera_angle_x": 0.7, "frames": [{"transform_matrix": [[1,0],[0,1]]}]}"#;
        assert!(message(short).what.contains("4 x 4"));
        let huge = r#"{"camera_angle_x": 0.7, "aabb_scale": 1000, "frames":
            [{"transform_matrix": [[1,0,0,0],[0,1,0,0],[0,0,1,1],[0,0,0,1]]}]}"#;
        assert!(message(huge).what.contains("aabb_scale"));
        assert!(message(&huge.replace("1000", "3")).what.contains("aabb_scale is 3"));
        let with = |keys: &str| message(&huge.replace(r#""aabb_scale": 1000"#, keys)).what;
        assert!(with(r#""w": 800"#).contains("h is missing"));
        assert!(with(r#""fl_x": -3, "fl_y": 700, "w": 800, "h": 800"#).contains("fl_x is -3"));
        assert!(with(r#""fl_x": 10, "fl_y": 700, "w": 800, "h": 800"#).contains("nearly square"));
        assert!(with(r#""camera_angle_y": 3.14159"#).contains("camera_angle_y"));
    }
}
