//! WebSocket by fastwebsockets on hyper and one tokio thread: at `/` an echo, at `/all` what one says
//! goes to all.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use peer_common::{announce, listener};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

type Crowd = Rc<RefCell<Vec<UnboundedSender<Bytes>>>>;

async fn echo(opening: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = opening.await?;
    socket.set_writev(true);
    let mut socket = fastwebsockets::FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn tell_all(opening: upgrade::UpgradeFut, crowd: Crowd) -> Result<(), WebSocketError> {
    let (sender, mut told) = unbounded_channel::<Bytes>();
    crowd.borrow_mut().push(sender);
    let (input, mut output) = opening.await?.split(tokio::io::split);
    let mut input = FragmentCollectorRead::new(input);
    tokio::task::spawn_local(async move {
        while let Some(message) = told.recv().await {
            let frame = Frame::text(Payload::Borrowed(&message));
            if output.write_frame(frame).await.is_err() {
                return;
            }
        }
    });
    loop {
        let frame = input.read_frame(&mut async |_| Ok::<_, io::Error>(())).await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => {
                let message = Bytes::copy_from_slice(&frame.payload);
                crowd.borrow_mut().retain(|one| one.send(message.clone()).is_ok());
            }
            _ => {}
        }
    }
}

async fn answer(
    mut request: Request<Incoming>,
    crowd: Crowd,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let is_for_all = request.uri().path() == "/all";
    let (response, opening) = upgrade::upgrade(&mut request)?;
    tokio::task::spawn_local(async move {
        // The load hangs up as it likes.
        let _ = if is_for_all { tell_all(opening, crowd).await } else { echo(opening).await };
    });
    Ok(response)
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
            let service = service_fn(|request| answer(request, Rc::clone(&crowd)));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.with_upgrades().await;
        });
    }
}

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, serve())
}
