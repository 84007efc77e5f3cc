//! Object keys, built in one place: `<folder>/<owner>/<name>`.

use std::fmt;

use sea_orm::prelude::Uuid;

use super::StorageError;

/// First segment of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    GeneratedImages,
    Videos,
    Upscaled,
    ProfilePictures,
    Uploads,
    MigratedImages,
    SceneRemix,
    /// Reference images of jobs; never public.
    Inputs,
}

impl Folder {
    const ALL: [Self; 8] = [
        Self::GeneratedImages,
        Self::Videos,
        Self::Upscaled,
        Self::ProfilePictures,
        Self::Uploads,
        Self::MigratedImages,
        Self::SceneRemix,
        Self::Inputs,
    ];

    /// The segment as it stands in keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GeneratedImages => "generated-images",
            Self::Videos => "videos",
            Self::Upscaled => "upscaled",
            Self::ProfilePictures => "profile-pictures",
            Self::Uploads => "uploads",
            Self::MigratedImages => "migrated-images",
            Self::SceneRemix => "scene-remix",
            Self::Inputs => "inputs",
        }
    }
}

/// A key of the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Key of result `n` (from 1) of a job: the same each time, so a repeat overwrites.
    #[must_use]
    pub fn of_job(folder: Folder, owner: Uuid, job_id: Uuid, n: usize, extension: &str) -> Self {
        Self(format!(
            "{}{extension}",
            Self::result_prefix(folder, owner, job_id, n)
        ))
    }

    /// Key of the picture of a prepared scene, where it is drawn by this service.
    #[must_use]
    pub fn of_scene(template_id: &str) -> Self {
        Self(format!(
            "{}/templates/{template_id}.jpg",
            Folder::SceneRemix.as_str()
        ))
    }

    /// How the key of result `n` (from 1) of a job begins, whatever its type.
    #[must_use]
    pub fn result_prefix(folder: Folder, owner: Uuid, job_id: Uuid, n: usize) -> String {
        format!("{}{n}.", Self::job_prefix(folder, owner, job_id))
    }

    /// How the keys of all results of a job begin.
    #[must_use]
    pub fn job_prefix(folder: Folder, owner: Uuid, job_id: Uuid) -> String {
        format!("{}/{owner}/{job_id}-", folder.as_str())
    }

    /// Reads a key that was stored or sent, refusing what we would not have built.
    ///
    /// # Errors
    /// [`StorageError::InvalidKey`].
    pub fn parse(text: &str) -> Result<Self, StorageError> {
        let mut segments = text.split('/');
        let folder = segments.next().unwrap_or_default();
        let is_known = Folder::ALL.iter().any(|known| known.as_str() == folder);
        let rest: Vec<&str> = segments.collect();
        let is_plain = !rest.is_empty()
            && rest.iter().all(|segment| {
                !segment.is_empty()
                    && *segment != "."
                    && *segment != ".."
                    && segment
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            });
        if is_known && is_plain && text.len() <= 512 {
            Ok(Self(text.to_owned()))
        } else {
            Err(StorageError::InvalidKey)
        }
    }

    /// Whether anybody may read the object.
    #[must_use]
    pub fn is_public(&self) -> bool {
        !self.0.starts_with("inputs/")
    }

    /// Whether the key lies in `folder` and belongs to `owner`.
    #[must_use]
    pub fn belongs_to(&self, folder: Folder, owner: Uuid) -> bool {
        self.0.starts_with(&format!("{}/{owner}/", folder.as_str()))
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the last slash.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
