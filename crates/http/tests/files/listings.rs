//! The page that shows what is in a folder.

use std::collections::BTreeSet;

use ropewalk_http::files::{Folder, Links};

use super::site::{Reply, Site, get, ways};

/// Names that have broken other pages.
const NASTY: &[&[u8]] = &[
    b"<script>alert(1)<script>",
    b"\"><img src=x onerror=alert(1)>",
    b"' onmouseover='alert(1)",
    b"javascript:alert(1)",
    b"data:text,x",
    b"&lt;script&gt;",
    b"&amp",
    b"a&b",
    b"a?b=c",
    b"a#b",
    b"a%2fb",
    b"100%",
    b"a b  c",
    b" lead and trail ",
    b"new\nline\r\ttab",
    b"\x1b[31mred",
    b"quote\"quote",
    b"back\\slash",
    b"`tick`",
    b"{{template}}",
    b"<!--",
    b"]]>",
    b"<table><bdi><a>",
    b"<style>",
    b"\xe2\x80\xaegnp.exe",
    b"\xff\xfe raw",
    b"\xc2\x85next",
    b"\xe6\x97\xa5\xe6\x9c\xac",
    b"~",
    b"a;b",
    b"a+b",
    b"*",
    b"-rf",
    b"@",
    b"a=b",
];

fn page(folder: &Folder, target: &str) -> String {
    let reply = get(folder, target);
    assert_eq!(reply.status, 200);
    reply.text()
}

/// What the links of the listed entries lead to, in order.
fn links(page: &str) -> Vec<String> {
    let links = page.split("<a href=\"./").skip(1);
    links.map(|link| link.split('"').next().expect("a link").to_owned()).collect()
}

/// Reads a page as a browser would that forgives nothing; tells its tags and attributes.
#[track_caller]
fn parse(page: &str) -> BTreeSet<String> {
    const VOID: [&str; 2] = ["meta", "!DOCTYPE"];
    let mut seen = BTreeSet::new();
    let mut open: Vec<String> = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(!text.contains('>') || open.last().is_some_and(|tag| tag == "style"), "{text}");
        let end = start + rest[start..].find('>').expect("the end of a tag");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        assert!(!tag.contains('<'), "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let name = tag.split([' ', '/']).next().expect("a name");
        let attributes: Vec<&str> = tag.split('"').step_by(2).collect();
        for attribute in &attributes[..attributes.len() - 1] {
            seen.insert(attribute.rsplit(' ').next().expect("a name").to_owned());
        }
        seen.insert(format!("<{name}>"));
        if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name.to_owned());
        }
    }
    assert_eq!(open, Vec::<String>::new());
    seen
}

#[test]
fn a_page_is_well_formed_and_runs_nothing() {
    let plain = Site::new(&[("dir/a", "x"), ("dir/b/", "")]);
    let expected = parse(&page(&plain.folder(), "/dir/"));
    let nasty: Vec<_> = NASTY.iter().map(|name| ([b"dir/", *name].concat(), "x")).collect();
    let site = Site::new(&nasty);
    for name in NASTY {
        site.file([b"dir/", *name, b".d/x"].concat(), "x");
    }
    let reply = get(&site.folder(), "/dir/");
    assert_eq!(parse(&reply.text()), expected);
    assert!(reply.text().contains("<bdi>&#39; onmouseover=&#39;alert(1)</bdi>"));
    assert!(!reply.text().contains(|c: char| c.is_control() && c != '\n'));
    assert_eq!(reply.field("content-type"), "text/html; charset=utf-8");
    assert_eq!(reply.field("x-content-type-options"), "nosniff");
    assert!(reply.field("content-security-policy").starts_with("default-src 'none'; style-src "));
    assert!(
        reply.text().starts_with("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=")
    );
    assert!(!reply.text().contains("http://") && !reply.text().contains("https://"));
    for folder in [&b"<b>"[..], b"\"'&"] {
        let site = Site::new(&[([folder, b"/a"].concat(), "x")]);
        let target = links(&page(&site.folder(), "/")).remove(0);
        let parsed = parse(&page(&site.folder().title("<i>&\""), &format!("/{target}")));
        assert!(parsed.is_subset(&expected), "{parsed:?}");
    }
}

