//! Output that is cut in two.

use std::fs::File;
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
