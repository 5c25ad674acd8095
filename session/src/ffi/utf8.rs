//! Text from bytes. It does not call C, but it is `unsafe`, and therefore in this folder.

#![allow(unsafe_code)]

/// Returns the bytes as text, if they are UTF-8.
///
/// Most texts are short and ASCII. These are recognized without a call and without a loop. The
/// standard library checks byte by byte, which took half of the time of reading typed rows.
#[inline(always)]
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    if is_short_ascii(bytes) {
        // SAFETY: `is_short_ascii` returned true, so the bytes are ASCII, which is UTF-8.
        return Some(unsafe { core::str::from_utf8_unchecked(bytes) });
    }
    any_text(bytes)
}

/// Returns whether the bytes are at most 32 bytes of ASCII. It reads a first and a last part, which
/// may overlap.
#[inline(always)]
fn is_short_ascii(bytes: &[u8]) -> bool {
    const HIGH: u128 = 0x8080_8080_8080_8080_8080_8080_8080_8080;
    let any = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        if bytes.len() > 32 {
            return false;
        }
        u128::from_ne_bytes(*first) | u128::from_ne_bytes(*last)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u64::from_ne_bytes(*first) | u64::from_ne_bytes(*last))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u32::from_ne_bytes(*first) | u32::from_ne_bytes(*last))
    } else {
        bytes.iter().fold(0, |any, byte| any | u128::from(*byte))
    };
    any & HIGH == 0
}

#[inline(never)]
fn any_text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn text_agrees_with_the_standard_library() {
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
