//! The protocol of `docs/testing-a-protocol.md` against curl.

#[path = "../../crates/ropewalk/examples/gopher.rs"]
#[allow(dead_code, reason = "tests do not run its main function")]
mod gopher;

use std::process::Command;

use ropewalk::endpoint::server_from_string;
use ropewalk::protocol::{Address, listen};
use ropewalk::{Failure, Reactor};
use ropewalk_interop::tool;

use crate::gopher::Gopher;

#[ropewalk_trial::test]
async fn curl_gets_documents(reactor: Reactor) -> Result<(), Failure> {
    let place = server_from_string(&reactor, "tcp:0:interface=127.0.0.1")?;
    let port = listen(&*place, |_: &Address| Some(Gopher::default())).await?;
    let address = port.address().ip().expect("an address");
    for (path, expected) in [("0/hello", "Hello, gopher!"), ("1/", "0A greeting\t/hello")] {
        let url = format!("gopher://{address}/{path}");
        let mut curl = Command::new(tool("curl"));
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "20", &url]);
        let output = reactor.defer_to_thread(move || curl.output()).await?;
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.starts_with(expected), "{path}: {text}");
    }
    port.stop_listening().await
}
