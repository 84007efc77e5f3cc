//! The home folder: secrets that are generated once and kept for this installation.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRngCore, rngs::OsRng};

/// Bytes of randomness in a generated secret.
const SECRET_BYTES: usize = 48;

/// The secret `name` of this home, generated when it is not there yet. Several processes may ask at
/// once: the first one to link its file wins and all read the same text.
///
/// # Errors
/// When the home cannot be written or there is no randomness.
pub fn secret(home: &Path, name: &str) -> io::Result<String> {
    let folder = home.join("secrets");
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    if let Some(text) = read(&path)? {
        return Ok(text);
    }
    let mut bytes = [0_u8; SECRET_BYTES];
    OsRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    let draft: PathBuf = folder.join(format!(".{name}.{}", uuid::Uuid::new_v4()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(URL_SAFE_NO_PAD.encode(bytes).as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, &path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    read(&path)?.ok_or_else(|| io::Error::other("a generated secret vanished"))
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
