//! `GET /api/scene/templates` (generation contract 6.1).

use serde::Serialize;

/// The public part of a template.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateView {
    pub id: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    pub tags: &'static [String],
    pub preview_url: String,
    pub aspect_ratio: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style_option_id: Option<&'static str>,
}

/// All templates.
#[derive(Debug, Serialize)]
pub struct TemplatesView {
    pub templates: Vec<TemplateView>,
}
