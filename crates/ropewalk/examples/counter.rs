//! Counts its visitors in a plain variable: no lock, no atomic.

use ropewalk::http::{Request, Site};

fn main() -> Result<(), ropewalk::Failure> {
    let mut count = 0;
    let site = Site::new(move |_: Request| {
        count += 1;
        format!("I am request #{count}\n")
    });
    ropewalk::serve("tcp:8080", site)
}
