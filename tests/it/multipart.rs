//! Multipart predictions.
