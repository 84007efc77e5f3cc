//! Where the data folder lives: inside the state folder whenever the server's user can reach it
//! there, else in a folder of its own that the state file `location` names.

use std::{
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    error::{PostgresError, io},
    exec::Run,
    state::{self, State},
    user::RunAs,
};

const SYSTEM_ROOT: &str = "/var/lib/daygen";
const TEMP_ROOT: &str = "/tmp";
const TEMP_PREFIX: &str = "daygen-pg-";
const LOCATION: &str = "location";
/// Names the state folder that an outside place belongs to.
const OWNER: &str = "owner";

/// The folder that holds the data folder and the server log.
pub(super) struct Place {
    base: PathBuf,
    outside: bool,
}

impl Place {
    /// The place in use.
    pub fn current(state: &State) -> Result<Self, PostgresError> {
        let outside = match state.read(LOCATION)? {
            Some(location) => outside_base(&location).filter(|base| {
                // Only root places data outside; a folder of somebody else in /tmp is a trap.
                let owner = |path: &Path| path.symlink_metadata().map(|m| (m.is_dir(), m.uid()));
                matches!((owner(base), owner(&state.dir)), (Ok(a), Ok(b)) if a == b)
                    && belongs(base, state, &location)
            }),
            None => None,
        };
        Ok(match outside {
            Some(base) => Self {
                base,
                outside: true,
            },
            None => Self {
                base: state.dir.clone(),
                outside: false,
            },
        })
    }

    /// Chooses a place for a new data folder.
    pub async fn choose(state: &State, user: RunAs) -> Result<Self, PostgresError> {
        let inside = Self {
            base: state.dir.clone(),
            outside: false,
        };
        if user == RunAs::Caller || reachable(&inside.base, user).await {
            state::delete(&state.file(LOCATION)).await?;
            return Ok(inside);
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
        // 0711: the server's user passes through, but cannot list what else is there.
        let _ = std::fs::DirBuilder::new().mode(0o711).create(SYSTEM_ROOT);
        for (root, name) in [
            (SYSTEM_ROOT, id.clone()),
            (TEMP_ROOT, format!("{TEMP_PREFIX}{id}")),
        ] {
            let Ok(root) = Path::new(root).canonicalize() else {
                continue;
            };
            let base = root.join(name);
            // Written first, so that a crash cannot leave data that nothing refers to.
            state.write(LOCATION, &base.join("data").to_string_lossy())?;
            if state::make_dir(&base, user).is_ok() && reachable(&base, user).await {
                state::write_new(&base.join(OWNER), &state.dir.to_string_lossy())?;
                return Ok(Self {
                    base,
                    outside: true,
                });
            }
            // Nothing but an empty folder can be left here, and the next place may still do.
            let _ = std::fs::remove_dir_all(&base);
        }
        state::delete(&state.file(LOCATION)).await?;
        let tried = format!("{}, {SYSTEM_ROOT}, {TEMP_ROOT}", state.dir.display());
        Err(PostgresError::NoPlace { tried })
    }

    /// The data folder; it exists only when complete.
    pub fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    /// The server log.
    pub fn log(&self) -> PathBuf {
        self.base.join("server.log")
    }

    /// Path of something unfinished next to the data folder.
    pub fn unfinished(&self) -> PathBuf {
        self.base.join(state::unfinished())
    }

    /// Deletes what killed processes left unfinished, as far as possible.
    pub async fn sweep(&self, state: &State) {
        for dir in [&self.base, &state.dir] {
            let Ok(entries) = std::fs::read_dir(dir) else {
                continue;
            };
            for entry in entries.flatten() {
                if entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with(state::UNFINISHED)
                {
                    let path = entry.path();
                    // An orphaned initdb may still be writing here; the next start sweeps again.
                    let _ = tokio::fs::remove_file(&path).await;
                    let _ = tokio::fs::remove_dir_all(&path).await;
                }
            }
        }
    }

    /// Deletes the data folder and, when outside, everything around it.
    pub async fn delete(&self) -> Result<(), PostgresError> {
        let folder = if self.outside {
            self.base.clone()
        } else {
            self.data()
        };
        state::delete(&folder).await
    }

    /// Hands the log to the server's user, emptied when it has grown beyond `limit` bytes.
    pub fn prepare_log(&self, user: RunAs, limit: u64) -> Result<(), PostgresError> {
        let path = self.log();
        match std::fs::metadata(&path) {
            Ok(meta) if meta.len() <= limit => return Ok(()),
            Ok(_) => std::fs::remove_file(&path).map_err(io("empty", &path))?,
            Err(_) => {}
        }
        state::write_new(&path, "")?;
        user.give(&path)
    }
}

/// The base folder a location names, if it is of the form this module makes. Anything else is
/// refused, because what it names gets deleted with the cluster.
fn outside_base(location: &str) -> Option<PathBuf> {
    let base = Path::new(location)
        .parent()
        .filter(|_| location.ends_with("/data"))?;
    let name = base.file_name()?.to_str()?;
    let root = base.parent()?;
    let is = |known: &str| {
        Path::new(known)
            .canonicalize()
            .is_ok_and(|path| path == root)
    };
    let id = name
        .strip_prefix(TEMP_PREFIX)
        .filter(|_| is(TEMP_ROOT))
        .or_else(|| (is(SYSTEM_ROOT)).then_some(name))?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| base.to_path_buf())
}

/// Whether an outside place is this home's. A home that was copied names the original's place
/// and must not share it; one that was moved keeps it.
fn belongs(base: &Path, state: &State, location: &str) -> bool {
    let mark = base.join(OWNER);
    let Ok(Some(owner)) = state::read(&mark) else {
        return true;
    };
    if Path::new(&owner) == state.dir {
        return true;
    }
    let other = State {
        dir: PathBuf::from(owner),
    };
    if matches!(other.read(LOCATION), Ok(Some(theirs)) if theirs == location) {
        return false;
    }
    // Best effort: while the mark is stale the check above simply runs again.
    let _ = std::fs::remove_file(&mark);
    let _ = state::write_new(&mark, &state.dir.to_string_lossy());
    true
}

/// Whether the user can keep files in a folder inside `base`. Tried out for real: permission
/// bits alone say nothing about ACLs, or mounts that ignore owners.
async fn reachable(base: &Path, user: RunAs) -> bool {
    let probe = base.join(state::unfinished());
    let made = state::make_dir(&probe, RunAs::Caller).is_ok() && user.give(&probe).is_ok();
    let usable = made
        && Run::new(Path::new("/bin/sh"), user, 10)
            .args(["-c", "cd -- \"$0\" && : > probe && rm probe"])
            .arg(&probe)
            .success()
            .await
            .is_ok();
    let _ = std::fs::remove_dir_all(&probe);
    usable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_locations_of_our_own_making_are_accepted() {
        let id = "0123456789abcdef0123456789abcdef";
        let temp = Path::new(TEMP_ROOT).canonicalize().unwrap();
        let good = temp.join(format!("{TEMP_PREFIX}{id}/data"));
        assert!(outside_base(good.to_str().unwrap()).is_some());
        for bad in ["/", "/data", "/home/me/data", "data", ""] {
            assert!(outside_base(bad).is_none(), "{bad}");
        }
        assert!(outside_base(&format!("/tmp/{TEMP_PREFIX}{id}/../../etc/data")).is_none());
        assert!(outside_base(&format!("/tmp/{id}/data")).is_none());
    }
}
