//! Folders: what stands for them, which types their files have, and what is no file at all.

use std::os::unix::net::UnixListener;

use http::{HeaderMap, Method};
use ropewalk_http::files::{Answer, Ask, Folder, Links, SMALL_MAX};
use rustix::fs::{CWD, FileType, Mode};

use super::site::{Reply, Site, fields, get, get_with, now, value, ways};

#[test]
fn what_a_worker_needs_can_be_sent_to_it() {
    fn sendable<T: Send + 'static>() {}
    sendable::<Folder>();
    sendable::<Answer>();
    sendable::<Ask<'static>>();
}

#[test]
fn a_folder_has_a_slash_at_its_end() {
    let names = ["dir", "a:b", "?#%", "javascript:alert(1)", "evil.com", "\\evil.com", "é", "a b"];
    let files: Vec<_> = names.iter().map(|name| (format!("{name}/in/x"), "x")).collect();
    let site = Site::new(&files);
    let place = |target: &str| {
        let reply = get(&site.folder(), target);
        format!("{} {}", reply.status, reply.field("location"))
    };
    assert_eq!(place("/dir"), "308 ./dir/");
    assert_eq!(place("/dir/in"), "308 ./in/");
    assert_eq!(place("/dir?sort=size&order=desc"), "308 ./dir/?sort=size&order=desc");
    assert_eq!(place("/dir?next=//evil.com"), "308 ./dir/?next=//evil.com");
    assert_eq!(place("/dir?\r\nSet-Cookie: a=b"), "308 ./dir/");
    assert_eq!(place("/a:b"), "308 ./a%3Ab/");
    assert_eq!(place("/%3f%23%25"), "308 ./%3F%23%25/");
    assert_eq!(place("/javascript:alert(1)"), "308 ./javascript%3Aalert%281%29/");
    assert_eq!(place("/%5cevil.com"), "308 ./%5Cevil.com/");
    assert_eq!(place("/é"), "308 ./%C3%A9/");
    assert_eq!(place("/a%20b"), "308 ./a%20b/");
    assert_eq!(place("//evil.com"), "404 ");
    assert_eq!(place("//evil.com/in"), "404 ");
    assert_eq!(place("/%2fevil.com"), "404 ");
    assert_eq!(place("/evil.com/%2e%2e"), "404 ");
}

#[test]
fn an_index_stands_for_its_folder() {
    let site = Site::new(&[
        ("index.html", "home"),
        ("dir/index.htm", "htm"),
        ("both/index.htm", "htm"),
        ("both/index.html", "html"),
        ("odd/index.html/x", "x"),
    ]);
    site.file("../secret.txt", "SECRET");
    site.file("bad/x", "x");
    site.link("bad/index.html", "../../secret.txt");
    for folder in ways(&site.folder()) {
        let home = get(&folder, "/");
        assert_eq!(home.brief(), "200 home");
        assert_eq!(home.field("content-type"), "text/html; charset=utf-8");
        assert!(home.headers.contains_key("etag"));
        assert_eq!(get(&folder, "").brief(), "200 home");
        assert!(get(&folder, "/dir/").text().contains("index.htm</bdi>"));
        assert!(get(&folder, "/odd/").text().contains("index.html</bdi>"));
        assert!(get(&folder, "/bad/").text().contains("x</bdi>"));

        let folder = folder.index(["index.htm", "index.html"]);
        assert_eq!(get(&folder, "/dir/").brief(), "200 htm");
        assert_eq!(get(&folder, "/both/").brief(), "200 htm");
        assert_eq!(get(&folder, "/").brief(), "200 home");
        let folder = folder.index(Vec::<String>::new());
        assert!(get(&folder, "/").text().contains("index.html</bdi>"));
    }
}

