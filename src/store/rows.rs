//! The rows of a turn: which keys it is stored and found under, and how it is
//! read back. What adds a turn and what removes one stand side by side here,
//! so that no index is forgotten on one side.

use parlor_schemas::{
    ChatId, ChatMessage, ChatflowId, Halves, NewTurn, Role, SessionId, SessionKey, Timestamp,
    are_siblings, role_among_siblings, sibling,
};
use uuid::Uuid;

use super::deletions::Deletions;
use super::error::StoreError;
use super::keys::{self, DatePlace, TurnPlace};
use super::parcel;
use super::record::{self, Record};
use super::runs;

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
    changes.extend(indexed(chatflow, place, turn, halves));
    Ok(changes)
}

/// Adds messages to the indexes by date and by id.
pub(super) fn indexed(
    chatflow: &ChatflowId,
    place: TurnPlace,
    turn: &NewTurn,
    new: Halves,
) -> Changes {
    let dates = messages_of(turn, new).map(|(role, _, time)| {
        (keys::date(chatflow, DatePlace { time, turn: place, role }), Some(Vec::new()))
    });
    let ids = id_entries(turn, new);
    let ids = ids.map(|(id, role)| (keys::message(&id), Some(keys::message_value(place, role))));
    dates.chain(ids).collect()
}

/// The entries by id of these messages: one for both where one leads to the other.
fn id_entries(turn: &NewTurn, halves: Halves) -> impl Iterator<Item = (Uuid, u8)> {
    let are_siblings = are_siblings(turn.question_id, turn.answer_id);
    let both = (are_siblings && halves != Halves::NONE).then_some((turn.question_id, keys::BOTH));
    let alone = messages_of(turn, halves).filter(move |_| !are_siblings);
    both.into_iter().chain(alone.map(|(role, id, _)| (id, role)))
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

/// Removes messages of a record from the indexes by date and by id.
pub(super) fn unindexed(
    chatflow: &ChatflowId,
    place: TurnPlace,
    record: &Record,
    lost: Halves,
) -> Changes {
    let Record { halves, body } = record;
    let kept: Vec<_> = id_entries(body, halves.without(lost)).collect();
    let dates = messages_of(body, lost)
        .map(|(role, _, time)| (keys::date(chatflow, DatePlace { time, turn: place, role }), None));
    let ids = id_entries(body, lost).filter(|entry| !kept.contains(entry));
    dates.chain(ids.map(|(id, _)| (keys::message(&id), None))).collect()
}

/// Removes what [`added`] made, and the turn's entry among its chat id's.
pub(super) fn removed(chatflow: &ChatflowId, place: TurnPlace, record: &Record) -> Changes {
    let mut changes = unindexed(chatflow, place, record, record.halves);
    changes.push((keys::chat(chatflow, &record.body.chat_id, place.ordinal), None));
    changes
}

/// Removes a record by its place alone, readable or not.
pub(super) fn removed_record(place: TurnPlace, head: &[u8]) -> Changes {
    let parts = (0..parcel::n_parts(head)).map(|number| (keys::part(place, number), None));
    std::iter::once((keys::turn(place), None)).chain(parts).collect()
}

/// Role, id and date of these messages of a turn.
pub(super) fn messages_of(
    turn: &NewTurn,
    halves: Halves,
) -> impl Iterator<Item = (u8, Uuid, Timestamp)> {
    let both = [(0, turn.question_id, turn.asked_at), (1, turn.answer_id, turn.answered_at)];
    both.into_iter().filter(move |(role, ..)| match role {
        0 => halves.question,
        _ => halves.answer,
    })
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
    let value = runs::get(tree, &keys::owner(ordinal))?;
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
    let mut ordinals: Vec<u64> = keys.iter().filter_map(|key| keys::ordinal_of_chat(key)).collect();
    ordinals.retain(|ordinal| !deletions.is_buried(chatflow, *ordinal));
    if let Ok(session) = SessionId::parse(chat.as_str()) {
        let namesake = SessionKey { chatflow: *chatflow, session };
        if let Some(ordinal) = ordinal_of(tree, deletions, &namesake)?
            && !ordinals.contains(&ordinal)
            && has_turn_of_chat(tree, ordinal, chat)?
        {
            ordinals.push(ordinal);
            ordinals.sort_unstable();
        }
    }
    Ok(ordinals)
}

/// The entry of a conversation among those of a chat id: none where the session
/// has the same name, as most have, because its own entry tells as much.
pub(super) fn chat_entry(
    key: &SessionKey,
    chat: &ChatId,
    ordinal: u64,
) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let is_namesake = chat.as_str() == key.session.as_str();
    (!is_namesake).then(|| (keys::chat(&key.chatflow, chat, ordinal), Some(Vec::new())))
}

/// Whether a conversation has a message of a chat id. Its first turn tells, but for
/// a session that others share or that lost messages.
fn has_turn_of_chat(tree: &sled::Tree, ordinal: u64, chat: &ChatId) -> Result<bool, StoreError> {
    for row in tree.scan_prefix(keys::turns_of(ordinal)) {
        let (key, head) = row.map_err(StoreError::read)?;
        let Some(place) = keys::place_of_turn(&key) else { continue };
        let record = match read_rest(tree, place, &head) {
            // A turn that cannot be read may be of this chat.
            Err(StoreError::DamagedRecord { .. }) => return Ok(true),
            other => other?,
        };
        if record.halves != Halves::NONE && record.body.chat_id == *chat {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where the message of an id stands: its turn and its role there. The other
/// message of the turn may be all that is left of it.
pub(super) fn place_of_id(
    tree: &sled::Tree,
    id: Uuid,
) -> Result<Option<(TurnPlace, u8)>, StoreError> {
    let entry = |id: Uuid| {
        let value = runs::get(tree, &keys::message(&id))?;
        Ok::<_, StoreError>(value.as_deref().and_then(keys::place_of_message_value))
    };
    let own_role = u8::from(role_among_siblings(id) == Role::ApiMessage);
    match entry(id)? {
        Some((place, keys::BOTH)) => return Ok(Some((place, own_role))),
        Some(found) => return Ok(Some(found)),
        None => {}
    }
    let of_both = entry(sibling(id))?.filter(|(_, role)| *role == keys::BOTH);
    Ok(of_both.map(|(place, _)| (place, own_role)))
}

/// The message of an id with its place.
pub(super) fn message_by_id(
    tree: &sled::Tree,
    deletions: &Deletions,
    id: Uuid,
) -> Result<Option<(DatePlace, ChatMessage)>, StoreError> {
    let Some((turn, role)) = place_of_id(tree, id)? else { return Ok(None) };
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
    let payload = payload(tree, place, head)?;
    record::decode(&payload).map_err(|why| damaged_turn(place, why))
}

/// The same turn as bytes, checked but not decoded.
///
/// # Errors
/// [`StoreError::DamagedRecord`] naming the turn.
pub(super) fn payload(
    tree: &sled::Tree,
    place: TurnPlace,
    head: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let part = |number| tree.get(keys::part(place, number));
    let payload = parcel::open(record::VERSION, &keys::turn(place), head, part);
    payload.map_err(StoreError::read)?.map_err(|why| damaged_turn(place, why))
}

fn damaged_turn(place: TurnPlace, why: &'static str) -> StoreError {
    let what = format!("turn {} of conversation {}", place.seq, place.ordinal);
    StoreError::DamagedRecord { what, why }
}
