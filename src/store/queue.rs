//! The way to the writer: what it can be asked for, and how an answer comes
//! back. Many threads hold the one end, the writer alone the other.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use parlor_actors::ports::Append;
use parlor_schemas::{ChatflowId, MessageFilter, SessionKey, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::error::StoreError;
use super::intake::ImportedTurn;
use super::mark::Mark;
use super::rows::Changes;

/// Jobs that may wait; who comes later waits for a place.
const MAX_WAITING: usize = 4096;

/// What the writer can be asked for.
#[derive(Debug)]
pub(super) enum Job {
    /// Store one turn. Answers 0.
    Append(Append),
    /// Delete a conversation. Answers the number of messages deleted.
    Forget(SessionKey),
    /// Delete all conversations of a chatflow. Answers the number of messages deleted.
    ForgetChatflow(ChatflowId),
    /// Delete the messages of a chatflow that are meant. Answers their number.
    ForgetMessages(ChatflowId, MessageFilter),
    /// Delete a slice of the remembered answers up to a moment. Answers their
    /// number; 0 when none is left.
    ForgetAnswers(Timestamp),
    /// Store turns that came from elsewhere, but for messages whose ids are
    /// here already. Answers the number of messages stored.
    Import(Vec<ImportedTurn>),
    /// Note this point in time for a backup. Answers 0.
    Mark(Arc<Mark>),
    /// Change rows of another tree, synced whatever the durability. Answers 0.
    ChangeRows {
        /// The tree.
        tree: &'static str,
        /// The rows.
        changes: Changes,
    },
}

/// The writer's answer.
pub(super) type Answer = Result<u64, StoreError>;

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum Reply {
    /// To a task.
    Task(oneshot::Sender<Answer>),
    /// To a thread that blocks.
    Thread(SyncSender<Answer>),
}

impl Reply {
    pub fn send(self, answer: Answer) {
        // Nobody waits any more when the asker left; the work stays done.
        match self {
            Self::Task(asker) => drop(asker.send(answer)),
            Self::Thread(asker) => drop(asker.try_send(answer)),
        }
    }
}

/// A job with its way back.
#[derive(Debug)]
pub(super) struct Queued {
    pub job: Job,
    pub reply: Reply,
    _place: Option<OwnedSemaphorePermit>,
}

/// The askers' end. Closing it lets the writer finish what waits and end.
#[derive(Debug)]
pub(super) struct Queue {
    sender: Mutex<Option<Sender<Queued>>>,
    places: Arc<Semaphore>,
}

impl Queue {
    pub fn new() -> (Self, Receiver<Queued>) {
        let (sender, receiver) = channel();
        let places = Arc::new(Semaphore::new(MAX_WAITING));
        (Self { sender: Mutex::new(Some(sender)), places }, receiver)
    }

    /// Asks from a task, which waits without blocking its thread.
    pub async fn ask(&self, job: Job) -> Answer {
        let place = self.places.clone().acquire_owned().await;
        let place = place.map_err(|_| StoreError::Closed)?;
        let (sender, receiver) = oneshot::channel();
        self.put(Queued { job, reply: Reply::Task(sender), _place: Some(place) })?;
        receiver.await.unwrap_or(Err(StoreError::NotStored))
    }

    /// Asks from a thread that may block.
    pub fn ask_blocking(&self, job: Job) -> Answer {
        let (sender, receiver) = sync_channel(1);
        self.put(Queued { job, reply: Reply::Thread(sender), _place: None })?;
        receiver.recv().unwrap_or(Err(StoreError::NotStored))
    }

    /// No more jobs from here on.
    pub fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn put(&self, queued: Queued) -> Result<(), StoreError> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.as_ref().ok_or(StoreError::Closed)?;
        sender.send(queued).map_err(|_| StoreError::Closed)
    }
}
