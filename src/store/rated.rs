//! Messages together with what people said about them.

use parlor_schemas::feedback::{Feedback, Rating};
use parlor_schemas::{ChatMessage, ChatflowId, MessageFilter};
use serde_json::{Value, json};

use super::error::StoreError;
use super::listings::RowPageQuery;
use super::messages::{MessagePage, MessageQuery, Order};
use super::{History, Store};

/// Rows that are read at once.
const PAGE: usize = 500;

/// How many messages a filter means, and how they were rated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageStats {
    /// Messages.
    pub n_messages: u64,
    /// Of these, those with feedback.
    pub n_rated: u64,
    /// Of these, those with a thumb up.
    pub n_positive: u64,
}

impl Store {
    /// One page of a chatflow's messages, with their feedback where the query
    /// wants it.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn messages(
        &self,
        chatflow: ChatflowId,
        query: MessageQuery,
    ) -> Result<MessagePage, StoreError> {
        let with_feedback = query.with_feedback;
        let mut page = self.history().messages(chatflow, query).await?;
        if with_feedback {
            self.add_feedback(&mut page.messages).await?;
        }
        Ok(page)
    }

    /// Puts its feedback, or `null`, beside each message.
    async fn add_feedback(&self, messages: &mut [ChatMessage]) -> Result<(), StoreError> {
        let ids = messages.iter().map(|message| message.id).collect();
        for (message, row) in messages.iter_mut().zip(self.feedback().of_messages(ids).await?) {
            message.feedback = Some(row.map_or(Value::Null, |row| json!(row)));
        }
        Ok(())
    }

    /// The answers with one of these ratings that the filter means, each after
    /// its question where that is meant too, by date.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn rated(
        &self,
        chatflow: ChatflowId,
        filter: &MessageFilter,
        ratings: &[Rating],
        order: Order,
    ) -> Result<Vec<ChatMessage>, StoreError> {
        let mut found = Vec::new();
        self.each_exchange(chatflow, filter, ratings, |messages| found.extend(messages)).await?;
        found.sort_by_key(|message| message.created_date);
        if order == Order::Descending {
            found.reverse();
        }
        self.add_feedback(&mut found).await?;
        Ok(found)
    }

    /// Counts the messages that a filter means; with ratings, as [`Self::rated`]
    /// finds them.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn message_stats(
        &self,
        chatflow: ChatflowId,
        filter: MessageFilter,
        ratings: &[Rating],
    ) -> Result<MessageStats, StoreError> {
        let mut n_messages = 0;
        let counting = |messages: Vec<ChatMessage>| n_messages += messages.len() as u64;
        let mut stats = self.each_exchange(chatflow, &filter, ratings, counting).await?;
        stats.n_messages = match ratings {
            [] => count(self.history(), chatflow, filter).await?,
            _ => n_messages,
        };
        Ok(stats)
    }

    /// Hands on each message with one of these ratings, or with any feedback
    /// where none is named, after the question that led to it, as far as the
    /// filter means them. Counts the ratings, not all messages.
    async fn each_exchange(
        &self,
        chatflow: ChatflowId,
        filter: &MessageFilter,
        ratings: &[Rating],
        mut take: impl FnMut(Vec<ChatMessage>),
    ) -> Result<MessageStats, StoreError> {
        let mut stats = MessageStats::default();
        let is_wanted = |row: &Feedback| {
            ratings.is_empty() || row.rating.is_some_and(|own| ratings.contains(&own))
        };
        for row in self.feedback_rows(chatflow, filter).await?.into_iter().filter(is_wanted) {
            let turn = self.history().exchange_of(row.message_id).await?;
            let is_meant =
                |message: &ChatMessage| message.id == row.message_id && filter.matches(message);
            if turn.iter().any(is_meant) {
                stats.n_rated += 1;
                stats.n_positive += u64::from(row.rating == Some(Rating::ThumbsUp));
                take(turn.into_iter().filter(|message| filter.matches(message)).collect());
            }
        }
        Ok(stats)
    }

    async fn feedback_rows(
        &self,
        chatflow: ChatflowId,
        filter: &MessageFilter,
    ) -> Result<Vec<Feedback>, StoreError> {
        let mut rows = Vec::new();
        let mut query = RowPageQuery { limit: PAGE, ..RowPageQuery::default() };
        loop {
            let page = self.feedback().page(chatflow, filter.chat.clone(), query).await?;
            rows.extend(page.rows);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(rows),
            }
        }
    }
}

async fn count(
    history: &History,
    chatflow: ChatflowId,
    filter: MessageFilter,
) -> Result<u64, StoreError> {
    let mut n_messages = 0;
    let mut query = MessageQuery { filter, limit: PAGE, ..MessageQuery::default() };
    loop {
        let page = history.messages(chatflow, query.clone()).await?;
        n_messages += page.messages.len() as u64;
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(n_messages),
        }
    }
}
