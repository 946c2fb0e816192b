//! Rows in great numbers: JSON like those of [`super::table`], and beside them
//! the keys of [`super::listings`] that lead to them. One tree holds both,
//! because a batch is atomic in one tree only.

use std::marker::PhantomData;
use std::sync::Arc;

use parlor_schemas::ChatflowId;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::blocking::blocking;
use super::disk::Disk;
use super::error::StoreError;
use super::keys;
use super::listings::{self, Indexed, Listing, RowCursor, RowPage, RowPageQuery};
use super::messages::Order;
use super::parcel;
use super::queue::{Job, Queue};
use super::rows::Changes;

pub(super) const VERSION: u8 = 1;

/// Rows that one batch deletes: sled frees what a batch replaced at a bounded
/// rate per batch, so that long ones pile up memory.
const ROWS_A_SLICE: usize = 32;

/// Rows that one pruning looks at.
const ROWS_A_PRUNING: usize = 100;

/// One tree of such rows. Clones share it.
#[derive(Debug)]
pub(super) struct IndexedTable<T> {
    inner: Arc<Inner>,
    rows: PhantomData<fn() -> T>,
}

#[derive(Debug)]
struct Inner {
    name: &'static str,
    disk: Arc<Disk>,
    queue: Arc<Queue>,
    /// Held from the look at what is there until its change is on the disk.
    writing: Mutex<()>,
}

impl<T> Clone for IndexedTable<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), rows: PhantomData }
    }
}

impl<T: Indexed> IndexedTable<T> {
    pub fn new(name: &'static str, disk: Arc<Disk>, queue: Arc<Queue>) -> Self {
        let writing = Mutex::new(());
        Self { inner: Arc::new(Inner { name, disk, queue, writing }), rows: PhantomData }
    }

    /// One row, read in place.
    pub fn get(&self, id: Uuid) -> Result<Option<T>, StoreError> {
        let tree = self.tree()?;
        let head = tree.get(row_key(&id)).map_err(StoreError::read)?;
        head.map(|head| self.row(&tree, &id, &head)).transpose()
    }

    /// The row of a message, read in place.
    pub fn of_message(&self, message: Uuid) -> Result<Option<T>, StoreError> {
        let id = self.tree()?.get(keys::message(&message)).map_err(StoreError::read)?;
        let Some(id) = id.and_then(|id| Uuid::from_slice(&id).ok()) else { return Ok(None) };
        Ok(self.get(id)?.filter(|row| row.message() == Some(message)))
    }

    /// One page of a listing. Nothing beyond the page is read.
    pub async fn page(
        &self,
        listing: Listing,
        query: RowPageQuery,
    ) -> Result<RowPage<T>, StoreError> {
        let table = self.clone();
        blocking(move || table.read_page(&listing, &query)).await
    }

    /// Where a page ends and more rows follow, without reading a row.
    pub async fn page_end(
        &self,
        listing: Listing,
        query: RowPageQuery,
    ) -> Result<Option<RowCursor>, StoreError> {
        let table = self.clone();
        blocking(move || table.end_of_page(&listing, &query)).await
    }

    /// Stores the row that `decide` makes of what is there; no other change
    /// comes between. Resolves when it is on the disk, and goes on when
    /// nobody waits for it any more.
    pub async fn change(
        &self,
        decide: impl FnOnce(&Self) -> Result<Option<T>, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let table = self.clone();
        undisturbed(async move {
            let _writing = table.inner.writing.lock().await;
            let Some(row) = decide(&table)? else { return Ok(None) };
            let mut changes = table.removal(&row.id())?;
            changes.extend(added(&row)?);
            table.write(changes).await?;
            Ok(Some(row))
        })
        .await
    }

    /// Deletes one row, if it is there.
    pub async fn delete_row(&self, id: Uuid) -> Result<(), StoreError> {
        let table = self.clone();
        undisturbed(async move {
            let _writing = table.inner.writing.lock().await;
            let changes = table.removal(&id)?;
            table.write(changes).await
        })
        .await
    }

    /// Deletes a listing; the number of rows.
    pub async fn delete(&self, listing: Listing) -> Result<u64, StoreError> {
        let table = self.clone();
        undisturbed(async move {
            let _writing = table.inner.writing.lock().await;
            let mut n_rows = 0;
            loop {
                let (n_found, changes) = table.slice(&listing)?;
                if n_found == 0 {
                    return Ok(n_rows);
                }
                table.write(changes).await?;
                n_rows += n_found;
            }
        })
        .await
    }

    /// Deletes what is older than the newest `n_kept` rows of a chatflow, as
    /// far as it may go: a page of them at most.
    pub async fn prune(
        &self,
        chatflow: ChatflowId,
        n_kept: usize,
        may_go: impl Fn(&T) -> bool,
    ) -> Result<(), StoreError> {
        let newest =
            RowPageQuery { limit: n_kept, order: Order::Descending, ..RowPageQuery::default() };
        let listing = Listing::Chatflow(chatflow);
        let Some(after) = self.page_end(listing.clone(), newest).await? else { return Ok(()) };
        let rest = RowPageQuery { after: Some(after), limit: ROWS_A_PRUNING, ..newest };
        for row in self.page(listing, rest).await?.rows.iter().filter(|row| may_go(row)) {
            self.delete_row(row.id()).await?;
        }
        Ok(())
    }

