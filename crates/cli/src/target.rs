//! The server a command is pointed at.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An administration port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// The port at this address.
    #[must_use]
    pub fn at(address: SocketAddr, tls: bool) -> Self {
        Self {
            tls,
            host: address.ip().to_string(),
            port: address.port(),
        }
    }

    /// `host:port`, as the `Host` header has it.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether what is sent stays on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let ip: Result<IpAddr, _> = self.host.parse();
        self.host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad =
            || format!("`{text}` is no endpoint: write http://HOST:PORT or https://HOST:PORT");
        let url: http::Uri = text.parse().map_err(|_| bad())?;
        let tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        let authority = url.authority().ok_or_else(bad)?;
        if authority.as_str().contains('@') || url.path() != "/" || url.query().is_some() {
            return Err(bad());
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") if tls => 443,
            Some("") => 80,
            _ => authority.port_u16().ok_or_else(bad)?,
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if host.is_empty() || port == 0 {
            return Err(bad());
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
        })
    }
}

/// What proves that a server is the one meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// A certificate from an authority this machine trusts, for the endpoint's name.
    Machine,
    /// A certificate from an authority in this file (PEM), for the endpoint's name.
    Authorities(PathBuf),
    /// The first certificate in this file (PEM), whatever its name.
    Certificate(PathBuf),
}

/// Where to ask, and as whom.
#[derive(Clone)]
pub struct Target {
    pub endpoint: Endpoint,
    /// Whom to believe, when the endpoint speaks TLS.
    pub trust: Trust,
    pub access_key: String,
    pub secret_key: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        for (text, shown) in [
            ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("https://store.example/", "https://store.example:443"),
            ("https://[::1]:9001", "https://[::1]:9001"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), shown);
        }
        for text in [
            "",
            "127.0.0.1:9001",
            "ftp://h:1",
            "http://",
            "http://user:secret@h:1",
            "http://h:1/path",
            "http://h:1/?q",
            "http://h:0",
            "http://h:99999",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
