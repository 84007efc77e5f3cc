//! Reads typed fields from a JSON object and collects every broken rule, with the message texts and
//! the order of the platform contract 1.7: fields as asked for, inside one field maximum, minimum,
//! type. Unknown fields are ignored; numbers and booleans given for a text become their text.

use serde_json::{Map, Value};

use crate::{
    http::{ApiError, ApiResult},
    models::scalars::{as_integer, as_number},
};

/// Bounds of a text in characters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Length {
    pub min: Option<usize>,
    pub max: Option<usize>,
}

impl Length {
    /// At most `max` characters.
    #[must_use]
    pub const fn max(max: usize) -> Self {
        Self {
            min: None,
            max: Some(max),
        }
    }

    /// Between `min` and `max` characters.
    #[must_use]
    pub const fn between(min: usize, max: usize) -> Self {
        Self {
            min: Some(min),
            max: Some(max),
        }
    }
}

/// A JSON object under inspection.
#[derive(Debug)]
pub struct Fields {
    map: Map<String, Value>,
    faults: Vec<String>,
}

impl Fields {
    /// Starts on the fields of a body.
    #[must_use]
    pub const fn new(map: Map<String, Value>) -> Self {
        Self {
            map,
            faults: Vec::new(),
        }
    }

    /// Adds a broken rule that a caller found itself.
    pub fn fault(&mut self, message: impl Into<String>) {
        self.faults.push(message.into());
    }

    /// Takes a field out as it is; `null` counts as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// An optional text.
    pub fn text(&mut self, name: &str, length: Length) -> Option<String> {
        let value = self.take(name)?;
        self.check_text(name, Some(value), length)
    }

    /// A required text; absence breaks the same rules as a wrong type.
    pub fn required_text(&mut self, name: &str, length: Length) -> String {
        let value = self.take(name);
        self.check_text(name, value, length).unwrap_or_default()
    }

    fn check_text(&mut self, name: &str, value: Option<Value>, length: Length) -> Option<String> {
        let text = value.and_then(scalar_text);
        let count = text.as_ref().map(|text| text.chars().count());
        if let Some(max) = length.max
            && count.is_none_or(|count| count > max)
        {
            self.fault(format!(
                "{name} must be shorter than or equal to {max} characters"
            ));
        }
        if let Some(min) = length.min
            && count.is_none_or(|count| count < min)
        {
            self.fault(format!(
                "{name} must be longer than or equal to {min} characters"
            ));
        }
        if text.is_none() {
            self.fault(format!("{name} must be a string"));
        }
        text
    }

    /// A required e-mail address, trimmed and lower-cased.
    pub fn required_email(&mut self, name: &str) -> String {
        let text = self.take(name).and_then(scalar_text).unwrap_or_default();
        let email = text.trim().to_lowercase();
        if !is_email(&email) {
            self.fault(format!("{name} must be an email"));
        }
        email
    }

    /// An optional number between two bounds.
    pub fn number(&mut self, name: &str, min: f64, max: f64) -> Option<f64> {
        let number = self.take(name).map(|value| as_number(&value))?;
        match number {
            None => self.fault(format!("{name} must be a number")),
            Some(number) if !(min..=max).contains(&number) => {
                self.fault(format!("{name} must be between {min} and {max}"));
            }
            Some(_) => return number,
        }
        None
    }

    /// An optional whole number between two bounds.
    pub fn integer(&mut self, name: &str, min: i64, max: i64) -> Option<i64> {
        let number = self.take(name).map(|value| as_integer(&value))?;
        match number {
            None => self.fault(format!("{name} must be an integer")),
            Some(number) if !(min..=max).contains(&number) => {
                self.fault(format!("{name} must be between {min} and {max}"));
            }
            Some(_) => return number,
        }
        None
    }

    /// An optional object; anything else breaks the rule.
    pub fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            Value::Object(map) => Some(map),
            _ => {
                self.fault(format!("{name} must be an object"));
                None
            }
        }
    }

    /// An optional list of texts.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let Some(value) = self.take(name) else {
            return Vec::new();
        };
        let Value::Array(items) = value else {
            self.fault(format!("{name} must be an array"));
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Value::String(text) => texts.push(text),
                _ => {
                    self.fault(format!("each value in {name} must be a string"));
                    return Vec::new();
                }
            }
        }
        texts
    }

    /// The fields nobody asked for.
    pub fn rest(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.map)
    }

    /// Ends the inspection.
    ///
    /// # Errors
    /// 400 with every broken rule.
    pub fn finish(self) -> ApiResult<()> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(ApiError::validation(self.faults))
        }
    }
}

fn scalar_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a text has the form of an address: one `@`, no white space, a dotted host.
#[must_use]
pub fn is_email(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else {
        return false;
    };
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.contains("..")
            && !part.starts_with('.')
            && !part.ends_with('.')
            && part
                .chars()
                .all(|c| !c.is_whitespace() && !c.is_control() && !"@,;:<>()[]\\\"".contains(c))
    };
    text.len() <= 254
        && local.len() <= 64
        && is_plain(local)
        && is_plain(host)
        && host.contains('.')
}
