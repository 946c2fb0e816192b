//! A search over a snapshot: by vector, or by vector and words with the ranks
//! fused. Blocks and computes; call it off the arbiters.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::bits::Bits;
use super::codes::Question;
use super::filter::Filter;
use super::scan::{Best, Candidate, Stretch, dot, extend_unit};
use super::snapshot::{Live, Place, Snapshot};
use super::words::{Posting, Words};
use crate::bm25;
use crate::error::NodeError;
use crate::retrieval::{Document, Hit, QueryKind, VectorQuery};

/// Fusion by reciprocal rank: a rank counts `1 / (60 + rank)` (Cormack, Clarke
/// and Buettcher, 2009).
const FUSION: f64 = 60.0;
/// Candidates of each kind that are fused, for every hit that is wanted.
const FUSED_PER_HIT: usize = 4;
const MIN_FUSED: usize = 100;
/// Numbers under which a second thread costs more than it brings; tests split
/// everything.
const MIN_NUMBERS_TO_SPLIT: usize = if cfg!(test) { 1 } else { 4_000_000 };

/// A search that owns what it needs, so that it can move to another thread.
#[derive(Debug, Clone)]
pub struct Search {
    unit: Vec<f32>,
    coarse: Question,
    text: String,
    k: usize,
    filter: Option<Filter>,
    chat: Option<String>,
    with_vectors: bool,
    kind: QueryKind,
}

impl Search {
    /// Reads a query.
    ///
    /// # Errors
    /// [`NodeError::BadRequest`] for a filter that cannot be read or a vector
    /// that holds no numbers.
    pub fn new(query: &VectorQuery<'_>) -> Result<Self, NodeError> {
        if !query.vector.iter().all(|x| x.is_finite()) {
            let problem = "the question's vector holds something that is no number";
            return Err(NodeError::BadRequest(problem.to_owned()));
        }
        let mut unit = Vec::with_capacity(query.vector.len());
        extend_unit(&mut unit, query.vector);
        Ok(Self {
            coarse: Question::of(&unit),
            unit,
            text: query.text.to_owned(),
            k: query.k.max(1),
            filter: query.filter.map(Filter::parse).transpose()?,
            chat: query.chat.map(|chat| chat.as_str().to_owned()),
            with_vectors: query.with_vectors,
            kind: query.kind,
        })
    }

    /// Whether it asks for words: they must be read before it
    /// ([`Snapshot::read_words`]), or it reads them itself, which takes long.
    pub fn needs_words(&self) -> bool {
        self.kind == QueryKind::Hybrid
    }

    /// Length of the question's vector.
    pub fn n_dimensions(&self) -> usize {
        self.unit.len()
    }
}

impl Snapshot {
    /// Whether a search over all rows is faster on two threads.
    pub fn is_worth_splitting(&self) -> bool {
        let n_rows: usize = self.segments.iter().map(|live| live.segment.n_rows()).sum();
        n_rows.saturating_mul(self.n_dimensions) >= MIN_NUMBERS_TO_SPLIT
    }

    /// The hits, best first. `Hit::score` is the cosine, also where words
    /// decided over the order. Uses a second thread where `may_split` and it pays.
    ///
    /// # Errors
    /// When a content cannot be read.
    pub fn search(&self, search: &Search, may_split: bool) -> Result<Vec<Hit>, NodeError> {
        if self.n_dimensions != search.n_dimensions() {
            return Ok(Vec::new());
        }
        let masks: Vec<_> = self.segments.iter().map(|live| mask(live, search)).collect();
        let view = View { snapshot: self, search, masks: &masks };
        let places = match search.kind {
            QueryKind::Similarity => view.nearest(search.k, may_split),
            QueryKind::Hybrid => view.fused(may_split)?,
        };
        places.into_iter().map(|place| view.hit(place)).collect()
    }
}