#[test]
fn each_link_leads_to_its_file() {
    let files: Vec<_> = NASTY.iter().map(|name| (name, "x")).collect();
    let site = Site::new(&files);
    for (name, _) in &files {
        site.file([b"dir ", **name, b"/x"].concat(), "y");
    }
    for folder in ways(&site.folder()) {
        let links = links(&page(&folder, "/"));
        assert_eq!(links.len(), 2 * NASTY.len());
        for link in links {
            let safe = |c: char| c.is_ascii_alphanumeric() || "-._~%/".contains(c);
            assert!(link.chars().all(safe), "{link}");
            match link.strip_suffix('/') {
                Some(_) => assert_eq!(get(&folder, &format!("/{link}x")).brief(), "200 y"),
                None => assert_eq!(get(&folder, &format!("/{link}")).brief(), "200 x"),
            }
        }
    }
}

#[test]
fn a_listing_is_sorted_as_asked() {
    let site = Site::new(&[
        ("b10.txt", "333"),
        ("B9.txt", "22"),
        ("a.txt", "4444"),
        ("c.txt", "333"),
        ("z/x", "x"),
        ("Y/x", "x"),
    ]);
    site.touch("c.txt", std::time::Duration::from_secs(9));
    let check = |query: &str, expected: &str| {
        let page = page(&site.folder(), &format!("/{query}"));
        assert_eq!(links(&page).join(" "), expected, "{query}");
        page
    };
    let by_name = "Y/ z/ a.txt B9.txt b10.txt c.txt";
    check("", by_name);
    check("?", by_name);
    check("?sort=name", by_name);
    check("?sort=name&order=asc", by_name);
    check("?sort=<b>&order=%00", by_name);
    check("?order=desc", "z/ Y/ c.txt b10.txt B9.txt a.txt");
    check("?sort=name&order=desc", "z/ Y/ c.txt b10.txt B9.txt a.txt");
    check("?sort=size", "Y/ z/ B9.txt b10.txt c.txt a.txt");
    check("?sort=size&order=desc", "Y/ z/ a.txt b10.txt c.txt B9.txt");
    check("?order=desc&sort=size", "Y/ z/ a.txt b10.txt c.txt B9.txt");
    let files = "c.txt a.txt B9.txt b10.txt";
    let page = page(&site.folder(), "/?sort=modified");
    assert!(links(&page).join(" ").ends_with(files));

    let page = check("?sort=size", "Y/ z/ B9.txt b10.txt c.txt a.txt");
    assert!(
        page.contains("class=\"size\" aria-sort=\"ascending\"><a href=\"?sort=size&amp;order=desc")
    );
    assert!(page.contains("class=\"name\"><a href=\"?sort=name&amp;order=asc"));
    let page = check("?sort=size&order=desc", "Y/ z/ a.txt b10.txt c.txt B9.txt");
    assert!(
        page.contains("class=\"size\" aria-sort=\"descending\"><a href=\"?sort=size&amp;order=asc")
    );
}

#[test]
fn numbers_in_names_are_sorted_by_value() {
    let names = [
        "0",
        "00",
        "1",
        "01",
        "2",
        "10",
        "a",
        "a1",
        "a1b",
        "A2",
        "a10",
        "a99999999999999999999999",
        "b",
    ];
    let files: Vec<_> = names.iter().map(|name| (name, "x")).collect();
    let site = Site::new(&files);
    let expected = [
        "0",
        "00",
        "01",
        "1",
        "2",
        "10",
        "a",
        "a1",
        "a1b",
        "A2",
        "a10",
        "a99999999999999999999999",
        "b",
    ];
    assert_eq!(links(&page(&site.folder(), "/")), expected);
}

#[test]
fn sizes_and_dates_are_for_people() {
    let site = Site::new(&[("a", "x")]);
    let check = |length: u64, expected: &str| {
        let file = std::fs::File::create(site.path("a")).expect("a file");
        file.set_len(length).expect("a file that can be long");
        let page = page(&site.folder(), "/");
        assert!(page.contains(&format!(">{expected}</data>")), "{length}: {page}");
        assert!(page.contains(&format!("1 file · {expected}<")), "{length}");
        page
    };
    check(0, "0 B");
    check(999, "999 B");
    check(1000, "1.0 kB");
    check(1949, "1.9 kB");
    check(9949, "9.9 kB");
    check(9950, "10 kB");
    check(999_499, "999 kB");
    check(999_500, "1.0 MB");
    check(1_000_000, "1.0 MB");
    check(12_345_678, "12 MB");
    let page = check(1_234_567_890_123, "1.2 TB");
    assert!(page.contains("<data value=\"1234567890123\" title=\"1,234,567,890,123 bytes\">"));

    let dated = |seconds: u64| {
        site.touch("a", std::time::Duration::from_secs(seconds));
        let page = self::page(&site.folder(), "/");
        page.split("<time ").nth(1).map(|time| time.split("</time>").next().unwrap().to_owned())
    };
    let expected = "datetime=\"2024-02-29T12:34:56Z\">2024-02-29 <span>12:34</span>";
    assert_eq!(dated(1_709_210_096).as_deref(), Some(expected));
    let expected = "datetime=\"1970-01-01T00:00:00Z\">1970-01-01 <span>00:00</span>";
    assert_eq!(dated(0).as_deref(), Some(expected));
}

