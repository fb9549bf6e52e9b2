//! From paths to files: what is found, and what never is.

use std::fs;

use proptest::prelude::*;
use ropewalk_http::files::{DEPTH_MAX, Folder, LINKS_MAX, Links};

use super::site::{Site, get, ways};

const INSIDE: &[(&[u8], &str)] = &[
    (b"a.txt", "a"),
    (b"dir/b.txt", "b"),
    (b"dir/dir/c.txt", "c"),
    (b"sp ace.txt", "space"),
    (b"100%.txt", "percent"),
    (b"%2e%2e/literal.txt", "literal"),
    (b"%2f.txt", "slash"),
    (b"back\\slash.txt", "backslash"),
    (b"..\\up.txt", "hidden"),
    (b"...", "dots"),
    (b"q?.txt", "question"),
    (b"#.txt", "number"),
    (b"\xc3\xa9.txt", "acute"),
    (b"\xff\xfe.txt", "raw"),
    (b"new\nline", "line"),
    (b"tilde~1.txt", "tilde"),
    (b"c:/windows.txt", "colon"),
    (b".hidden", "hidden"),
    (b".git/config", "hidden"),
    (b"dir/.hidden/d.txt", "hidden"),
    (b".well-known/security.txt", "known"),
    (b".well-known/.hidden", "hidden"),
    (b".well-known-not", "hidden"),
];

/// A site with a secret beside it, and one in a folder whose name begins like the site's.
fn site() -> Site {
    let site = Site::new(INSIDE);
    site.file("../secret.txt", "SECRET");
    site.file("../site-evil/secret.txt", "SECRET");
    site.file("../dir/b.txt", "SECRET");
    site.file("../SECRET/SECRET", "SECRET");
    site
}

#[track_caller]
fn check(folder: &Folder, target: &str, expected: &str) {
    for folder in ways(folder) {
        assert_eq!(get(&folder, target).brief(), expected, "{target} of {folder:?}");
    }
}

#[test]
fn a_path_names_a_file() {
    let site = site();
    let folder = site.folder();
    check(&folder, "/a.txt", "200 a");
    check(&folder, "/%61%2Etxt", "200 a");
    check(&folder, "/a.txt?b=/../c", "200 a");
    check(&folder, "/dir/b.txt", "200 b");
    check(&folder, "/dir/dir/c.txt", "200 c");
    check(&folder, "/sp%20ace.txt", "200 space");
    check(&folder, "/sp+ace.txt", "404");
    check(&folder, "/100%25.txt", "200 percent");
    check(&folder, "/%252e%252e/literal.txt", "200 literal");
    check(&folder, "/%252f.txt", "200 slash");
    check(&folder, "/back%5cslash.txt", "200 backslash");
    check(&folder, "/q%3F.txt", "200 question");
    check(&folder, "/%23.txt", "200 number");
    check(&folder, "/%c3%a9.txt", "200 acute");
    check(&folder, "/é.txt", "200 acute");
    check(&folder, "/%FF%fe.txt", "200 raw");
    check(&folder, "/new%0Aline", "200 line");
    check(&folder, "/tilde~1.txt", "200 tilde");
    check(&folder, "/c:/windows.txt", "200 colon");
    check(&folder, "/.well-known/security.txt", "200 known");
    check(&folder, "/A.TXT", "404");
    check(&folder, "/a.txt/", "404");
    check(&folder, "/a.txt/b", "404");
    check(&folder, "/dir", "308");
}

#[test]
fn hidden_names_are_not_served() {
    let site = site();
    let folder = site.folder();
    let hidden = [
        "/.hidden",
        "/%2ehidden",
        "/.git/",
        "/.git",
        "/.git/config",
        "/dir/.hidden/d.txt",
        "/.well-known/.hidden",
        "/.well-known-not",
        "/...",
        "/..%5cup.txt",
    ];
    for target in hidden {
        check(&folder, target, "404");
    }
    let folder = folder.hidden(true);
    check(&folder, "/.hidden", "200 hidden");
    check(&folder, "/.git/config", "200 hidden");
    check(&folder, "/...", "200 dots");
    check(&folder, "/..%5cup.txt", "200 hidden");
}

