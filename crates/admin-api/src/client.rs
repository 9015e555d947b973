//! The calls from the other side: typed methods over whatever carries bytes.

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ErrorCode};
use crate::parameters::path_and_query;
use crate::route::Method;

/// Carries a request to a server and its answer back.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Why a call failed: of the transport, or what the server answered.
    type Error: From<ApiError>;

    /// Sends a request without a body; gives the status and the body of the answer.
    ///
    /// # Errors
    /// When there is no answer.
    async fn send(
        &self,
        method: Method,
        path_and_query: &str,
    ) -> std::result::Result<(u16, Vec<u8>), Self::Error>;
}

/// The calls as methods: see [`crate::AdminApi`] for what each does.
pub struct Client<T> {
    transport: T,
}

impl<T: Transport> Client<T> {
    /// A client over this transport.
    #[must_use]
    pub const fn new(transport: T) -> Self {
        Self { transport }
    }

    pub(crate) async fn call<R, A>(
        &self,
        method: Method,
        template: &str,
        request: &R,
    ) -> std::result::Result<A, T::Error>
    where
        R: Serialize + Sync,
        A: DeserializeOwned,
    {
        let path = path_and_query(template, request)?;
        let (status, body) = self.transport.send(method, &path).await?;
        if status != 200 {
            return Err(refusal(status, &body).into());
        }
        let answer = serde_json::from_slice(&body);
        Ok(answer
            .map_err(|error| not_ours(&format!("status 200 and no answer of ours: {error}")))?)
    }
}

fn refusal(status: u16, body: &[u8]) -> ApiError {
    match serde_json::from_slice::<ApiError>(body) {
        Ok(error) => error,
        // In front of a server stands another program, or the address is wrong.
        Err(_) if status == 401 => ApiError::new(ErrorCode::Unauthorized, "refused"),
        Err(_) => not_ours(&format!("status {status}")),
    }
}

fn not_ours(what: &str) -> ApiError {
    let message =
        format!("something else answered ({what}): is it Strongroom's administration port?");
    ApiError::internal(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::BucketRequest;

    struct Canned(u16, &'static str);

    #[async_trait]
    impl Transport for Canned {
        type Error = ApiError;

        async fn send(&self, _: Method, _: &str) -> Result<(u16, Vec<u8>), ApiError> {
            Ok((self.0, self.1.as_bytes().to_vec()))
        }
    }

    fn ask(status: u16, body: &'static str) -> ApiError {
        let client = Client::new(Canned(status, body));
        let request = BucketRequest {
            bucket: "b".to_owned(),
        };
        futures::executor::block_on(client.bucket(&request)).unwrap_err()
    }

    #[test]
    fn a_refusal_is_handed_on_and_a_stranger_is_told_from_a_server() {
        let refused = ask(404, r#"{"code":"NoSuchBucket","message":"no bucket"}"#);
        assert_eq!(refused, ApiError::new(ErrorCode::NoSuchBucket, "no bucket"));
        for (status, body) in [(200, "<html>"), (404, "<html>"), (502, ""), (302, "{}")] {
            let error = ask(status, body);
            assert!(error.message.contains("administration port"), "{error}");
        }
        assert_eq!(ask(401, "").code, ErrorCode::Unauthorized);
    }
}
