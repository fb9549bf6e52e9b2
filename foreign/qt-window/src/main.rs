//! A window of Qt's and a served page, on one thread: the button asks for the page.
//!
//! `cargo run -p ropewalk-qt-window`, in `foreign/`.

use std::cell::RefCell;
use std::error::Error;
use std::rc::{Rc, Weak};

use cxx::UniquePtr;
use ropewalk_foreign_demo::Page;

#[cxx::bridge(namespace = "ropewalk")]
mod ffi {
    extern "Rust" {
        type Buttoned;
        fn clicked(self: &Buttoned);
    }

    // SAFETY: `window.h` declares just this. The window owns what it calls, only by `&self`, in the thread
    // that made it: neither is `Send`.
    unsafe extern "C++" {
        include!("ropewalk-qt-window/src/window.h");
        type Window;
        fn open_window(buttoned: Box<Buttoned>, text: &str) -> UniquePtr<Window>;
        fn set_text(self: &Window, text: &str);
        fn run(self: &Window);
    }
}

type Shown = RefCell<UniquePtr<ffi::Window>>;

/// What the window's button calls.
struct Buttoned {
    page: Rc<Page>,
    window: Weak<Shown>,
}

impl Buttoned {
    fn clicked(&self) {
        let window = self.window.clone();
        self.page.visit().on_result(move |text| {
            let text = text.unwrap_or_else(|failure| failure.to_string());
            if let Some(window) = window.upgrade() {
                window.borrow().set_text(&text);
            }
            println!("shown {text}");
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let page = Rc::new(Page::serve()?);
    println!("listening {}", page.address());
    let window = Rc::new(RefCell::new(UniquePtr::null()));
    let buttoned = Buttoned { page: Rc::clone(&page), window: Rc::downgrade(&window) };
    let opened = ffi::open_window(Box::new(buttoned), &format!("http://{}/", page.address()));
    window.replace(opened);
    // While the window is there.
    let attached = ropewalk_qt::attach(page.reactor())?;
    window.borrow().run();
    drop(attached);
    // And then in order.
    page.reactor().stop();
    page.reactor().run_without_signals()?;
    println!("over");
    Ok(())
}
