//! The rows of a turn: which keys it is stored and found under, and how it is
//! read back. What adds a turn and what removes one stand side by side here,
//! so that no index is forgotten on one side.

use parlor_schemas::{ChatId, ChatMessage, ChatflowId, Halves, NewTurn, Role, SessionKey};
use uuid::Uuid;

use super::deletions::Deletions;
use super::error::StoreError;
use super::keys::{self, DatePlace, TurnPlace};
use super::parcel;
use super::record::{self, Record};

/// Changes to one tree: a key with its new value, or `None` to remove it.
pub(super) type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The changes as one atomic batch.
pub(super) fn batch(changes: Changes) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    batch
}

/// The rows of a new turn: its record, and its messages by date and by id.
pub(super) fn added(
    chatflow: &ChatflowId,
    place: TurnPlace,
    halves: Halves,
    turn: &NewTurn,
) -> Result<Changes, StoreError> {
    let mut changes = record(place, halves, turn)?;
    for (role, id, time) in messages(turn) {
        if !(if role == 0 { halves.question } else { halves.answer }) {
            continue;
        }
        let date = keys::date(chatflow, DatePlace { time, turn: place, role });
        changes.push((date, Some(Vec::new())));
        changes.push((keys::message(&id), Some(keys::message_value(place, role))));
    }
    Ok(changes)
}

/// The record alone, under its key and those of its parts.
pub(super) fn record(
    place: TurnPlace,
    halves: Halves,
    turn: &NewTurn,
) -> Result<Changes, StoreError> {
    let key = keys::turn(place);
    let payload = record::encode(halves, turn)?;
    let parcel = parcel::seal(record::VERSION, &key, &payload)?;
    let mut changes = Vec::with_capacity(8 + parcel.rest.len());
    changes.push((key, Some(parcel.head)));
    for (number, part) in (0..).zip(parcel.rest) {
        changes.push((keys::part(place, number), Some(part)));
    }
    Ok(changes)
}

/// Removes messages from the indexes by date and by id.
pub(super) fn unindexed(
    chatflow: &ChatflowId,
    place: TurnPlace,
    turn: &NewTurn,
    lost: Halves,
) -> Changes {
    let of_lost = messages(turn).into_iter().filter(|(role, ..)| match role {
        0 => lost.question,
        _ => lost.answer,
    });
    let rows = of_lost.flat_map(|(role, id, time)| {
        let date = keys::date(chatflow, DatePlace { time, turn: place, role });
        [(date, None), (keys::message(&id), None)]
    });
    rows.collect()
}

/// Removes what [`added`] made, and the turn's entry among its chat id's.
pub(super) fn removed(chatflow: &ChatflowId, place: TurnPlace, turn: &NewTurn) -> Changes {
    let mut changes = unindexed(chatflow, place, turn, Halves::BOTH);
    changes.push((keys::chat(chatflow, &turn.chat_id, place.ordinal), None));
    changes
}

/// Removes a record by its place alone, readable or not.
pub(super) fn removed_record(place: TurnPlace, head: &[u8]) -> Changes {
    let parts = (0..parcel::n_parts(head)).map(|number| (keys::part(place, number), None));
    std::iter::once((keys::turn(place), None)).chain(parts).collect()
}

/// Role, id and date of a turn's two messages.
fn messages(turn: &NewTurn) -> [(u8, uuid::Uuid, parlor_schemas::Timestamp); 2] {
    [(0, turn.question_id, turn.asked_at), (1, turn.answer_id, turn.answered_at)]
}

/// The ordinal of a conversation that has one and is not deleted.
pub(super) fn ordinal_of(
    tree: &sled::Tree,
    deletions: &Deletions,
    key: &SessionKey,
) -> Result<Option<u64>, StoreError> {
    let Some(value) = tree.get(keys::session(key)).map_err(StoreError::read)? else {
        return Ok(None);
    };
    let ordinal = keys::ordinal_of_session_value(&value).ok_or_else(|| {
        let what = "the index entry of a conversation".to_owned();
        StoreError::DamagedRecord { what, why: "it cannot be read" }
    })?;
    Ok((!deletions.is_buried(&key.chatflow, ordinal)).then_some(ordinal))
}

