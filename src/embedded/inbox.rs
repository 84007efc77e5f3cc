//! The inbox of a development home: every mail is a file, the newest name last.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Mails that are kept; the oldest go.
const KEPT: usize = 500;

/// A mail in the inbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InboxMail {
    /// Sorts by time.
    pub id: String,
    /// When it arrived, ISO 8601.
    pub sent_at: String,
    pub from: String,
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// The folder of the mails.
#[derive(Debug, Clone)]
pub struct Inbox {
    folder: PathBuf,
}

impl Inbox {
    /// The inbox of this home.
    #[must_use]
    pub fn of(home: &Path) -> Self {
        Self {
            folder: home.join("inbox"),
        }
    }

    /// Keeps a mail. A reader sees all of it or nothing.
    ///
    /// # Errors
    /// When the home cannot be written.
    pub fn keep(
        &self,
        from: &str,
        to: &str,
        subject: &str,
        text: &str,
        html: &str,
    ) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let id = Ulid::generate().to_string();
        let mail = InboxMail {
            sent_at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            from: from.to_owned(),
            to: to.to_owned(),
            subject: subject.to_owned(),
            text: text.to_owned(),
            html: html.to_owned(),
            id: id.clone(),
        };
        let draft = self.folder.join(format!(".{id}"));
        fs::write(&draft, serde_json::to_vec_pretty(&mail)?)?;
        fs::rename(&draft, self.path(&id))?;
        let ids = self.ids()?;
        for old in ids.iter().take(ids.len().saturating_sub(KEPT)) {
            fs::remove_file(self.path(old)).ok();
        }
        Ok(())
    }

    /// The mails, newest first, at most `limit`; with `to` those to this address only.
    ///
    /// # Errors
    /// When the home cannot be read.
    pub fn list(&self, to: Option<&str>, limit: usize) -> io::Result<Vec<InboxMail>> {
        let mails = self
            .ids()?
            .into_iter()
            .rev()
            .filter_map(|id| self.find(&id))
            .filter(|mail| to.is_none_or(|to| mail.to.eq_ignore_ascii_case(to)))
            .take(limit);
        Ok(mails.collect())
    }

    /// One mail.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<InboxMail> {
        let id = Ulid::from_string(id).ok()?.to_string();
        serde_json::from_slice(&fs::read(self.path(&id)).ok()?).ok()
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn ids(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut ids: Vec<String> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                name.strip_suffix(".json").map(ToOwned::to_owned)
            })
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }
}
