//! Files on their way out.

use std::fmt;
use std::fs::File;
use std::sync::Arc;

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::Conn;

/// How much of a file is handed to a connection at a time, in bytes.
pub const PIECE_MAX: u64 = 256 * 1024;

/// Sends part of a file piece by piece, as fast as the peer takes it.
///
/// Call [`resume`](Self::resume) to begin, and again in
/// [`writing_resumed`](ropewalk_protocol::Protocol::writing_resumed); little more than a piece
/// waits at any time, however long the file is. The pieces are sent by the kernel's own hand where it can.
///
/// ```
/// use std::fs::File;
/// use std::sync::Arc;
///
/// use ropewalk_framing::FileSender;
/// use ropewalk_protocol::{Conn, Protocol};
///
/// struct Download(FileSender);
///
/// impl Download {
///     fn new(file: File) -> std::io::Result<Self> {
///         let length = file.metadata()?.len();
///         let (sender, sent) = FileSender::new(Arc::new(file), 0, length);
///         sent.add_callback(|()| println!("all of it is on its way")).detach();
///         Ok(Self(sender))
///     }
///
///     fn go_on(&mut self, conn: &Conn<Self>) {
///         if self.0.resume(conn) {
///             conn.close();
///         }
///     }
/// }
///
/// impl Protocol for Download {
///     fn connection_made(&mut self, conn: &Conn<Self>) {
///         self.go_on(conn);
///     }
///
///     fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
///
///     fn writing_resumed(&mut self, conn: &Conn<Self>) {
///         self.go_on(conn);
///     }
/// }
/// ```
pub struct FileSender {
    file: Arc<File>,
    offset: u64,
    left: u64,
    promise: Option<Promise<()>>,
}

impl FileSender {
    /// Will send `len` bytes of `file` from `offset` on.
    ///
    /// The deferred tells when the last piece was handed to the connection, which is the time to
    /// write what comes after it. It fails if the sender is dropped before that, as happens when the
    /// connection ends.
    #[track_caller]
    pub fn new(file: Arc<File>, offset: u64, len: u64) -> (Self, Deferred<()>) {
        let (promise, sent) = deferred();
        (Self { file, offset, left: len, promise: Some(promise) }, sent)
    }

    /// Hands pieces to `conn` until it has enough or nothing is left; true if nothing is.
    pub fn resume<P>(&mut self, conn: &Conn<P>) -> bool {
        while self.left > 0 && !conn.is_writing_paused() && !conn.is_closing() {
            let piece = self.left.min(PIECE_MAX);
            conn.write_file(Arc::clone(&self.file), self.offset, piece);
            self.offset += piece;
            self.left -= piece;
        }
        if self.left == 0
            && let Some(promise) = self.promise.take()
        {
            promise.succeed(());
        }
        self.left == 0
    }

    /// How many bytes were not handed to the connection yet.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl fmt::Debug for FileSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSender").field("left", &self.left).finish_non_exhaustive()
    }
}
