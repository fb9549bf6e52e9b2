//! WebSocket by tokio-tungstenite on one tokio thread: at `/` an echo, at `/all` what one says goes to all.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use futures_util::{SinkExt as _, StreamExt as _};
use peer_common::{announce, listener};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

type Crowd = Rc<RefCell<Vec<UnboundedSender<Message>>>>;

type Outcome = Result<(), Box<dyn std::error::Error>>;

// The library's own signature has an error of this size.
#[allow(clippy::result_large_err)]
async fn converse(stream: TcpStream, crowd: Crowd) -> Outcome {
    let mut is_for_all = false;
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        is_for_all = request.uri().path() == "/all";
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, look).await?;
    if !is_for_all {
        while let Some(message) = socket.next().await {
            let message = message?;
            if message.is_text() || message.is_binary() {
                socket.send(message).await?;
            }
        }
        return Ok(());
    }
    let (sender, mut told) = unbounded_channel();
    crowd.borrow_mut().push(sender);
    let (mut output, mut input) = socket.split();
    loop {
        tokio::select! {
            message = input.next() => {
                let Some(message) = message else { return Ok(()) };
                let message = message?;
                crowd.borrow_mut().retain(|one| one.send(message.clone()).is_ok());
            }
            Some(message) = told.recv() => output.send(message).await?,
        }
    }
}

async fn serve() -> io::Result<()> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    announce(listener.local_addr()?)?;
    let crowd = Crowd::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let crowd = Rc::clone(&crowd);
        tokio::task::spawn_local(async move {
            // The load hangs up as it likes.
            let _ = converse(stream, crowd).await;
        });
    }
}

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, serve())
}
