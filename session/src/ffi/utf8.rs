//! Text out of bytes. Not C, but `unsafe` too, and therefore in this folder.

#![allow(unsafe_code)]

/// The bytes as text, if they are UTF-8. What is ASCII, as most of it is, is seen a word at a time; std goes byte by byte where
/// a text is short, which took half of the time of reading typed rows.
#[inline(always)]
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    if bytes.is_ascii() {
        // SAFETY: ASCII is UTF-8.
        return Some(unsafe { core::str::from_utf8_unchecked(bytes) });
    }
    core::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn text_is_what_std_takes_for_it() {
        for bytes in [&b""[..], b"a", b"plain text, longer than a word or two", "Zoë".as_bytes(), "日本語".as_bytes()]
        {
            assert_eq!(text(bytes), core::str::from_utf8(bytes).ok());
            for cut in 0..bytes.len() {
                assert_eq!(text(&bytes[cut..]), core::str::from_utf8(&bytes[cut..]).ok());
                let mut broken = bytes.to_vec();
                broken[cut] = 0xff;
                assert_eq!(text(&broken), None);
            }
        }
    }
}
