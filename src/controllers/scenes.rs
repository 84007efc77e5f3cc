//! `/api/scene/*`: prepared scenes, and putting a person into one.

use axum::{Json, extract::State, response::Response};
use loco_rs::prelude::*;

use super::{image::create, waiting};
use crate::{
    dtos::scenes::SceneBody,
    generation::{
        pipeline::Pipeline,
        scenes::{Scenes, WantedScene},
    },
    http::{ApiResult, Caller, KeyedForm, Prefer},
    views::scenes::{TemplateView, TemplatesView},
};

/// What there is to choose from.
async fn templates(
    State(ctx): State<AppContext>,
    _caller: Caller,
) -> ApiResult<Json<TemplatesView>> {
    let pipeline = Pipeline::of(&ctx)?;
    let mut templates = Vec::new();
    for template in Scenes::templates()? {
        templates.push(TemplateView {
            id: &template.id,
            title: &template.title,
            description: &template.description,
            tags: &template.tags,
            preview_url: pipeline.scene_preview(template).await?,
            aspect_ratio: &template.aspect_ratio,
            style_option_id: template.style_option_id.as_deref(),
        });
    }
    Ok(Json(TemplatesView { templates }))
}

/// Admits a scene.
async fn generate(
    State(ctx): State<AppContext>,
    caller: Caller,
    prefer: Prefer,
    form: KeyedForm,
) -> ApiResult<Response> {
    let KeyedForm { body, file } = form;
    let answer = create(&ctx, &caller, body, async |fields, origin| {
        let dto = SceneBody::parse(fields, file)?;
        let wanted = WantedScene {
            template_id: dto.template_id,
            style_option_id: dto.style_option_id,
            style_preset: dto.style_preset,
            style_type: dto.style_type,
            rendering_speed: dto.rendering_speed,
            focus: dto.focus,
            note: dto.note,
            picture: dto.picture.bytes,
            picture_name: dto.picture.name,
            picture_type: dto.picture.content_type,
        };
        let pipeline = Pipeline::of(&ctx)?;
        Ok(pipeline
            .admit_scene(&caller.profile, wanted, origin)
            .await?)
    })
    .await?;
    waiting::created(&ctx, &caller, prefer, answer).await
}

/// The routes of this family.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .prefix("/api/scene")
        .add("/templates", get(templates))
        .add("/generate", post(generate))
}
