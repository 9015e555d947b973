//! Small XML documents: read strictly into a tree, and written.
//!
//! A configuration with an element we do not know asks for something we would not do, so whoever
//! reads a tree must take every child of it, and what is left over is an error (PR05, PR13). Entities
//! other than XML's own five are not resolved, and a document type is refused, so a document is never
//! larger in memory than on the wire by more than a constant factor.

use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;

use crate::error::{FrontError, Result, escaped};

/// Namespace of S3's documents.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// Deepest nesting: S3's configurations have eight levels.
const DEPTH_MAX: usize = 16;
/// Most elements of one document: a thousand lifecycle rules have fewer.
const ELEMENTS_MAX: usize = 64 * 1024;

/// An element with its text and children.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

/// The answer to a document that is not what S3's schema says.
pub fn malformed() -> FrontError {
    FrontError::bad_request(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

/// Refuses a document type in any document, whoever reads it: no client sends one, and entities of its
/// own are how a small document becomes a large one, or a file of the server's.
///
/// # Errors
/// `MalformedXML`.
pub fn refuse_doctype(content: &[u8]) -> Result<()> {
    match memchr::memmem::find(content, b"<!DOCTYPE") {
        Some(_) => Err(malformed()),
        None => Ok(()),
    }
}

/// Reads the document, whose root must have this name.
///
/// # Errors
/// `MalformedXML`.
pub fn parse(content: &[u8], root: &str) -> Result<Element> {
    let text = std::str::from_utf8(content).map_err(|_| malformed())?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{FEFF}'));
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<Element> = Vec::new();
    let mut document: Option<Element> = None;
    let mut count = 0;
    loop {
        match reader.read_event().map_err(|_| malformed())? {
            Event::Start(start) => {
                count += 1;
                let full = open.len() == DEPTH_MAX || count > ELEMENTS_MAX || document.is_some();
                let name = start.local_name();
                let name = std::str::from_utf8(name.as_ref()).map_err(|_| malformed())?;
                if full {
                    return Err(malformed());
                }
                open.push(Element {
                    name: name.to_owned(),
                    ..Element::default()
                });
            }
            Event::End(_) => {
                let element = open.pop().ok_or_else(malformed)?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => document = Some(element),
                }
            }
            Event::Text(text) => {
                let text = text.xml10_content().map_err(|_| malformed())?;
                add_text(&mut open, &text)?;
            }
            Event::CData(text) => {
                let text = text.xml10_content().map_err(|_| malformed())?;
                add_text(&mut open, &text)?;
            }
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|_| malformed())?;
                let name = reference.decode().map_err(|_| malformed())?;
                match character {
                    Some(character) => add_text(&mut open, character.encode_utf8(&mut [0; 4]))?,
                    None => add_text(&mut open, resolve_xml_entity(&name).ok_or_else(malformed)?)?,
                }
            }
            Event::DocType(_) => return Err(malformed()),
            Event::Eof => break,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {}
        }
    }
    document
        .filter(|document| open.is_empty() && document.name == root)
        .ok_or_else(malformed)
}

fn add_text(open: &mut [Element], text: &str) -> Result<()> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(malformed()),
    }
    Ok(())
}

impl Element {
    /// The text of an element that has nothing else.
    ///
    /// # Errors
    /// `MalformedXML`.
    pub fn into_text(self) -> Result<String> {
        if self.children.is_empty() {
            Ok(self.text)
        } else {
            Err(malformed())
        }
    }

    /// The children of an element that has nothing else but space.
    ///
    /// # Errors
    /// `MalformedXML`.
    pub fn into_children(self) -> Result<Children> {
        if self.text.trim().is_empty() {
            Ok(Children(self.children))
        } else {
            Err(malformed())
        }
    }
}

/// Children not taken yet.
pub struct Children(Vec<Element>);

impl Children {
    /// Takes the child with this name, of which there may be one.
    ///
    /// # Errors
    /// `MalformedXML` when there are two.
    pub fn optional(&mut self, name: &str) -> Result<Option<Element>> {
        let mut found = self.all(name);
        let first = found.pop();
        if found.is_empty() {
            Ok(first)
        } else {
            Err(malformed())
        }
    }

    /// Takes the child with this name, of which there must be one.
    ///
    /// # Errors
    /// `MalformedXML`.
    pub fn one(&mut self, name: &str) -> Result<Element> {
        self.optional(name)?.ok_or_else(malformed)
    }

    /// Takes the text of the child with this name, if there is one.
    ///
    /// # Errors
    /// `MalformedXML`.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        self.optional(name)?.map(Element::into_text).transpose()
    }

    /// Takes the texts of all children with this name.
    ///
    /// # Errors
    /// `MalformedXML`.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>> {
        self.all(name).into_iter().map(Element::into_text).collect()
    }

    /// Takes all children with this name.
    pub fn all(&mut self, name: &str) -> Vec<Element> {
        let (found, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|child| child.name == name);
        self.0 = rest;
        found
    }

    /// That every child was taken.
    ///
    /// # Errors
    /// `MalformedXML`.
    pub fn end(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(malformed())
        }
    }
}

