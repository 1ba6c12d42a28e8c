//! What listening, connecting and moving streams owe.

use super::streams::{LOCALHOST, connected, read_exactly, send};
use super::{Stage, main_of};
use crate::local::{join2, timeout};
use crate::{Host, Listener, Machine, Read, Receiver, Sender, Stream};
use bytes::BytesMut;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

/// Echoes what it gets, on every connection, until the listener is closed.
async fn echo_server<H: Host>(host: H, listener: Rc<H::Listener>) {
    while let Ok(stream) = listener.accept().await {
        drop(host.spawn(async move {
            let mut buf = BytesMut::with_capacity(4096);
            loop {
                buf.reserve(1024);
                let (read, back) = stream.read(buf).await;
                buf = back;
                match read {
                    Ok(Read::Bytes(_)) if send(&stream, &buf.split()).await.is_ok() => {}
                    _ => return,
                }
            }
        }));
    }
}

async fn echoes<S: Stream>(stream: &S, text: &[u8]) {
    send(stream, text).await.unwrap();
    assert_eq!(read_exactly(stream, text.len()).await, text);
}

pub(crate) fn an_address_in_use_is_refused<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let first = host.listen(LOCALHOST).await.unwrap();
        assert_ne!(first.local_addr().port(), 0, "port 0 becomes a real one");
        let second = host.listen(first.local_addr()).await;
        assert_eq!(second.err().unwrap().kind(), ErrorKind::AddrInUse);
        host.connect(first.local_addr()).await.unwrap();
    });
}

pub(crate) fn nobody_listening_refuses<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let listener = host.listen(LOCALHOST).await.unwrap();
        let address = listener.local_addr();
        drop(listener);
        host.sleep(Duration::from_millis(20)).await;
        let refused = host.connect(address).await;
        assert_eq!(refused.err().unwrap().kind(), ErrorKind::ConnectionRefused);
    });
}

pub(crate) fn two_hundred_connections_are_served<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let listener = Rc::new(host.listen(LOCALHOST).await.unwrap());
        let address = listener.local_addr();
        let server = host.spawn(echo_server(host.clone(), Rc::clone(&listener)));
        let clients: Vec<_> = (0..200u32)
            .map(|n| {
                let client = host.clone();
                host.spawn(async move {
                    let stream = client.connect(address).await.unwrap();
                    assert_eq!(stream.peer_addr(), address);
                    for round in 0..3 {
                        echoes(&stream, format!("client {n} round {round}").as_bytes()).await;
                    }
                })
            })
            .collect();
        for client in clients {
            client.await;
        }
        listener.close();
        server.await;
    });
}

pub(crate) fn a_client_that_is_gone_does_not_stop_accepting<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let listener = Rc::new(host.listen(LOCALHOST).await.unwrap());
        let address = listener.local_addr();
        for _ in 0..10 {
            drop(host.connect(address).await.unwrap());
        }
        let server = host.spawn(echo_server(host.clone(), Rc::clone(&listener)));
        let stream = host.connect(address).await.unwrap();
        echoes(&stream, b"still there").await;
        listener.close();
        server.await;
    });
}

pub(crate) fn a_dropped_accept_loses_no_connection<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let listener = host.listen(LOCALHOST).await.unwrap();
        let address = listener.local_addr();
        let connecting = host.clone();
        let clients = host.spawn(async move {
            let mut streams = Vec::new();
            for _ in 0..50 {
                streams.push(connecting.connect(address).await.unwrap());
            }
            streams
        });
        let mut accepted = Vec::new();
        while accepted.len() < 50 {
            // Ready at once, within the limit, or dropped while it waits.
            if let Ok(stream) = timeout(&host, Duration::from_micros(60), listener.accept()).await {
                accepted.push(stream.unwrap());
            }
        }
        assert_eq!(clients.await.len(), accepted.len());
    });
}

pub(crate) fn a_closed_listener_fails_accepts_and_frees_the_port<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let listener = Rc::new(host.listen(LOCALHOST).await.unwrap());
        let address = listener.local_addr();
        let waiting = Rc::clone(&listener);
        let pending = host.spawn(async move { waiting.accept().await.is_err() });
        host.sleep(Duration::from_millis(5)).await;
        listener.close();
        assert!(pending.await, "the pending accept fails");
        assert!(listener.accept().await.is_err(), "later ones too");
        let mut again = host.listen(address).await;
        for _ in 0..100 {
            if again.is_ok() {
                break;
            }
            host.sleep(Duration::from_millis(1)).await;
            again = host.listen(address).await;
        }
        assert_eq!(again.unwrap().local_addr(), address);
    });
}

pub(crate) fn a_stream_moves_to_another_core_with_unread_bytes<M: Machine>(mut stage: Stage<M>) {
    let (tx, rx) = stage.machine.channel::<<M::Host as Host>::Parts>(256);
    stage.run(vec![
        main_of(move |host: M::Host| async move {
            let tx = host.sender(tx).await;
            let (client, server) = connected(&host).await;
            send(&client, b"headrest that nobody has read").await.unwrap();
            assert_eq!(read_exactly(&server, 4).await, b"head");
            let peer = server.peer_addr();
            assert!(tx.send(server.detach()).await.is_ok());
            send(&client, b", and more").await.unwrap();
            assert_eq!(read_exactly(&client, 6).await, b"thanks");
            assert_eq!(peer.ip(), LOCALHOST.ip());
        }),
        main_of(move |host: M::Host| async move {
            let rx = host.receiver(rx).await;
            let stream = host.adopt(rx.recv().await.unwrap()).unwrap();
            let (text, ()) = join2(read_exactly(&stream, 35), async {}).await;
            assert_eq!(text, b"rest that nobody has read, and more");
            send(&stream, b"thanks").await.unwrap();
        }),
    ]);
}
