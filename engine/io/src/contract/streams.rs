//! What connected streams owe.

use super::{Stage, eventually, poll_once_and_drop};
use crate::local::{join2, timeout};
use crate::{Host, Listener, Machine, Read, Stream};
use bytes::{Bytes, BytesMut};
use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

pub(crate) const LOCALHOST: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// More than any host's buffers hold on the way.
const SLICES: usize = 64;
const SLICE_BYTES: usize = 256 * 1024;

/// Two ends of one connection.
pub(crate) async fn connected<H: Host>(host: &H) -> (H::Stream, H::Stream) {
    let listener = host.listen(LOCALHOST).await.unwrap();
    let (client, server) = join2(host.connect(listener.local_addr()), listener.accept()).await;
    (client.unwrap(), server.unwrap())
}

pub(crate) async fn send<S: Stream>(stream: &S, bytes: &[u8]) -> io::Result<()> {
    let (sent, slices) = stream.write(vec![Bytes::copy_from_slice(bytes)]).await;
    assert!(slices.is_empty(), "the vector comes back emptied");
    sent
}

pub(crate) async fn read_exactly<S: Stream>(stream: &S, len: usize) -> Vec<u8> {
    let mut buf = BytesMut::with_capacity(len);
    while buf.len() < len {
        let (read, back) = stream.read(buf).await;
        buf = back;
        assert!(matches!(read.unwrap(), Read::Bytes(1..)), "ended after {} bytes", buf.len());
        assert!(buf.len() <= len, "a read keeps to the capacity");
        // A capacity that the allocator rounded up is not asked for.
        let rest = len - buf.len();
        let mut exact = BytesMut::with_capacity(buf.len() + rest);
        exact.extend_from_slice(&buf);
        buf = exact;
    }
    buf.to_vec()
}

async fn is_at_end<S: Stream>(stream: &S) -> bool {
    matches!(stream.read(BytesMut::with_capacity(16)).await.0, Ok(Read::End))
}

/// Bytes that tell their place: no period that fits buffers or slices.
fn pattern(len: usize) -> Bytes {
    (0..len).map(|i| (i % 251) as u8 ^ (i / 251) as u8).collect::<Vec<u8>>().into()
}

pub(crate) fn bytes_arrive_in_order<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let (client, server) = connected(&host).await;
        let sent = pattern(100_000);
        let mut slices = Vec::new();
        let mut rest = sent.clone();
        for len in (0..).map(|n| n * 7 % 1000) {
            slices.push(rest.split_to(len.min(rest.len())));
            if rest.is_empty() {
                break;
            }
        }
        let (written, got) = join2(client.write(slices), read_exactly(&server, sent.len())).await;
        written.0.unwrap();
        assert!(got == sent, "bytes came in another order");
        assert!(written.1.is_empty() && written.1.capacity() > 0, "the vector comes back to be used again");
    });
}

pub(crate) fn a_slow_reader_holds_the_writer_back<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let (client, server) = connected(&host).await;
        let slice = pattern(SLICE_BYTES);
        let written = Rc::new(Cell::new(false));
        let (slices, flag) = (vec![slice.clone(); SLICES], Rc::clone(&written));
        let writer = host.spawn(async move {
            client.write(slices).await.0.unwrap();
            flag.set(true);
        });
        host.sleep(Duration::from_millis(50)).await;
        assert!(!written.get(), "{} bytes went into thin air", SLICES * SLICE_BYTES);
        let mut buf = BytesMut::with_capacity(64 * 1024);
        let mut position = 0;
        loop {
            let (read, back) = server.read(buf).await;
            buf = back;
            if read.unwrap() == Read::End {
                break;
            }
            for part in buf.chunks(4096) {
                let at = position % SLICE_BYTES;
                let first = part.len().min(SLICE_BYTES - at);
                assert!(
                    part[..first] == slice[at..at + first] && part[first..] == slice[..part.len() - first]
                );
                position += part.len();
            }
            buf.clear();
        }
        assert_eq!(position, SLICES * SLICE_BYTES);
        writer.await;
    });
}

