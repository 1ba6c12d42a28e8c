//! The node made of values behind real sockets on loopback, with a door that a test can shut.

use crate::node::{Node, Peer};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How long a connection's thread waits for bytes before it looks for something to push.
const TURN: Duration = Duration::from_millis(1);

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) addr: String,
    node: Arc<Mutex<Node>>,
    /// Connections of older lives end.
    life: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(node: Node) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            addr: listener.local_addr().unwrap().to_string(),
            node: Arc::new(Mutex::new(node)),
            life: Arc::default(),
            down: Arc::default(),
        };
        let door = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !door.down.load(Ordering::SeqCst) {
                    let server = door.clone();
                    std::thread::spawn(move || server.serve(stream));
                }
            }
        });
        server
    }

    pub(crate) fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap()
    }

    /// Ends all connections wherever they are; new ones are refused until it is up again.
    pub(crate) fn kill(&self) {
        self.down.store(true, Ordering::SeqCst);
        self.life.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn revive(&self) {
        self.down.store(false, Ordering::SeqCst);
    }

    fn serve(&self, mut stream: TcpStream) {
        let life = self.life.load(Ordering::SeqCst);
        let alive = || self.life.load(Ordering::SeqCst) == life;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TURN)).unwrap();
        let mut peer = Peer::default();
        let mut received = vec![0; 64 * 1024];
        loop {
            let bytes = match stream.read(&mut received) {
                Ok(0) => return,
                Ok(bytes) => bytes,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
                Err(_) => return,
            };
            if !alive() || self.node().feed(&mut peer, &received[..bytes]).is_err() {
                return;
            }
            // What it did may be done although its answer is lost.
            if !alive() || stream.write_all(&peer.out.split()).is_err() {
                return;
            }
        }
    }
}