/// The conversation that an ordinal stands for.
pub(super) fn owner_of(tree: &sled::Tree, ordinal: u64) -> Result<Option<SessionKey>, StoreError> {
    let value = tree.get(keys::owner(ordinal)).map_err(StoreError::read)?;
    Ok(value.as_deref().and_then(keys::session_of_owner_value))
}

/// The conversations that turns of a chat id belong to and that are not deleted.
pub(super) fn ordinals_of_chat(
    tree: &sled::Tree,
    deletions: &Deletions,
    chatflow: &ChatflowId,
    chat: &ChatId,
) -> Result<Vec<u64>, StoreError> {
    let keys: Result<Vec<_>, _> = tree.scan_prefix(keys::chats_of(chatflow, chat)).keys().collect();
    let keys = keys.map_err(StoreError::read)?;
    let ordinals = keys.iter().filter_map(|key| keys::ordinal_of_chat(key));
    Ok(ordinals.filter(|ordinal| !deletions.is_buried(chatflow, *ordinal)).collect())
}

/// The message of an id with its place.
pub(super) fn message_by_id(
    tree: &sled::Tree,
    deletions: &Deletions,
    id: Uuid,
) -> Result<Option<(DatePlace, ChatMessage)>, StoreError> {
    let value = tree.get(keys::message(&id)).map_err(StoreError::read)?;
    let Some((turn, role)) = value.as_deref().and_then(keys::place_of_message_value) else {
        return Ok(None);
    };
    let message = message_of_turn(tree, deletions, turn, role)?;
    let message = message.filter(|message| message.id == id);
    Ok(message.map(|message| (DatePlace { time: message.created_date, turn, role }, message)))
}

/// One message of a turn; `None` where it is deleted.
pub(super) fn message_of_turn(
    tree: &sled::Tree,
    deletions: &Deletions,
    place: TurnPlace,
    role: u8,
) -> Result<Option<ChatMessage>, StoreError> {
    let Some(key) = owner_of(tree, place.ordinal)? else { return Ok(None) };
    if deletions.is_buried(&key.chatflow, place.ordinal) {
        return Ok(None);
    }
    let Some(record) = read(tree, place)? else { return Ok(None) };
    let role = if role == 0 { Role::UserMessage } else { Role::ApiMessage };
    let messages = record.into_turn(place.seq).messages(&key);
    Ok(messages.into_iter().find(|message| message.role == role))
}

/// Sequence number of a conversation's last turn.
pub(super) fn last_seq(tree: &sled::Tree, ordinal: u64) -> Result<Option<u64>, StoreError> {
    let last = tree.scan_prefix(keys::turns_of(ordinal)).next_back();
    let key = last.transpose().map_err(StoreError::read)?.map(|(key, _)| key);
    Ok(key.and_then(|key| keys::place_of_turn(&key)).map(|place| place.seq))
}

/// One turn, or `None` where there is none.
pub(super) fn read(tree: &sled::Tree, place: TurnPlace) -> Result<Option<Record>, StoreError> {
    let head = tree.get(keys::turn(place)).map_err(StoreError::read)?;
    head.map(|head| read_rest(tree, place, &head)).transpose()
}

/// The turn whose head was met in a scan.
///
/// # Errors
/// [`StoreError::DamagedRecord`] naming the turn.
pub(super) fn read_rest(
    tree: &sled::Tree,
    place: TurnPlace,
    head: &[u8],
) -> Result<Record, StoreError> {
    let damaged = |why| {
        let what = format!("turn {} of conversation {}", place.seq, place.ordinal);
        StoreError::DamagedRecord { what, why }
    };
    let part = |number| tree.get(keys::part(place, number));
    let payload = parcel::open(record::VERSION, &keys::turn(place), head, part)
        .map_err(StoreError::read)?
        .map_err(damaged)?;
    record::decode(&payload).map_err(damaged)
}
