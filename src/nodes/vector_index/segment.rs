//! A segment: rows that were written together and never change. Vectors and
//! metadata are in memory, contents where they were read from.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::bits::Bits;
use super::codes::Codes;
use super::filter::Filter;
use super::graph::{Graph, Units};
use super::scan;
use super::words::Words;
use crate::error::NodeError;

/// Rows from which a graph is built: fewer are searched exactly in a few milliseconds.
const MIN_GRAPH_ROWS: usize = 50_000;
/// Exact searches before a graph is built: it takes about as long as they did.
const SCANS_BEFORE_GRAPH: u32 = 2_000;
/// Candidates of a search by graph: more find more and take longer.
const GRAPH_WIDTH: usize = 128;
/// More hits are searched exactly.
const MAX_GRAPH_HITS: usize = 100;
/// Filters whose rows a segment remembers.
const MAX_MASKS: usize = 8;
/// The metadata key of the chat that brought a chunk (Flowise 2.2.8, `FLOWISE_CHATID`).
pub(crate) const CHAT_KEY: &str = "flowise_chatId";

/// Reads what a segment does not keep in memory.
pub trait RowReader: Send + Sync {
    /// Content of a row.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn content(&self, row: usize) -> Result<String, NodeError>;

    /// Vector of a row, as it was put.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn vector(&self, row: usize) -> Result<Vec<f32>, NodeError>;
}

/// What a segment is made of, row by row.
#[derive(Debug, Default)]
pub struct SegmentParts {
    ids: Vec<Uuid>,
    units: Vec<f32>,
    codes: Codes,
    metadata: String,
    metadata_ends: Vec<usize>,
    chats: HashMap<String, Vec<u32>>,
    n_of_a_chat: usize,
}

/// One row of [`SegmentParts`].
#[derive(Debug)]
pub struct Row<'a> {
    /// Id of the chunk.
    pub id: Uuid,
    /// Its vector.
    pub vector: &'a [f32],
    /// Its metadata, as JSON.
    pub metadata: &'a str,
}

impl SegmentParts {
    /// With room for `n_rows` of `n_dimensions`.
    pub fn with_capacity(n_rows: usize, n_dimensions: usize) -> Self {
        Self {
            ids: Vec::with_capacity(n_rows),
            units: Vec::with_capacity(n_rows.saturating_mul(n_dimensions)),
            codes: Codes::with_capacity(n_rows, n_dimensions),
            metadata_ends: Vec::with_capacity(n_rows),
            ..Self::default()
        }
    }

    /// Adds a row; all vectors are of one length.
    pub fn push(&mut self, row: &Row<'_>) {
        if let Some(chat) = chat_of(row.metadata) {
            // A segment has fewer rows than fit into 32 bits.
            self.chats.entry(chat).or_default().push(self.ids.len() as u32);
            self.n_of_a_chat += 1;
        }
        self.ids.push(row.id);
        let first = self.units.len();
        scan::extend_unit(&mut self.units, row.vector);
        self.codes.push(&self.units[first..]);
        self.metadata.push_str(row.metadata);
        self.metadata_ends.push(self.metadata.len());
    }
}

/// The chat that a row belongs to. What is neither text nor null is somebody's, too.
fn chat_of(metadata: &str) -> Option<String> {
    if !metadata.contains(CHAT_KEY) {
        return None;
    }
    match serde_json::from_str::<Map<String, Value>>(metadata).ok()?.get(CHAT_KEY)? {
        Value::Null => None,
        Value::String(chat) => Some(chat.clone()),
        other => Some(other.to_string()),
    }
}

/// Rows that were written together.
pub struct Segment {
    parts: SegmentParts,
    /// Rows in the order of their ids.
    by_id: Vec<u32>,
    reader: Box<dyn RowReader>,
    masks: Mutex<VecDeque<(Arc<str>, Arc<Bits>)>>,
    words: OnceLock<Arc<Words>>,
    words_turn: Mutex<()>,
    /// `None` inside: one was built and found too little.
    graph: OnceLock<Option<Graph>>,
    n_scans: AtomicU32,
}

impl Segment {
    /// A segment of these rows.
    pub fn new(mut parts: SegmentParts, reader: Box<dyn RowReader>) -> Self {
        parts.ids.shrink_to_fit();
        parts.units.shrink_to_fit();
        parts.codes.shrink_to_fit();
        parts.metadata.shrink_to_fit();
        let mut by_id: Vec<u32> = (0..parts.ids.len() as u32).collect();
        // Stable: of one id put twice the later row comes later.
        by_id.sort_by_key(|row| parts.ids[*row as usize]);
        let (masks, words) = (Mutex::default(), OnceLock::new());
        let (words_turn, graph, n_scans) = (Mutex::new(()), OnceLock::new(), AtomicU32::new(0));
        Self { parts, by_id, reader, masks, words, words_turn, graph, n_scans }
    }

    /// Rows, dead ones among them.
    pub fn n_rows(&self) -> usize {
        self.parts.ids.len()
    }

    /// About the memory that its rows take, without what searches add.
    pub fn n_bytes(&self) -> usize {
        const PER_ROW: usize = size_of::<Uuid>() + size_of::<usize>() + size_of::<u32>();
        let numbers = self.parts.units.len() * size_of::<f32>() + self.parts.codes.n_bytes();
        numbers + self.parts.metadata.len() + self.n_rows() * PER_ROW
    }

    /// Id of a row.
    pub fn id(&self, row: usize) -> Uuid {
        self.parts.ids[row]
    }

