//! A page that is served from a run loop, until a signal ends the program.
//!
//! `cargo run -p ropewalk-gnustep --example page`, in `foreign/`.

use std::error::Error;
use std::time::Duration;

use ropewalk_foreign_demo::Page;
use ropewalk_protocol::call_later;

fn main() -> Result<(), Box<dyn Error>> {
    let page = Page::serve()?;
    println!("listening {}", page.address());
    let attached = ropewalk_gnustep::attach(page.reactor())?;
    // A visitor of our own, and for those who say so, an end.
    page.visit().on_result(|text| println!("shown {}", text.unwrap_or_default()));
    if let Some(seconds) = std::env::args().nth(1) {
        let stopper = page.reactor().clone();
        let delay = Duration::from_secs(seconds.parse()?);
        call_later(page.reactor(), delay, move || stopper.stop());
    }
    attached.run();
    println!("over");
    Ok(())
}
