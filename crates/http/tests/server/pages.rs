//! Pages made of elements.

use proptest::prelude::*;
use ropewalk_deferred::{Deferred, Failure, deferred};
use ropewalk_http::html::{
    Element, HtmlError, IntoNode, comment, document, slot, tag, trusted, trusted_value,
};
use ropewalk_http::{IntoReply as _, Request};
use ropewalk_protocol::Disconnect;

use crate::client::{Client, Held, get};

/// A client of a resource that answers once with this.
fn client(element: Element) -> Client {
    let mut element = Some(element);
    Client::new(move |_: Request| element.take().expect("it is asked once").into_reply())
}

/// What goes out for an element.
#[track_caller]
fn html(element: Element) -> String {
    let answer = client(element).ask(get("/"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
    answer.text().to_owned()
}

/// What goes out for a paragraph with this in it, without the paragraph.
#[track_caller]
fn inside(node: impl IntoNode) -> String {
    let text = html(tag("p").child(node));
    text.strip_prefix("<p>")
        .and_then(|text| text.strip_suffix("</p>"))
        .expect("a paragraph")
        .to_owned()
}

#[test]
fn text_is_escaped_as_its_place_wants_it() {
    let evil = "<b>\"'&\0</b></script><!--";
    let safe = "&lt;b&gt;\"'&amp;\u{fffd}&lt;/b&gt;&lt;/script&gt;&lt;!--";
    assert_eq!(inside(evil), safe);
    assert_eq!(inside(String::from("a > b")), "a &gt; b");
    assert_eq!(
        html(tag("p").attr("title", evil).class("a b")),
        "<p title=\"&lt;b&gt;&quot;&#39;&amp;\u{fffd}&lt;/b&gt;&lt;/script&gt;&lt;!--\" class=\"a b\"></p>"
    );
    let script = tag("script").child((trusted("say("), evil, trusted(", "), -12, trusted(")")));
    assert_eq!(
        html(script),
        "<script>say(\"\\u003cb\\u003e\\u0022\\u0027\\u0026\\u0000\\u003c/b\\u003e\\u003c/script\\u003e\\u003c!--\", -12)</script>"
    );
    assert_eq!(
        html(tag("style").child(trusted("p > b { color: red }"))),
        "<style>p > b { color: red }</style>"
    );
    assert_eq!(inside(trusted("<i>as it is</i>")), "<i>as it is</i>");
    assert_eq!(inside(comment("--><script>")), "<!--     script  -->");
}

#[test]
fn links_lead_where_nothing_is_run() {
    let link = |url: &str| {
        let text = html(tag("a").attr("href", url.to_owned()));
        let inside = text.strip_prefix("<a href=\"").and_then(|text| text.strip_suffix("\"></a>"));
        inside.expect("a link").replace("&amp;", "&")
    };
    for url in [
        "/a?b=c:d&e",
        "https://a.example/",
        "HTTP://a",
        "mailto:a@b",
        "tel:+1",
        "#x:y",
        "a/b:c",
        "",
        "?:",
        "//a",
    ] {
        assert_eq!(link(url), url);
    }
    for url in [
        "javascript:x()",
        "JavaScript:x()",
        " java\nscript:x()",
        "\u{1}javascript:x()",
        "data:text/html,x",
        "vbscript:x",
        "x:y",
        ":",
    ] {
        assert_eq!(link(url), "about:invalid", "{url:?}");
    }
    let with = |name: &'static str, value: &str| html(tag("p").attr(name, value.to_owned()));
    for name in ["src", "action", "formaction", "xlink:href", "HREF", "poster"] {
        assert!(with(name, "javascript:x").contains("=\"about:invalid\""), "{name}");
    }
    assert!(with("srcset", "/a 1x, javascript:x 2x").contains("about:invalid"));
    assert!(with("srcset", "/a 1x, https://b 2x").contains("/a 1x, https://b 2x"));
    assert!(with("title", "javascript:x").contains("javascript:x"), "it is no link");
    let said = html(tag("a").attr("href", trusted_value("javascript:x('a')")));
    assert_eq!(said, "<a href=\"javascript:x(&#39;a&#39;)\"></a>");
}

#[test]
fn whatever_can_be_a_child_or_a_value() {
    assert_eq!(inside(()), "");
    assert_eq!(inside(Some("a")), "a");
    assert_eq!(inside(None::<&str>), "");
    assert_eq!(inside(vec![1, 2, 3]), "123");
    assert_eq!(inside(("a", 7_u64, tag("br"), Some(tag("i")))), "a7<br><i></i>");
    assert_eq!(inside(Ok::<_, Failure>("fine")), "fine");
    let list = tag("ul").children(["a", "b"].map(|text| tag("li").child(text)));
    assert_eq!(html(list), "<ul><li>a</li><li>b</li></ul>");
    let input = tag("input")
        .attr("disabled", true)
        .attr("checked", false)
        .attr("max", 9)
        .attr("name", None::<&str>);
    assert_eq!(html(input), "<input disabled max=\"9\">");
    let page = document(tag("html").attr("lang", "en").child("x"));
    assert_eq!(
        crate::client::Client::new(once(page)).ask(get("/")).text(),
        "<!DOCTYPE html><html lang=\"en\">x</html>"
    );
}

fn once(page: ropewalk_http::html::Document) -> impl FnMut(Request) -> ropewalk_http::Reply {
    let mut page = Some(page);
    move |_| page.take().expect("it is asked once").into_reply()
}

#[test]
fn slots_are_filled_where_they_are() {
    let frame = || tag("div").child(tag("h1").child(slot("title"))).child(("(", slot("body"), ")"));
    let filled = frame().fill("title", "<T>").fill("body", tag("p")).fill("nowhere", "x");
    assert_eq!(html(filled), "<div><h1>&lt;T&gt;</h1>(<p></p>)</div>");
    let nested =
        frame().fill("body", frame().fill("title", "inner").fill("body", 1)).fill("title", "outer");
    assert_eq!(html(nested), "<div><h1>outer</h1>(<div><h1>inner</h1>(1)</div>)</div>");
    // What is put into a slot is data of the place where it stands.
    let script = tag("script").child((trusted("let a = "), slot("a"))).fill("a", "</script>");
    assert_eq!(html(script), "<script>let a = \"\\u003c/script\\u003e\"</script>");
}

#[test]
fn faults_of_the_program_are_told_and_not_sent() {
    for (element, error) in [
        (tag("p").child(slot("x")), HtmlError::UnfilledSlot("x")),
        (tag("p").attr("onclick", "x"), HtmlError::DataInCode("onclick")),
        (tag("p").attr("style", "x"), HtmlError::DataInCode("style")),
        (tag("iframe").attr("srcdoc", "x"), HtmlError::DataInCode("srcdoc")),
        (tag("style").child("x"), HtmlError::DataInStyle),
        (tag("STYLE").child(7), HtmlError::DataInStyle),
        (tag("script").child(tag("b")), HtmlError::ElementInCode("script")),
        (tag("style").child(comment("x")), HtmlError::ElementInCode("style")),
        (tag("br").child("x"), HtmlError::NotEmpty("br")),
        (tag("script").child(trusted("'</SCRIPT>'")), HtmlError::EndsItself),
        (tag("script").child(trusted("<!--")), HtmlError::EndsItself),
        ((0..600).fold(tag("b"), |inner, _| tag("b").child(inner)), HtmlError::TooDeep),
    ] {
        let answer = client(element).ask(get("/"));
        assert_eq!((answer.status, answer.text()), (500, "500 Internal Server Error\n"), "{error}");
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(html(tag("p").attr("onclick", trusted_value("x()"))), "<p onclick=\"x()\"></p>");
    assert!(std::panic::catch_unwind(|| tag("a b")).is_err());
    assert!(std::panic::catch_unwind(|| tag("a").attr("x=y", 1)).is_err());
}

#[test]
fn what_is_there_goes_out_while_the_rest_is_waited_for() {
    let (text, later) = deferred::<String>();
    let (link, value) = deferred::<&'static str>();
    let (outer, nested) = deferred::<Deferred<Element>>();
    let page = tag("div")
        .child("before")
        .child(tag("p").child(later).child("between"))
        .child(tag("a").attr("href", value))
        .child(nested)
        .child(Deferred::succeed("after"));
    let mut client = client(page);
    client.send(get("/"));
    let mut heard = || {
        client.memory.run();
        let text = String::from_utf8(client.memory.take_sent()).expect("text");
        match text.strip_prefix("HTTP/1.1 200 OK").and_then(|text| text.split_once("\r\n\r\n")) {
            Some((_, body)) => body.to_owned(),
            None => text,
        }
    };
    assert!(heard().contains("\r\n<div>before<p>\r\n"));
    text.succeed("<late>".to_owned());
    assert!(heard().contains("\r\n&lt;late&gt;between</p><a\r\n"));
    link.succeed("javascript:x");
    assert!(heard().contains("\r\n href=\"about:invalid\"></a>\r\n"));
    let (inner, element) = deferred();
    outer.succeed(element);
    assert_eq!(heard(), "");
    inner.succeed(tag("i"));
    assert!(heard().ends_with("\r\n<i></i>after</div>\r\n0\r\n\r\n"));
}

#[test]
fn a_part_that_fails_breaks_the_page_off() {
    let (text, later) = deferred::<String>();
    let mut waiting = client(tag("p").child("begun").child(later));
    waiting.send(get("/"));
    waiting.memory.run();
    text.fire(Err(Failure::new("no database")));
    waiting.assert_ended(Disconnect::Aborted);
    let failed = tag("p").child(Deferred::<&str>::fail(HtmlError::TooDeep));
    assert_eq!(client(failed).ask(get("/")).status, 500, "nothing was sent yet");
    let rescued =
        Deferred::<&str>::fail(HtmlError::TooDeep).add_errback(|_| Ok::<_, Failure>("sorry"));
    assert_eq!(inside(rescued), "sorry");
}

#[test]
fn long_pages_go_out_in_pieces_and_cost_no_stack() {
    let rows = (0..20_000).map(|index| tag("li").child(index));
    let text = html(tag("ul").children(rows));
    assert!(text.len() > 200_000 && text.ends_with("<li>19999</li></ul>"));
    let held = Held::<()>::new();
    let parts: Vec<_> = (0..20_000).map(|index: u32| Deferred::succeed(index)).collect();
    assert!(html(tag("p").child(parts)).ends_with("1999819999</p>"));
    let mut client = client(tag("p").children((0..1000).map(|_| held.wait().map(|()| "x"))));
    client.send(get("/"));
    while held.count() > 0 {
        held.release(());
    }
    client.memory.run();
    assert_eq!(client.answer().text().len(), 1007);
}

proptest! {
    #[test]
    fn data_ends_nothing(data in "[\\x00-\\x7fäö\u{2028}]{0,40}") {
        let text = inside(data.clone());
        prop_assert!(!text.contains('<') && !text.contains('>'));
        let attribute = html(tag("p").attr("title", data.clone()));
        prop_assert_eq!(attribute.matches('"').count(), 2);
        prop_assert_eq!(attribute.matches('<').count(), 2);
        let link = html(tag("p").attr("href", data.clone()));
        prop_assert_eq!(link.matches('"').count(), 2);
        let script = html(tag("script").child(data));
        prop_assert_eq!(script.matches('"').count(), 2);
        prop_assert_eq!(script.matches('<').count(), 2);
        let has_line_end = script.contains(['\n', '\u{2028}']);
        prop_assert!(!has_line_end);
    }
}
