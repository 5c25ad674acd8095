//! The line of a mistake in a schema file. The spans do not contain it: all tokens of a text that a
//! macro parses have the place of the derive. So the tokens before the mistake are searched for in
//! the text.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Returns the tokens as text, with delimiters and without doc comments.
pub(crate) fn words(tokens: TokenStream) -> Vec<String> {
    let mut words = Vec::new();
    collect(tokens, &mut words);
    words
}

fn collect(tokens: TokenStream, words: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' && tokens.next_if(is_doc).is_some() => {}
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                words.push(open.to_owned());
                collect(group.stream(), words);
                words.push(close.to_owned());
            }
            token => words.push(token.to_string()),
        }
    }
}

fn is_doc(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else { return false };
    matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(name)) if name == "doc")
}

/// Returns the line of the word at `place` of an item in the text. Returns `None` if the text
/// differs from the words: for `#[doc = "…"]`, or a comment inside another.
pub(crate) fn line(text: &str, words: &[String], place: usize) -> Option<usize> {
    let (before, word) = (words.get(..place)?, words.get(place)?);
    text.match_indices(words.first()?.as_str()).find_map(|(start, _)| {
        let rest =
            before.iter().try_fold(&text[start..], |rest, word| Some(trim(rest.strip_prefix(word.as_str())?)))?;
        let before = text.strip_suffix(rest)?;
        rest.starts_with(word.as_str()).then(|| before.matches('\n').count() + 1)
    })
}

/// Returns the text after white space and comments.
fn trim(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        let end = if text.starts_with("//") {
            "\n"
        } else if text.starts_with("/*") {
            "*/"
        } else {
            return text;
        };
        text = text.find(end).map_or("", |at| &text[at + end.len()..]);
    }
}
