//! The pictures that a video begins and ends with, under all the names that the providers' screens
//! give them (generation contract 7).

use serde_json::{Map, Value};

use super::RequestError;

/// Options that hold the first picture, and the last.
const FIRST: [&str; 9] = [
    "image_base64",
    "first_frame_base64",
    "firstFrameBase64",
    "first_frame_image",
    "first_frame_url",
    "promptImage",
    "prompt_image",
    "image",
    "img_url",
];
const LAST: [&str; 5] = [
    "last_frame_base64",
    "lastFrameBase64",
    "last_frame_image",
    "last_frame_url",
    "image_tail",
];

/// Takes the pictures out of the options: the first frame, the last frame, then the given list, each
/// with the field it came in. A list without a first frame begins with it.
///
/// # Errors
/// [`RequestError::InvalidReference`] for a last frame without a first one, and for what is no text.
pub fn take(
    image: Option<String>,
    list: Vec<(String, String)>,
    options: &mut Map<String, Value>,
) -> Result<Vec<(String, String)>, RequestError> {
    let mut first = Vec::new();
    if let Some(image) = image {
        first.push(("imageBase64".to_owned(), image));
    }
    for name in FIRST {
        first.extend(text(name, options.remove(name))?);
    }
    let mut last = Vec::new();
    for name in LAST {
        last.extend(text(name, options.remove(name))?);
    }
    if let Some(Value::Object(mut keyframes)) = options.remove("keyframes") {
        for (name, into) in [("frame0", &mut first), ("frame1", &mut last)] {
            let path = format!("keyframes.{name}");
            match keyframes.remove(name) {
                None | Some(Value::Null) => {}
                Some(Value::Object(mut frame)) if frame.contains_key("url") => {
                    into.extend(text(&path, frame.remove("url"))?);
                }
                Some(_) => return Err(invalid(format!("{path} must be a picture with its url."))),
            }
        }
    }
    for several in [&first, &last] {
        if let [(one, _), (other, _), ..] = several.as_slice() {
            return Err(invalid(format!("{one} and {other} name the same frame.")));
        }
    }
    if let Some((name, _)) = last.first()
        && first.is_empty()
        && list.is_empty()
    {
        return Err(invalid(format!("{name} needs a first frame too.")));
    }
    let mut frames = first;
    let mut list = list.into_iter();
    if frames.is_empty() {
        frames.extend(list.next());
    }
    frames.extend(last);
    frames.extend(list);
    Ok(frames)
}

fn text(name: &str, value: Option<Value>) -> Result<Option<(String, String)>, RequestError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some((name.to_owned(), text))),
        Some(_) => Err(invalid(format!("{name} must be a text."))),
    }
}

fn invalid(sentence: String) -> RequestError {
    RequestError::InvalidReference(sentence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(image: Option<&str>, list: &[&str], options: Value) -> Result<Vec<String>, String> {
        let Value::Object(mut options) = options else {
            panic!("no object")
        };
        let list = list.iter().map(|text| ((*text).to_owned(), "x".to_owned()));
        let frames = take(image.map(ToOwned::to_owned), list.collect(), &mut options);
        assert!(
            options.keys().all(|name| name == "seed"),
            "{options:?} is left"
        );
        frames
            .map(|frames| frames.into_iter().map(|(name, _)| name).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn frames_are_found_under_every_name_and_in_order() {
        for (image, list, options, expected) in [
            (None, &[][..], json!({"seed": 1}), vec![]),
            (Some("x"), &[], json!({}), vec!["imageBase64"]),
            (None, &["a", "b"], json!({}), vec!["a", "b"]),
            (
                None,
                &[],
                json!({"first_frame_base64": "x", "last_frame_base64": "y"}),
                vec!["first_frame_base64", "last_frame_base64"],
            ),
            (
                None,
                &["a"],
                json!({"lastFrameBase64": "y"}),
                vec!["a", "lastFrameBase64"],
            ),
            (
                None,
                &["a"],
                json!({"firstFrameBase64": "x", "lastFrameBase64": "y"}),
                vec!["firstFrameBase64", "lastFrameBase64", "a"],
            ),
            (
                None,
                &[],
                json!({"keyframes": {"frame0": {"type": "image", "url": "x"}, "frame1": {"url": "y"}}}),
                vec!["keyframes.frame0", "keyframes.frame1"],
            ),
            (
                None,
                &[],
                json!({"image_base64": "", "last_frame_image": null}),
                vec![],
            ),
        ] {
            assert_eq!(
                names(image, list, options.clone()).unwrap(),
                expected,
                "{options}"
            );
        }
    }

    #[test]
    fn frames_that_make_no_sense_are_refused() {
        for (image, options, expected) in [
            (
                None,
                json!({"image_tail": "y"}),
                "image_tail needs a first frame too.",
            ),
            (
                Some("x"),
                json!({"promptImage": "y"}),
                "imageBase64 and promptImage name the same frame.",
            ),
            (None, json!({"image": 3}), "image must be a text."),
            (
                None,
                json!({"keyframes": {"frame0": {"type": "generation", "id": "g"}}}),
                "keyframes.frame0 must be a picture with its url.",
            ),
        ] {
            assert_eq!(
                names(image, &[], options.clone()).unwrap_err(),
                expected,
                "{options}"
            );
        }
    }
}
