//! A WebSocket that answers each message with itself, at `ws://127.0.0.1:9001/`.

use ropewalk::http::{Request, Site};
use ropewalk::websocket::{
    Compression, Message, Options, WebSocket, WebSocketProtocol, WebSocketResource,
};

struct Echo;

impl WebSocketProtocol for Echo {
    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
        socket.send(message);
    }
}

fn main() -> Result<(), ropewalk::Failure> {
    let options = Options::new().compression(Compression::default().with_context());
    let echo = WebSocketResource::new(|_: &Request| Echo).options(options);
    ropewalk::serve("tcp:9001:interface=127.0.0.1", Site::new(echo))
}
