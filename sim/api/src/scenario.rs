//! A frame to be rendered: application, scene, image, place on the camera path. Rays are walked when a
//! frame is asked for; its launches are then priced on the GPU, alone or with an accelerator.

use lumacycle_arch::{AcceleratorEntry, Entry};
use lumacycle_engines::Options;
use lumacycle_sim::accelerated::AcceleratedFrame;
use lumacycle_sim::frame::{FrameResult, GpuFrame};
use lumacycle_sim::replay::fits;
use lumacycle_workloads::apps::{Application, Frame, frame};
use lumacycle_workloads::rays::View;
use lumacycle_workloads::scene::Scene;

use crate::Error;

/// What is rendered.
///
/// ```
/// use lumacycle::{Options, Scenario};
///
/// let gpu = lumacycle::gpu("rtx3090")?;
/// let scenario = Scenario::shipped("nsdf")?.scene("statue")?.size(96, 54);
/// let alone = scenario.frame(&gpu, Options::default())?;
/// let ngpc = lumacycle::accelerator("ngpc-8")?;
/// let with = scenario.frame_with(&gpu, &ngpc, Options::default())?;
/// println!("{:.2} ms alone, {:.2} ms with {}", alone.frame_ms, with.frame_ms, with.accelerator);
/// # assert_eq!(alone.frame_ms, with.gpu_alone_ms);
/// # Ok::<(), lumacycle::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The application: encoding, networks, how it is rendered.
    pub app: Application,
    /// What the camera sees, and its path.
    pub scene: Scene,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Place on the camera path, as a share of it in [0, 1).
    pub at: f64,
}

impl Scenario {
    /// An application that ships (`nerf`, `nerf-8x4`, `nsdf`, `nvr`, `gia`) in its usual scene, 1920 × 1080
    /// from the middle of the camera path.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the names that there are.
    pub fn shipped(name: &str) -> Result<Self, Error> {
        let app = Application::shipped(name).ok_or_else(|| Error::Unknown {
            what: "application",
            name: name.to_owned(),
            known: Application::names().join(", "),
        })??;
        Self::of(app)
    }

    /// An application of one's own, from the TOML that `lumacycle run nerf --print-app` shows.
    ///
    /// # Errors
    /// [`Error::Application`] with the place in the text.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        Self::of(Application::parse(text)?)
    }

    fn of(app: Application) -> Result<Self, Error> {
        let scene = shipped_scene(app.usual_scene())?;
        Ok(Self { app, scene, width: 1920, height: 1080, at: 0.5 })
    }

    /// The same in another scene that ships (`room`, `statue`, `lattice`, `cloud`).
    ///
    /// # Errors
    /// [`Error::Unknown`] with the names that there are.
    pub fn scene(mut self, name: &str) -> Result<Self, Error> {
        self.scene = shipped_scene(name)?;
        Ok(self)
    }

    /// The same at another size, in pixels.
    #[must_use]
    pub const fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    /// The same at another place on the camera path, a share of it in [0, 1).
    #[must_use]
    pub const fn at(mut self, at: f64) -> Self {
        self.at = at;
        self
    }

    fn walk(&self) -> Result<Frame, Error> {
        let camera = self
            .scene
            .path
            .at(self.at)
            .ok_or_else(|| Error::Work { reason: "the camera path is empty".to_owned() })?;
        if self.width == 0 || self.height == 0 {
            return Err(Error::Work { reason: "an image has at least one pixel".to_owned() });
        }
        let view = View { camera, width: self.width, height: self.height };
        Ok(frame(&self.app, &self.scene, &view, None)?)
    }

    /// The frame on a GPU alone.
    ///
    /// # Errors
    /// [`Error::Scene`], [`Error::Replay`] where a launch does not fit in device memory, [`Error::Frame`] where one
    /// cannot run.
    pub fn frame(&self, gpu: &Entry, options: Options) -> Result<FrameResult, Error> {
        let frame = self.walk()?;
        Ok(priced(&frame, gpu, options)?.result().clone())
    }

    /// The frame on a GPU with an accelerator beside it, as published and as built.
    ///
    /// # Errors
    /// As [`Scenario::frame`], and [`Error::Engine`] where the accelerator cannot take the application.
    pub fn frame_with(
        &self,
        gpu: &Entry,
        accelerator: &AcceleratorEntry,
        options: Options,
    ) -> Result<AcceleratedFrame, Error> {
        let frame = self.walk()?;
        let priced = priced(&frame, gpu, options)?;
        Ok(priced.accelerate(&self.app, self.scene.aabb_scale, accelerator, None)?)
    }
}

fn shipped_scene(name: &str) -> Result<Scene, Error> {
    Scene::shipped(name).ok_or_else(|| Error::Unknown {
        what: "scene",
        name: name.to_owned(),
        known: Scene::names().join(", "),
    })
}

fn priced<'a>(frame: &'a Frame, gpu: &'a Entry, options: Options) -> Result<GpuFrame<'a>, Error> {
    for launch in &frame.launches {
        fits(launch.name, launch.operation.resident_bytes(), gpu)?;
    }
    Ok(GpuFrame::new(frame, gpu, options)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_do_not_exist_are_told_with_those_that_do() {
        let error = Scenario::shipped("nerv").unwrap_err();
        assert!(
            matches!(&error, Error::Unknown { known, .. } if known.contains("nerf")),
            "{error}"
        );
        let error = Scenario::shipped("nerf").unwrap().scene("rom").unwrap_err();
        assert!(
            matches!(&error, Error::Unknown { known, .. } if known.contains("room")),
            "{error}"
        );
        let error = Scenario::from_toml("name = 3").unwrap_err();
        assert!(matches!(error, Error::Application(_)), "{error}");
    }

    #[test]
    fn an_image_without_pixels_is_refused() {
        let gpu = crate::gpu("rtx3090").unwrap();
        let nothing = Scenario::shipped("gia").unwrap().size(0, 54);
        assert!(matches!(nothing.frame(&gpu, Options::default()), Err(Error::Work { .. })));
    }

    #[test]
    fn more_pixels_take_longer() {
        let gpu = crate::gpu("rtx3090").unwrap();
        let of = |width, height| {
            let scenario = Scenario::shipped("gia").unwrap().size(width, height);
            scenario.frame(&gpu, Options::default()).unwrap().frame_ms
        };
        assert!(of(640, 360) > of(320, 180));
    }
}
