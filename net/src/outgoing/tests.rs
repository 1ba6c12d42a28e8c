//! Order and packing of what leaves a connection.

use super::*;
use flumen_model::{Code, Offset};
use flumen_wire::{Next, frame};

fn appended(offset: u64) -> Result<Appended> {
    Ok(Appended { base_offset: Offset(offset), append_time: None, log_start: Offset(0) })
}

/// The correlations of the frames that may leave now.
fn leaving(out: &mut Outgoing) -> Vec<u32> {
    let all = out.take(Vec::new()).unwrap_or_default().concat();
    let mut rest = &all[..];
    let mut found = Vec::new();
    while let Next::Frame { header, frame_bytes } = frame::next(rest, 1 << 20).unwrap() {
        found.push(header.correlation());
        rest = &rest[frame_bytes..];
    }
    assert!(rest.is_empty(), "only whole frames leave");
    found
}

fn promise(out: &mut Outgoing, correlation: u32) -> u64 {
    out.promise(FrameKind::Produce, correlation)
}

#[test]
fn replies_leave_in_the_order_of_their_requests() {
    let mut out = Outgoing::default();
    let slots: Vec<u64> = (0..5).map(|correlation| promise(&mut out, correlation)).collect();
    for done in [2, 4, 1] {
        out.appended(slots[done], appended(7));
        assert!(leaving(&mut out).is_empty(), "request 0 is not answered");
    }
    out.appended(slots[0], appended(7));
    assert_eq!(leaving(&mut out), [0, 1, 2]);
    out.refuse(slots[3], &Error::new(Code::Busy, "later"));
    assert_eq!(leaving(&mut out), [3, 4]);
    assert_eq!((out.open(), out.bytes()), (0, 0));
}

#[test]
fn pushes_leave_between_replies_and_never_inside_one() {
    let mut out = Outgoing::default();
    let first = promise(&mut out, 1);
    let second = promise(&mut out, 2);
    out.appended(first, appended(1));
    let head = flumen_wire::PushHead::new(flumen_model::GroupId(16), Offset(9), Offset(0));
    out.pack(|pack| flumen_wire::encode_push_header(77, head, 3, pack));
    out.slice(Bytes::from_static(b"abc"));
    out.appended(second, appended(2));
    assert_eq!(leaving(&mut out), [1, 77, 2]);
}

#[test]
fn many_small_replies_share_few_slices() {
    let mut out = Outgoing::default();
    for correlation in 0..1000 {
        let slot = promise(&mut out, correlation);
        out.appended(slot, appended(1));
    }
    let slices = out.take(Vec::new()).unwrap();
    assert!(slices.len() < 20, "{} slices for 1000 replies", slices.len());
}
