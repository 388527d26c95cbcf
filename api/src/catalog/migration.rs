//! Forward-only changes of the schema, in the order of their numbers, and which programs may work with what they leave.
//!
//! The schema that a program knows is the number of its last step. Every step says what the oldest schema is whose programs
//! go on working after it; that is recorded with it. So programs of two versions share a database while servers are
//! replaced one by one: the new one applies a step that only adds something, and the old ones neither mind nor refuse to
//! start. ARCHITECTURE.md has the rules for such steps.

use super::{CatalogError, Result};

/// One step; what is released is never edited again.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    pub number: i64,
    pub name: &'static str,
    pub sql: &'static str,
    /// The oldest schema whose programs work with the database after this step: the number of the step itself where only
    /// programs do that know it.
    pub compatible_from: i64,
}

/// A step that a database has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) number: i64,
    pub(super) compatible_from: i64,
}

/// Number of the last step, which is the schema of a program that knows these.
pub(super) fn schema(known: &[Migration]) -> i64 {
    known.last().map_or(0, |step| step.number)
}

/// The steps of `known` that a database with the `recorded` ones still lacks. Steps that this program does not know were
/// applied by a newer one; they are refused unless they say that programs like this one work with them.
pub(super) fn missing<'a>(known: &'a [Migration], recorded: &[Recorded]) -> Result<&'a [Migration]> {
    let matching = known.iter().zip(recorded).take_while(|(step, seen)| step.number == seen.number).count();
    if matching < recorded.len().min(known.len()) {
        let numbers: Vec<i64> = recorded.iter().map(|seen| seen.number).collect();
        return Err(CatalogError::Schema(format!(
            "the database has seen the steps {numbers:?}, of which this program knows the first {matching} and then another one"
        )));
    }
    for seen in &recorded[matching..] {
        check(known, seen.compatible_from)?;
    }
    Ok(&known[matching..])
}

/// Whether a program that knows these steps works with a database that wants `compatible_from`.
pub(super) fn check(known: &[Migration], compatible_from: i64) -> Result<()> {
    let own = schema(known);
    if compatible_from <= own {
        return Ok(());
    }
    Err(CatalogError::Schema(format!(
        "a newer program has changed the database, which works with programs of schema {compatible_from} and later now; this \
         one has schema {own}: start the newer version"
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const fn step(number: i64) -> Migration {
        Migration { number, name: "a step", sql: "", compatible_from: number }
    }

    fn numbers(known: &[Migration], recorded: &[(i64, i64)]) -> Result<Vec<i64>> {
        let recorded: Vec<_> =
            recorded.iter().map(|&(number, compatible_from)| Recorded { number, compatible_from }).collect();
        missing(known, &recorded).map(|steps| steps.iter().map(|step| step.number).collect())
    }

    #[test]
    fn only_what_is_missing_is_applied_and_what_does_not_fit_is_refused() {
        let known = [step(1), step(2), step(3)];
        assert_eq!(numbers(&known, &[]).unwrap(), [1, 2, 3]);
        assert_eq!(numbers(&known, &[(1, 1), (2, 2)]).unwrap(), [3]);
        assert_eq!(numbers(&known, &[(1, 1), (2, 2), (3, 3)]).unwrap(), [0; 0]);
        let forked = numbers(&known, &[(1, 1), (3, 1)]).unwrap_err().to_string();
        assert!(forked.contains("[1, 3]") && forked.contains("first 1"), "{forked}");
    }

    #[test]
    fn a_newer_database_is_taken_where_it_says_so() {
        let known = [step(1), step(2), step(3)];
        let all = [(1, 1), (2, 2), (3, 3)];
        assert_eq!(numbers(&known, &[&all[..], &[(4, 3), (5, 1)]].concat()).unwrap(), [0; 0]);
        for later in [&[(4, 4)][..], &[(4, 3), (5, 4)], &[(4, 4), (5, 1)]] {
            let refused = numbers(&known, &[&all[..], later].concat()).unwrap_err().to_string();
            assert!(refused.contains("schema 4") && refused.contains("schema 3"), "{refused}");
        }
    }
}
