//! Commands that most tests call, and ways to look at what came of them.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk_amp::{Amp, AmpBox, Decoder, Limits, Peer, Responders, command, errors};
use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_trial::{Clock, Memory, Wire};

command! {
    /// Adds two numbers.
    pub(crate) Sum { a: i64, b: i64 } -> Total { total: i64 };

    /// Divides one number by another.
    pub(crate) Divide { numerator: i64, denominator: i64 } -> Quotient { result: f64 } or DivideError;

    /// Is answered when the test wants it.
    pub(crate) Wait { name: String } -> Waited { name: String } or DivideError;

    /// Is not answered.
    pub(crate) Note { text: String };

    /// Is not known to anybody.
    pub(crate) Strange {} -> ();

    /// Hands the connection over.
    pub(crate) switch Upgrade { to: String } -> Upgraded { to: String } or DivideError;
}

errors! {
    /// Why a division has no result.
    pub(crate) DivideError {
        ZeroDivision = "ZERO_DIVISION",
        OnFire = fatal "ON_FIRE",
    }
}

type Waiting = (String, Promise<Waited>);

/// Calls of `Wait` that nobody has answered yet, and notes.
#[derive(Clone, Default)]
pub(crate) struct Desk {
    waiting: Rc<RefCell<Vec<Waiting>>>,
    notes: Rc<RefCell<Vec<String>>>,
}

impl Desk {
    /// Takes the call of this name.
    #[track_caller]
    pub(crate) fn take(&self, name: &str) -> Promise<Waited> {
        let mut waiting = self.waiting.borrow_mut();
        let at = waiting.iter().position(|(each, _)| each == name).expect("it was called");
        waiting.remove(at).1
    }

    pub(crate) fn answer(&self, name: &str) {
        self.take(name).succeed(Waited { name: name.to_owned() });
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }

    pub(crate) fn responders(&self) -> Responders {
        let (waiting, notes) = (Rc::clone(&self.waiting), Rc::clone(&self.notes));
        Responders::new()
            .on(|sum: Sum| Total { total: sum.a + sum.b })
            .on(|divide: Divide| quotient(&divide))
            .on(move |wait: Wait| {
                let (promise, answer) = deferred();
                waiting.borrow_mut().push((wait.name, promise));
                answer
            })
            .on(move |note: Note| {
                assert_ne!(note.text, "panic");
                if note.text == "fail" {
                    return Err(DivideError::ZeroDivision("failed".to_owned()));
                }
                notes.borrow_mut().push(note.text);
                Ok(())
            })
    }
}

fn quotient(divide: &Divide) -> Result<Quotient, Failure> {
    match divide.denominator {
        0 => Err(DivideError::ZeroDivision("division by zero".to_owned()).into()),
        -1 => Err(DivideError::OnFire("it burns".to_owned()).into()),
        -2 => Err("a secret".parse::<i64>().unwrap_err().into()),
        by => Ok(Quotient { result: divide.numerator as f64 / by as f64 }),
    }
}

/// A client's peer, the desk of its server, and the wire between them.
pub(crate) fn join() -> (Peer, Desk, Wire) {
    let desk = Desk::default();
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    let wire = Wire::join(client, Amp::new(desk.responders()));
    (peer, desk, wire)
}

/// A server whose client is the test.
pub(crate) fn server() -> (Memory, Desk) {
    let desk = Desk::default();
    (Memory::seat(Amp::new(desk.responders()), &Clock::new()), desk)
}

/// A client whose server is the test.
pub(crate) fn client() -> (Memory, Peer) {
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    (Memory::seat(client, &Clock::new()), peer)
}

/// What came of a call that must be over.
#[track_caller]
pub(crate) fn value<T: 'static>(deferred: Deferred<T>) -> T {
    deferred.now_or_never().expect("it is over").expect("it went well")
}

/// Why a call that must be over has no answer.
#[track_caller]
pub(crate) fn error<T: std::fmt::Debug + 'static, E: std::error::Error + Clone + 'static>(
    deferred: Deferred<T>,
) -> E {
    let failure = deferred.now_or_never().expect("it is over").expect_err("it failed");
    failure.check::<E>().unwrap_or_else(|| panic!("{failure:?}")).clone()
}

/// A box of these fields, as it goes over the wire.
pub(crate) fn wire_box(fields: &[(&str, &str)]) -> Vec<u8> {
    let add = |all: AmpBox, (key, value): &(&str, &str)| {
        all.with(key.to_string(), value.to_string()).expect("it fits")
    };
    fields.iter().fold(AmpBox::new(), add).encode()
}

/// All boxes in `bytes`, which must end with one.
#[track_caller]
pub(crate) fn boxes(mut bytes: &[u8]) -> Vec<AmpBox> {
    let (mut decoder, mut found) = (Decoder::default(), Vec::new());
    while !bytes.is_empty() {
        let fields = decoder.feed(&mut bytes, &Limits::default()).expect("it is well formed");
        found.push(AmpBox::from(fields.expect("it is whole")));
    }
    found
}

/// The keys and values of the only box in `bytes`.
#[track_caller]
pub(crate) fn only_box(bytes: &[u8]) -> Vec<(String, String)> {
    let found = boxes(bytes);
    assert_eq!(found.len(), 1, "{found:?}");
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    found[0].iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// Fields to compare [`only_box`] with.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
