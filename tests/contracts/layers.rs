//! Who may import whom (docs/architecture.md): every `crate::` path in `src/` is looked at.

use std::path::{Path, PathBuf};

/// A room and the rooms it may name; `*` is everything.
const ALLOWED: [(&str, &[&str]); 20] = [
    ("app", &["*"]),
    ("initializers", &["*"]),
    ("bin", &["*"]),
    (
        "controllers",
        &[
            "dtos",
            "views",
            "http",
            "auth",
            "generation",
            "jobs",
            "queue",
            "storage",
            "payments",
            "realtime",
            "net",
            "models",
            "mailers",
        ],
    ),
    (
        "workers",
        &[
            "auth",
            "generation",
            "jobs",
            "queue",
            "storage",
            "payments",
            "realtime",
            "net",
            "models",
            "mailers",
        ],
    ),
    (
        "tasks",
        &[
            "auth",
            "generation",
            "jobs",
            "queue",
            "storage",
            "payments",
            "realtime",
            "net",
            "models",
            "mailers",
            "embedded",
        ],
    ),
    (
        "http",
        &[
            "auth",
            "models",
            "generation",
            "jobs",
            "payments",
            "storage",
            "realtime",
        ],
    ),
    // The readers of request fields answer with the one envelope.
    ("dtos", &["models", "http", "auth"]),
    ("mailers", &["models"]),
    ("views", &["models", "auth"]),
    (
        "generation",
        &[
            "jobs", "storage", "payments", "realtime", "net", "models", "queue",
        ],
    ),
    ("jobs", &["payments", "realtime", "queue", "models"]),
    ("queue", &["models", "net"]),
    ("realtime", &["auth", "models"]),
    ("auth", &["payments", "queue", "net", "models"]),
    ("payments", &["queue", "net", "models"]),
    ("storage", &["net", "models"]),
    ("embedded", &[]),
    ("net", &[]),
    ("models", &[]),
];

/// Rooms whose types everybody may use.
const COMMON: [&str; 2] = ["settings", "telemetry"];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn room_of(path: &Path, source: &Path) -> String {
    let inside = path.strip_prefix(source).unwrap();
    let first = inside
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a file names behind `crate::`, in single and in grouped paths.
fn named_rooms(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (start, _) in text.match_indices("crate::") {
        let rest = &text[start + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1_usize;
            let mut word = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                if c == ',' && depth == 1 {
                    rooms.push(std::mem::take(&mut word));
                } else {
                    word.push(c);
                }
            }
            rooms.push(word);
        } else {
            rooms.push(rest.to_owned());
        }
    }
    rooms
        .iter()
        .map(|path| {
            path.trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .filter(|room: &String| !room.is_empty())
        .collect()
}

#[test]
fn no_arrow_but_the_allowed_ones() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&source, &mut paths);
    assert!(paths.len() > 50);
    let mut faults = Vec::new();
    for path in paths {
        let room = room_of(&path, &source);
        if room == "lib" || COMMON.contains(&room.as_str()) {
            continue;
        }
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(name, _)| *name == room)
            .unwrap_or_else(|| panic!("{room} is no room of the house"));
        for named in named_rooms(&std::fs::read_to_string(&path).unwrap()) {
            let is_fine = named == room
                || COMMON.contains(&named.as_str())
                || allowed.contains(&"*")
                || allowed.contains(&named.as_str());
            if !is_fine {
                faults.push(format!("{}: {room} -> {named}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn balances_states_keys_and_transactions_have_one_place_each() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&source, &mut paths);
    for (what, words, home) in [
        ("a balance", "update credit_accounts", "payments/ledger"),
        ("a job state", "update jobs", "models/jobs"),
        ("an object key", "ObjectKey(format", "storage/"),
        ("a transaction of its own", ".begin()", "models/mod.rs"),
    ] {
        for path in &paths {
            let text = std::fs::read_to_string(path).unwrap();
            let is_home = path.display().to_string().contains(home);
            assert!(
                is_home || !text.contains(words),
                "{} writes {what}",
                path.display()
            );
        }
    }
}

/// Watchers hear of a change only when its commit is announced.
#[test]
fn whoever_changes_a_job_announces_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&source, &mut paths);
    let mut changers = 0;
    for path in paths {
        let room = room_of(&path, &source);
        let text = std::fs::read_to_string(&path).unwrap();
        let changes = [
            "::transition(",
            "::complete(",
            "::claim(",
            "::insert_within_limit(",
        ]
        .iter()
        .any(|call| text.contains(call));
        if room == "models" || !changes {
            continue;
        }
        changers += 1;
        let path = path.display();
        assert!(text.contains("announce"), "{path} changes jobs in silence");
        assert!(
            !text.contains("txn.commit()"),
            "{path} commits past the announcer"
        );
    }
    assert!(changers >= 3, "the calls have other names now");
}
