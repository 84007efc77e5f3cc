//! The cases of the suite: from the names of a provider's answers, and the faults that any API may have.

use std::time::Duration;

use serde_json::Value;

use super::suite::Spec;
use crate::support::upstream::{Delivery, KEY, Reply, Script, Upstream};

/// What has to come of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Done, with so many results, all paid.
    Completed(i64),
    /// Failed with this code, nothing paid.
    Failed(&'static str),
}

/// One case.
pub struct Case {
    name: String,
    scripts: Vec<(&'static str, Script)>,
    deliveries: Vec<Delivery>,
    /// Whether two results are asked for.
    is_several: bool,
    end: End,
    /// How often work may be submitted: from, to.
    submissions: (usize, usize),
    /// Least pause between the first two submissions.
    pause: Duration,
}

/// What came of a case.
pub struct Outcome {
    pub job: Value,
    pub code: String,
    pub captured: i64,
    pub held: i64,
    pub detail: String,
}

const MODERATED: End = End::Failed("CONTENT_REFUSED");
const REFUSED: End = End::Failed("PROVIDER_REFUSED_INPUT");
const ACCOUNT: End = End::Failed("PROVIDER_UNAVAILABLE");
const FAULT: End = End::Failed("PROVIDER_FAULT");
const UNUSABLE: End = End::Failed("NO_USABLE_RESULT");

/// All cases of a provider.
pub fn of(spec: &Spec, upstream: &Upstream) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut roles: Vec<&'static str> = spec.api.routes.iter().map(|(role, ..)| *role).collect();
    roles.dedup();
    for role in roles.iter().filter(|role| **role != "cancel") {
        cases.extend(of_fixtures(spec, upstream, role));
    }
    cases.extend(of_submissions(upstream));
    if upstream.polls() {
        cases.extend(of_polls());
    }
    if has_addresses(spec) {
        cases.extend(of_deliveries(upstream));
    }
    required(spec, upstream);
    cases
}

/// Answers that no provider may be without.
fn required(spec: &Spec, upstream: &Upstream) {
    let need = |role: &str, begin: &str| {
        let has = upstream
            .fixtures(role)
            .iter()
            .any(|name| name.starts_with(begin));
        assert!(has, "{} has no answer {role}.{begin}*.json", spec.api.name);
    };
    for begin in ["ok", "refused", "account", "busy", "moderated"] {
        if begin == "moderated" && upstream.polls() {
            let names = [upstream.fixtures("submit"), upstream.fixtures("poll")].concat();
            assert!(
                names.iter().any(|name| name.starts_with(begin)),
                "no refusal of content"
            );
        } else {
            need("submit", begin);
        }
    }
    if upstream.polls() {
        for begin in ["ok", "pending", "unknown", "failed"] {
            need("poll", begin);
        }
    }
    assert_eq!(
        spec.several.is_some(),
        [upstream.fixtures("submit"), upstream.fixtures("poll")]
            .concat()
            .iter()
            .any(|name| name.starts_with("several")),
        "{}: several results need a request and an answer",
        spec.api.name
    );
}

/// Whether results come by address.
fn has_addresses(spec: &Spec) -> bool {
    let folder = format!(
        "{}/tests/fixtures/providers/{}",
        env!("CARGO_MANIFEST_DIR"),
        spec.api.name
    );
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let entry = entry.unwrap();
        let is_ok = entry.file_name().to_string_lossy().ends_with(".ok.json");
        is_ok
            && std::fs::read_to_string(entry.path())
                .unwrap()
                .contains("{{result1}}")
    })
}

fn fixture(name: &str) -> Reply {
    Reply::Fixture(name.to_owned())
}

