//! What `s3s` writes as XML, made what S3 writes.
//!
//! A key may hold any character. XML takes a carriage return for a line feed, and knows most
//! other control characters not even as references; S3 writes them as references all the same, so
//! that a list names the keys there are. Whoever needs XML that every parser takes asks for
//! `encoding-type=url`.

use bytes::Bytes;

use crate::route::Operation;

/// The document as S3 writes it.
#[must_use]
pub fn as_s3_has_it(operation: Operation, document: Bytes) -> Bytes {
    let document = match operation {
        // The one answer whose entity tag has no quotes.
        Operation::GetObjectAttributes => without_quotes(document),
        _ => document,
    };
    let is_control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n');
    if !document.iter().any(is_control) {
        return document;
    }
    let mut out = Vec::with_capacity(document.len() + 64);
    for byte in &document {
        if is_control(byte) {
            out.extend_from_slice(format!("&#{byte};").as_bytes());
        } else {
            out.push(*byte);
        }
    }
    out.into()
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
    fn only_attributes_have_an_entity_tag_without_quotes() {
        // IN08
        let document = || Bytes::from_static(b"<ETag>\"a-1\"</ETag>");
        let attributes = as_s3_has_it(Operation::GetObjectAttributes, document());
        assert_eq!(&*attributes, b"<ETag>a-1</ETag>");
        let list = as_s3_has_it(Operation::ListObjectsV2, document());
        assert_eq!(list, document());
    }
}
