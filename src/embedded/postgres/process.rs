//! Recognises the server among the system's processes, so that a process id that went to another
//! program fools nobody, and sends signals.

use std::path::{Path, PathBuf};

use super::{error::PostgresError, exec::Run, user::RunAs};

/// Who a process id belongs to.
pub(super) enum Owner {
    /// Nobody.
    Gone,
    /// Another program, or a dead process that nobody has collected yet.
    Other,
    /// The server of the data folder in question.
    Server {
        /// Folder of its program.
        bin_dir: PathBuf,
    },
}

/// Tells who a process id belongs to.
#[cfg(target_os = "linux")]
pub(super) async fn owner(pid: u32, data: &Path) -> Owner {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, os::unix::fs::MetadataExt};

    const NO_SUCH_PROCESS: i32 = 3;
    let raw = match std::fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(raw) => raw,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Owner::Gone,
        Err(e) if e.raw_os_error() == Some(NO_SUCH_PROCESS) => return Owner::Gone,
        Err(_) => return Owner::Other,
    };
    let args: Vec<&[u8]> = raw.split(|&byte| byte == 0).collect();
    let program = Path::new(OsStr::from_bytes(args.first().copied().unwrap_or_default()));
    let named = args.windows(2).any(
        |pair| matches!(pair, [flag, dir] if *flag == b"-D" && *dir == data.as_os_str().as_bytes()),
    );
    // The server works inside its data folder, which identifies it even after the home moved.
    // Containers may forbid root to look, hence not the only test.
    let inside = || {
        let id = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
        let cwd = id(Path::new(&format!("/proc/{pid}/cwd")));
        cwd.is_some() && cwd == id(data)
    };
    server(program, || named || inside())
}

/// Tells who a process id belongs to.
#[cfg(not(target_os = "linux"))]
pub(super) async fn owner(pid: u32, data: &Path) -> Owner {
    let ps = Path::new("/bin/ps");
    let run = Run::new(ps, RunAs::Caller, 10)
        .args(["-ww", "-o", "command=", "-p"])
        .arg(pid.to_string())
        .finish()
        .await;
    match run {
        Err(_) => Owner::Other,
        Ok(done) if !done.ok => Owner::Gone,
        Ok(done) => {
            let (program, rest) = done.stdout.trim().split_once(" -D ").unwrap_or_default();
            let program = program.strip_suffix(" --single").unwrap_or(program);
            let after = data.to_str().and_then(|data| rest.strip_prefix(data));
            server(Path::new(program), || {
                after.is_some_and(|text| text.is_empty() || text.starts_with(' '))
            })
        }
    }
}

fn server(program: &Path, ours: impl Fn() -> bool) -> Owner {
    match (
        program.file_name().and_then(|name| name.to_str()),
        program.parent(),
    ) {
        (Some("postgres" | "postmaster"), Some(bin_dir)) if ours() => Owner::Server {
            bin_dir: bin_dir.to_path_buf(),
        },
        _ => Owner::Other,
    }
}

/// Sends a signal; a process that is gone meanwhile is fine. The shell does it because it is
/// everywhere, whereas the `kill` program is not.
pub(super) async fn signal(pid: u32, signal: &str) -> Result<(), PostgresError> {
    Run::new(Path::new("/bin/sh"), RunAs::Caller, 10)
        .args(["-c", "kill -s \"$0\" \"$1\"", signal])
        .arg(pid.to_string())
        .finish()
        .await
        .map(|_| ())
}

/// Kills backends that a dead server left behind in the data folder. Only a server that died
/// leaves any; what they shared died with it, so there is nothing they could still save.
///
/// A shell running as the server's user makes the last check, because containers may forbid
/// even root to see where another user's process works.
#[cfg(target_os = "linux")]
pub(super) async fn evict(data: &Path, user: RunAs) -> Result<(), PostgresError> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Ok(());
    };
    let pids: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
            let title = std::fs::read(entry.path().join("cmdline")).ok()?;
            title.starts_with(b"postgres: ").then(|| pid.to_string())
        })
        .collect();
    let script = "for p; do [ \"/proc/$p/cwd\" -ef \"$0\" ] && kill -s KILL \"$p\"; done";
    Run::new(Path::new("/bin/sh"), user, 10)
        .args(["-c", script])
        .arg(data)
        .args(pids)
        .finish()
        .await
        .map(|_| ())
}

/// Left to themselves, such backends end with their current statement.
#[cfg(not(target_os = "linux"))]
#[allow(clippy::unused_async)]
pub(super) async fn evict(_data: &Path, _user: RunAs) -> Result<(), PostgresError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_test_is_not_a_server() {
        let owner = owner(std::process::id(), Path::new("/")).await;
        assert!(matches!(owner, Owner::Other));
    }
}
