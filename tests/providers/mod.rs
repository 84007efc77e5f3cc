//! Every provider against a stand-in of its API, by one suite (docs/adding-a-provider.md).
//!
//! A provider joins with its file here, one line below, and a folder of true answers. The names of the
//! answers say what has to come of them, so the suite runs over new ones without being told.

mod bad_input;
mod cases;
mod one_by_one;
mod scene;
mod suite;

use std::collections::BTreeSet;

use daygen::{generation::registry::Registry, settings::Settings};
use loco_rs::environment::Environment;

use suite::Spec;

/// Runs the suite over each provider, a test for each.
macro_rules! over_providers {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*

        /// Everything that is registered.
        const ALL: &[&Spec] = &[$(&$name::SPEC),*];

        mod suites {
            $(
                #[tokio::test]
                async fn $name() {
                    super::suite::run(&super::$name::SPEC).await;
                }
            )*
        }
    };
}

/// Every provider that there is has to be in the list below.
#[test]
fn every_provider_is_in_the_suite() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let config = Environment::Test.load_from_folder(&folder).unwrap();
    let mut settings = config.settings.unwrap();
    for account in settings["providers"].as_object_mut().unwrap().values_mut() {
        account["api_key"] = "a key".into();
    }
    let settings: Settings = serde_json::from_value(settings).unwrap();
    let able: BTreeSet<_> = Registry::new(&settings)
        .unwrap()
        .able()
        .into_iter()
        .map(|(name, kind)| (name, kind.name()))
        .collect();
    let mut covered: BTreeSet<_> = ALL.iter().map(|spec| spec.covers).collect();
    // Scenes go another way; see scene.rs.
    covered.insert(("ideogram", "scene"));
    assert_eq!(able, covered);
}

#[tokio::test]
async fn an_api_that_never_answers_is_asked_once_more_and_given_up() {
    // An account has one address, so providers that share one come one after the other.
    let mut rounds: Vec<Vec<&Spec>> = Vec::new();
    for spec in ALL {
        let is_free = |round: &Vec<&Spec>| {
            round
                .iter()
                .all(|other| other.api.account != spec.api.account)
        };
        match rounds.iter().position(is_free) {
            Some(place) => rounds[place].push(spec),
            None => rounds.push(vec![spec]),
        }
    }
    for round in rounds {
        suite::silence(&round).await;
    }
}

over_providers! {
    flux,
    grok,
    ideogram,
    ideogram_upscale,
    luma,
    qwen,
    recraft,
    recraft_upscale,
    reve,
    reve_upscale,
    runway,
    runway_upscale,
    seedream,
    hailuo,
    kling,
    luma_video,
    runway_video,
    seedance,
    veo,
    wan,
    gemini,
    openai,
}
