//! The walk through all conversations, one after the other and each in its
//! own order, a page of bounded size at a time: what exports and backups read.

use std::ops::RangeInclusive;

use parlor_schemas::{ChatflowId, Halves, SessionId, SessionKey, Turn};

use super::error::StoreError;
use super::history::History;
use super::key_kinds;
use super::keys::{self, TurnPlace};
use super::messages::Order;
use super::{rows, run_walk, runs};

/// Turns of one page.
const MAX_TURNS: usize = 256;

/// Bytes of turns after which a page is full.
const MAX_BYTES: usize = 1024 * 1024;

/// Conversations that one page passes over.
const MAX_PASSED: usize = 4096;

/// Which conversations to export; both must hold.
#[derive(Debug, Clone, Default)]
pub struct ExportQuery {
    /// Of this chatflow only.
    pub chatflow: Option<ChatflowId>,
    /// Of this session only.
    pub session: Option<SessionId>,
}

/// Where the page before ended.
#[derive(Debug, Clone, Copy)]
pub struct ExportPlace(TurnPlace);

/// Some turns in order.
#[derive(Debug, Default)]
pub struct ExportPage {
    /// The turns, each with its conversation.
    pub turns: Vec<(SessionKey, Turn)>,
    /// Where the next page begins; `None` at the end. A page may be empty
    /// although it is not the last.
    pub next: Option<ExportPlace>,
}

impl History {
    /// One page of whole conversations, in the order in which they began.
    ///
    /// # Errors
    /// [`StoreError::DamagedRecord`] and the other errors of reading.
    pub async fn export(
        &self,
        query: ExportQuery,
        at: Option<ExportPlace>,
    ) -> Result<ExportPage, StoreError> {
        self.blocking(move |history| {
            let tree = history.tree()?;
            let mut page = ExportPage::default();
            let Some(range) = history.range(&tree, &query)? else { return Ok(page) };
            let from = at.map_or(first(*range.start()), |ExportPlace(place)| place);
            let wanted = |ordinal: u64, key: &SessionKey| {
                query.chatflow.is_none_or(|chatflow| chatflow == key.chatflow)
                    && query.session.as_ref().is_none_or(|session| *session == key.session)
                    && !history.deletions.is_buried(&key.chatflow, ordinal)
            };
            let next = walk(&tree, from, *range.end(), wanted, |key, place, head| {
                let turn = rows::read_rest(&tree, place, head)?.into_turn(place.seq);
                let weight = turn.weight();
                if turn.halves != Halves::NONE {
                    page.turns.push((key.clone(), turn));
                }
                Ok(weight)
            })?;
            page.next = next.map(ExportPlace);
            Ok(page)
        })
        .await
    }

    /// The ordinals that can be meant: one where a conversation is named.
    fn range(
        &self,
        tree: &sled::Tree,
        query: &ExportQuery,
    ) -> Result<Option<RangeInclusive<u64>>, StoreError> {
        let (Some(chatflow), Some(session)) = (query.chatflow, query.session.clone()) else {
            return Ok(Some(0..=u64::MAX));
        };
        let key = SessionKey { chatflow, session };
        let ordinal = rows::ordinal_of(tree, &self.deletions, &key)?;
        Ok(ordinal.map(|ordinal| ordinal..=ordinal))
    }
}

/// The first place of a conversation.
pub(super) fn first(ordinal: u64) -> TurnPlace {
    TurnPlace { ordinal, seq: 0 }
}

/// Visits turns from a place on until a page is full; the place to go on
/// from. `visit` gives the bytes that it took.
pub(super) fn walk(
    tree: &sled::Tree,
    from: TurnPlace,
    last_ordinal: u64,
    wanted: impl Fn(u64, &SessionKey) -> bool,
    visit: impl FnMut(&SessionKey, TurnPlace, &[u8]) -> Result<usize, StoreError>,
) -> Result<Option<TurnPlace>, StoreError> {
    let mut page = Filling { tree, visit, n_turns: 0, n_bytes: 0 };
    let owners = keys::owner(from.ordinal)..=keys::owner(last_ordinal);
    let owners = run_walk::range(tree, &runs::BY_ORDINAL, owners, Order::Ascending)?;
    for (n_passed, entry) in owners.enumerate() {
        let (key, value) = entry?;
        let Some(ordinal) = key_kinds::ordinal_of_owner(&key) else { continue };
        if n_passed == MAX_PASSED {
            return Ok(Some(first(ordinal)));
        }
        let Some(key) = keys::session_of_owner_value(&value) else { continue };
        let seq = if ordinal == from.ordinal { from.seq } else { 0 };
        if wanted(ordinal, &key)
            && let Some(next) = page.conversation(&key, TurnPlace { ordinal, seq })?
        {
            return Ok(Some(next));
        }
    }
    Ok(None)
}

/// A page that fills.
struct Filling<'a, V> {
    tree: &'a sled::Tree,
    visit: V,
    n_turns: usize,
    n_bytes: usize,
}

impl<V: FnMut(&SessionKey, TurnPlace, &[u8]) -> Result<usize, StoreError>> Filling<'_, V> {
    /// Visits a conversation from a turn on; the turn that did not fit.
    fn conversation(
        &mut self,
        key: &SessionKey,
        from: TurnPlace,
    ) -> Result<Option<TurnPlace>, StoreError> {
        let last = TurnPlace { seq: u64::MAX, ..from };
        for row in self.tree.range(keys::turn(from)..=keys::turn(last)) {
            let (at, head) = row.map_err(StoreError::read)?;
            let Some(place) = keys::place_of_turn(&at) else { continue };
            if self.n_turns == MAX_TURNS || self.n_bytes >= MAX_BYTES {
                return Ok(Some(place));
            }
            self.n_bytes += (self.visit)(key, place, &head)?;
            self.n_turns += 1;
        }
        Ok(None)
    }
}
