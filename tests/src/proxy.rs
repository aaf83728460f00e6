//! A proxy that loses an answer: it lets a large request through, and cuts the connection when its answer comes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The proxy; its threads end with their connections.
#[derive(Debug)]
pub struct Proxy {
    /// What clients connect to.
    pub url: String,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// A connection over which at least so many bytes were sent loses the answer.
    large: usize,
    /// How often that still happens.
    cuts_left: AtomicUsize,
    /// How often it happened.
    cuts: AtomicUsize,
}

impl Proxy {
    /// A proxy in front of `server` that cuts the first `cuts` connections over which `large` bytes or more were sent,
    /// when the answer to them comes.
    pub fn losing(server: &str, large: usize, cuts: usize) -> Self {
        let server: SocketAddr = server.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            large,
            cuts_left: AtomicUsize::new(cuts),
            cuts: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else {
                    return;
                };
                forward(&client, &server, &shared);
            }
        });
        Self { url, state }
    }

    /// How many answers were lost.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

fn forward(client: &TcpStream, server: &TcpStream, state: &Arc<State>) {
    // All bytes of the client: the server may say something (session tickets) while a request is still on its way.
    let asked = Arc::new(AtomicUsize::new(0));
    let [client_in, client_out] = [client, client].map(|stream| stream.try_clone().unwrap());
    let [server_in, server_out] = [server, server].map(|stream| stream.try_clone().unwrap());
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        pump(client_in, server_out, |len| {
            counted.fetch_add(len, Ordering::SeqCst);
            true
        });
    });
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        pump(server_in, client_out, |_| {
            let was_large = asked.load(Ordering::SeqCst) >= state.large;
            let cuts = was_large
                && state
                    .cuts_left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        left.checked_sub(1)
                    })
                    .is_ok();
            if cuts {
                state.cuts.fetch_add(1, Ordering::SeqCst);
            }
            !cuts
        });
    });
}

/// Copies until the end, or until `passes` says no.
fn pump(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(usize) -> bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.get(..len).unwrap_or_default();
        if !passes(len) || to.write_all(bytes).is_err() {
            break;
        }
    }
    // The other side may have been closed already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
