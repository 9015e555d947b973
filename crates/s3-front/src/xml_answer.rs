//! What `s3s` writes as XML, made what S3 writes.
//!
//! A key may hold any character. XML takes a carriage return for a line feed, and knows most
//! other control characters not even as references; S3 writes them as references all the same, so
//! that a list names the keys there are. Whoever needs XML that every parser takes asks for
//! `encoding-type=url`.

use bytes::Bytes;

use crate::route::Operation;

/// Bytes looked at before asking whether a control character was among them.
const SCAN_BYTES: usize = 1024;

/// The document as S3 writes it.
#[must_use]
pub fn as_s3_has_it(operation: Operation, document: Bytes) -> Bytes {
    let document = match operation {
        // The one answer whose entity tag has no quotes.
        Operation::GetObjectAttributes => without_quotes(document),
        _ => document,
    };
    if !document.chunks(SCAN_BYTES).any(has_control) {
        return document;
    }
    let mut out = Vec::with_capacity(document.len() + 64);
    for byte in &document {
        if is_control(*byte) {
            out.extend_from_slice(format!("&#{byte};").as_bytes());
        } else {
            out.push(*byte);
        }
    }
    out.into()
}

const fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' && byte != b'\n'
}

/// Without an early end, so that the processor looks at many bytes at once.
fn has_control(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(false, |found, byte| found | is_control(*byte))
}

fn without_quotes(document: Bytes) -> Bytes {
    let text = String::from_utf8_lossy(&document);
    let bare = ["\"", "&quot;"].iter().fold(text, |text, quote| {
        text.replace(&format!("<ETag>{quote}"), "<ETag>")
            .replace(&format!("{quote}</ETag>"), "</ETag>")
            .into()
    });
    bare.into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_as_references() {
        let document = Bytes::from_static(b"<Key>a\r\x01\tb\n</Key>");
        let answer = as_s3_has_it(Operation::ListObjects, document);
        assert_eq!(&*answer, b"<Key>a&#13;&#1;\tb\n</Key>");
    }

    #[test]
    fn a_control_character_is_found_wherever_it_is_in_a_long_document() {
        for at in [0, 1, 1023, 1024, 2999] {
            let mut document = vec![b'x'; 3000];
            document[at] = 0x1F;
            let answer = as_s3_has_it(Operation::ListObjects, document.into());
            assert_eq!(&answer[at..at + 5], b"&#31;", "{at}");
            assert_eq!(answer.len(), 3004, "{at}");
        }
    }

    #[test]
    fn only_attributes_have_an_entity_tag_without_quotes() {
        // IN08
        let document = || Bytes::from_static(b"<ETag>\"a-1\"</ETag>");
        let attributes = as_s3_has_it(Operation::GetObjectAttributes, document());
        assert_eq!(&*attributes, b"<ETag>a-1</ETag>");
        let list = as_s3_has_it(Operation::ListObjectsV2, document());
        assert_eq!(list, document());
    }
}