#[test]
fn types_are_told_by_extension() {
    let site = Site::new(&[("x", "x")]);
    let folder = site
        .folder()
        .mime("Rope", value("text/x-rope"))
        .mime(".md", value("text/markdown; charset=koi8-r"));
    let told = |folder: &Folder, name: &[u8]| {
        site.file(name, "x");
        let target = percent_encoding::percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let reply = get(&folder.clone().hidden(true), &format!("/{target}"));
        assert_eq!(reply.field("x-content-type-options"), "nosniff");
        reply.field("content-type").to_owned()
    };
    assert_eq!(told(&folder, b"a.html"), "text/html; charset=utf-8");
    assert_eq!(told(&folder, b"a.HTML"), "text/html; charset=utf-8");
    assert_eq!(told(&folder, b"a.txt"), "text/plain; charset=utf-8");
    assert_eq!(told(&folder, b"a.css"), "text/css; charset=utf-8");
    assert_eq!(told(&folder, b"a.js"), "text/javascript; charset=utf-8");
    assert_eq!(told(&folder, b"a.json"), "application/json");
    assert_eq!(told(&folder, b"a.svg"), "image/svg+xml");
    assert_eq!(told(&folder, b"a.wasm"), "application/wasm");
    assert_eq!(told(&folder, b"a.min.js"), "text/javascript; charset=utf-8");
    assert_eq!(told(&folder, b"a.tar.gz"), "application/gzip");
    assert_eq!(told(&folder, b"a.rope"), "text/x-rope");
    assert_eq!(told(&folder, b"a.md"), "text/markdown; charset=koi8-r");
    for name in [&b"a"[..], b"a.", b"a.unheard-of", b".html", b"html", b"a.\xff"] {
        assert_eq!(told(&folder, name), "application/octet-stream");
    }
    let folder = folder.default_mime(value("text/plain"));
    assert_eq!(told(&folder, b"a"), "text/plain");
    assert_eq!(told(&folder, b"a.html"), "text/html; charset=utf-8");
}

#[test]
fn other_methods_are_refused() {
    let site = Site::new(&[("a.txt", "abc")]);
    let folder = site.folder();
    let headers = HeaderMap::new();
    for target in ["/a.txt", "/none", "/"] {
        let ask = |method: &str| {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            Reply::of(folder.plan(&Ask::new(&method, target, &headers, now())))
        };
        for method in ["BREW", "get"] {
            let reply = ask(method);
            assert_eq!((reply.status, reply.field("allow")), (501, ""), "{method}");
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"] {
            let reply = ask(method);
            assert_eq!((reply.status, reply.field("allow")), (405, "GET, HEAD, OPTIONS"));
        }
        let reply = ask("OPTIONS");
        assert_eq!((reply.status, reply.field("allow")), (204, "GET, HEAD, OPTIONS"));
    }
}

#[test]
fn only_files_and_folders_are_served() {
    let site = Site::new(&[("a.txt", "abc")]);
    let fifo = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, site.path("fifo"), FileType::Fifo, fifo, 0).expect("a new FIFO");
    let _socket = UnixListener::bind(site.path("socket")).expect("a new socket");
    site.link("to-fifo", "fifo");
    site.link("null", "/dev/null");
    site.link("terminal", "/dev/tty");
    for links in [Links::Inside, Links::All, Links::None] {
        for folder in ways(&site.folder().links(links)) {
            for target in ["/fifo", "/fifo/", "/socket", "/to-fifo", "/null", "/terminal"] {
                assert_eq!(get(&folder, target).status, 404, "{target} {links:?}");
            }
            let page = get(&folder, "/").text();
            assert!(page.contains("1 file ·"), "{page}");
            let folder = folder.index(["fifo", "a.txt"]);
            assert_eq!(get(&folder, "/").brief(), "200 abc");
        }
    }
}

#[test]
fn large_files_stay_on_disk() {
    for (length, is_streamed) in [(0, false), (SMALL_MAX, false), (SMALL_MAX + 1, true)] {
        let text = "x".repeat(length as usize);
        let site = Site::new(&[("a.txt", text.as_str())]);
        let reply = get(&site.folder(), "/a.txt");
        assert_eq!(reply.text(), text);
        assert_eq!(reply.is_streamed, is_streamed, "{length}");
    }
}

#[test]
fn a_streamed_file_blocks_like_any_other() {
    let site = Site::new(&[("a.txt", "x".repeat(SMALL_MAX as usize + 1).as_str())]);
    let headers = HeaderMap::new();
    let answer = site.folder().plan(&Ask::new(&Method::GET, "/a.txt", &headers, now()));
    let ropewalk_http::files::Body::File { file, .. } = answer.body else { panic!("no file") };
    let flags = rustix::fs::fcntl_getfl(&file).expect("flags");
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
}