#[test]
fn entries_are_counted() {
    let summary = |files: &[(&str, &str)], target: &str| {
        let page = page(&Site::new(files).folder(), target);
        let start = page.find("</h1>\n<p>").expect("a summary") + 9;
        page[start..].split("</p>").next().expect("a summary").to_owned()
    };
    assert_eq!(summary(&[], "/"), "This folder is empty");
    assert_eq!(summary(&[("d/", "")], "/d/"), "This folder is empty");
    assert_eq!(summary(&[("d/", "")], "/"), "1 folder");
    assert_eq!(summary(&[("a", "x"), ("b", "xy")], "/"), "2 files · 3 B");
    assert_eq!(summary(&[("d/", ""), ("e/", ""), ("b", "")], "/"), "2 folders, 1 file · 0 B");
}

#[test]
fn a_listing_shows_so_many_entries() {
    let site = Site::new(&[("a", "x"), ("b", "x"), ("c", "x"), (".hidden", "x")]);
    let with = |most: usize| page(&site.folder().listing(Some(most)), "/");
    assert_eq!(links(&with(3)).len(), 3);
    assert!(!with(3).contains("class=\"note\""));
    assert_eq!(links(&with(2)).len(), 2);
    assert!(with(2).contains("<p>More than 2 entries</p>"));
    assert!(with(2).contains("Only 2 entries are shown"));
    assert_eq!(get(&site.folder().listing(None), "/").status, 403);
    assert_eq!(get(&site.folder().listing(None), "/a").status, 200);
}

#[test]
fn only_what_would_be_served_is_listed() {
    let site = Site::new(&[("a", "x"), (".hidden", "x"), (".well-known/x", "x"), ("d/b", "x")]);
    site.file("../secret", "SECRET");
    site.link("near", "a");
    site.link("near-folder", "d");
    site.link("d/up", "../a");
    site.link("d/out", "../../secret");
    site.link("absolute", site.path("a"));
    site.link("out", "../secret");
    site.link("lost", "nowhere");
    site.link("loop", "loop");
    for folder in ways(&site.folder()) {
        let listed = |folder: &Folder, target| links(&page(folder, target)).join(" ");
        assert_eq!(listed(&folder, "/"), "d/ near-folder/ a absolute near");
        assert_eq!(listed(&folder, "/d/"), "b up");
        assert_eq!(listed(&folder, "/near-folder/"), "b up");
        let none = folder.clone().links(Links::None);
        assert_eq!(listed(&none, "/"), "d/ a");
        let all = folder.clone().links(Links::All);
        assert_eq!(listed(&all, "/"), "d/ near-folder/ a absolute near out");
        let hidden = none.hidden(true);
        assert_eq!(listed(&hidden, "/"), ".well-known/ d/ .hidden a");
    }
}

#[test]
fn crumbs_lead_up() {
    let site = Site::new(&[("one/two/three/x", "x")]);
    let folder = site.folder().title("Home & garden");
    let root = page(&folder, "/");
    assert!(root.contains("<title>Home &amp; garden</title>"));
    assert!(root.contains("<h1><bdi>Home &amp; garden</bdi></h1>"));
    assert!(!root.contains("<nav") && !root.contains("\"../"));
    let three = page(&folder, "/one/two/three/");
    assert!(three.contains("<title>one/two/three</title>"));
    assert!(three.contains("<h1><bdi>three</bdi></h1>"));
    assert!(three.contains("<a href=\"../../../\"><bdi>Home &amp; garden</bdi></a>"));
    assert!(three.contains("<a href=\"../../\"><bdi>one</bdi></a>"));
    assert!(three.contains("<a href=\"../\"><bdi>two</bdi></a>"));
    assert!(three.contains("<tr class=\"up\"><td colspan=\"3\"><a href=\"../\">"));
}

#[test]
fn a_listing_is_not_kept() {
    let site = Site::new(&[("a", "x")]);
    let reply: Reply = get(&site.folder(), "/");
    assert_eq!(reply.field("cache-control"), "no-cache");
    assert_eq!((reply.field("etag"), reply.field("last-modified")), ("", ""));
    assert!(!reply.headers.contains_key("accept-ranges"));
}
