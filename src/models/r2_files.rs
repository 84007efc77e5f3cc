//! Files in the bucket: what belongs to whom. Rows hold object keys; addresses are built on read.

use chrono::{DateTime, FixedOffset};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Value, prelude::Uuid};

pub use super::_entities::r2_files::*;
use super::{Step, statement};

/// A file row that goes with a stored object.
#[derive(Debug, Clone)]
pub struct NewFile {
    pub id: Uuid,
    pub user_id: Uuid,
    pub object_key: String,
    pub file_name: String,
    pub file_size: i64,
    pub mime_type: String,
    pub prompt: Option<String>,
    pub provider: Option<String>,
    pub model: Option<String>,
    pub avatar_id: Option<String>,
    pub avatar_image_id: Option<String>,
    pub product_id: Option<String>,
    pub style_id: Option<String>,
    pub job_id: Option<Uuid>,
}

/// Where a page of files starts: after this creation time and, among equals, after this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileCursor {
    pub created_at: DateTime<FixedOffset>,
    /// Absent in cursors that are a plain timestamp.
    pub id: Option<Uuid>,
}

/// One page of files, newest first.
#[derive(Debug)]
pub struct FilePage {
    pub files: Vec<Model>,
    pub total: i64,
    pub has_next: bool,
}

#[derive(Debug, FromQueryResult)]
struct Count {
    total: i64,
}

const INSERT: &str =
    "insert into r2_files (id, user_id, object_key, file_name, file_size, mime_type, prompt,
    provider, model, avatar_id, avatar_image_id, product_id, style_id, job_id)";
const VALUES: &str = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14";
const ONCE: &str = "on conflict (user_id, object_key) where deleted_at is null do nothing";

fn values(file: &NewFile) -> [Value; 14] {
    [
        file.id.into(),
        file.user_id.into(),
        file.object_key.clone().into(),
        file.file_name.clone().into(),
        file.file_size.into(),
        file.mime_type.clone().into(),
        file.prompt.clone().into(),
        file.provider.clone().into(),
        file.model.clone().into(),
        file.avatar_id.clone().into(),
        file.avatar_image_id.clone().into(),
        file.product_id.clone().into(),
        file.style_id.clone().into(),
        file.job_id.into(),
    ]
}

/// [`Entity::insert`] as the step number `index` of a larger statement, done when `after` has a row.
pub(crate) fn insert_step(index: usize, file: &NewFile, after: &str) -> Step {
    let sql = format!("file_{index} as ({INSERT} select {VALUES} from {after} {ONCE})");
    Step::new(sql, values(file))
}

impl Entity {
    /// Inserts a file row; a live row of the same owner and key stays as it is, so a repeat adds
    /// nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn insert(db: &impl ConnectionTrait, file: &NewFile) -> Result<(), DbErr> {
        let sql = format!("{INSERT} select {VALUES} {ONCE}");
        db.execute_raw(statement(&sql, values(file))).await?;
        Ok(())
    }

    /// Whether this user has a live file of this key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_live(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        object_key: &str,
    ) -> Result<bool, DbErr> {
        let row = Count::find_by_statement(statement(
            "select count(*) as total from r2_files
             where user_id = $1 and object_key = $2 and deleted_at is null",
            [user_id.into(), object_key.into()],
        ))
        .one(db)
        .await?;
        Ok(row.is_some_and(|row| row.total > 0))
    }

    /// The user's live files, newest first, and how many there are in all. Creation times have
    /// millisecond grain, so a plain timestamp cursor is exact.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn page_for_user(
        db: &impl ConnectionTrait,
        user_id: Uuid,
        cursor: Option<FileCursor>,
        limit: u64,
    ) -> Result<FilePage, DbErr> {
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let values: [Value; 4] = [
            user_id.into(),
            cursor.map(|cursor| cursor.created_at).into(),
            cursor.and_then(|cursor| cursor.id).into(),
            more.into(),
        ];
        let mut files = Model::find_by_statement(statement(
            "select * from r2_files where user_id = $1 and deleted_at is null
             and ($2::timestamptz is null or created_at < $2 or (created_at = $2 and id < $3::uuid))
             order by created_at desc, id desc limit $4",
            values,
        ))
        .all(db)
        .await?;
        let count = Count::find_by_statement(statement(
            "select count(*) as total from r2_files where user_id = $1 and deleted_at is null",
            [user_id.into()],
        ))
        .one(db)
        .await?;
        let has_next = files.len() > wanted;
        files.truncate(wanted);
        Ok(FilePage {
            files,
            total: count.map_or(0, |count| count.total),
            has_next,
        })
    }

    /// Marks a live file of this user as deleted and gives its object key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn soft_delete(
        db: &impl ConnectionTrait,
        id: Uuid,
        user_id: Uuid,
    ) -> Result<Option<String>, DbErr> {
        #[derive(FromQueryResult)]
        struct Deleted {
            object_key: String,
        }
        let row = Deleted::find_by_statement(statement(
            "update r2_files set deleted_at = now(), updated_at = now()
             where id = $1 and user_id = $2 and deleted_at is null returning object_key",
            [id.into(), user_id.into()],
        ))
        .one(db)
        .await?;
        Ok(row.map(|row| row.object_key))
    }
}
