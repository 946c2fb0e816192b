//! Reads that take long, off the arbiters.

use super::error::StoreError;

/// Reads on a thread that may block. All callers need a tokio runtime.
///
/// # Errors
/// The read's; [`StoreError::Panicked`] also when the runtime shuts down.
pub(super) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(StoreError::Panicked))
}
