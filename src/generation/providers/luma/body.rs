//! From a checked request to Luma's JSON body.
//!
//! Given pictures arrive as addresses. An option that holds pictures names each by its place; those
//! that no option names guide the generation as `image_ref`.

use serde_json::{Map, Value, json};

use crate::{
    generation::{
        RequestError, kit::Options, provider::Reference, references::place_of, request::Input,
    },
    models::scalars::as_number,
};

/// Aspect ratios of the Photon models.
const RATIOS: [&str; 7] = ["1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21"];
/// Bounds of a prompt, characters.
const PROMPT_MIN: usize = 3;
const PROMPT_MAX: usize = 5000;
/// Most pictures that guide a generation, and most of one character.
const PICTURES_MAX: usize = 4;
/// How much a picture counts when the request does not say.
const IMAGE_WEIGHT: f64 = 0.85;
const STYLE_WEIGHT: f64 = 0.8;
const MODIFY_WEIGHT: f64 = 1.0;

/// The body for `model` with `count` given pictures, and what of the request it leaves out or
/// changes. `references` are empty as long as the pictures are not stored.
///
/// # Errors
/// [`RequestError::InvalidOption`] for values that the API refuses.
pub fn build(
    input: &Input,
    model: &str,
    count: usize,
    references: &[Reference],
) -> Result<(Value, Vec<String>), RequestError> {
    let mut options = Options::of(input)?;
    let length = input.prompt.chars().count();
    if !(PROMPT_MIN..=PROMPT_MAX).contains(&length) {
        return Err(RequestError::InvalidOption(format!(
            "prompt must have {PROMPT_MIN} to {PROMPT_MAX} characters for this model"
        )));
    }
    options.count(1);
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("prompt".into(), input.prompt.as_str().into());
    if let Some(ratio) = options.ratio(&RATIOS) {
        body.insert("aspect_ratio".into(), ratio.into());
    }
    if let Some(format) = options.format(&["jpg", "png"]) {
        body.insert("format".into(), format.into());
    }
    let mut pictures = Pictures {
        references,
        is_named: vec![false; count],
    };
    if let Some(value) = options.value("style_ref") {
        let styles = pictures.weighted("style_ref", value, STYLE_WEIGHT)?;
        body.insert("style_ref".into(), styles.into());
    }
    if let Some(value) = options.value("modify_image_ref") {
        let [picture] = pictures
            .weighted("modify_image_ref", value, MODIFY_WEIGHT)?
            .try_into()
            .map_err(|_| invalid("modify_image_ref", "must be one picture"))?;
        body.insert("modify_image_ref".into(), picture);
    }
    if let Some(value) = options.value("character_ref") {
        body.insert("character_ref".into(), pictures.characters(value)?);
    }
    let mut guides = match options.value("image_ref") {
        Some(value) => pictures.weighted("image_ref", value, IMAGE_WEIGHT)?,
        None => Vec::new(),
    };
    guides.extend(pictures.unnamed());
    guides.truncate(options.references(guides.len(), PICTURES_MAX));
    if !guides.is_empty() {
        body.insert("image_ref".into(), guides.into());
    }
    Ok((Value::Object(body), options.finish()))
}

fn invalid(name: &str, what: &str) -> RequestError {
    RequestError::InvalidOption(format!("{name} {what}"))
}

/// The given pictures of a request and which of them an option names.
struct Pictures<'a> {
    references: &'a [Reference],
    is_named: Vec<bool>,
}

impl Pictures<'_> {
    /// The address of a picture; empty while the pictures are not stored.
    fn address(&self, place: usize) -> &str {
        self.references
            .get(place)
            .and_then(|reference| reference.url.as_ref())
            .map(crate::settings::Secret::expose)
            .unwrap_or_default()
    }

    /// The address of the picture that an option names.
    fn named(&mut self, name: &str, value: &Value) -> Result<&str, RequestError> {
        let place = value.as_str().and_then(place_of);
        let found = place.and_then(|place| Some((place, self.is_named.get_mut(place)?)));
        let Some((place, is_named)) = found else {
            return Err(invalid(
                name,
                "must hold addresses or data URLs of pictures",
            ));
        };
        *is_named = true;
        Ok(self.address(place))
    }

    /// An address or `{url, weight}`, or several of either.
    fn weighted(
        &mut self,
        name: &str,
        value: &Value,
        usual: f64,
    ) -> Result<Vec<Value>, RequestError> {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            item => std::slice::from_ref(item),
        };
        items
            .iter()
            .map(|item| {
                let given = item.get("weight").filter(|weight| !weight.is_null());
                let weight = given.map_or(Some(usual), as_number);
                let weight = weight
                    .filter(|weight| (0.0..=1.0).contains(weight))
                    .ok_or_else(|| invalid(name, "must have weights between 0 and 1"))?;
                let url = self.named(name, item.get("url").unwrap_or(item))?;
                Ok(json!({ "url": url, "weight": weight }))
            })
            .collect()
    }

    /// `{identity0: {images: [..]}}`, as many identities as the request has.
    fn characters(&mut self, value: &Value) -> Result<Value, RequestError> {
        let name = "character_ref";
        let form = || {
            invalid(
                name,
                "must be like {\"identity0\":{\"images\":[..]}}, 1 to 4 images each",
            )
        };
        let identities = value
            .as_object()
            .filter(|it| !it.is_empty())
            .ok_or_else(form)?;
        let mut made = Map::new();
        for (identity, value) in identities {
            let images = value
                .get("images")
                .and_then(Value::as_array)
                .filter(|images| (1..=PICTURES_MAX).contains(&images.len()))
                .ok_or_else(form)?;
            let mut urls = Vec::with_capacity(images.len());
            for image in images {
                urls.push(self.named(name, image)?.to_owned());
            }
            made.insert(identity.clone(), json!({ "images": urls }));
        }
        Ok(Value::Object(made))
    }

    /// Those that no option names.
    fn unnamed(&self) -> Vec<Value> {
        self.is_named
            .iter()
            .enumerate()
            .filter(|(_, is_named)| !**is_named)
            .map(|(place, _)| json!({ "url": self.address(place), "weight": IMAGE_WEIGHT }))
            .collect()
    }
}
