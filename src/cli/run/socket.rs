//! Where `run` listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use anyhow::Context as _;

use crate::config::{Config, Listen};
use crate::http;

/// A socket of the standard library, since it can be kept from one run to the next.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Socket {
    pub(super) fn try_clone(&self) -> std::io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }

    /// Where this machine reaches it.
    pub(super) fn url(&self) -> std::io::Result<String> {
        Ok(match self {
            Self::Tcp(listener) => {
                let mut address = listener.local_addr()?;
                match address.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
                    IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
                    _ => {}
                }
                format!("http://{address}")
            }
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                let path = address.as_pathname().unwrap_or(Path::new(""));
                format!("unix://{}", std::path::absolute(path)?.display())
            }
        })
    }

    pub(super) fn shared(&self) -> std::io::Result<http::Listener> {
        Ok(match self.try_clone()? {
            Self::Tcp(listener) => http::Listener::Tcp(tokio::net::TcpListener::from_std(listener)?),
            Self::Unix(listener) => http::Listener::Unix(tokio::net::UnixListener::from_std(listener)?),
        })
    }
}

pub(super) fn bind(config: &Config) -> anyhow::Result<Socket> {
    let listen = &config.http_listen;
    if !listen.is_local() && !config.http_allow_remote {
        anyhow::bail!(
            "{listen} can be reached from other machines; set http.allow_remote = true if that is meant \
             (SKEP_HTTP__ALLOW_REMOTE=true), or listen on 127.0.0.1 or a unix socket"
        );
    }
    let bound = match listen {
        Listen::Tcp(address) => std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(Socket::Tcp(listener))
        }),
        Listen::Unix(path) => bind_unix(path).map(Socket::Unix),
    };
    bound.with_context(|| format!("cannot listen on {listen} (--listen names another address)"))
}

/// A socket that nobody listens to any more gives way.
fn bind_unix(path: &Path) -> std::io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::net::{UnixListener, UnixStream};
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket
        && UnixStream::connect(path).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