fn of_fixtures(spec: &Spec, upstream: &Upstream, role: &'static str) -> Vec<Case> {
    let is_submit = role == "submit";
    let names = upstream.fixtures(role);
    let case = |name: &String| {
        let always = |end, submissions| Some((Script::always(fixture(name)), end, submissions));
        // Then good answers.
        let once = |submissions| {
            let replies = [fixture(name), fixture(name)];
            let count = if is_submit { 1 } else { 2 };
            let script = Script::once(replies.into_iter().take(count));
            Some((script, End::Completed(1), submissions))
        };
        let kind = name.split('_').next().unwrap_or_default();
        let (script, end, submissions) = match kind {
            "ok" => always(End::Completed(1), (1, 1)),
            "several" => always(End::Completed(2), (1, 1)),
            "moderated" => always(MODERATED, (1, 1)),
            "refused" => always(REFUSED, (1, 1)),
            "account" => always(ACCOUNT, (1, 1)),
            "failed" => always(FAULT, (3, 3)),
            "empty" => always(UNUSABLE, (2, 2)),
            "foreign" => always(UNUSABLE, (1, 2)),
            "busy" | "down" if is_submit => once((2, 2)),
            "busy" | "down" | "pending" | "unknown" => once((1, 1)),
            _ => panic!("{}: what has to come of {role}.{name}.json?", spec.api.name),
        }?;
        Some(Case {
            name: format!("{role}.{name}"),
            scripts: vec![(role, script)],
            is_several: kind == "several",
            submissions,
            ..Case::new(end)
        })
    };
    names.iter().filter_map(case).collect()
}

/// What may happen to any submission.
fn of_submissions(upstream: &Upstream) -> Vec<Case> {
    let status = |status, body: &str| Reply::Status(status, Vec::new(), body.to_owned());
    let later = Reply::Status(
        429,
        vec![("retry-after", "1".to_owned())],
        "{\"message\": \"slow down\"}".to_owned(),
    );
    let case = |name: &str, script, end, submissions| Case {
        name: name.to_owned(),
        scripts: vec![("submit", script)],
        submissions: (submissions, submissions),
        ..Case::new(end)
    };
    let mut cases = vec![
        Case {
            pause: Duration::from_millis(950),
            ..case(
                "429 with Retry-After",
                Script::once([later]),
                End::Completed(1),
                2,
            )
        },
        case(
            "500 once",
            Script::once([status(500, "{}")]),
            End::Completed(1),
            2,
        ),
        case(
            "503 with a page",
            Script::once([status(503, "<html>down</html>")]),
            End::Completed(1),
            2,
        ),
        case("502 for ever", Script::always(status(502, "")), FAULT, 3),
        case(
            "401",
            Script::always(status(401, "{\"message\": \"who are you\"}")),
            ACCOUNT,
            1,
        ),
        case("402", Script::always(status(402, "{}")), ACCOUNT, 1),
        case("403", Script::always(status(403, "no")), ACCOUNT, 1),
        case("422", Script::always(status(422, "{}")), REFUSED, 1),
        // It may have been accepted: once more, not again and again.
        case("cut for ever", Script::always(Reply::Cut), FAULT, 2),
        case(
            "garbage for ever",
            Script::always(Reply::Garbage),
            UNUSABLE,
            2,
        ),
        case("a page for ever", Script::always(Reply::Page), UNUSABLE, 2),
        case("huge", Script::always(Reply::Huge), UNUSABLE, 2),
    ];
    if !upstream.polls() {
        cases.push(case(
            "garbage once",
            Script::once([Reply::Garbage]),
            End::Completed(1),
            2,
        ));
    }
    cases
}

/// What may happen to any look at a task. It is paid for, so nothing is submitted again.
fn of_polls() -> Vec<Case> {
    let status = |status| Reply::Status(status, Vec::new(), "{}".to_owned());
    let case = |name: &str, script, end| Case {
        name: name.to_owned(),
        scripts: vec![("poll", script)],
        ..Case::new(end)
    };
    vec![
        case(
            "polls: 500",
            Script::once([status(500), status(500)]),
            End::Completed(1),
        ),
        case("polls: 429", Script::once([status(429)]), End::Completed(1)),
        case("polls: cut", Script::once([Reply::Cut]), End::Completed(1)),
        case(
            "polls: garbage",
            Script::once([Reply::Garbage]),
            End::Completed(1),
        ),
        case(
            "polls: a page",
            Script::once([Reply::Page]),
            End::Completed(1),
        ),
        case("polls: 401", Script::always(status(401)), ACCOUNT),
    ]
}