    /// Rows of an id in the order in which they were put: several, where one
    /// upsert put it more than once.
    pub fn rows_of(&self, id: Uuid) -> impl DoubleEndedIterator<Item = usize> {
        let from = self.by_id.partition_point(|row| self.id(*row as usize) < id);
        let same = self.by_id[from..].iter().map(|row| *row as usize);
        let n_same = same.clone().take_while(|row| self.id(*row) == id).count();
        self.by_id[from..from + n_same].iter().map(|row| *row as usize)
    }

    /// Rows that a later row of the same id replaces.
    pub fn replaced_within(&self) -> impl Iterator<Item = usize> {
        let pairs = self.by_id.windows(2);
        pairs
            .filter(|pair| self.id(pair[0] as usize) == self.id(pair[1] as usize))
            .map(|pair| pair[0] as usize)
    }

    /// All vectors one after the other, of length 1.
    pub(super) fn units(&self) -> &[f32] {
        &self.parts.units
    }

    /// How near each row can be at most.
    pub(super) fn codes(&self) -> &Codes {
        &self.parts.codes
    }

    fn all_units(&self) -> Units<'_> {
        let n_dimensions = self.parts.units.len() / self.n_rows().max(1);
        Units { all: &self.parts.units, n_dimensions }
    }

    /// The rows nearest to a question by the graph, best first; `None` where
    /// there is no graph to ask.
    pub(super) fn by_graph(&self, question: &[f32], k: usize) -> Option<Vec<usize>> {
        if k > MAX_GRAPH_HITS {
            return None;
        }
        let Some(graph) = self.graph.get() else {
            self.n_scans.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let near = graph.as_ref()?.search(self.all_units(), question, GRAPH_WIDTH.max(4 * k));
        Some(near.into_iter().map(|near| near.row as usize).collect())
    }

    /// Whether searches have taken so long together that a graph pays.
    pub fn wants_graph(&self) -> bool {
        self.n_rows() >= MIN_GRAPH_ROWS
            && self.n_scans.load(Ordering::Relaxed) >= SCANS_BEFORE_GRAPH
            && self.graph.get().is_none()
    }

    /// Builds the graph, for a minute or more, as long as `keep_going` says
    /// so; whether it is good enough to be used from now on.
    pub fn build_graph(&self, keep_going: impl Fn() -> bool) -> bool {
        if self.graph.get().is_none()
            && let Some(graph) = Graph::build(self.all_units(), keep_going)
        {
            let is_good = graph.is_good(self.all_units(), GRAPH_WIDTH);
            // Somebody else's is as good.
            let _ = self.graph.set(is_good.then_some(graph));
        }
        matches!(self.graph.get(), Some(Some(_)))
    }

    /// Metadata of a row, as JSON.
    pub fn metadata_json(&self, row: usize) -> &str {
        let from = row.checked_sub(1).map_or(0, |before| self.parts.metadata_ends[before]);
        &self.parts.metadata[from..self.parts.metadata_ends[row]]
    }

    /// Metadata of a row.
    pub(super) fn metadata(&self, row: usize) -> Map<String, Value> {
        serde_json::from_str(self.metadata_json(row)).unwrap_or_default()
    }

    /// What is not in memory.
    pub fn reader(&self) -> &dyn RowReader {
        self.reader.as_ref()
    }

    /// Rows that a filter lets through; read once for the filters used last.
    pub(super) fn mask(&self, filter: &Filter) -> Arc<Bits> {
        let mut masks = self.masks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = masks.iter().position(|(text, _)| **text == *filter.text())
            && let Some(found) = masks.remove(at)
        {
            let mask = found.1.clone();
            masks.push_front(found);
            return mask;
        }
        drop(masks);
        let mut mask = Bits::none(self.n_rows());
        for row in 0..self.n_rows() {
            if filter.lets_through(&self.metadata(row)) {
                mask.insert(row);
            }
        }
        let mask = Arc::new(mask);
        let mut masks = self.masks.lock().unwrap_or_else(PoisonError::into_inner);
        masks.push_front((filter.text().into(), mask.clone()));
        masks.truncate(MAX_MASKS);
        mask
    }

    /// Rows of this chat and those of none.
    pub(super) fn of_chat(&self, chat: &str) -> Bits {
        let mut rows = Bits::none(self.n_rows());
        let mut of_others = Bits::none(self.n_rows());
        for (of, theirs) in &self.parts.chats {
            let rows = if of == chat { &mut rows } else { &mut of_others };
            theirs.iter().for_each(|row| {
                rows.insert(*row as usize);
            });
        }
        for row in 0..self.n_rows() {
            if !of_others.contains(row) {
                rows.insert(row);
            }
        }
        rows
    }

    /// Whether all rows are for every chat.
    pub(super) fn is_for_all_chats(&self) -> bool {
        self.parts.n_of_a_chat == 0
    }

    /// Whether a search by words has read them.
    pub(super) fn has_words(&self) -> bool {
        self.words.get().is_some()
    }

    /// The words of all contents, read at the first search by words.
    ///
    /// # Errors
    /// When a content cannot be read.
    pub(super) fn words(&self) -> Result<Arc<Words>, NodeError> {
        if let Some(words) = self.words.get() {
            return Ok(words.clone());
        }
        let _turn = self.words_turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(words) = self.words.get() {
            return Ok(words.clone());
        }
        let contents = (0..self.n_rows()).map(|row| self.reader.content(row));
        let words = Arc::new(Words::of(contents)?);
        Ok(self.words.get_or_init(|| words).clone())
    }
}
