//! Faults of connections: what both ends see of each, that others are spared, and what healing brings back.

use super::{ALWAYS, run, world};
use crate::local::{join2, timeout};
use crate::mem::{Chance, Faults, MemHost, MemStream, MemWorld, NetFaults};
use crate::{Host, Listener, Read, Stream};
use bytes::{Bytes, BytesMut};
use std::io;
use std::time::Duration;

const PORT: u16 = 9092;

/// A world in which every connection can be hit.
fn net(set: impl FnOnce(&mut NetFaults)) -> MemWorld {
    world(|faults| {
        faults.net.hit_per_million = 1_000_000;
        set(&mut faults.net);
    })
}

async fn pair(host: &MemHost) -> (MemStream, MemStream) {
    let listener = host.listen(([127, 0, 0, 1], PORT).into()).await.unwrap();
    let (near, far) = join2(host.connect(listener.local_addr()), listener.accept()).await;
    (near.unwrap(), far.unwrap())
}

async fn send(stream: &MemStream, bytes: &'static [u8]) -> io::Result<()> {
    stream.write(vec![Bytes::from_static(bytes)]).await.0
}

/// Reads until it has so many bytes, the end, or an error.
async fn receive(stream: &MemStream, len: usize) -> io::Result<Vec<u8>> {
    let mut buf = BytesMut::with_capacity(len);
    while buf.len() < len {
        let (read, back) = stream.read(buf).await;
        buf = back;
        if read? == Read::End {
            break;
        }
    }
    Ok(buf.to_vec())
}

async fn hears_nothing(host: &MemHost, stream: &MemStream) -> bool {
    timeout(host, Duration::from_secs(3600), receive(stream, 1)).await.is_err()
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|e| e.kind())
}

#[test]
fn a_stall_delays_one_direction_and_keeps_its_order() {
    let world = net(|net| {
        net.stall = ALWAYS.at_most(1);
        net.stall_most = Duration::from_secs(4);
    });
    run(&world, 11, |host| async move {
        let (near, far) = pair(&host).await;
        let start = host.now();
        send(&near, b"late").await.unwrap();
        send(&near, b" and behind").await.unwrap();
        send(&far, b"other way").await.unwrap();
        assert_eq!(receive(&near, 9).await.unwrap(), b"other way");
        assert!(host.now().since(start) < Duration::from_millis(1));
        assert_eq!(receive(&far, 15).await.unwrap(), b"late and behind");
        let late = host.now().since(start);
        assert!(late >= Duration::from_millis(1) && late < Duration::from_millis(4001), "{late:?}");
    });
    assert_eq!(world.fired()["net_stall"], 1);
}

#[test]
fn a_reset_reaches_both_ends_and_loses_what_was_on_its_way() {
    let world = net(|_| {});
    run(&world, 1, |host| async move {
        let (near, far) = pair(&host).await;
        send(&far, b"on its way").await.unwrap();
        let mut faults = Faults::default();
        faults.net.hit_per_million = 1_000_000;
        faults.net.reset = ALWAYS;
        host.world().set_faults(faults);
        assert_eq!(kind(send(&near, b"x").await), Some(io::ErrorKind::ConnectionReset));
        assert_eq!(kind(receive(&near, 1).await), Some(io::ErrorKind::ConnectionReset));
        assert_eq!(kind(receive(&far, 1).await), Some(io::ErrorKind::ConnectionReset));
        assert_eq!(kind(send(&far, b"x").await), Some(io::ErrorKind::ConnectionReset));
    });
    assert_eq!(world.fired()["reset"], 1);
}

#[test]
fn a_half_close_ends_one_direction_behind_what_was_sent() {
    let world = net(|net| net.half_close = ALWAYS.at_most(1));
    run(&world, 1, |host| async move {
        let (near, far) = pair(&host).await;
        send(&near, b"last words").await.unwrap();
        assert_eq!(kind(send(&near, b"more").await), Some(io::ErrorKind::BrokenPipe));
        assert_eq!(receive(&far, 100).await.unwrap(), b"last words");
        drop(receive(&far, 1).await.unwrap());
    });
    assert_eq!(world.fired()["half_close"], 1);
}

#[test]
fn after_a_half_close_the_other_direction_goes_on() {
    let world = net(|net| net.half_close = ALWAYS.at_most(1));
    run(&world, 1, |host| async move {
        let (near, far) = pair(&host).await;
        send(&near, b"last words").await.unwrap();
        for _ in 0..10 {
            send(&far, b"still here").await.unwrap();
            assert_eq!(receive(&near, 10).await.unwrap(), b"still here");
        }
    });
}

#[test]
fn a_one_way_cut_brings_nothing_until_it_heals() {
    let world = net(|net| net.one_way_cut = ALWAYS.at_most(1));
    run(&world, 1, |host| async move {
        let (near, far) = pair(&host).await;
        send(&near, b"held").await.unwrap();
        send(&near, b" back").await.unwrap();
        send(&far, b"heard").await.unwrap();
        assert_eq!(receive(&near, 5).await.unwrap(), b"heard");
        near.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(hears_nothing(&host, &far).await, "neither bytes nor the end");
        host.world().set_faults(Faults::default());
        assert_eq!(receive(&far, 100).await.unwrap(), b"held back");
    });
    assert_eq!(world.fired()["one_way_cut"], 1);
}

