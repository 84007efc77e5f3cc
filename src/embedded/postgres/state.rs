//! The state folder `home/postgres` and the start lock in it.
//!
//! Owns the small files `port`, `password` and `location`, which are always replaced as a whole,
//! so a killed writer leaves either the old or the new content.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    error::{PostgresError, io},
    user::RunAs,
};

/// Prefix of everything unfinished; whatever bears it may be deleted under the lock.
pub(super) const UNFINISHED: &str = "new-";

const LOCK: &str = "lock";
const LOCK_WAIT: Duration = Duration::from_secs(300);

/// The state folder of one home.
pub(super) struct State {
    /// Its absolute path without symbolic links.
    pub dir: PathBuf,
}

/// The held start lock. The system releases it with the process, however that ends.
pub(super) struct Lock {
    _file: File,
}

impl State {
    /// The state folder if it exists.
    pub fn open(home: &Path) -> Option<Self> {
        let dir = home.canonicalize().ok()?.join("postgres");
        dir.is_dir().then_some(Self { dir })
    }

    /// Creates home and state folder where missing.
    pub fn create(home: &Path, user: RunAs) -> Result<Self, PostgresError> {
        if let Some(parent) = home.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(io("create", parent))?;
        }
        make_dir(home, user)?;
        let home = home.canonicalize().map_err(io("resolve", home))?;
        let dir = home.join("postgres");
        make_dir(&dir, user)?;
        Ok(Self { dir })
    }

    /// Path of a file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Trimmed content of a small file; none when it is missing or empty.
    pub fn read(&self, name: &str) -> Result<Option<String>, PostgresError> {
        read(&self.file(name))
    }

    /// Replaces a small file.
    pub fn write(&self, name: &str, content: &str) -> Result<(), PostgresError> {
        let path = self.file(name);
        let temporary = self.file(&unfinished());
        write_new(&temporary, content)?;
        // Root working on the home of another user must not lock that user out.
        if let Ok(meta) = self.dir.metadata() {
            let _ = std::os::unix::fs::chown(&temporary, Some(meta.uid()), None);
        }
        std::fs::rename(&temporary, &path).map_err(io("write", &path))
    }

    /// Takes the start lock; none when the folder was removed meanwhile.
    pub async fn lock(&self) -> Result<Option<Lock>, PostgresError> {
        let path = self.file(LOCK);
        let start = Instant::now();
        loop {
            let opened = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path);
            let file = match opened {
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
                other => other.map_err(io("open", &path))?,
            };
            // Polling never blocks a thread, unlike a waiting lock call, so a caller that gives
            // up leaves no thread behind that would take the lock later.
            match file.try_lock() {
                // The file may have been removed together with the cluster while it was waited
                // for; a lock on a deleted file would exclude nobody.
                Ok(()) if same_file(&file, &path) => return Ok(Some(Lock { _file: file })),
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(io("lock", &path)(e)),
            }
            if start.elapsed() > LOCK_WAIT {
                return Err(PostgresError::Locked {
                    path,
                    seconds: LOCK_WAIT.as_secs(),
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Deletes the folder; to be called with the lock held.
    pub async fn delete(&self) -> Result<(), PostgresError> {
        for entry in std::fs::read_dir(&self.dir)
            .map_err(io("read", &self.dir))?
            .flatten()
        {
            if entry.file_name() != LOCK {
                delete(&entry.path()).await?;
            }
        }
        // The lock goes last: nobody may start on a half-deleted folder. The folder itself stays
        // when somebody has already begun anew in it.
        delete(&self.file(LOCK)).await?;
        let _ = std::fs::remove_dir(&self.dir);
        Ok(())
    }
}

/// A name for something unfinished.
pub(super) fn unfinished() -> String {
    format!("{UNFINISHED}{}", uuid::Uuid::new_v4().simple())
}

/// Trimmed content of a small file; none when it is missing or empty.
pub(super) fn read(path: &Path) -> Result<Option<String>, PostgresError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|t| !t.is_empty())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io("read", path)(e)),
    }
}

/// Writes a new file that only this user can read.
pub(super) fn write_new(path: &Path, content: &str) -> Result<(), PostgresError> {
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(content.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        })
        .map_err(io("write", path))
}

/// Creates a private folder unless it exists. One made by root also lets the server's group pass
/// through, since the data folder of that user lies inside; an existing one is left as it is.
pub(super) fn make_dir(path: &Path, user: RunAs) -> Result<(), PostgresError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => pass_through(path, user),
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(io("create", path)(e)),
    }
}

/// Lets the server's group, and nobody else, pass through a folder of root. On file systems
/// without owners this fails silently: whether the user can pass is tested separately.
fn pass_through(path: &Path, user: RunAs) -> Result<(), PostgresError> {
    if let RunAs::User { gid, .. } = user
        && std::os::unix::fs::chown(path, None, Some(gid)).is_ok()
    {
        std::fs::set_permissions(path, Permissions::from_mode(0o710))
            .map_err(io("set permissions of", path))?;
    }
    Ok(())
}

/// Deletes a file or folder with all it holds. What is already gone is fine, and so is a
/// process that still writes into it for a moment.
pub(super) async fn delete(path: &Path) -> Result<(), PostgresError> {
    let mut tries = 0;
    loop {
        let result = match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => tokio::fs::remove_dir_all(path).await,
            Ok(_) => tokio::fs::remove_file(path).await,
            Err(e) => Err(e),
        };
        match result {
            Err(e) if e.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => {
                return Ok(());
            }
            Err(_) if tries < 20 => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            other => return other.map_err(io("delete", path)),
        }
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}
