use std::{collections::HashMap, sync::Arc};

use futures_util::future::join_all;
use sea_orm::{DbErr, RuntimeErr};
use tokio::sync::{Semaphore, mpsc};

use super::{Gathered, KEYS, UNDER_WAY};

/// A reader whose statements are told and wait until they are let go; even numbers have a row.
fn held() -> (
    Gathered<usize, String>,
    mpsc::UnboundedReceiver<Vec<usize>>,
    Arc<Semaphore>,
) {
    let (told, statements) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let reads = Gathered::new(move |mut keys: Vec<usize>| {
        let (told, held) = (told.clone(), Arc::clone(&held));
        keys.sort_unstable();
        told.send(keys.clone()).unwrap();
        Box::pin(async move {
            held.acquire().await.unwrap().forget();
            if keys.contains(&13) {
                let error = sqlx::Error::PoolTimedOut;
                return Err(DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))));
            }
            assert!(!keys.contains(&14), "this read panics on purpose");
            Ok(keys
                .into_iter()
                .filter(|key| key % 2 == 0)
                .map(|key| (key, key.to_string()))
                .collect::<HashMap<_, _>>())
        })
    });
    (reads, statements, gate)
}

#[tokio::test]
async fn who_asks_while_statements_are_under_way_shares_the_next() {
    let (reads, mut statements, gate) = held();
    let reads = Arc::new(reads);
    let begin = |key| {
        let reads = Arc::clone(&reads);
        tokio::spawn(async move { reads.find(key).await.unwrap() })
    };
    let mut first = Vec::new();
    for key in 0..UNDER_WAY {
        first.push(begin(key));
        assert_eq!(statements.recv().await.unwrap(), [key]);
    }
    let others: Vec<_> = (0..2 * KEYS)
        .chain(0..KEYS)
        .map(|key| reads.find(100 + key))
        .collect();
    let (found, ()) = futures_util::future::join(join_all(others), async {
        // All of them have asked once this task is polled.
        gate.add_permits(Semaphore::MAX_PERMITS);
    })
    .await;
    for (place, row) in found.into_iter().enumerate() {
        let key = 100 + place % (2 * KEYS);
        let expected = key.is_multiple_of(2).then(|| key.to_string());
        assert_eq!(row.unwrap(), expected);
    }
    for (key, row) in first.into_iter().enumerate() {
        let expected = key.is_multiple_of(2).then(|| key.to_string());
        assert_eq!(row.await.unwrap(), expected);
    }
    let mut keys = Vec::new();
    while let Ok(batch) = statements.try_recv() {
        assert!(batch.len() <= KEYS);
        keys.extend(batch);
    }
    keys.sort_unstable();
    assert_eq!(keys, (100..100 + 2 * KEYS).collect::<Vec<_>>(), "each once");
}

#[tokio::test]
async fn an_error_reaches_everybody_of_its_statement_and_nobody_else() {
    let (reads, _statements, gate) = held();
    gate.add_permits(Semaphore::MAX_PERMITS);
    let error = reads.find(13).await.unwrap_err();
    let DbErr::Query(RuntimeErr::SqlxError(error)) = error else {
        panic!("{error:?}")
    };
    assert!(matches!(*error, sqlx::Error::PoolTimedOut));
    assert_eq!(reads.find(12).await.unwrap(), Some("12".to_owned()));
}

#[tokio::test]
async fn a_read_that_panics_leaves_the_reader_working() {
    let (reads, _statements, gate) = held();
    gate.add_permits(Semaphore::MAX_PERMITS);
    for _ in 0..=2 * UNDER_WAY {
        assert!(reads.find(14).await.is_err());
    }
    assert_eq!(reads.find(12).await.unwrap(), Some("12".to_owned()));
}

#[tokio::test]
async fn who_hangs_up_takes_nothing_from_others() {
    let (reads, mut statements, gate) = held();
    let reads = Arc::new(reads);
    let shared = Arc::clone(&reads);
    let gone = tokio::spawn(async move { shared.find(2).await });
    assert_eq!(statements.recv().await.unwrap(), [2]);
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    gate.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(reads.find(2).await.unwrap(), Some("2".to_owned()));
}
