//! The client of endpoints that an operator has configured.

use reqwest::{ClientBuilder, redirect};

/// A client for the endpoint at an address. It follows no redirects, because only the configuration decides who gets to know what
/// is sent.
pub(crate) fn client(address: &str) -> ClientBuilder {
    // Fails if a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = ClientBuilder::new()
        .redirect(redirect::Policy::none())
        .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")));
    // A private host must be reached directly, never through a proxy.
    if address.starts_with("http://") { client.no_proxy() } else { client }
}