/// A document being written.
pub struct Document {
    text: String,
    open: Vec<&'static str>,
}

impl Document {
    /// A document with this root, in S3's namespace.
    #[must_use]
    pub fn new(root: &'static str) -> Self {
        Self {
            text: format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{NAMESPACE}\">"
            ),
            open: vec![root],
        }
    }

    /// Writes an element with text.
    #[must_use]
    pub fn element(mut self, name: &str, text: &str) -> Self {
        let _ = write!(self.text, "<{name}>{}</{name}>", escaped(text));
        self
    }

    /// Writes an element with text, if there is one.
    #[must_use]
    pub fn optional(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.element(name, text),
            None => self,
        }
    }

    /// Writes an element whose text may have characters that no XML holds: whoever sends the document
    /// passes it through [`crate::xml_answer`].
    #[must_use]
    pub fn element_of_key(mut self, name: &str, text: &str) -> Self {
        let _ = write!(self.text, "<{name}>");
        for character in text.chars() {
            match character {
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '&' => self.text.push_str("&amp;"),
                character => self.text.push(character),
            }
        }
        let _ = write!(self.text, "</{name}>");
        self
    }

    /// Writes one element for each text.
    #[must_use]
    pub fn each<'a>(self, name: &str, texts: impl IntoIterator<Item = &'a String>) -> Self {
        texts
            .into_iter()
            .fold(self, |document, text| document.element(name, text))
    }

    /// Opens an element.
    #[must_use]
    pub fn open(mut self, name: &'static str) -> Self {
        let _ = write!(self.text, "<{name}>");
        self.open.push(name);
        self
    }

    /// Closes the element opened last.
    #[must_use]
    pub fn close(mut self) -> Self {
        if let Some(name) = self.open.pop() {
            let _ = write!(self.text, "</{name}>");
        }
        self
    }

    /// The whole document.
    #[must_use]
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self = self.close();
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let text = "a<b>&\"é";
        let document = Document::new("R").open("C").element("T", text).close();
        let root = parse(document.finish().as_bytes(), "R").unwrap();
        let mut children = root.into_children().unwrap();
        let mut inner = children.one("C").unwrap().into_children().unwrap();
        assert_eq!(inner.text("T").unwrap().as_deref(), Some(text));
        assert!(inner.end().is_ok() && children.end().is_ok());
    }

    #[test]
    fn a_document_of_another_shape_is_malformed() {
        // PR05
        let deep = format!("{}{}", "<R>".repeat(17), "</R>".repeat(17));
        for document in [
            "",
            "R",
            "<R>",
            "<R></S>",
            "<S/>",
            "<R/><R/>",
            "<R/>text",
            "text<R/>",
            "<R>&other;</R>",
            "<!DOCTYPE R [<!ENTITY a \"b\">]><R>&a;</R>",
            "<R>&#xD800;</R>",
            deep.as_str(),
        ] {
            let found = parse(document.as_bytes(), "R");
            assert_eq!(found.unwrap_err().code, "MalformedXML", "{document}");
        }
        assert_eq!(parse(b"<R>\xFF</R>", "R").unwrap_err().code, "MalformedXML");
        let many = format!("<R>{}</R>", "<a/>".repeat(ELEMENTS_MAX));
        assert_eq!(
            parse(many.as_bytes(), "R").unwrap_err().code,
            "MalformedXML"
        );
    }

    #[test]
    fn prefixes_references_and_sections_are_read() {
        let document = "<?xml version=\"1.0\"?><!-- c --><x:R xmlns:x=\"u\"> \
                        <x:T>a&amp;&#98;<![CDATA[<c>]]></x:T><E/></x:R>\n";
        let mut children = parse(document.as_bytes(), "R")
            .unwrap()
            .into_children()
            .unwrap();
        assert_eq!(children.text("T").unwrap().as_deref(), Some("a&b<c>"));
        assert_eq!(children.text("E").unwrap().as_deref(), Some(""));
        assert!(children.end().is_ok());
    }

    #[test]
    fn an_element_that_is_not_taken_is_an_error() {
        // PR13
        let children = |text: &str| parse(text.as_bytes(), "R").unwrap().into_children();
        let mut twice = children("<R><a/><a/></R>").unwrap();
        assert!(twice.optional("a").is_err());
        assert!(children("<R><b/></R>").unwrap().end().is_err());
        assert!(children("<R>text<b/></R>").is_err());
        let nested = parse(b"<R><b/></R>", "R").unwrap();
        assert!(nested.into_text().is_err());
    }
}
