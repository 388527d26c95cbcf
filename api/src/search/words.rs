//! What a word is, in the texts of assets and in queries alike.

/// Longest word, in characters: longer ones are cut.
pub const MAX_WORD_CHARS: usize = 64;
/// Most words of one text.
pub const MAX_WORDS: usize = 500;

/// The words of a text: runs of letters and digits in lower case.
pub fn words_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(|word| word.chars().flat_map(char::to_lowercase).take(MAX_WORD_CHARS).collect())
}
