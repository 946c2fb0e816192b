//! Looks whether a tree of indexed rows fits together: every row matches its
//! checksum and is in its listings, and every entry leads to its row.

use super::error::StoreError;
use super::indexed::{self, VERSION};
use super::listings::{self, Indexed};
use super::parcel;
use super::verify::Verification;
use uuid::Uuid;

/// What is wrong with a key.
enum Wrong {
    Row,
    Listing,
    Unlisted,
}

/// Looks at every key of the tree, which may be written meanwhile.
pub(super) fn verify<T: Indexed>(
    tree: &sled::Tree,
    name: &str,
    found: &mut Verification,
) -> Result<(), StoreError> {
    for entry in tree {
        let (key, value) = entry.map_err(StoreError::read)?;
        found.count("rows", u64::from(row_id(&key).is_some()));
        let mut met = Some(value);
        let mut wrong = None;
        // What was written since it was met is looked at again as it is now.
        while let Some(value) = met.take() {
            wrong = look::<T>(tree, &key, &value)?;
            let now = tree.get(&key).map_err(StoreError::read)?;
            match now {
                Some(now) if wrong.is_some() && now != value => met = Some(now),
                Some(_) => {}
                None => wrong = None,
            }
        }
        if let Some(wrong) = wrong {
            report(found, &wrong, name, &key);
        }
    }
    Ok(())
}

fn report(found: &mut Verification, wrong: &Wrong, name: &str, key: &[u8]) {
    let (kind, sentence) = match wrong {
        Wrong::Row => {
            ("damagedRow", "rows of the small tables are damaged; delete them or restore a backup")
        }
        Wrong::Listing => ("danglingListing", "entries of a listing lead to no row"),
        Wrong::Unlisted => ("unlistedRow", "rows are missing in a listing; restore a backup"),
    };
    let shown: String = key.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
    found.problem(kind, sentence, format!("{shown} of {name}"));
}

fn look<T: Indexed>(
    tree: &sled::Tree,
    key: &[u8],
    value: &[u8],
) -> Result<Option<Wrong>, StoreError> {
    if let Some(id) = row_id(key) {
        return look_at_row::<T>(tree, &id, value);
    }
    if key.first() == Some(&b'r') {
        return Ok((!is_part(tree, key)?).then_some(Wrong::Row));
    }
    let id = match key.first() {
        Some(b'm') => Uuid::from_slice(value).ok(),
        Some(&listings::ALL | b'd' | b'c' | b's') => listings::id_of_place(key),
        _ => None,
    };
    let row = id.map(|id| tree.contains_key(indexed::row_key(&id))).transpose();
    let leads_somewhere = row.map_err(StoreError::read)? == Some(true);
    Ok((!leads_somewhere).then_some(Wrong::Listing))
}

fn look_at_row<T: Indexed>(
    tree: &sled::Tree,
    id: &Uuid,
    head: &[u8],
) -> Result<Option<Wrong>, StoreError> {
    let part = |number| tree.get(indexed::part_key(id, number));
    let payload = parcel::open(VERSION, &indexed::row_key(id), head, part);
    let row = payload.map_err(StoreError::read)?.ok();
    let row = row.and_then(|payload| serde_json::from_slice::<T>(&payload).ok());
    let Some(row) = row.filter(|row| row.id() == *id) else { return Ok(Some(Wrong::Row)) };
    for (key, value) in listings::index(&row) {
        if tree.get(key).map_err(StoreError::read)?.as_deref() != Some(value.as_slice()) {
            return Ok(Some(Wrong::Unlisted));
        }
    }
    Ok(None)
}

/// Whether a longer key is a part that its row announces.
fn is_part(tree: &sled::Tree, key: &[u8]) -> Result<bool, StoreError> {
    let Some((row, number)) = key.split_first_chunk::<17>() else { return Ok(false) };
    let Ok(number) = number.try_into().map(u16::from_be_bytes) else { return Ok(false) };
    let head = tree.get(row).map_err(StoreError::read)?;
    Ok(head.is_some_and(|head| number < parcel::n_parts(&head)))
}

fn row_id(key: &[u8]) -> Option<Uuid> {
    key.strip_prefix(b"r").and_then(|id| Uuid::from_slice(id).ok())
}
