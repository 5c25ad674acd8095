//! On which line of a file a mistake is, for `table_macro`. The spans do not tell: all tokens that the compiler makes of a text
//! have the place of the derive. So the tokens up to the mistake are looked for in the text.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The tokens as they are written, delimiters among them, but for doc comments.
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

/// The line of the word at `place` among those of an item that is in the text. `None` where the text says it in other words: with
/// `#[doc = "…"]`, or a comment inside another.
pub(crate) fn line(text: &str, words: &[String], place: usize) -> Option<usize> {
    let (before, word) = (words.get(..place)?, words.get(place)?);
    text.match_indices(words.first()?.as_str()).find_map(|(start, _)| {
        let rest =
            before.iter().try_fold(&text[start..], |rest, word| Some(trim(rest.strip_prefix(word.as_str())?)))?;
        let before = text.strip_suffix(rest)?;
        rest.starts_with(word.as_str()).then(|| before.matches('\n').count() + 1)
    })
}

/// The text after space and comments.
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
