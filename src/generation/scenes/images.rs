//! Base images and previews of scenes.

use std::time::Duration;

use bytes::Bytes;
use url::Url;

use super::{Scenes, Template};
use crate::{
    generation::{
        RequestError,
        options::CommonOptions,
        pipeline::Pipeline,
        providers::demo::picture::{Format, Sketch, draw},
    },
    net::{Hosts, Policy},
    settings::is_loopback,
    storage::ObjectKey,
};

/// Largest base image, bytes, and the time it may take.
const MAX_BYTES: u64 = 20 * 1024 * 1024;
const FETCH_LIMIT: Duration = Duration::from_secs(20);

impl Pipeline {
    /// Where a template's preview can be seen.
    ///
    /// # Errors
    /// When it had to be drawn and could not be stored.
    pub async fn scene_preview(&self, template: &Template) -> Result<String, RequestError> {
        if let Some(base) = &self.settings.generation.scene_images_url {
            return Ok(format!(
                "{}/{}-preview.jpg",
                base.trim_end_matches('/'),
                template.id
            ));
        }
        self.drawn(template).await?;
        Ok(self
            .storage
            .public_url(ObjectKey::of_scene(&template.id).as_str()))
    }

    /// A template's base image.
    ///
    /// # Errors
    /// [`RequestError::NoScenes`] when the configured address does not give it.
    pub(super) async fn scene_base(&self, template: &Template) -> Result<Bytes, RequestError> {
        let Some(base) = &self.settings.generation.scene_images_url else {
            return self.drawn(template).await;
        };
        let address = format!("{}/{}-base.png", base.trim_end_matches('/'), template.id);
        let url = Url::parse(base).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let hosts = Hosts::Suffixes(vec![host.to_owned()]);
        let mut policy = Policy::new(hosts, MAX_BYTES, FETCH_LIMIT);
        policy.allow_loopback = url.as_ref().is_some_and(is_loopback);
        match self.fetcher.fetch(&address, &policy).await {
            Ok(fetched) => Ok(fetched.bytes),
            Err(error) => Err(RequestError::NoScenes(format!(
                "the base image of {}: {error}",
                template.id
            ))),
        }
    }

    /// The picture drawn for a template; all are drawn and stored once in a process.
    async fn drawn(&self, template: &Template) -> Result<Bytes, RequestError> {
        let drawn = self
            .scenes
            .drawn
            .get_or_try_init(async || {
                let drawn = tokio::task::spawn_blocking(draw_all)
                    .await
                    .map_err(|error| RequestError::NoScenes(error.to_string()))??;
                for (id, bytes) in &drawn {
                    let key = ObjectKey::of_scene(id);
                    self.storage.put(&key, bytes.clone(), "image/jpeg").await?;
                }
                Ok::<_, RequestError>(drawn)
            })
            .await?;
        drawn
            .iter()
            .find(|(id, _)| *id == template.id)
            .map(|(_, bytes)| bytes.clone())
            .ok_or_else(|| RequestError::NoScenes(format!("{} was not drawn", template.id)))
    }
}

fn draw_all() -> Result<Vec<(String, Bytes)>, RequestError> {
    let draw = |template: &Template| {
        let ratio = [(
            "aspect_ratio".to_owned(),
            template.aspect_ratio.as_str().into(),
        )];
        let (width, height) = CommonOptions::parse(&ratio.into_iter().collect())?.pixels();
        let sketch = Sketch {
            prompt: &template.title,
            model: &template.id,
            width: width * 3 / 4,
            height: height * 3 / 4,
            seed: 0,
            index: 0,
            references: &[],
        };
        let bytes = draw(&sketch, Format::Jpeg)
            .map_err(|error| RequestError::NoScenes(error.to_string()))?;
        Ok((template.id.clone(), bytes.into()))
    };
    Scenes::templates()?.iter().map(draw).collect()
}
