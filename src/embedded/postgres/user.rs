//! Decides which account the server runs as: the caller's own, or an unprivileged one when the
//! caller is root, since initdb and postgres refuse user id 0.

use std::{os::unix::fs::MetadataExt, path::Path};

use super::{
    error::{PostgresError, io},
    exec::Run,
};

const PASSWD: &str = "/etc/passwd";

/// The account for the server programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunAs {
    /// The account of this process.
    Caller,
    /// Another one; only root can do that.
    User {
        /// User id.
        uid: u32,
        /// Primary group id.
        gid: u32,
    },
}

impl RunAs {
    /// Chooses the account. `data` is the data folder if there is one: its owner is the only
    /// account that can run it.
    pub async fn choose(data: Option<&Path>) -> Result<Self, PostgresError> {
        let uid = own_uid().await?;
        let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
        if uid != 0 {
            return if entry(&passwd, |_, u| u == uid).is_some() || has_name().await {
                Ok(Self::Caller)
            } else {
                Err(PostgresError::NamelessUser { uid })
            };
        }
        let owner = data
            .and_then(|dir| std::fs::metadata(dir).ok())
            .map(|m| m.uid());
        if let Some(owner) = owner.filter(|&o| o != 0) {
            return entry(&passwd, |_, u| u == owner)
                .ok_or(PostgresError::NamelessUser { uid: owner });
        }
        entry(&passwd, |name, u| name == "postgres" && u != 0)
            .or_else(|| entry(&passwd, |name, u| name == "nobody" && u != 0))
            .ok_or(PostgresError::NoServerUser)
    }

    /// Hands a file or folder made by this process to the account.
    pub fn give(self, path: &Path) -> Result<(), PostgresError> {
        match self {
            Self::Caller => Ok(()),
            Self::User { uid, gid } => std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .map_err(io("change the owner of", path)),
        }
    }
}

/// Effective user id of this process; the standard library has no call for it.
async fn own_uid() -> Result<u32, PostgresError> {
    if cfg!(target_os = "linux") {
        let path = Path::new("/proc/self");
        return std::fs::metadata(path)
            .map(|m| m.uid())
            .map_err(io("read", path));
    }
    let id = Path::new("/usr/bin/id");
    let text = Run::new(id, RunAs::Caller, 10).arg("-u").success().await?;
    text.trim()
        .parse()
        .map_err(|_| super::exec::failed(id, &text))
}

/// Whether the user database knows this user, for accounts kept outside /etc/passwd (macOS,
/// LDAP). Some systems print the bare number instead of failing.
async fn has_name() -> bool {
    match Run::new(Path::new("/usr/bin/id"), RunAs::Caller, 10)
        .arg("-un")
        .success()
        .await
    {
        Ok(name) => name.trim().parse::<u32>().is_err(),
        Err(_) => false,
    }
}

/// The first line of a passwd file that `wanted(name, uid)` accepts.
fn entry(passwd: &str, wanted: impl Fn(&str, u32) -> bool) -> Option<RunAs> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        wanted(name, uid).then_some(RunAs::User { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines_are_read_by_name_and_by_id() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\npostgres:x:101:104:,,:/x:/bin/sh\n";
        let expected = Some(RunAs::User { uid: 101, gid: 104 });
        assert_eq!(entry(text, |name, _| name == "postgres"), expected);
        assert_eq!(entry(text, |_, uid| uid == 101), expected);
        assert_eq!(entry(text, |name, _| name == "nobody"), None);
    }
}
