//! The demo provider: answers without a key. Pictures are drawn and videos made here, marked as a demo;
//! upscales are really enlarged, by resampling. Development and tests only.

mod canvas;
mod enlarge;
mod film;
mod font;
mod h264;
pub mod picture;
mod scenery;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        options::CommonOptions,
        provider::{Checked, Output, Pace, Provider, Status, Submission, Task, Work},
        request::{Input, Kind},
    },
    models::scalars::as_integer,
    net::{Hosts, Policy},
};
use picture::{Format, Sketch};

/// Factor of an upscale that names none.
const DEFAULT_SCALE: u32 = 2;

/// Draws pictures from prompt, size and seed, and enlarges given ones.
pub struct Demo {
    /// An upscale takes hundreds of megabytes for a moment, so they go one at a time.
    upscales: Semaphore,
}

impl Default for Demo {
    fn default() -> Self {
        Self {
            upscales: Semaphore::new(1),
        }
    }
}

impl Demo {
    async fn upscale(&self, work: &Work<'_>) -> Result<Vec<Output>, ProviderError> {
        let source = work
            .references
            .first()
            .map(|reference| reference.bytes.clone())
            .ok_or_else(|| ProviderError::new(FaultClass::BadInput, "no picture to enlarge"))?;
        let scale = work.input.scale.unwrap_or(DEFAULT_SCALE);
        let _turn = self.upscales.acquire().await.map_err(transient)?;
        let enlarged = tokio::task::spawn_blocking(move || enlarge::enlarge(&source, scale))
            .await
            .map_err(transient)?
            .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()))?;
        Ok(vec![Output::Bytes(enlarged.into())])
    }

    async fn film(&self, work: &Work<'_>) -> Result<Vec<Output>, ProviderError> {
        let references: Vec<Vec<u8>> = work
            .references
            .iter()
            .map(|reference| reference.bytes.to_vec())
            .collect();
        let input = work.input.clone();
        let film = tokio::task::spawn_blocking(move || {
            let format = film::Format::of(&input.options);
            let seed = input.options.get("seed").and_then(as_integer);
            let sketch = Sketch {
                prompt: &input.prompt,
                model: &input.model,
                width: format.width,
                height: format.height,
                seed: seed.map_or(0, i64::unsigned_abs),
                index: 0,
                references: &references,
            };
            film::shoot(&sketch, format.seconds)
        });
        let film = film
            .await
            .map_err(transient)?
            .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()))?;
        Ok(vec![Output::Bytes(film.into())])
    }

    async fn picture(&self, work: &Work<'_>) -> Result<Vec<Output>, ProviderError> {
        let options = CommonOptions::parse(&work.input.options)
            .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()))?;
        let references: Vec<Bytes> = work
            .references
            .iter()
            .map(|reference| reference.bytes.clone())
            .collect();
        let mut references = references;
        if work.input.kind == Kind::Scene {
            // The person is shown, not the empty scene.
            references.reverse();
        }
        let input = work.input.clone();
        tokio::task::spawn_blocking(move || draw(&input, &options, &references))
            .await
            .map_err(transient)?
    }
}

fn transient(error: impl std::fmt::Display) -> ProviderError {
    ProviderError::new(FaultClass::Transient, error.to_string())
}

#[async_trait]
impl Provider for Demo {
    fn capabilities(&self) -> &'static [Kind] {
        &[Kind::Image, Kind::Video, Kind::Upscale, Kind::Scene]
    }

    fn check(&self, input: &Input, _references: usize) -> Result<Checked, RequestError> {
        let (outputs, warning) = match input.kind {
            Kind::Upscale => (
                1,
                "This picture is enlarged by plain resampling: no key of the provider is set.",
            ),
            Kind::Video => (1, "This is a demo video: no key of the provider is set."),
            Kind::Image | Kind::Scene => (
                CommonOptions::parse(&input.options)?.count,
                "This is a demo picture: no key of the provider is set.",
            ),
        };
        Ok(Checked {
            outputs,
            warnings: vec![warning.to_owned()],
        })
    }

    fn check_source(&self, input: &Input, sides: (u32, u32)) -> Result<(), RequestError> {
        if enlarge::fits(sides, input.scale.unwrap_or(DEFAULT_SCALE)) {
            return Ok(());
        }
        Err(RequestError::InvalidReference(
            "imageUrl is too large: the enlarged picture may have at most 4096 x 4096 pixels."
                .to_owned(),
        ))
    }

    fn upstream_model(&self, input: &Input) -> String {
        input.model.clone()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let outputs = match work.input.kind {
            Kind::Upscale => self.upscale(work).await?,
            Kind::Video => self.film(work).await?,
            Kind::Image | Kind::Scene => self.picture(work).await?,
        };
        Ok(Submission::Done(outputs))
    }

    async fn poll(&self, _task: &Task) -> Result<Status, ProviderError> {
        Err(
            ProviderError::new(FaultClass::Transient, "the demo provider has no tasks")
                .forgetting_task(),
        )
    }

    fn pace(&self, _kind: Kind) -> Pace {
        Pace {
            poll_interval: Duration::from_secs(1),
            budget: Duration::from_secs(60),
        }
    }

    fn result_policy(&self, max_bytes: u64) -> Policy {
        Policy::new(
            Hosts::Suffixes(Vec::new()),
            max_bytes,
            Duration::from_secs(1),
        )
    }
}

fn draw(
    input: &Input,
    options: &CommonOptions,
    references: &[Bytes],
) -> Result<Vec<Output>, ProviderError> {
    let (width, height) = options.pixels();
    let format = match options.output_format.as_deref() {
        Some("jpeg" | "jpg") => Format::Jpeg,
        Some("webp") => Format::Webp,
        _ => Format::Png,
    };
    let references: Vec<Vec<u8>> = references.iter().map(|bytes| bytes.to_vec()).collect();
    (0..options.count)
        .map(|index| {
            let sketch = Sketch {
                prompt: &input.prompt,
                model: &input.model,
                width,
                height,
                seed: options.seed.unwrap_or_default(),
                index,
                references: &references,
            };
            picture::draw(&sketch, format)
                .map(|bytes| Output::Bytes(bytes.into()))
                .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()))
        })
        .collect()
}
