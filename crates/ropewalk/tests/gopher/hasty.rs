//! A first try, and what is wrong with it.

use ropewalk::{Conn, Protocol};
use ropewalk_trial::chunked;

/// Takes each piece that comes for a line.
struct Hasty;

impl Protocol for Hasty {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        if data == b"/hello\r\n" {
            conn.write(b"Hello, gopher!\r\n.\r\n");
        }
        conn.close();
    }
}

#[test]
#[should_panic(expected = "given byte by byte, it answers otherwise than given all at once")]
fn a_piece_is_not_a_line() {
    chunked(b"/hello\r\n", || Hasty);
}
