//! The words of a text, as they are indexed and looked for.

use std::collections::BTreeMap;

/// Each with how often it is there.
pub(super) fn counted(text: &str) -> BTreeMap<String, i64> {
    let mut words = BTreeMap::new();
    for word in text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
    {
        *words.entry(as_indexed(word)).or_default() += 1;
    }
    words
}

pub(super) fn as_indexed(word: &str) -> String {
    word.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_whatever_is_between_them() {
        let words = counted("Amber, amber; ÖL -- 2 öl");
        let words: Vec<_> = words.iter().map(|(word, times)| (word.as_str(), *times)).collect();
        assert_eq!(words, [("2", 1), ("amber", 2), ("öl", 2)]);
    }
}