/// The rows of a segment that a search may find; all without one.
fn mask(live: &Live, search: &Search) -> Option<Bits> {
    let filtered = search.filter.as_ref().map(|filter| live.segment.mask(filter));
    let chat = search.chat.as_ref().filter(|_| !live.segment.is_for_all_chats());
    match (filtered, chat.map(|chat| live.segment.of_chat(chat))) {
        (None, None) => None,
        (Some(filtered), None) => Some((*filtered).clone()),
        (None, Some(of_chat)) => Some(of_chat),
        (Some(filtered), Some(mut both)) => {
            both.intersect(&filtered);
            Some(both)
        }
    }
}

/// The rows that have a term and are alive.
fn alive<'a>(
    live: &'a Live,
    words: &'a Words,
    term: &bm25::Term,
) -> impl Iterator<Item = &'a Posting> {
    words.rows_with(term).iter().filter(|held| !live.dead.contains(held.row as usize))
}

/// A snapshot as one search sees it.
struct View<'a> {
    snapshot: &'a Snapshot,
    search: &'a Search,
    masks: &'a [Option<Bits>],
}

impl<'a> View<'a> {
    fn stretch(&self, at: usize, rows: Range<usize>) -> Stretch<'a> {
        let live = &self.snapshot.segments[at];
        let mask = self.masks[at].as_ref();
        Stretch { segment: &live.segment, at, rows, dead: &live.dead, mask }
    }

    fn stretches(&self) -> Vec<Stretch<'a>> {
        let all = self.snapshot.segments.iter().enumerate();
        all.map(|(at, live)| self.stretch(at, 0..live.segment.n_rows())).collect()
    }

    /// By graph where there is one, by looking at every row otherwise.
    fn nearest(&self, k: usize, may_split: bool) -> Vec<Place> {
        let mut best = Best::of(k);
        let mut stretches = self.stretches();
        stretches.retain(|stretch| !self.ask_graph(stretch, k, &mut best));
        let n_rows: usize = stretches.iter().map(|stretch| stretch.rows.len()).sum();
        if may_split && n_rows.saturating_mul(self.search.unit.len()) >= MIN_NUMBERS_TO_SPLIT {
            let (here, there) = self.halves(stretches, n_rows / 2);
            std::thread::scope(|scope| {
                let other = scope.spawn(|| {
                    let mut best = Best::of(k);
                    self.scan(&there, &mut best);
                    best
                });
                self.scan(&here, &mut best);
                match other.join() {
                    Ok(theirs) => best.merge(theirs),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            });
        } else {
            self.scan(&stretches, &mut best);
        }
        best.into_sorted().into_iter().map(|found| found.place).collect()
    }

    fn scan(&self, stretches: &[Stretch<'_>], best: &mut Best) {
        let Search { unit, coarse, .. } = self.search;
        stretches.iter().for_each(|stretch| stretch.search(unit, coarse, best));
    }

    /// False where the graph does not know enough rows that may be found.
    fn ask_graph(&self, stretch: &Stretch<'_>, k: usize, best: &mut Best) -> bool {
        let Some(mut rows) = stretch.segment.by_graph(&self.search.unit, k) else { return false };
        rows.retain(|row| stretch.is_open(*row));
        if rows.len() < k {
            return false;
        }
        for row in rows.into_iter().take(k) {
            let place = Place { segment: stretch.at, row };
            let score = f64::from(dot(&self.search.unit, self.unit(place)));
            best.take(Candidate { score, id: stretch.segment.id(row), place });
        }
        true
    }

    fn unit(&self, Place { segment, row }: Place) -> &'a [f32] {
        let n = self.search.unit.len();
        &self.snapshot.segments[segment].segment.units()[row * n..(row + 1) * n]
    }

    /// The first `n_first` rows and the others.
    fn halves(
        &self,
        all: Vec<Stretch<'a>>,
        n_first: usize,
    ) -> (Vec<Stretch<'a>>, Vec<Stretch<'a>>) {
        let (mut first, mut others, mut n_left) = (Vec::new(), Vec::new(), n_first);
        for stretch in all {
            let cut = stretch.rows.len().min(n_left);
            n_left -= cut;
            let middle = stretch.rows.start + cut;
            first.push(self.stretch(stretch.at, stretch.rows.start..middle));
            others.push(self.stretch(stretch.at, middle..stretch.rows.end));
        }
        (first, others)
    }

    /// The best by words (BM25 over all that is alive).
    fn by_words(&self, k: usize) -> Result<Vec<Place>, NodeError> {
        let segments = &self.snapshot.segments;
        let words = segments.iter().map(|live| live.segment.words());
        let words: Vec<_> = words.collect::<Result<_, NodeError>>()?;
        let scores = self.word_scores(&words);
        let mut best = Best::of(k);
        for (at, scores) in scores.iter().enumerate() {
            let stretch = self.stretch(at, 0..scores.len());
            for (row, score) in scores.iter().copied().enumerate() {
                if score > 0.0 && best.may_take(score) && stretch.is_open(row) {
                    let (id, place) = (segments[at].segment.id(row), Place { segment: at, row });
                    best.take(Candidate { score, id, place });
                }
            }
        }
        Ok(best.into_sorted().into_iter().map(|found| found.place).collect())
    }

    /// A score for each row of each segment, 0 for one that has none of the words.
    fn word_scores(&self, words: &[Arc<Words>]) -> Vec<Vec<f64>> {
        let segments = &self.snapshot.segments;
        let n_alive = self.snapshot.n_alive();
        let all = segments.iter().zip(words);
        let n_words = all
            .clone()
            .flat_map(|(live, words)| live.alive().map(|row| u64::from(words.n_words(row))));
        let mean = n_words.sum::<u64>() as f64 / n_alive.max(1) as f64;
        let mut scores: Vec<_> =
            segments.iter().map(|live| vec![0.0; live.segment.n_rows()]).collect();
        for term in bm25::terms(&self.search.text) {
            let n_with = all.clone().map(|(live, words)| alive(live, words, &term).count()).sum();
            let weight = term.weight(n_with, n_alive);
            for ((live, words), scores) in all.clone().zip(&mut scores) {
                for held in alive(live, words, &term) {
                    let row = held.row as usize;
                    scores[row] += bm25::gain(weight, held.count, words.n_words(row), mean);
                }
            }
        }
        scores
    }

    /// The ranks by vector and by words, fused.
    fn fused(&self, may_split: bool) -> Result<Vec<Place>, NodeError> {
        let n_fused = self.search.k.saturating_mul(FUSED_PER_HIT).max(MIN_FUSED);
        let lists = [self.nearest(n_fused, may_split), self.by_words(n_fused)?];
        let mut scores: HashMap<Place, f64> = HashMap::new();
        for list in &lists {
            for (rank, place) in list.iter().enumerate() {
                *scores.entry(*place).or_default() += 1.0 / (FUSION + 1.0 + rank as f64);
            }
        }
        // Of equal ranks the nearer one comes first: a stable sort of the lists' order.
        let mut seen = HashSet::new();
        let mut places: Vec<Place> = lists.concat();
        places.retain(|place| seen.insert(*place));
        places.sort_by(|a, b| scores[b].total_cmp(&scores[a]));
        places.truncate(self.search.k);
        Ok(places)
    }

    fn hit(&self, place: Place) -> Result<Hit, NodeError> {
        let Place { segment, row } = place;
        let segment = &self.snapshot.segments[segment].segment;
        let content = segment.reader().content(row)?;
        let vector = self.search.with_vectors.then(|| segment.reader().vector(row)).transpose()?;
        Ok(Hit {
            id: segment.id(row),
            document: Document::new(content, segment.metadata(row)),
            score: dot(&self.search.unit, self.unit(place)),
            vector,
        })
    }
}
