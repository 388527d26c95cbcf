//! What can go wrong with the server's records. Knows no HTTP.

/// Failure of a catalog query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// A row that the query builds on does not exist: the cloud of a new asset.
    #[error("{0} does not exist")]
    NotFound(&'static str),
    /// Something unique is taken.
    #[error("{0} is taken")]
    Conflict(&'static str),
    /// A value that the catalog cannot hold: a text with a NUL character, a number beyond 63 bits.
    #[error("{what} cannot be recorded: {reason}")]
    Invalid { what: &'static str, reason: &'static str },
    /// The database cannot be reached, is full or too busy; the same query may succeed later.
    #[error("the catalog is unavailable: {0}")]
    Unavailable(String),
    /// Transactions got into each other's way, and this one was undone: at once again, it may succeed. What comes out of the
    /// catalog is [`CatalogError::Unavailable`], after some tries.
    #[error("transactions got into each other's way: {0}")]
    Contended(String),
    /// What is recorded breaks a rule of its type.
    #[error("the catalog is corrupt: {0}")]
    Corrupt(String),
    /// The encryption key is not the one that this catalog's secrets were written with.
    #[error("the encryption key does not belong to this catalog: {0}")]
    WrongKey(String),
    /// The schema is not one that this program works with.
    #[error("the schema of the catalog does not fit this program: {0}")]
    Schema(String),
    #[error("the catalog failed to {operation}: {detail}")]
    Internal { operation: &'static str, detail: String },
}
