//! Continuation tokens: where a list goes on, as opaque text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Error, Result};

/// First character of what is encoded: the form of the token.
const FORM: char = '1';

/// A token for going on after `text`.
pub(crate) fn write(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{FORM}{text}"))
}

/// What a token goes on after.
///
/// # Errors
/// `InvalidArgument`.
pub(crate) fn read(token: &str) -> Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid(token))?;
    let text = String::from_utf8(bytes).map_err(|_| invalid(token))?;
    text.strip_prefix(FORM)
        .map(str::to_owned)
        .ok_or_else(|| invalid(token))
}

pub(crate) fn invalid(token: &str) -> Error {
    let message = "the continuation token provided is incorrect";
    Error::invalid_argument("continuation-token", token, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_others_are_refused() {
        for text in ["", "a", "é/\0"] {
            assert_eq!(read(&write(text)).as_deref(), Ok(text));
        }
        for token in ["", "!", "YQ", "_w"] {
            assert!(
                matches!(read(token), Err(Error::InvalidArgument { .. })),
                "{token}"
            );
        }
    }
}
