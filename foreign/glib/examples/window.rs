//! A window of GTK's and a served page, on one thread: the button asks for the page.
//!
//! `cargo run -p ropewalk-glib --example window`, in `foreign/`.

use std::error::Error;
use std::rc::Rc;

use gtk4::prelude::*;
use gtk4::{Application, ApplicationWindow, Box as Pane, Button, Label, Orientation};
use ropewalk_foreign_demo::Page;

fn main() -> Result<(), Box<dyn Error>> {
    let page = Rc::new(Page::serve()?);
    println!("listening {}", page.address());
    let application = Application::builder()
        .application_id("org.ropewalk.window")
        .flags(gtk4::gio::ApplicationFlags::NON_UNIQUE)
        .build();
    let shown = Rc::clone(&page);
    application.connect_activate(move |application| show(application, &shown));
    // While the window is there.
    let attached = ropewalk_glib::attach(page.reactor())?;
    application.run();
    drop(attached);
    // And then in order.
    page.reactor().stop();
    page.reactor().run_without_signals()?;
    println!("over");
    Ok(())
}

fn show(application: &Application, page: &Rc<Page>) {
    let pane = Pane::new(Orientation::Vertical, 12);
    let label = Label::new(Some(&format!("http://{}/", page.address())));
    let button = Button::with_label("Visit the page");
    button.set_vexpand(true);
    pane.append(&button);
    pane.append(&label);
    let close = Button::with_label("Close");
    pane.append(&close);
    let page = Rc::clone(page);
    button.connect_clicked(move |_| {
        let label = label.clone();
        page.visit().on_result(move |text| {
            let text = text.unwrap_or_else(|failure| failure.to_string());
            label.set_text(&text);
            println!("shown {text}");
        });
    });
    let window = ApplicationWindow::builder()
        .application(application)
        .title("Ropewalk in GTK")
        .default_width(360)
        .default_height(240)
        .child(&pane)
        .build();
    let closes = window.clone();
    close.connect_clicked(move |_| closes.close());
    window.present();
}
