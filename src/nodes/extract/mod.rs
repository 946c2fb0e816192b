//! The text of files. Placeholder.
