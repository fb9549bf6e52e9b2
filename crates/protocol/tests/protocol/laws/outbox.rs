//! Output that is cut in two.

use std::fs::File;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use ropewalk_protocol::{Chunk, FileSlice, Outbox};

/// Bytes of every kind: copied, shared, in a file that nobody reads here.
fn mixed() -> Outbox {
    let file = Arc::new(File::open("Cargo.toml").expect("tests run beside their manifest"));
    let mut out = Outbox::default();
    out.write(b"0123456789");
    out.advance(2);
    out.write_bytes(Bytes::from(vec![b'x'; 5000]));
    out.write_file(FileSlice { file, offset: 7, len: 100 });
    out.write(b"the end");
    out
}

/// What an outbox holds, a file's bytes by their places.
fn contents(out: &mut Outbox) -> Vec<u64> {
    let mut contents = Vec::new();
    for chunk in out.drain() {
        match chunk {
            Chunk::Bytes(bytes) => contents.extend(bytes.iter().copied().map(u64::from)),
            Chunk::File(slice) => {
                contents.extend((slice.offset..slice.offset + slice.len).map(|at| 1000 + at));
            }
            _ => unreachable!("there are no other kinds"),
        }
    }
    contents
}

#[test]
fn output_can_be_cut_anywhere() {
    let whole = contents(&mut mixed());
    let length = mixed().len();
    assert_eq!(whole.len() as u64, length);
    for cut in [0, 1, 7, 8, 9, 5007, 5008, 5009, 5107, 5108, 5109, length - 1, length, length + 1] {
        let mut rest = mixed();
        let mut first = rest.split_to(cut);
        assert_eq!(first.len(), cut.min(length));
        assert_eq!(rest.len(), length - first.len());
        assert_eq!([contents(&mut first), contents(&mut rest)].concat(), whole, "cut at {cut}");
    }
}

/// Frames: a short head, copied, before each body, shared.
fn framed(heads: &[usize]) -> (Outbox, Vec<u8>) {
    let (mut out, mut whole) = (Outbox::default(), Vec::new());
    for (index, &len) in heads.iter().enumerate() {
        let head = vec![index as u8; len];
        let body = vec![b'a' + index as u8; Outbox::SHARED_MIN + index];
        out.write(&head);
        out.write_bytes(Bytes::from(body.clone()));
        whole.extend([head, body].concat());
    }
    (out, whole)
}

/// All that is in memory, as a sender sees it.
fn gathered(out: &Outbox) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 16];
    let count = out.gather(&mut slices);
    assert!(slices[..count].first().is_none_or(|first| **first == *out.front()));
    slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
}

#[test]
fn short_heads_between_shared_bodies_go_out_as_they_are_however_they_are_cut() {
    let heads = [9, 1, 30, 31, 200];
    let (out, whole) = framed(&heads);
    assert_eq!((gathered(&out), out.len()), (whole.clone(), whole.len() as u64));
    assert!(!out.is_one_slice());
    // Around the two ends of each head, and of each body.
    let mut at = 0;
    let ends = heads.iter().enumerate().flat_map(|(index, len)| {
        let head = at;
        at += len + Outbox::SHARED_MIN + index;
        [head, head + len]
    });
    let cuts = ends.flat_map(|end| end.saturating_sub(1)..=end + 1).collect::<Vec<_>>();
    for &cut in &cuts {
        let (mut sent, _) = framed(&heads);
        sent.advance(cut as u64);
        assert_eq!(gathered(&sent), whole[cut..], "sent up to {cut}");
        let (mut rest, _) = framed(&heads);
        let mut first = rest.split_to(cut as u64);
        assert_eq!([gathered(&first), gathered(&rest)].concat(), whole, "cut at {cut}");
        // And once more, within what is left of a head.
        let second = rest.split_to(1);
        first.append(&mut { second });
        first.append(&mut rest);
        assert_eq!((gathered(&first), first.len()), (whole.clone(), whole.len() as u64));
    }
    let (mut few, _) = framed(&[9]);
    let head = few.split_to(9);
    assert!(head.is_one_slice());
    assert_eq!(head.front(), [0; 9]);
}
