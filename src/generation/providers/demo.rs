//! The demo provider: answers every image route without a key, with a picture drawn here and marked
//! as a demo. Development and tests only.

mod canvas;
mod font;
pub mod picture;
mod scenery;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    generation::{
        RequestError,
        error::{FaultClass, ProviderError},
        options::CommonOptions,
        provider::{Checked, Output, Pace, Provider, Status, Submission, Task, Work},
        request::ImageInput,
    },
    net::{Hosts, Policy},
};
use picture::{Format, Sketch};

/// Draws pictures from prompt, size and seed.
pub struct Demo;

#[async_trait]
impl Provider for Demo {
    fn check(&self, input: &ImageInput, _references: usize) -> Result<Checked, RequestError> {
        let options = CommonOptions::parse(&input.options)?;
        Ok(Checked {
            outputs: options.count,
            warnings: vec!["This is a demo picture: no key of the provider is set.".to_owned()],
        })
    }

    fn upstream_model(&self, input: &ImageInput) -> String {
        input.model.clone()
    }

    async fn submit(&self, work: &Work<'_>) -> Result<Submission, ProviderError> {
        let options = CommonOptions::parse(&work.input.options)
            .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()))?;
        let references: Vec<Bytes> = work
            .references
            .iter()
            .map(|reference| reference.bytes.clone())
            .collect();
        let input = work.input.clone();
        let drawn = tokio::task::spawn_blocking(move || draw(&input, &options, &references)).await;
        drawn
            .map_err(|error| ProviderError::new(FaultClass::Transient, error.to_string()))?
            .map(Submission::Done)
    }

    async fn poll(&self, _task: &Task) -> Result<Status, ProviderError> {
        Err(
            ProviderError::new(FaultClass::Transient, "the demo provider has no tasks")
                .forgetting_task(),
        )
    }

    fn pace(&self) -> Pace {
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
    input: &ImageInput,
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
