//! Text of the files that people write, and what they are told when it is none.
//!
//! Windows shells write UTF-16 where output is redirected, editors put a mark before UTF-8, and old ones save in a
//! code page. The mark is dropped; the rest is refused with its line, since a guess at an encoding may guess wrong.

use std::path::Path;

use crate::failure::Failure;

/// The mark that some editors put before UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes of a file as text.
pub fn decoded(path: &Path, bytes: Vec<u8>) -> Result<String, Failure> {
    utf8(path, bytes).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_| Failure::Internal { what: "text was checked".into() })
    })
}

/// The same, left as bytes: UTF-8 without a mark.
pub fn utf8(path: &Path, mut bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if bytes.starts_with(MARK) {
        bytes.drain(..MARK.len());
    }
    match wrong(&bytes) {
        None => Ok(bytes),
        Some((line, what)) => Err(Failure::BadScene {
            file: format!("{}:{line}", path.display()),
            what,
            help: "save the file as UTF-8 (in PowerShell: Out-File -Encoding utf8)".to_owned(),
        }),
    }
}

/// The line of the first byte that is not text, and what it is.
fn wrong(bytes: &[u8]) -> Option<(usize, String)> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Some((1, "it is not UTF-8 text but starts with the mark of UTF-16".to_owned()));
    }
    let end = std::str::from_utf8(bytes).err().map(|error| error.valid_up_to());
    let nul = bytes[..end.unwrap_or(bytes.len())].iter().position(|byte| *byte == 0);
    let at = nul.or(end)?;
    let line = bytes[..at].split(|byte| *byte == b'\n').count();
    let what = if bytes[at] == 0 {
        "it is not UTF-8 text: there is a zero byte, as in UTF-16 or a binary file".to_owned()
    } else {
        format!("it is not UTF-8 text: there is the byte 0x{:02x}", bytes[at])
    };
    Some((line, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told_with_its_line() {
        let told = |bytes: &[u8]| wrong(bytes).map(|(line, what)| format!("{line}: {what}"));
        assert_eq!(told("a = 1\nb = \"é\"\n".as_bytes()), None);
        assert!(told(b"a = 1\nb = \"caf\xe9\"\n").unwrap().starts_with("2: "));
        assert!(told(b"a = 1\nb = \"caf\xe9\"\n").unwrap().ends_with("0xe9"));
        assert!(told(b"\xff\xfea\0").unwrap().contains("UTF-16"));
        assert!(told(b"a\n\nb\0\n\xff").unwrap().starts_with("3: "));
    }

    #[test]
    fn a_mark_before_utf8_is_dropped() {
        let path = Path::new("a.toml");
        assert_eq!(decoded(path, b"\xef\xbb\xbfa = 1".to_vec()).unwrap(), "a = 1");
        assert_eq!(decoded(path, b"a = 1".to_vec()).unwrap(), "a = 1");
    }
}
