//! Multipart bodies.

use reqwest::multipart;

use crate::generation::{
    error::{FaultClass, ProviderError},
    provider::Reference,
};

/// A multipart form in the making.
pub struct Form {
    form: Result<multipart::Form, ProviderError>,
    said: Vec<String>,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            form: Ok(multipart::Form::new()),
            said: Vec::new(),
        }
    }
}

impl Form {
    /// Adds a text.
    #[must_use]
    pub fn text(mut self, name: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        self.said.push(value.clone());
        self.form = self.form.map(|form| form.text(name.to_owned(), value));
        self
    }

    /// Adds a text when there is one.
    #[must_use]
    pub fn maybe(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// Adds a picture as a file with a neutral name.
    #[must_use]
    pub fn picture(mut self, name: &str, picture: &Reference) -> Self {
        let extension = picture.mime_type.rsplit('/').next().unwrap_or("png");
        let part = multipart::Part::stream(picture.bytes.clone())
            .file_name(format!("{name}.{extension}").replace("[]", ""))
            .mime_str(&picture.mime_type)
            .map_err(|error| ProviderError::new(FaultClass::BadInput, error.to_string()));
        self.form = self
            .form
            .and_then(|form| Ok(form.part(name.to_owned(), part?)));
        self
    }

    pub(super) fn into_parts(self) -> (Result<multipart::Form, ProviderError>, Vec<String>) {
        (self.form, self.said)
    }
}