#[test]
fn a_file_that_grows_all_the_time_is_served() {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    let site = Site::new(&[("log.txt", "start")]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = std::fs::File::options().append(true).open(site.path("log.txt"));
            let mut file = file.expect("the log");
            while !done.load(Ordering::Relaxed) {
                file.write_all(b".").expect("space for a line");
            }
        });
        for _ in 0..200 {
            let headers = HeaderMap::new();
            let ask = Ask::new(&Method::GET, "/log.txt", &headers, now());
            assert_eq!(Reply::of(site.folder().plan(&ask)).status, 200);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_cache_is_told_about_files_only() {
    let site = Site::new(&[("a.txt", "abc"), ("dir/b", "b")]);
    let folder = site.folder().cache_control(value("max-age=60"));
    assert_eq!(get(&site.folder(), "/a.txt").field("cache-control"), "");
    assert_eq!(get(&folder, "/a.txt").field("cache-control"), "max-age=60");
    assert_eq!(get(&folder, "/dir/").field("cache-control"), "no-cache");
    assert_eq!(get(&folder, "/none").field("cache-control"), "");
    let headers = super::site::fields(&["If-None-Match: *"]);
    let reply = super::site::get_with(&folder, "/a.txt", &headers);
    assert_eq!((reply.status, reply.field("cache-control")), (304, "max-age=60"));
}

#[test]
fn errors_tell_nothing_of_the_inside() {
    let site = Site::new(&[("a.txt", "abc")]);
    for target in ["/<b>none</b>", "/%", "/a.txt/", "/%00", "/dir"] {
        let page = get(&site.folder(), target).text();
        assert!(page.len() < 2000, "{page}");
        assert!(!page.contains("none") && !page.contains("tmp") && !page.contains("site"));
    }
    let missing = Folder::new(site.path("missing")).expect("an absolute path");
    assert_eq!(get(&missing, "/").status, 404);
    assert_eq!(get(&missing, "/a.txt").status, 404);
}

/// Root may read everything, so for root there is nothing to be seen here.
#[test]
fn what_may_not_be_read_is_forbidden() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    if rustix::process::geteuid().is_root() {
        return;
    }
    let site = Site::new(&[("a", "x"), ("with/index.html", "home"), ("without/a", "x")]);
    let allow = |name: &str, mode: u32| {
        set_permissions(site.path(name), Permissions::from_mode(mode)).expect("own files");
    };
    allow("a", 0o200);
    allow("with", 0o100);
    allow("without", 0o100);
    for folder in ways(&site.folder()) {
        assert_eq!(get(&folder, "/a").status, 403);
        assert_eq!(get(&folder, "/with").status, 308);
        assert_eq!(get(&folder, "/with/").brief(), "200 home");
        assert_eq!(get(&folder, "/without/").status, 403);
        assert_eq!(get(&folder, "/without/a").brief(), "200 x");
        assert_eq!(get(&folder, "/without/b").status, 404);
    }
    allow("with", 0o700);
    allow("without", 0o700);
}

#[test]
fn a_fallback_stands_for_pages_that_are_not_there() {
    let site =
        Site::new(&[("index.html", "app"), ("a.txt", "a"), ("dir/x", "x"), (".hidden", "h")]);
    let folder = site.folder().fallback("index.html");
    let page = fields(&["Accept: text/html,*/*;q=0.8"]);
    for target in ["/deep/place", "/deep/place?q", "/deep/", "/deep.d/place"] {
        let reply = get_with(&folder, target, &page);
        assert_eq!((reply.status, reply.text()), (200, "app".to_owned()), "{target}");
        assert_eq!(get(&site.folder(), target).status, 404, "{target}");
    }
    for target in ["/app.js", "/deep/a.png", "/.hidden", "/..%2f", "/a.txt/x.y"] {
        assert_eq!(get_with(&folder, target, &page).status, 404, "{target}");
    }
    assert_eq!(get_with(&folder, "/%", &page).status, 400);
    assert_eq!(get_with(&folder, "/a.txt", &page).text(), "a");
    assert_eq!(get_with(&folder, "/dir", &page).status, 308);
    let picture = fields(&["Accept: image/*"]);
    assert_eq!(get_with(&folder, "/deep/place", &picture).status, 404);
    assert_eq!(get_with(&site.folder().fallback("none.html"), "/x", &page).status, 404);
    assert_eq!(get_with(&site.folder().fallback("dir"), "/x", &page).status, 404);
}