#[test]
fn a_black_hole_takes_bytes_until_the_buffers_are_full_and_tells_nobody() {
    let world = net(|net| net.black_hole = ALWAYS.at_most(1));
    run(&world, 1, |host| async move {
        let (near, far) = pair(&host).await;
        send(&near, b"x").await.unwrap();
        send(&far, b"y").await.unwrap();
        let near = std::rc::Rc::new(near);
        let (taken, writer) = (std::rc::Rc::new(std::cell::Cell::new(0)), near.clone());
        let told = taken.clone();
        drop(host.spawn(async move {
            let chunk = Bytes::from(vec![7; 16 * 1024]);
            while writer.write(vec![chunk.clone()]).await.0.is_ok() {
                told.set(told.get() + chunk.len());
            }
        }));
        assert!(hears_nothing(&host, &far).await);
        assert!((200_000..300_000).contains(&taken.get()), "{} bytes went into the hole", taken.get());
        assert!(hears_nothing(&host, &near).await);
        host.world().set_faults(Faults::default());
        assert_eq!(receive(&near, 1).await.unwrap(), b"y");
        assert_eq!(receive(&far, 5).await.unwrap(), b"x\x07\x07\x07\x07");
    });
    assert_eq!(world.fired()["black_hole"], 1);
}

#[test]
fn in_a_black_hole_nobody_learns_that_the_peer_is_gone() {
    let world = net(|net| net.black_hole = ALWAYS.at_most(1));
    run(&world, 1, |host| async move {
        let (near, far) = pair(&host).await;
        send(&near, b"x").await.unwrap();
        drop(far);
        send(&near, b"to nobody").await.unwrap();
        assert!(hears_nothing(&host, &near).await);
        host.world().set_faults(Faults::default());
        assert!(send(&near, b"now it is known").await.is_err());
    });
}

#[test]
fn a_dead_connection_stays_dead_after_the_healing() {
    let world = net(|net| net.dead = ALWAYS.at_most(1));
    run(&world, 1, |host| async move {
        let (near, far) = pair(&host).await;
        send(&near, b"x").await.unwrap();
        host.world().set_faults(Faults::default());
        assert!(hears_nothing(&host, &far).await);
        send(&far, b"y").await.unwrap();
        assert!(hears_nothing(&host, &near).await);
    });
    assert_eq!(world.fired()["dead"], 1);
}

#[test]
fn connects_are_refused_or_lost_by_chance() {
    let world = net(|net| {
        net.refused_connect = Chance::per_million(300_000);
        net.lost_connect = Chance::per_million(300_000);
        net.connect_timeout = Duration::from_secs(3);
    });
    run(&world, 1, |host| async move {
        let listener = host.listen(([127, 0, 0, 1], PORT).into()).await.unwrap();
        let (mut refused, mut lost, mut made) = (0, 0, 0);
        for _ in 0..100 {
            let start = host.now();
            match kind(host.connect(listener.local_addr()).await) {
                Some(io::ErrorKind::ConnectionRefused) => refused += 1,
                Some(io::ErrorKind::TimedOut) => {
                    assert!(host.now().since(start) >= Duration::from_secs(3));
                    lost += 1;
                }
                other => {
                    assert_eq!(other, None);
                    drop(listener.accept().await.unwrap());
                    made += 1;
                }
            }
        }
        assert!(refused > 10 && lost > 10 && made > 10, "{refused} refused, {lost} lost, {made} made");
        let fired = host.world().fired();
        assert_eq!((fired["refused_connect"], fired["lost_connect"]), (refused, lost));
    });
}

/// How many of 40 connections to this port come to harm.
fn harmed(net: impl Fn(&mut NetFaults)) -> usize {
    let world = super::world(|faults| {
        faults.net.reset = ALWAYS;
        net(&mut faults.net);
    });
    run(&world, 1, |host| async move {
        let listener = host.listen(([127, 0, 0, 1], PORT).into()).await.unwrap();
        for _ in 0..40 {
            let (near, far) = join2(host.connect(listener.local_addr()), listener.accept()).await;
            let (near, far) = (near.unwrap(), far.unwrap());
            if send(&near, b"first").await.is_ok() {
                receive(&far, 5).await.unwrap();
                // Whoever was spared once is spared for ever.
                for _ in 0..20 {
                    send(&near, b"x").await.unwrap();
                    receive(&far, 1).await.unwrap();
                }
            }
        }
    });
    let fired = world.fired();
    assert_eq!(fired["reset"], fired["hit_connection"]);
    fired["reset"] as usize
}

#[test]
fn connections_draw_their_luck_when_they_are_made_and_ports_can_be_spared() {
    assert!((8..32).contains(&harmed(|net| net.hit_per_million = 500_000)));
    assert_eq!(harmed(|net| net.hit_per_million = 0), 0);
    let on = |port: u16| {
        harmed(move |net| {
            net.hit_per_million = 1_000_000;
            net.ports = vec![port];
        })
    };
    assert_eq!((on(PORT), on(PORT + 1)), (40, 0));
}
