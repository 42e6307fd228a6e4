//! Clients with an address of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use poem::http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::target::Target;

/// The address of users.
pub(crate) const USERS: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A connection from the attacker's address.
pub(crate) async fn connect(target: &Target) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((target.attacker, 0)))?;
    socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, target.api))).await
}

/// A connection from the attacker's address on which that was sent, as far as the API took it.
pub(crate) async fn send(target: &Target, bytes: &[u8]) -> std::io::Result<TcpStream> {
    let mut socket = connect(target).await?;
    let _ = tokio::time::timeout(Duration::from_secs(2), socket.write_all(bytes)).await;
    Ok(socket)
}

/// An HTTP/2 connection from the attacker's address. With a window of 0 it takes nothing of any answer.
pub(crate) async fn http2(target: &Target, window: u32) -> anyhow::Result<h2::client::SendRequest<Bytes>> {
    let socket = connect(target).await?;
    let (requests, connection) = h2::client::Builder::new().initial_window_size(window).handshake(socket).await?;
    tokio::spawn(connection);
    Ok(requests)
}

/// A request without a body for [`http2`].
pub(crate) fn get(path: &str, token: Option<&str>) -> anyhow::Result<Request<()>> {
    let mut request = Request::get(format!("http://localhost{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    Ok(request.body(())?)
}

/// A client for JSON, with that address.
pub(crate) fn json_client(address: Ipv4Addr) -> anyhow::Result<reqwest::Client> {
    // Fails if a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().local_address(IpAddr::V4(address));
    Ok(client.timeout(Duration::from_secs(10)).build()?)
}
