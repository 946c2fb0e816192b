//! Which `Idempotency-Key`s run at this moment: two requests of one key must
//! never run both. What ended is in the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlor_schemas::{ErrorCode, Fault, Repetition};
use uuid::Uuid;

/// Keys that may run at once: more than turns that may.
const MAX_RUNNING: usize = 64 * 1024;

/// The keys whose first request still runs. Clones share one table.
#[derive(Debug, Clone, Default)]
pub struct RunningKeys(Arc<Mutex<HashMap<Uuid, String>>>);

impl RunningKeys {
    /// Takes a key for as long as the result lives.
    ///
    /// # Errors
    /// 409 while another request has it, 422 where that one has another body,
    /// 503 where too many keys run.
    pub fn take(&self, repetition: &Repetition) -> Result<RunningKey, Fault> {
        let mut running = self.lock();
        match running.get(&repetition.key) {
            Some(body) if *body == repetition.body => return Err(still_runs()),
            Some(_) => return Err(Repetition::key_reused()),
            None if running.len() >= MAX_RUNNING => return Err(too_many()),
            None => {}
        }
        running.insert(repetition.key, repetition.body.clone());
        Ok(RunningKey { table: self.clone(), repetition: repetition.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that runs, until this is dropped.
#[derive(Debug)]
pub struct RunningKey {
    table: RunningKeys,
    repetition: Repetition,
}

impl RunningKey {
    /// What its repetitions are recognized by.
    pub fn repetition(&self) -> &Repetition {
        &self.repetition
    }
}

impl Drop for RunningKey {
    fn drop(&mut self) {
        self.table.lock().remove(&self.repetition.key);
    }
}

fn still_runs() -> Fault {
    let message = "the first request with this Idempotency-Key still runs; send it again in a \
                   moment to get its answer";
    Fault::new(ErrorCode::Conflict, message).retry_after(1)
}

fn too_many() -> Fault {
    let message = "too many requests with an Idempotency-Key run at once; try again soon";
    Fault::new(ErrorCode::Overloaded, message).retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repetition(key: u128, body: &str) -> Repetition {
        Repetition { key: Uuid::from_u128(key), body: body.into() }
    }

    #[test]
    fn a_key_that_runs_is_refused_until_it_is_dropped() {
        let keys = RunningKeys::default();
        let running = keys.take(&repetition(1, "one")).unwrap();
        let again = keys.take(&repetition(1, "one")).unwrap_err();
        assert_eq!((again.code, again.retry_after_s), (ErrorCode::Conflict, Some(1)));
        let reused = keys.take(&repetition(1, "other")).unwrap_err();
        assert_eq!(reused.code, ErrorCode::KeyReused);
        drop(keys.take(&repetition(2, "one")).unwrap());
        drop(running);
        drop(keys.take(&repetition(1, "other")).unwrap());
        assert!(keys.lock().is_empty());
    }

    #[test]
    fn the_table_is_bounded() {
        let keys = RunningKeys::default();
        let taken: Vec<_> =
            (0..MAX_RUNNING as u128).map(|key| keys.take(&repetition(key, "")).unwrap()).collect();
        let full = keys.take(&repetition(u128::MAX, "")).unwrap_err();
        assert_eq!(full.code, ErrorCode::Overloaded);
        drop(taken);
        assert!(keys.take(&repetition(u128::MAX, "")).is_ok());
    }
}
