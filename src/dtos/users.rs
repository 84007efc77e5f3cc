//! Bodies of `/api/users/*`.

use serde_json::{Map, Value};

use super::fields::{Fields, Length};
use crate::http::ApiResult;

/// Bounds of a display name after trimming, characters (platform contract 5.3).
const DISPLAY_NAME: Length = Length::between(2, 80);

/// A field that may be absent (leave it), null (clear it) or given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    Keep,
    Clear,
    Set(T),
}

/// `PATCH /api/users/me`.
#[derive(Debug)]
pub struct ProfileChange {
    pub display_name: Change<String>,
    pub profile_image: Change<String>,
}

impl ProfileChange {
    /// # Errors
    /// 400 with every broken rule.
    pub fn parse(mut body: Map<String, Value>) -> ApiResult<Self> {
        if let Some(Value::String(name)) = body.get_mut("displayName") {
            *name = name.trim().to_owned();
        }
        let display_name_given = body.get("displayName").map(Value::is_null);
        let image_given = body.get("profileImage").map(Value::is_null);
        let mut fields = Fields::new(body);
        let name = fields.text("displayName", DISPLAY_NAME);
        let image = fields.text("profileImage", Length::max(2048));
        fields.finish()?;
        Ok(Self {
            display_name: change(display_name_given, name),
            profile_image: change(image_given, image),
        })
    }
}

fn change<T>(is_null: Option<bool>, value: Option<T>) -> Change<T> {
    match (is_null, value) {
        (Some(true), _) => Change::Clear,
        (_, Some(value)) => Change::Set(value),
        (_, None) => Change::Keep,
    }
}

/// `POST /api/users/me`: a first name for a user who has none.
#[derive(Debug)]
pub struct Introduction {
    pub display_name: Option<String>,
}

impl Introduction {
    /// # Errors
    /// 400 with every broken rule.
    pub fn parse(body: Map<String, Value>) -> ApiResult<Self> {
        let mut fields = Fields::new(body);
        let name = fields.text("displayName", Length::max(80));
        fields.finish()?;
        Ok(Self {
            display_name: name
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty()),
        })
    }
}
