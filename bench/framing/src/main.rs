//! Bytes of lines in a CPU second: our line decoder, tokio-util's `LinesCodec`, in turn.
//!
//! Run by `cargo xtask bench framing`, which makes a table of the cells between tabs that this prints.
//!
//! Both get the same stream in pieces as a socket would give them. The peer's lines are strings; a
//! second figure for ours checks each line for UTF-8 as well.

use std::hint::black_box;

use bytes::BytesMut;
use ropewalk_framing::{Decoder as _, Ending, LineDecoder};
use rustix::time::{ClockId, clock_gettime};
use tokio_util::codec::{Decoder as _, LinesCodec};

const ROUNDS: usize = 15;
/// How much a read from a socket gives at once: not a multiple of any line's length.
const PIECE: usize = 65_521;
/// The stream is so long and comes so often: what was just read from a socket is in the cache.
const STREAM: usize = 256 * 1024;
const TIMES: usize = 256;

fn main() {
    println!("line, bytes\ttokio-util, MB/s\tours\tratio\tours, UTF-8 checked\tratio");
    for length in [16, 1024] {
        let line: Vec<u8> = (0..length).map(|index| b'a' + (index % 26) as u8).collect();
        let line = [&line[..], b"\r\n"].concat();
        let stream = line.repeat(STREAM / line.len());
        let expected = STREAM / line.len() * TIMES;
        let bytes = stream.len() * TIMES;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let theirs = measure(expected, || lines_codec(&stream));
            let ours = measure(expected, || line_decoder(&stream, |line| line.len()));
            let checked = measure(expected, || {
                line_decoder(&stream, |line| str::from_utf8(line).map_or(0, str::len))
            });
            rounds.push([theirs, ours, checked, theirs / ours, theirs / checked]);
        }
        let middle = |index: usize| {
            let mut column: Vec<f64> = rounds.iter().map(|round| round[index]).collect();
            column.sort_by(f64::total_cmp);
            column[column.len() / 2]
        };
        #[expect(clippy::cast_precision_loss, reason = "it is far below 2^52")]
        let speed = |seconds: f64| bytes as f64 / 1e6 / seconds;
        println!(
            "{length}\t{:.0}\t{:.0}\t{:.2}\t{:.0}\t{:.2}",
            speed(middle(0)),
            speed(middle(1)),
            middle(3),
            speed(middle(2)),
            middle(4),
        );
    }
}

/// CPU seconds that `work` takes.
fn measure(expected: usize, work: impl FnOnce() -> usize) -> f64 {
    let before = cpu_seconds();
    let lines = black_box(work());
    let taken = cpu_seconds() - before;
    assert_eq!(lines, expected);
    taken
}

#[expect(clippy::cast_precision_loss, reason = "a process does not run for years")]
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn lines_codec(stream: &[u8]) -> usize {
    let mut codec = LinesCodec::new_with_max_length(16_384);
    let mut buffer = BytesMut::with_capacity(2 * PIECE);
    let mut count = 0;
    for piece in (0..TIMES).flat_map(|_| stream.chunks(PIECE)) {
        buffer.extend_from_slice(piece);
        while let Some(line) = codec.decode(&mut buffer).expect("all lines are fine") {
            black_box(line.len());
            count += 1;
        }
    }
    count
}

fn line_decoder(stream: &[u8], look: impl Fn(&[u8]) -> usize) -> usize {
    let mut decoder = LineDecoder::new(Ending::CrLf);
    let mut count = 0;
    for mut piece in (0..TIMES).flat_map(|_| stream.chunks(PIECE)) {
        while let Some(line) = decoder.feed(&mut piece).expect("all lines are fine") {
            black_box(look(line));
            count += 1;
        }
    }
    count
}