/// All of these try to leave the root, by every known spelling.
const ESCAPES: &[&str] = &[
    "/../secret.txt",
    "/../../secret.txt",
    "/../site-evil/secret.txt",
    "/../site/a.txt",
    "/./a.txt",
    "/dir/../a.txt",
    "/dir/../../secret.txt",
    "/dir/dir/../../../secret.txt",
    "/dir/./b.txt",
    "/..",
    "/../",
    "/.",
    "/./",
    "/dir/..",
    "/dir/../..",
    "/%2e%2e/secret.txt",
    "/%2E%2E/secret.txt",
    "/.%2e/secret.txt",
    "/%2e./secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/..%2fsecret.txt",
    "/..%2Fsecret.txt",
    "/dir%2f..%2f..%2fsecret.txt",
    "/dir%2fb.txt",
    "/%2f",
    "/%2fetc%2fpasswd",
    "/%2e",
    "/%2e/a.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/\\..\\secret.txt",
    "/dir\\..\\..\\secret.txt",
    "/%5c..%5csecret.txt",
    "/..%00/secret.txt",
    "/a.txt%00",
    "/a.txt%00.html",
    "/%00",
    "/..%c0%afsecret.txt",
    "/%c0%ae%c0%ae/secret.txt",
    "/%e0%80%ae%e0%80%ae/secret.txt",
    "/%252e%252e/secret.txt",
    "/%252e%252e%252fsecret.txt",
    "/..%252fsecret.txt",
    "/..;/secret.txt",
    "/..;a=b/secret.txt",
    "/.../secret.txt",
    "/....//secret.txt",
    "//etc/passwd",
    "///etc/passwd",
    "//",
    "//dir/b.txt",
    "/dir//b.txt",
    "/dir//",
    "/~/secret.txt",
    "/~root/secret.txt",
    "/file:///etc/passwd",
    "/C:/secret.txt",
    "/etc/passwd",
    "/proc/self/environ",
    "/．．/secret.txt",
    "/‥/secret.txt",
    "a.txt",
    "../secret.txt",
    "*",
    "http://a/a.txt",
];

#[test]
fn no_path_leads_out_of_the_root() {
    let site = site();
    for folder in [site.folder(), site.folder().hidden(true), site.folder().links(Links::All)] {
        for target in ESCAPES {
            check(&folder, target, "404");
        }
    }
}

#[test]
fn a_malformed_path_is_told_so() {
    let site = site();
    for target in ["/%", "/%2", "/%zz", "/a%", "/100%.txt", "/%+1", "/%-1", "/% 1", "/dir/%é"] {
        check(&site.folder(), target, "400");
    }
}

#[test]
fn a_path_has_so_many_names() {
    let site = Site::new(&[("x", "x")]);
    let path = |depth: usize| "/a".repeat(depth);
    site.file(format!(".{}", path(DEPTH_MAX)), "deep");
    check(&site.folder(), &path(DEPTH_MAX), "200 deep");
    site.file(format!(".{}", path(DEPTH_MAX) + "b/a"), "deeper");
    check(&site.folder(), &(path(DEPTH_MAX) + "b/a"), "404");
    check(&site.folder(), &format!("/{}", "a".repeat(256)), "404");
    check(&site.folder(), &format!("/{}", "a".repeat(100_000)), "404");
}

#[test]
fn a_folder_may_stand_below_a_base() {
    let site = site();
    let folder = site.folder();
    let headers = http::HeaderMap::new();
    let status = |base: &str, target: &str| {
        let method = http::Method::GET;
        let ask = ropewalk_http::files::Ask::new(&method, target, &headers, super::site::now());
        let answer = folder.plan(&ask.below(base));
        let location = answer.headers.get("location").map(|place| place.to_str().expect("ASCII"));
        format!("{} {}", answer.status.as_u16(), location.unwrap_or_default()).trim().to_owned()
    };
    assert_eq!(status("/static", "/static/a.txt"), "200");
    assert_eq!(status("/static/", "/static/a.txt"), "200");
    assert_eq!(status("/", "/a.txt"), "200");
    assert_eq!(status("/static", "/static/"), "200");
    assert_eq!(status("/static", "/static"), "308 ./static/");
    assert_eq!(status("/static", "/static?q"), "308 ./static/?q");
    assert_eq!(status("/static", "/a.txt"), "404");
    assert_eq!(status("/static", "/statica.txt"), "404");
    assert_eq!(status("/static", "/static/../a.txt"), "404");
    assert_eq!(status("/static", "/static//a.txt"), "404");
    assert_eq!(status("", ""), "200");
}

/// A site with links of every kind.
fn linked() -> Site {
    let site = site();
    site.link("near", "a.txt");
    site.link("dir/up", "../a.txt");
    site.link("dir/round", "../dir/../dir/./dir//c.txt");
    site.link("into", "dir");
    site.link("twice", "into/up");
    site.link("absolute", site.path("a.txt"));
    site.link("absolute-into", site.path("dir"));
    site.link("to-hidden", ".hidden");
    site.link("out", "../secret.txt");
    site.link("out-folder", "../site-evil");
    site.link("out-parent", "..");
    site.link("out-absolute", site.path("../secret.txt"));
    site.link("out-and-in", "../site/a.txt");
    site.link("out-to-name", "../a.txt");
    site.link("dir/out-to-name", "../../dir/b.txt");
    site.link("out-through", "into/../../secret.txt");
    site.link("out-later", "out-parent/secret.txt");
    site.link("evil", site.path("../site-evil/secret.txt"));
    site.link("etc", "/etc/passwd");
    site.link("root", "/");
    site.link("magic", "/proc/self/cwd");
    site.link("lost", "nowhere");
    site.link("loop", "loop");
    site.link("ping", "pong");
    site.link("pong", "ping");
    site
}

