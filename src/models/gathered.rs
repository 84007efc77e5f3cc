//! Reads by key that are gathered: what is asked for while a statement is under way goes together in
//! the next one. A busy process asks the database once for many callers, an idle one at once for each.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use sea_orm::DbErr;
use tokio::sync::oneshot;

/// Statements of one reader at the same time. Two let the second batch travel while the first is worked.
const UNDER_WAY: usize = 2;
/// Most keys of one statement.
const KEYS: usize = 100;

type Found<V> = Result<Option<V>, DbErr>;
/// Keys with who asked for them.
type Callers<K, V> = HashMap<K, Vec<oneshot::Sender<Found<V>>>>;
type Read<K, V> = dyn Fn(Vec<K>) -> BoxFuture<'static, Result<HashMap<K, V>, DbErr>> + Send + Sync;

/// A finder by key over many callers.
///
/// A caller sees at least what was committed before it asked: a statement only takes keys that were
/// asked for before it began.
pub struct Gathered<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    read: Box<Read<K, V>>,
    state: Mutex<State<K, V>>,
}

struct State<K, V> {
    waiting: Callers<K, V>,
    under_way: usize,
}

impl<K, V> Gathered<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// A finder that reads with `read`: the rows of those keys that have one.
    #[must_use]
    pub fn new<F>(read: F) -> Self
    where
        F: Fn(Vec<K>) -> BoxFuture<'static, Result<HashMap<K, V>, DbErr>> + Send + Sync + 'static,
    {
        let state = State {
            waiting: HashMap::new(),
            under_way: 0,
        };
        Self {
            shared: Arc::new(Shared {
                read: Box::new(read),
                state: Mutex::new(state),
            }),
        }
    }

    /// The row of `key`.
    ///
    /// # Errors
    /// When the database fails; everybody whose key was in the statement gets the same error.
    pub async fn find(&self, key: K) -> Found<V> {
        let (sender, answer) = oneshot::channel();
        let begins = self.shared.with(|state| {
            state.waiting.entry(key).or_default().push(sender);
            let begins = state.under_way < UNDER_WAY;
            state.under_way += usize::from(begins);
            begins
        });
        if begins {
            // In a task of its own: the callers of a batch do not depend on who happened to start it.
            let turn = Turn {
                shared: Arc::clone(&self.shared),
                is_over: false,
            };
            tokio::spawn(turn.work());
        }
        answer
            .await
            .unwrap_or_else(|_| Err(DbErr::Custom("a gathered read was given up".to_owned())))
    }
}

impl<K, V> Shared<K, V> {
    fn with<T>(&self, change: impl FnOnce(&mut State<K, V>) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One of the places under way; given back with this value, so by a panic too.
struct Turn<K, V> {
    shared: Arc<Shared<K, V>>,
    is_over: bool,
}

impl<K, V> Drop for Turn<K, V> {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.with(|state| state.under_way -= 1);
        }
    }
}

impl<K, V> Turn<K, V>
where
    K: Clone + Eq + Hash,
    V: Clone,
{
    async fn work(mut self) {
        while let Some(callers) = self.take() {
            let found = (self.shared.read)(callers.keys().cloned().collect()).await;
            for (key, callers) in callers {
                for caller in callers {
                    let row = found.as_ref().map(|rows| rows.get(&key).cloned());
                    // A caller that hung up needs no answer.
                    caller.send(row.map_err(DbErr::clone)).ok();
                }
            }
        }
    }

    /// The next keys. When there are none the place is given back under the same lock, so that nobody
    /// who asks meanwhile counts on this turn.
    fn take(&mut self) -> Option<Callers<K, V>> {
        let Self { shared, is_over } = self;
        shared.with(|state| {
            if state.waiting.is_empty() {
                state.under_way -= 1;
                *is_over = true;
                return None;
            }
            if state.waiting.len() <= KEYS {
                return Some(std::mem::take(&mut state.waiting));
            }
            let keys: Vec<K> = state.waiting.keys().take(KEYS).cloned().collect();
            let entries = keys
                .iter()
                .filter_map(|key| state.waiting.remove_entry(key));
            Some(entries.collect())
        })
    }
}

#[cfg(test)]
mod tests;
