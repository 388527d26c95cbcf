//! Forward-only changes of the schema, in the order of their numbers.

use super::{CatalogError, Result};

/// One step; what is released is never edited again.
pub(super) struct Migration {
    pub(super) number: i64,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

/// The steps of `known` that a database with the `recorded` numbers still lacks. A database that has seen a step this
/// program does not know is refused: a newer program owns it.
pub(super) fn missing<'a>(known: &'a [Migration], recorded: &[i64]) -> Result<&'a [Migration]> {
    let matching = known.iter().zip(recorded).take_while(|(step, number)| step.number == **number).count();
    if matching < recorded.len() {
        return Err(CatalogError::Internal {
            operation: "migrate",
            detail: format!(
                "the database has seen the migrations {recorded:?}, of which this program knows the first {matching}; a newer program must open it"
            ),
        });
    }
    Ok(&known[matching..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_is_missing_is_applied_and_the_unknown_is_refused() {
        let known = [1, 2, 3].map(|number| Migration { number, name: "a step", sql: "" });
        let numbers = |recorded: &[i64]| {
            missing(&known, recorded).map(|steps| steps.iter().map(|s| s.number).collect::<Vec<_>>())
        };
        assert_eq!(numbers(&[]).unwrap(), [1, 2, 3]);
        assert_eq!(numbers(&[1, 2]).unwrap(), [3]);
        assert_eq!(numbers(&[1, 2, 3]).unwrap(), [0; 0]);
        assert!(numbers(&[1, 2, 3, 4]).is_err());
        assert!(numbers(&[1, 3]).is_err());
    }
}
