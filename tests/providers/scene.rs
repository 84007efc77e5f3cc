//! Ideogram's remix for scenes, as the worker asks for it.

use daygen::{
    generation::{
        error::FaultClass,
        provider::{Output, Reference, Submission, Work},
        registry::Registry,
        request::{Input, Kind},
    },
    settings::Settings,
};
use loco_rs::environment::Environment;
use serde_json::{Value, json};

use super::ideogram;
use crate::support::{
    pictures,
    upstream::{self, Reply, Script, Upstream},
};

fn settings(upstream: &Upstream) -> Settings {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let config = Environment::Test.load_from_folder(&folder).unwrap();
    let mut settings = config.settings.unwrap();
    let account = &mut settings["providers"]["ideogram"];
    account["api_key"] = upstream::KEY.into();
    account["base_url"] = upstream.base.as_str().into();
    serde_json::from_value(settings).unwrap()
}

fn picture(width: u32, height: u32) -> Reference {
    Reference {
        bytes: pictures::png(width, height).into(),
        mime_type: "image/png".to_owned(),
        url: None,
    }
}

#[tokio::test]
async fn a_scene_is_its_own_picture_remixed_with_the_person() {
    let upstream = Upstream::start(ideogram::SPEC.api).await;
    let provider = Registry::new(&settings(&upstream))
        .unwrap()
        .provider("ideogram", Kind::Scene)
        .unwrap();
    let options = json!({"aspect_ratio": "4x5", "rendering_speed": "TURBO", "style_type": "REALISTIC", "style_preset": "MIXED_MEDIA"});
    let input = |n: usize| Input {
        kind: Kind::Scene,
        prompt: format!("on a balcony [case {n}]"),
        model: "ideogram-remix".to_owned(),
        options: options.as_object().unwrap().clone(),
        ..Input::default()
    };
    // The scene is twice as large as the person, so the snapshot would show them swapped.
    let references = [picture(128, 160), picture(64, 64)];
    let checked = provider.check(&input(1), 2).unwrap();
    assert_eq!((checked.outputs, checked.warnings.len()), (1, 0));
    assert_eq!(provider.upstream_model(&input(1)), "ideogram-v3");
    let submit = async |n: usize, references: &[Reference]| {
        let input = input(n);
        let work = Work {
            input: &input,
            references,
        };
        provider.submit(&work).await
    };
    let Ok(Submission::Done(outputs)) = submit(1, &references).await else {
        panic!("not done");
    };
    assert!(matches!(outputs.as_slice(), [Output::Url(_)]));
    let calls = upstream.calls_of(1);
    let shown: Vec<Value> = calls
        .iter()
        .map(|call| upstream::shown(call, &upstream))
        .collect();
    insta::with_settings!({prepend_module_to_snapshot => false}, {
        insta::assert_json_snapshot!("ideogram_scene", shown);
    });
    let place = |bytes: &[u8]| {
        let body = &calls[0].body;
        body.windows(bytes.len()).position(|window| window == bytes)
    };
    let (scene, person) = (place(&references[0].bytes), place(&references[1].bytes));
    assert!(scene.is_some() && scene < person, "the scene comes first");

    let refused = Script::always(Reply::Fixture("moderated_prompt".to_owned()));
    upstream.script(2, "submit", refused);
    let error = submit(2, &references).await.unwrap_err();
    assert_eq!(error.class, FaultClass::Moderated);

    let error = submit(3, &references[..1]).await.unwrap_err();
    assert_eq!(error.class, FaultClass::BadInput, "without the person");
    assert!(upstream.calls_of(3).is_empty());
}
