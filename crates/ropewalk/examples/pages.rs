//! Two ways to make pages: of elements, some of which come later, and by an engine of templates.

use std::time::Duration;

use minijinja::{Environment, context};
use ropewalk::http::html::{document, tag};
use ropewalk::http::{HeaderMap, HeaderValue, IntoReply, Request, Site, Tree, header};
use ropewalk::protocol::sleep;
use ropewalk::{Failure, Reactor};

const TEMPLATE: &str = "<!DOCTYPE html><title>{{ path }}</title>\
    <ul>{% for word in words %}<li>{{ word }}</li>{% endfor %}</ul>";

fn main() -> Result<(), Failure> {
    let reactor = Reactor::new()?;
    let clock = reactor.clone();
    let elements = move |request: Request| {
        // The page begins at once; this part of it follows when it is there.
        let slow =
            sleep(&clock, Duration::from_secs(1)).map(|()| tag("b").child("and this came later"));
        let path = request.uri().path().to_owned();
        document(
            tag("html")
                .child(tag("title").child(path.clone()))
                .child(tag("p").child((path, " ", slow))),
        )
    };

    let mut engine = Environment::new();
    // The name's ending tells the engine to escape for HTML.
    engine.add_template("list.html", TEMPLATE).map_err(Failure::new)?;
    let template = move |request: Request| -> Result<_, minijinja::Error> {
        let path = request.uri().path().to_owned();
        let words: Vec<_> = path.split('/').map(str::to_owned).collect();
        let page = engine.get_template("list.html")?.render(context! { path, words })?;
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        Ok((HeaderMap::from_iter([(header::CONTENT_TYPE, html)]), page).into_reply())
    };

    let site = Site::new(Tree::new().child("template", template).otherwise(elements));
    let place = ropewalk::endpoint::server_from_string(&reactor, "tcp:8080:interface=127.0.0.1")?;
    reactor.run_until(ropewalk::protocol::listen(&*place, site))?;
    println!("http://127.0.0.1:8080/ and http://127.0.0.1:8080/template/of/words");
    reactor.run()?;
    Ok(())
}
