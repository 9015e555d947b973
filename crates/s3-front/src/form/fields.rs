//! The fields of a form, and the lines that name them.

use crate::error::{FrontError, Result};

use super::malformed;

/// Where the name of the uploaded file goes, in any field.
const FILE_NAME_VARIABLE: &str = "${filename}";

/// Fields with their values; names are in lower case, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The value of the field `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(other, _)| other == name);
        field.map(|(_, value)| value.as_str())
    }

    /// Names and values in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Adds the field that `head` names.
    ///
    /// # Errors
    /// `InvalidArgument` for a field given twice, `MalformedPOSTRequest` for one field too many or a
    /// value that is no text.
    pub(super) fn add(&mut self, head: PartHead, value: &[u8], count_max: usize) -> Result<()> {
        let value = std::str::from_utf8(value)
            .map_err(|_| malformed("a field is not text"))?
            .to_owned();
        if self.0.len() == count_max {
            return Err(malformed("there are too many fields"));
        }
        if self.get(&head.name).is_some() {
            let message = "the field is given twice";
            return Err(FrontError::invalid_argument(&head.name, value, message));
        }
        self.0.push((head.name, value));
        Ok(())
    }

    /// Puts the file's name where fields ask for it, but for `except`.
    pub fn set_file_name(&mut self, file_name: &str, except: &[&str]) {
        for (name, value) in &mut self.0 {
            if !except.contains(&name.as_str()) && value.contains(FILE_NAME_VARIABLE) {
                *value = value.replace(FILE_NAME_VARIABLE, file_name);
            }
        }
    }
}

/// The header lines of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHead {
    /// In lower case.
    pub name: String,
    path: Option<String>,
}

impl PartHead {
    /// Reads the lines before a part's content.
    ///
    /// # Errors
    /// `MalformedPOSTRequest`.
    pub fn parse(lines: &[u8]) -> Result<Self> {
        let text =
            std::str::from_utf8(lines).map_err(|_| malformed("the head of a part is not text"))?;
        let mut disposition = None;
        for line in text.split("\r\n") {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| malformed("a line in the head of a part has no name"))?;
            let is_disposition = name.trim().eq_ignore_ascii_case("content-disposition");
            if is_disposition && disposition.replace(value).is_some() {
                return Err(malformed("a part has two dispositions"));
            }
        }
        let value = disposition.ok_or_else(|| malformed("a part has no disposition"))?;
        Self::of_disposition(value.trim())
    }

    fn of_disposition(text: &str) -> Result<Self> {
        let rest = text
            .get(..9)
            .filter(|kind| kind.eq_ignore_ascii_case("form-data"))
            .map(|kind| &text[kind.len()..])
            .ok_or_else(|| malformed("a part is no form-data"))?;
        let (mut field, mut path) = (None, None);
        let mut rest = rest.trim_start();
        while let Some(parameter) = rest.strip_prefix(';') {
            let (name, after) = parameter
                .split_once('=')
                .ok_or_else(|| malformed("a disposition has a parameter without value"))?;
            let (value, after) = parameter_value(after)?;
            let slot = match name.trim().to_ascii_lowercase().as_str() {
                "name" => Some(&mut field),
                "filename" => Some(&mut path),
                _ => None,
            };
            if slot.is_some_and(|slot| slot.replace(value).is_some()) {
                return Err(malformed("a disposition has a parameter twice"));
            }
            rest = after.trim_start();
        }
        if !rest.is_empty() {
            return Err(malformed("a disposition has bytes after its parameters"));
        }
        let name = field
            .filter(|name| !name.is_empty())
            .ok_or_else(|| malformed("a part has no name"))?
            .to_ascii_lowercase();
        Ok(Self { name, path })
    }

    /// What follows the last separator of the path: some browsers send where the file was.
    #[must_use]
    pub fn file_name(&self) -> String {
        let path = self.path.as_deref().unwrap_or("");
        let name = path.rsplit(['/', '\\']).next();
        name.unwrap_or("").to_owned()
    }
}

/// The value at the start of `text`, and what follows it. In quotes only a quote is escaped: some
/// browsers send paths with single backslashes.
fn parameter_value(text: &str) -> Result<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return Ok((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut rest = quoted;
    loop {
        let at = rest
            .find(['"', '\\'])
            .ok_or_else(|| malformed("a quotation in a disposition does not end"))?;
        value.push_str(&rest[..at]);
        let (mark, after) = rest[at..].split_at(1);
        match (mark, after.strip_prefix('"')) {
            ("\"", _) => return Ok((value, after)),
            (_, Some(after_quote)) => {
                value.push('"');
                rest = after_quote;
            }
            (_, None) => {
                value.push('\\');
                rest = after;
            }
        }
    }
}