    async fn write(&self, changes: Changes) -> Result<(), StoreError> {
        let job = Job::ChangeRows { tree: self.inner.name, changes };
        self.inner.queue.ask(job).await.map(|_| ())
    }

    fn slice(&self, listing: &Listing) -> Result<(u64, Changes), StoreError> {
        let mut n_found = 0;
        let mut changes = Changes::new();
        for key in self.tree()?.scan_prefix(listing.prefix()).keys().take(ROWS_A_SLICE) {
            let key = key.map_err(StoreError::read)?;
            if let Some(id) = listings::id_of_place(&key) {
                changes.extend(self.removal(&id)?);
            }
            changes.push((key.to_vec(), None));
            n_found += 1;
        }
        Ok((n_found, changes))
    }

    /// Removes a row with all that leads to it. What cannot be read is deleted
    /// all the same; keys that lead to it lead nowhere then.
    fn removal(&self, id: &Uuid) -> Result<Changes, StoreError> {
        let tree = self.tree()?;
        let parts: Result<Vec<_>, _> = tree.scan_prefix(row_key(id)).keys().collect();
        let parts = parts.map_err(StoreError::read)?;
        let mut changes: Changes = parts.into_iter().map(|key| (key.to_vec(), None)).collect();
        match self.get(*id) {
            Ok(Some(row)) => changes.extend(listings::index(&row).map(|(key, _)| (key, None))),
            Ok(None) | Err(StoreError::DamagedRecord { .. }) => {}
            Err(other) => return Err(other),
        }
        Ok(changes)
    }

    fn read_page(&self, listing: &Listing, query: &RowPageQuery) -> Result<RowPage<T>, StoreError> {
        let mut page = RowPage { rows: Vec::new(), next: None };
        let tree = self.tree()?;
        let Some(range) = listings::range(&listing.prefix(), query) else { return Ok(page) };
        let mut keys = tree.range(range).keys();
        let mut last = None;
        loop {
            let key = match query.order {
                Order::Ascending => keys.next(),
                Order::Descending => keys.next_back(),
            };
            let Some(key) = key.transpose().map_err(StoreError::read)? else { return Ok(page) };
            if page.rows.len() == query.limit {
                page.next = last;
                return Ok(page);
            }
            let Some(id) = listings::id_of_place(&key) else { continue };
            if let Some(row) = self.get(id)? {
                page.rows.push(row);
                last = key.last_chunk().map(|place| RowCursor(*place));
            }
        }
    }

    fn end_of_page(
        &self,
        listing: &Listing,
        query: &RowPageQuery,
    ) -> Result<Option<RowCursor>, StoreError> {
        let Some(range) = listings::range(&listing.prefix(), query) else { return Ok(None) };
        let tree = self.tree()?;
        let mut keys = tree.range(range).keys();
        let mut next = || match query.order {
            Order::Ascending => keys.next(),
            Order::Descending => keys.next_back(),
        };
        let mut last = None;
        for _ in 0..query.limit {
            let Some(key) = next().transpose().map_err(StoreError::read)? else { return Ok(None) };
            last = key.last_chunk().map(|place| RowCursor(*place));
        }
        Ok(next().transpose().map_err(StoreError::read)?.and(last))
    }

    fn row(&self, tree: &sled::Tree, id: &Uuid, head: &[u8]) -> Result<T, StoreError> {
        let damaged = |why| {
            let what = format!("row {id} of {}", self.inner.name);
            StoreError::DamagedRecord { what, why }
        };
        let part = |number| tree.get(part_key(id, number));
        let payload = parcel::open(VERSION, &row_key(id), head, part);
        let payload = payload.map_err(StoreError::read)?.map_err(damaged)?;
        serde_json::from_slice(&payload).map_err(|_| damaged("its fields cannot be read"))
    }

    fn tree(&self) -> Result<sled::Tree, StoreError> {
        self.inner.disk.tree(self.inner.name)
    }
}

/// Runs to its end on a task of its own, so that a caller who leaves cannot
/// give the lock free between a change and its commit.
async fn undisturbed<R: Send + 'static>(
    work: impl Future<Output = Result<R, StoreError>> + Send + 'static,
) -> Result<R, StoreError> {
    tokio::spawn(work).await.unwrap_or(Err(StoreError::Panicked))
}

fn added<T: Indexed>(row: &T) -> Result<Changes, StoreError> {
    let id = row.id();
    let payload = serde_json::to_vec(row).map_err(StoreError::Encode)?;
    let parcel = parcel::seal(VERSION, &row_key(&id), &payload)?;
    let mut changes = vec![(row_key(&id), Some(parcel.head))];
    for (number, part) in (0..).zip(parcel.rest) {
        changes.push((part_key(&id, number), Some(part)));
    }
    changes.extend(listings::index(row).map(|(key, value)| (key, Some(value))));
    Ok(changes)
}

pub(super) fn row_key(id: &Uuid) -> Vec<u8> {
    [b"r", id.as_bytes().as_slice()].concat()
}

pub(super) fn part_key(id: &Uuid, number: u16) -> Vec<u8> {
    [row_key(id).as_slice(), &number.to_be_bytes()].concat()
}
