//! Finds the PostgreSQL programs installed on the machine and judges whether they will do:
//! complete, of the right major version, with the extensions the application needs.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{error::PostgresError, exec::Run, user::RunAs};

const NEEDED: [&str; 3] = ["initdb", "pg_ctl", "postgres"];
const EXTENSIONS: [&str; 2] = ["hstore", "pgcrypto"];
/// Oldest major version that is still accepted.
const OLDEST: u32 = 13;

/// A usable set of server programs.
#[derive(Debug)]
pub(super) struct Binaries {
    /// The folder that holds them.
    pub dir: PathBuf,
    /// Their major version.
    pub major: u32,
}

impl Binaries {
    /// Finds the programs. `bindir` comes first when given; `data` is the existing data folder
    /// and its major version, which the programs must match.
    pub async fn find(
        bindir: Option<&Path>,
        data: Option<(&Path, u32)>,
    ) -> Result<Self, PostgresError> {
        if let Some(dir) = bindir.filter(|dir| !complete(dir)) {
            return Err(PostgresError::BadBinDir {
                dir: dir.to_path_buf(),
            });
        }
        let mut too_old = None;
        let mut other = None;
        for dir in candidates(bindir).await {
            let Some(major) = major_of(&dir).await else {
                continue;
            };
            if major < OLDEST {
                too_old = too_old.max(Some(major));
                continue;
            }
            match data {
                Some((folder, wanted)) if wanted != major => other = Some((folder, wanted)),
                _ => return Ok(Self { dir, major }),
            }
        }
        Err(match (other, too_old) {
            (Some((dir, data)), _) => PostgresError::OtherMajor {
                dir: dir.to_path_buf(),
                data,
            },
            (None, Some(found)) => PostgresError::TooOld {
                found,
                oldest: OLDEST,
            },
            (None, None) => PostgresError::NotInstalled {
                hint: install_hint(),
            },
        })
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Checks that the needed extensions are installed. An unknown file layout passes: CREATE
    /// EXTENSION will tell.
    pub async fn check_extensions(&self) -> Result<(), PostgresError> {
        let major = self.major;
        let up = self.dir.parent().unwrap_or(Path::new("/usr"));
        let mut found: Vec<PathBuf> = [
            PathBuf::from(format!("/usr/share/postgresql/{major}")),
            PathBuf::from(format!("/usr/share/postgresql{major}")),
            up.join(format!("share/postgresql@{major}")),
            up.join("share/postgresql"),
            up.join("share/pgsql"),
            up.join("share"),
        ]
        .into_iter()
        .map(|share| share.join("extension"))
        .filter(|dir| has_control(dir, "plpgsql"))
        .collect();
        let config = self.program("pg_config");
        if found.is_empty()
            && let Ok(share) = Run::new(&config, RunAs::Caller, 10)
                .arg("--sharedir")
                .success()
                .await
        {
            found.push(Path::new(share.trim()).join("extension"));
            found.retain(|dir| has_control(dir, "plpgsql"));
        }
        let missing = EXTENSIONS
            .into_iter()
            .find(|name| !found.is_empty() && !found.iter().any(|dir| has_control(dir, name)));
        match missing {
            Some(name) => Err(PostgresError::NoExtension {
                name,
                hint: install_hint(),
            }),
            None => Ok(()),
        }
    }
}

/// Folders with a complete set of programs, best first.
async fn candidates(bindir: Option<&Path>) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = bindir.map(Path::to_path_buf).into_iter().collect();
    all.extend(versioned("/usr/lib/postgresql", "", "bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .collect();
    if let Some(config) = on_path
        .iter()
        .map(|dir| dir.join("pg_config"))
        .find(|p| p.is_file())
        && let Ok(dir) = Run::new(&config, RunAs::Caller, 10)
            .arg("--bindir")
            .success()
            .await
    {
        all.push(PathBuf::from(dir.trim()));
    }
    all.extend(versioned("/opt/homebrew/opt", "postgresql", "bin"));
    all.extend(versioned("/usr/local/opt", "postgresql", "bin"));
    all.extend(versioned("/usr", "pgsql-", "bin"));
    all.extend(versioned("/usr/libexec", "postgresql", ""));
    all.extend(on_path);
    let mut kept: Vec<PathBuf> = Vec::new();
    for dir in all.into_iter().filter(|dir| complete(dir)) {
        if !kept.contains(&dir) {
            kept.push(dir);
        }
    }
    kept
}

/// Folders `root/<prefix><version>/<tail>`, newest version first.
fn versioned(root: &str, prefix: &str, tail: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let rest = name.to_str()?.strip_prefix(prefix)?;
            // Homebrew's `postgresql` without a number is whatever it calls current.
            let version = leading_number(rest.trim_start_matches('@')).unwrap_or(0);
            Some((version, entry.path().join(tail)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

fn complete(dir: &Path) -> bool {
    NEEDED.iter().all(|name| dir.join(name).is_file())
}

fn has_control(dir: &Path, name: &str) -> bool {
    dir.join(format!("{name}.control")).is_file()
}

/// Major version of the server program in `dir`.
async fn major_of(dir: &Path) -> Option<u32> {
    let program = dir.join("postgres");
    let text = Run::new(&program, RunAs::Caller, 10)
        .arg("--version")
        .success()
        .await
        .ok()?;
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    leading_number(version)
}

/// The number a text begins with, as in `17.2`, `18beta1` or the PG_VERSION file.
pub(super) fn leading_number(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// What to install, in the words of this system.
fn install_hint() -> String {
    if cfg!(target_os = "macos") {
        return hint_for("macos").to_owned();
    }
    let release = std::fs::read_to_string(OsStr::new("/etc/os-release")).unwrap_or_default();
    let value = |key: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_default()
            .trim_matches(['"', '\''])
            .to_owned()
    };
    hint_for(&format!("{} {}", value("ID"), value("ID_LIKE"))).to_owned()
}

/// The hint for a list of system names as in os-release, the most specific first.
fn hint_for(names: &str) -> &'static str {
    names
        .split_whitespace()
        .find_map(|name| match name {
            "debian" | "ubuntu" => Some("run `apt-get install postgresql`"),
            "fedora" | "rhel" | "centos" => {
                Some("run `dnf install postgresql-server postgresql-contrib`")
            }
            "alpine" => Some("run `apk add postgresql postgresql-contrib`"),
            "arch" => Some("run `pacman -S postgresql`"),
            "macos" => Some("run `brew install postgresql`"),
            _ => None,
        })
        .unwrap_or("install the PostgreSQL server with its contrib extensions")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_programs_print() {
        assert_eq!(leading_number("15.8 (Debian 15.8-0)"), Some(15));
        assert_eq!(leading_number("18beta1"), Some(18));
        assert_eq!(leading_number("16\n"), Some(16));
        assert_eq!(leading_number("x"), None);
    }

    #[test]
    fn hints_follow_the_system_family() {
        assert!(hint_for("linuxmint ubuntu debian").contains("apt-get"));
        assert!(hint_for("rocky rhel centos fedora").contains("dnf"));
        assert!(hint_for("plan9").contains("contrib"));
    }

    #[tokio::test]
    async fn an_incomplete_folder_named_by_the_caller_is_refused() {
        let error = Binaries::find(Some(Path::new("/nonexistent")), None)
            .await
            .unwrap_err();
        assert!(matches!(error, PostgresError::BadBinDir { .. }));
    }
}
