//! Somebody who asks, whatever the network.

use ropewalk::Deferred;
use ropewalk::deferred::deferred;
use ropewalk::protocol::{ClientEndpoint, Disconnect, seat};
use ropewalk_trial::{Note, Witness};

/// All that the server at `place` says to a line, once it has closed.
pub(crate) fn ask(place: &(impl ClientEndpoint + ?Sized), line: &'static str) -> Deferred<String> {
    let (promise, answer) = deferred();
    let (mut promise, mut text) = (Some(promise), String::new());
    let (client, _) = Witness::new(move |conn, note| match note {
        Note::Made => conn.write(line.as_bytes()),
        Note::Data(data) => text += &String::from_utf8_lossy(data),
        Note::Eof => conn.close(),
        Note::Lost(why) => {
            let is_whole = *why == Disconnect::Closed;
            let text = if is_whole { Ok(std::mem::take(&mut text)) } else { Err(*why) };
            promise.take().into_iter().for_each(|promise| promise.fire(text.clone()));
        }
        _ => (),
    });
    place.connect_seat(seat(client));
    answer
}
