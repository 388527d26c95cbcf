//! The expression language of searches (api.md 4.12): text to tree, tree to text, and what the tree means for assets
//! and for folders. Knows no SQL and no HTTP.

mod ast;
mod fields;
mod filter;
mod folders;
mod lexer;
mod literal;
mod parser;
mod words;

pub use ast::{Comparison, Expression, Field, Position, Test, Text};
pub use fields::{NumberColumn, SortColumn, TextColumn};
pub use filter::{Filter, LabelKind, Scope, TextTest};
pub use folders::FolderFilter;
pub use parser::parse;
pub use words::{MAX_WORD_CHARS, words_of};

/// Longest expression, in characters.
pub const MAX_CHARS: usize = 10_000;
/// Deepest nesting of parentheses and negations.
pub const MAX_DEPTH: usize = 50;
/// Most terms and conditions of one expression.
pub const MAX_TERMS: usize = 100;

/// One end of a range of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextEdge {
    pub value: String,
    pub inclusive: bool,
}

/// An expression that cannot be read, or not be answered. `position` counts characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Query Error (at position {position}){}", detail(.reason))]
pub struct QueryError {
    pub position: usize,
    /// What is wrong, where more than the place can be said; else empty.
    pub reason: String,
}

fn detail(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

impl QueryError {
    fn at(position: usize) -> Self {
        QueryError { position, reason: String::new() }
    }

    fn because(position: usize, reason: impl Into<String>) -> Self {
        QueryError { position, reason: reason.into() }
    }
}