pub(crate) fn each_direction_ends_by_itself<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let (client, server) = connected(&host).await;
        send(&client, b"question").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_exactly(&server, 8).await, b"question");
        assert!(is_at_end(&server).await);
        send(&server, b"answer").await.unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_exactly(&client, 6).await, b"answer");
        assert!(is_at_end(&client).await && is_at_end(&client).await, "the end stays the end");
        assert!(send(&client, b"late").await.is_err(), "no write behind one's own end");
    });
}

pub(crate) fn a_dropped_read_loses_nothing<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let (client, server) = connected(&host).await;
        let sent = pattern(20_000);
        let (task, bytes) = (host.clone(), sent.clone());
        let writer = host.spawn(async move {
            for part in bytes.chunks(100) {
                send(&client, part).await.unwrap();
                task.sleep(Duration::from_micros(100)).await;
            }
            client
        });
        let mut got = BytesMut::new();
        while got.len() < sent.len() {
            let read = server.read(BytesMut::with_capacity(256));
            if let Ok((read, part)) = timeout(&host, Duration::from_micros(60), read).await {
                assert!(matches!(read.unwrap(), Read::Bytes(_)));
                got.extend_from_slice(&part);
            }
        }
        assert!(got == sent, "bytes were lost or came twice");
        writer.await;
    });
}

pub(crate) fn a_reset_ends_a_write<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let (client, server) = connected(&host).await;
        let slices = vec![pattern(SLICE_BYTES); SLICES];
        let writer = host.spawn(async move { client.write(slices).await.0 });
        read_exactly(&server, 1000).await;
        drop(server);
        assert!(writer.await.is_err(), "nobody will ever read this");
    });
}

pub(crate) fn shutdown_wakes_a_waiting_read<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let (client, _server) = connected(&host).await;
        let client = Rc::new(client);
        let reading = Rc::clone(&client);
        let reader = host.spawn(async move { is_at_end(&*reading).await });
        host.sleep(Duration::from_millis(5)).await;
        client.shutdown(Shutdown::Both).unwrap();
        assert!(timeout(&host, Duration::from_secs(10), reader).await.unwrap());
    });
}

pub(crate) fn shutdown_wakes_a_waiting_write<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let (client, _server) = connected(&host).await;
        let client = Rc::new(client);
        let writing = Rc::clone(&client);
        let slices = vec![pattern(SLICE_BYTES); SLICES];
        let writer = host.spawn(async move { writing.write(slices).await.0 });
        host.sleep(Duration::from_millis(20)).await;
        client.shutdown(Shutdown::Both).unwrap();
        assert!(timeout(&host, Duration::from_secs(10), writer).await.unwrap().is_err());
    });
}

pub(crate) fn both_directions_run_at_once<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let (client, server) = connected(&host).await;
        let bytes = pattern(2_000_000);
        let ends = [client, server].map(Rc::new);
        let mut tasks = Vec::new();
        for end in &ends {
            let (reading, writing, sent) = (Rc::clone(end), Rc::clone(end), bytes.clone());
            let len = bytes.len();
            let writer = host.spawn(async move { writing.write(vec![sent]).await.0.unwrap() });
            let reader = host.spawn(async move {
                let mut got = BytesMut::with_capacity(len + 1);
                while got.len() < len {
                    let (read, back) = reading.read(got).await;
                    read.unwrap();
                    got = back;
                }
                got
            });
            tasks.push((writer, reader));
        }
        for (writer, reader) in tasks {
            writer.await;
            assert!(reader.await == bytes);
        }
    });
}

pub(crate) fn a_dropped_write_closes_the_stream<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, _| async move {
        let (client, server) = connected(&host).await;
        poll_once_and_drop(client.write(vec![pattern(SLICE_BYTES); SLICES])).await;
        assert!(send(&client, b"half a frame may lie before this").await.is_err());
        let ended = Cell::new(false);
        let mut buf = BytesMut::with_capacity(64 * 1024);
        while !ended.get() {
            buf.clear();
            let (read, back) = server.read(buf).await;
            buf = back;
            ended.set(!matches!(read, Ok(Read::Bytes(_))));
        }
        eventually(&host, "the end", || ended.get()).await;
    });
}
