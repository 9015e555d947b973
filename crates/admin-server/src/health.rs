//! Health routes, the same on the S3 port and on the administration port.
//!
//! A load balancer asks on the port it balances, so the S3 port answers these paths too; the bucket
//! names they would need are refused elsewhere. Three questions, never more: is the process alive
//! (restart it if not), can it serve reads (send it GETs), can it take writes (send it PUTs).

/// What the process can do right now. Reads flags; must not block.
pub trait Health: Send + Sync + 'static {
    /// Whether reads are served; if not, a sentence that says why.
    ///
    /// # Errors
    /// The reason, for people.
    fn readable(&self) -> Result<(), String>;

    /// Whether writes are acknowledged; if not, a sentence that says why.
    ///
    /// # Errors
    /// The reason, for people.
    fn writable(&self) -> Result<(), String>;
}

/// Status and text of a health route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthAnswer {
    /// 200 or 503.
    pub status: u16,
    /// `ok`, or the reason.
    pub text: String,
}

/// The answer to `path`, or `None` when it is no health route.
#[must_use]
pub fn health_answer(health: &dyn Health, path: &str) -> Option<HealthAnswer> {
    let answer = match path {
        "/healthz" | "/minio/health/live" => Ok(()),
        "/readyz" | "/minio/health/ready" => health.readable(),
        "/readyz/write" | "/minio/health/cluster" => health.writable(),
        _ => return None,
    };
    Some(match answer {
        Ok(()) => HealthAnswer {
            status: 200,
            text: "ok\n".to_owned(),
        },
        Err(reason) => HealthAnswer {
            status: 503,
            text: format!("{reason}\n"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct ReadOnly;

    impl Health for ReadOnly {
        fn readable(&self) -> Result<(), String> {
            Ok(())
        }
        fn writable(&self) -> Result<(), String> {
            Err("1 of 3 zones is in service, writes need 2".to_owned())
        }
    }

    fn status(path: &str) -> Option<u16> {
        health_answer(&ReadOnly, path).map(|answer| answer.status)
    }

    #[test]
    fn a_store_that_cannot_write_stays_alive_and_readable() {
        // AZ18
        for path in [
            "/healthz",
            "/minio/health/live",
            "/readyz",
            "/minio/health/ready",
        ] {
            assert_eq!(status(path), Some(200), "{path}");
        }
        for path in ["/readyz/write", "/minio/health/cluster"] {
            assert_eq!(status(path), Some(503), "{path}");
        }
        let answer = health_answer(&ReadOnly, "/readyz/write").unwrap();
        assert!(answer.text.contains("writes need 2"));
    }

    #[test]
    fn other_paths_are_no_health_routes() {
        for path in [
            "/",
            "/healthz/",
            "/healthz2",
            "/readyz/read",
            "/minio/health",
            "/bucket/key",
        ] {
            assert_eq!(status(path), None, "{path}");
        }
    }
}