#[test]
fn links_that_stay_inside_are_followed() {
    let site = linked();
    let folder = site.folder();
    check(&folder, "/near", "200 a");
    check(&folder, "/dir/up", "200 a");
    check(&folder, "/dir/round", "200 c");
    check(&folder, "/into/b.txt", "200 b");
    check(&folder, "/into/up", "200 a");
    check(&folder, "/into", "308");
    check(&folder, "/twice", "200 a");
    check(&folder, "/absolute", "200 a");
    check(&folder, "/absolute-into/b.txt", "200 b");
    check(&folder, "/to-hidden", "200 hidden");
    for target in [
        "/near/",
        "/near/b",
        "/out",
        "/out-folder/",
        "/out-folder/secret.txt",
        "/out-parent/secret.txt",
        "/out-parent/site/a.txt",
        "/out-absolute",
        "/out-and-in",
        "/out-to-name",
        "/dir/out-to-name",
        "/out-through",
        "/out-later",
        "/evil",
        "/etc",
        "/root/etc/passwd",
        "/magic/Cargo.toml",
        "/lost",
        "/loop",
        "/loop/a",
        "/ping",
    ] {
        check(&folder, target, "404");
    }
}

#[test]
fn no_link_is_followed_if_so_asked() {
    let site = linked();
    let folder = site.folder().links(Links::None);
    check(&folder, "/a.txt", "200 a");
    check(&folder, "/dir/b.txt", "200 b");
    for target in ["/near", "/dir/up", "/into/b.txt", "/into/", "/twice", "/absolute", "/out"] {
        check(&folder, target, "404");
    }
}

#[test]
fn every_link_is_followed_if_so_asked() {
    let site = linked();
    let folder = site.folder().links(Links::All);
    check(&folder, "/near", "200 a");
    check(&folder, "/absolute", "200 a");
    check(&folder, "/out", "200 SECRET");
    check(&folder, "/out-folder/secret.txt", "200 SECRET");
    check(&folder, "/out-and-in", "200 a");
    check(&folder, "/lost", "404");
    check(&folder, "/loop", "404");
}

#[test]
fn links_are_followed_so_far() {
    let site = Site::new(&[("l0", "end")]);
    for number in 1..=LINKS_MAX + 1 {
        site.link(&format!("l{number}"), format!("l{}", number - 1));
    }
    check(&site.folder(), &format!("/l{LINKS_MAX}"), "200 end");
    check(&site.folder(), &format!("/l{}", LINKS_MAX + 1), "404");
}

#[test]
fn links_cannot_make_the_way_endless() {
    let site = Site::new(&[("dir/x", "x"), ("end", "end")]);
    let detour = "dir/../".repeat(500);
    site.link("short", format!("{detour}end"));
    site.link("l0", format!("{detour}end"));
    for number in 1..20 {
        site.link(&format!("l{number}"), format!("{detour}l{}", number - 1));
    }
    check(&site.folder(), "/short", "200 end");
    assert_eq!(get(&site.folder().step_by_step(), "/l19").status, 404);
}

#[test]
fn a_root_may_be_a_link_and_be_replaced() {
    let site = Site::new(&[("one/a.txt", "one"), ("two/a.txt", "two")]);
    site.link("current", "one");
    site.link("one/absolute", site.path("current/a.txt"));
    site.link("one/real", site.path("one/a.txt"));
    let folder = Folder::new(site.path("current")).expect("an absolute path");
    check(&folder, "/a.txt", "200 one");
    check(&folder, "/absolute", "200 one");
    check(&folder, "/real", "200 one");
    fs::remove_file(site.path("current")).expect("a link to remove");
    check(&folder, "/a.txt", "404");
    site.link("current", "two");
    check(&folder, "/a.txt", "200 two");
}

proptest! {
    #[test]
    fn no_random_path_leads_out(target in spelling()) {
        let site = linked();
        for folder in ways(&site.folder().hidden(true)) {
            let reply = get(&folder, &target);
            prop_assert!(!reply.text().contains("SECRET"), "{target}: {}", reply.text());
            prop_assert!([200, 308, 400, 404].contains(&reply.status), "{target}: {}", reply.status);
        }
    }
}

/// Paths of pieces that have led out of other roots, and any character encoded.
fn spelling() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "/",
        "/",
        "/",
        "..",
        ".",
        "%2e",
        "%2E%2e",
        "%2f",
        "\\",
        "%5c",
        "%00",
        "%25",
        "%",
        "//",
        "dir",
        "into",
        "out-parent",
        "out-folder",
        "root",
        "site",
        "site-evil",
        "SECRET",
        "secret.txt",
        "a.txt",
        "é",
        "?",
    ]);
    let encoded = any::<u8>().prop_map(|byte| format!("%{byte:02x}"));
    let piece = prop_oneof![5 => pieces.prop_map(str::to_owned), 1 => encoded];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}
