//! A proxy of TCP connections, in front of a service that may come and go. It delays what passes,
//! and can reset connections or damage an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::in_process::ANY_PORT;

/// The bytes of an HTTP/2 frame's header, and of a gRPC message's.
const FRAME_HEADER: usize = 9;
const MESSAGE_HEADER: usize = 5;
/// The type of a frame that carries data.
const DATA: u8 = 0;

/// The proxy. It ends with the test's runtime.
#[derive(Debug)]
pub struct TcpProxy {
    /// Where it listens.
    pub address: SocketAddr,
    reset: watch::Sender<()>,
    damage: Arc<AtomicBool>,
}

impl TcpProxy {
    /// Starts a proxy in front of the service at `behind`, which need not be there yet. What passes
    /// is delayed by `delay` in both directions.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(behind: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind(ANY_PORT).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (reset, resets) = watch::channel(());
        let damage = Arc::new(AtomicBool::new(false));
        let damages = damage.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (resets, damage) = (resets.clone(), damages.clone());
                tokio::spawn(carry(stream, behind, delay, resets, damage));
            }
        });
        Self {
            address,
            reset,
            damage,
        }
    }

    /// Resets all connections. New ones are accepted.
    pub fn reset(&self) {
        self.reset.send_replace(());
    }

    /// Flips a bit in the next message of the service that has a frame of its own.
    pub fn damage_next(&self) {
        self.damage.store(true, Ordering::SeqCst);
    }
}

/// Carries one connection until one side closes it or it is reset.
async fn carry(
    client: TcpStream,
    behind: SocketAddr,
    delay: Duration,
    mut resets: watch::Receiver<()>,
    damage: Arc<AtomicBool>,
) {
    resets.mark_unchanged();
    // Without the service, the client sees a connection that is closed at once.
    let Ok(server) = TcpStream::connect(behind).await else {
        return;
    };
    // A dropped connection is reset.
    for stream in [&client, &server] {
        let set = stream.set_nodelay(true).and(stream.set_zero_linger());
        set.expect("options of a connection");
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = pass(from_client, to_server, delay, |_| {});
    let answers = pass(from_server, to_client, delay, |bytes| {
        if damage.load(Ordering::SeqCst) && flip(bytes) {
            damage.store(false, Ordering::SeqCst);
        }
    });
    tokio::select! {
        () = requests => {}
        () = answers => {}
        _ = resets.changed() => {}
    }
}

/// Passes on what arrives, a while later, until the end.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    mut change: impl FnMut(&mut [u8]),
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        tokio::time::sleep(delay).await;
        change(&mut bytes[..read]);
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// Makes the first tag of a message one that cannot be. Returns whether there is a message among
/// the frames that begin with these bytes.
fn flip(bytes: &mut [u8]) -> bool {
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + FRAME_HEADER) {
        let (kind, length) = (
            header[3],
            u32::from_be_bytes([0, header[0], header[1], header[2]]),
        );
        let tag = at + FRAME_HEADER + MESSAGE_HEADER;
        if kind == DATA && length as usize > MESSAGE_HEADER && tag < bytes.len() {
            // A wire type that there is not.
            bytes[tag] |= 0b111;
            return true;
        }
        at += FRAME_HEADER + length as usize;
    }
    false
}