/// What may happen to any download of a result.
fn of_deliveries(upstream: &Upstream) -> Vec<Case> {
    let case = |name: &str, deliveries: &[Delivery], end| Case {
        name: name.to_owned(),
        deliveries: deliveries.to_vec(),
        submissions: if upstream.polls() { (1, 1) } else { (1, 2) },
        ..Case::new(end)
    };
    let mut cases = vec![
        case("results: cut", &[Delivery::Cut], End::Completed(1)),
        case("results: 500", &[Delivery::Status(500)], End::Completed(1)),
        case("results: huge", &vec![Delivery::Huge; 8], UNUSABLE),
    ];
    let mut page = case("results: a page", &vec![Delivery::Page; 8], UNUSABLE);
    page.submissions = (2, 2);
    cases.push(page);
    cases
}

/// Writes the number of a case where it comes along to the stand-in.
pub fn mark(spec: &Spec, body: &mut Value, number: usize) {
    let Some(pointer) = spec.prompt_at else {
        return;
    };
    let prompt = body.pointer_mut(pointer).unwrap();
    *prompt = format!("{} [case {number}]", prompt.as_str().unwrap()).into();
}

impl Case {
    fn new(end: End) -> Self {
        Self {
            name: String::new(),
            scripts: Vec::new(),
            deliveries: Vec::new(),
            is_several: false,
            end,
            submissions: (1, 1),
            pause: Duration::ZERO,
        }
    }

    /// An API that never answers a submission.
    pub fn silent() -> Self {
        Self {
            name: "silence".to_owned(),
            scripts: vec![("submit", Script::always(Reply::Silence))],
            submissions: (2, 2),
            ..Self::new(FAULT)
        }
    }

    /// Tells the stand-in what to answer.
    pub fn prepare(&self, upstream: &Upstream, number: usize) {
        for (role, script) in &self.scripts {
            upstream.script(number, role, script.clone());
        }
        upstream.deliver(number, self.deliveries.clone());
    }

    /// What is asked for.
    pub fn request(&self, spec: &Spec, number: usize) -> Value {
        let mut body = (spec.request)("a fox in the snow");
        mark(spec, &mut body, number);
        if let (true, Some(several)) = (self.is_several, spec.several) {
            let more = several();
            let fields = more.as_object().unwrap().clone();
            body.as_object_mut().unwrap().extend(fields);
        }
        body
    }

    /// What is not as it has to be.
    pub fn faults(
        &self,
        spec: &Spec,
        upstream: &Upstream,
        number: usize,
        outcome: &Outcome,
    ) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |is_so: bool, what: String| {
            if !is_so {
                faults.push(format!(
                    "{}: {what} (detail: {})",
                    self.name, outcome.detail
                ));
            }
        };
        let status = outcome.job["status"].as_str().unwrap_or_default();
        let shown = outcome.job.to_string();
        match self.end {
            End::Completed(results) => {
                check(status == "COMPLETED", format!("{status} {}", outcome.code));
                let paid = results * spec.price;
                check(
                    outcome.captured == paid,
                    format!("{} paid, not {paid}", outcome.captured),
                );
                let listed = outcome.job["metadata"]["results"].as_array();
                let count = listed.map_or(1, Vec::len);
                check(
                    i64::try_from(count).ok() == Some(results),
                    format!("{count} results, not {results}"),
                );
            }
            End::Failed(code) => {
                check(status == "FAILED", format!("{status}, not failed"));
                check(
                    outcome.code == code,
                    format!("{} instead of {code}", outcome.code),
                );
                check(
                    outcome.captured == 0,
                    format!("{} were paid", outcome.captured),
                );
                let sentence = outcome.job["error"].as_str().unwrap_or_default();
                check(
                    sentence.contains("credits were returned"),
                    format!("says {sentence}"),
                );
            }
        }
        check(
            outcome.held == 0,
            format!("{} are still held", outcome.held),
        );
        let submissions = upstream.calls(number, "submit");
        let (from, to) = self.submissions;
        check(
            (from..=to).contains(&submissions.len()),
            format!("{} submissions, not {from} to {to}", submissions.len()),
        );
        if let [first, second, ..] = submissions.as_slice() {
            let pause = second.at - first.at;
            check(pause >= self.pause, format!("came back after {pause:?}"));
        }
        for secret in [KEY, "a fox in the snow", "://"] {
            check(
                !outcome.detail.contains(secret),
                format!("the detail for operators shows {secret}"),
            );
        }
        check(!shown.contains(KEY), "the job shows the key".to_owned());
        faults
    }
}
