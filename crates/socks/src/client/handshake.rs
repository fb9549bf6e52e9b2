//! A client's side of the dialogue.

use std::net::SocketAddr;

use ropewalk_deferred::Promise;
use ropewalk_forward::Handshake;
use ropewalk_protocol::{Address, Disconnect};

use crate::codec::{
    Choice5, Command, Decoder, Greeting5, Login, LoginReply5, METHOD_LOGIN, METHOD_NONE, Reply4,
    Reply5, Request4, Request5, Target, Version,
};
use crate::error::ProxyError;

/// Asks a proxy for a connection.
pub(super) struct Asking {
    version: Version,
    command: Command,
    target: Target,
    login: Option<Login>,
    decoder: Decoder,
    expected: Expected,
    /// Who wants to know where the proxy listens.
    bound: Option<Promise<Address>>,
    /// Whom the protocol will talk to, if it is not the target.
    peer: Option<Address>,
}

/// What the proxy has to say next.
#[derive(Clone, Copy)]
enum Expected {
    Choice,
    Login,
    Reply,
}

impl Asking {
    pub(super) fn new(
        version: Version,
        command: Command,
        target: Target,
        login: Option<Login>,
    ) -> Self {
        let expected = match version {
            Version::V4 => Expected::Reply,
            Version::V5 => Expected::Choice,
        };
        let decoder = Decoder::default();
        Self { version, command, target, login, decoder, expected, bound: None, peer: None }
    }

    /// Tells where the proxy listens, as soon as it says so.
    pub(super) fn telling(self, bound: Promise<Address>) -> Self {
        Self { bound: Some(bound), ..self }
    }

    /// Takes one message off the front of `data`, or all of it; true once all is agreed.
    fn step(&mut self, data: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, ProxyError> {
        let bad = ProxyError::BadReply;
        match (self.expected, self.version) {
            (Expected::Choice, _) => {
                if let Some(Choice5(method)) = self.decoder.feed(data).map_err(bad)? {
                    self.identify(method, out)?;
                }
            }
            (Expected::Login, _) => match self.decoder.feed(data).map_err(bad)? {
                Some(LoginReply5(true)) => self.ask(out),
                Some(LoginReply5(false)) => return Err(ProxyError::LoginRefused),
                None => (),
            },
            (Expected::Reply, Version::V4) => {
                if let Some(Reply4 { outcome, address }) = self.decoder.feed(data).map_err(bad)? {
                    outcome.map_err(ProxyError::Refused)?;
                    return Ok(self.granted(Address::Ip(SocketAddr::V4(address))));
                }
            }
            (Expected::Reply, Version::V5) => {
                if let Some(Reply5 { outcome, address }) = self.decoder.feed(data).map_err(bad)? {
                    outcome.map_err(ProxyError::Refused)?;
                    return Ok(self.granted(Address::from(&address)));
                }
            }
        }
        Ok(false)
    }

    fn identify(&mut self, method: Option<u8>, out: &mut Vec<u8>) -> Result<(), ProxyError> {
        match (method, &self.login) {
            (Some(METHOD_NONE), _) => self.ask(out),
            (Some(METHOD_LOGIN), Some(login)) => {
                login.encode(out);
                self.expected = Expected::Login;
            }
            (Some(method), _) => return Err(ProxyError::WrongMethod { method }),
            (None, _) => return Err(ProxyError::NoMethod),
        }
        Ok(())
    }

    fn ask(&mut self, out: &mut Vec<u8>) {
        Request5 { command: self.command, target: self.target.clone() }.encode(out);
        self.expected = Expected::Reply;
    }

    /// The proxy has done what it was asked for, or the first half of it.
    fn granted(&mut self, address: Address) -> bool {
        match self.command {
            Command::Connect => true,
            Command::Associate => {
                if let Some(bound) = self.bound.take() {
                    bound.succeed(address);
                }
                true
            }
            Command::Bind => match self.bound.take() {
                Some(bound) => {
                    bound.succeed(address);
                    false
                }
                None => {
                    self.peer = Some(address);
                    true
                }
            },
        }
    }
}

impl Handshake for Asking {
    type Error = ProxyError;

    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), ProxyError> {
        match self.version {
            Version::V4 => {
                let user = self.login.as_ref().map(|login| login.user().to_vec());
                let (command, target) = (self.command, self.target.clone());
                let request = Request4 { command, target, user: user.unwrap_or_default() };
                request.encode(out).map_err(ProxyError::BadRequest)
            }
            Version::V5 => {
                let methods = [METHOD_NONE, METHOD_LOGIN];
                let count = if self.login.is_some() { 2 } else { 1 };
                Greeting5::new(&methods[..count]).encode(out);
                Ok(())
            }
        }
    }

    fn feed(&mut self, data: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, ProxyError> {
        while !data.is_empty() {
            if self.step(data, out)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn peer(&self) -> Option<Address> {
        if self.command == Command::Associate {
            // The connection stays one with the proxy.
            return None;
        }
        Some(self.peer.clone().unwrap_or_else(|| Address::from(&self.target)))
    }

    fn disconnect(error: &ProxyError) -> Disconnect {
        error.disconnect()
    }
}
