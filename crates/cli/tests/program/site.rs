//! What `ropewalk web` is told about the site it serves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::{Folder, Served, program, run, talk};

const LISTEN: &str = "tcp:0:interface=127.0.0.1";

fn ask(served: &Served, path: &str, fields: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
    talk(served.connect(), &request)
}

#[test]
fn other_hosts_have_other_directories() {
    let main = Folder::new("hosts-main").with("who", "main");
    let other = Folder::new("hosts-other").with("who", "other");
    let vhost = format!("*.example.com={}", other.path().display());
    let served = Served::web(&main, &[LISTEN], &["--vhost", &vhost]);
    assert!(ask(&served, "/who", "Host: a.example.com\r\n").ends_with("\r\n\r\nother"));
    assert!(ask(&served, "/who", "Host: elsewhere\r\n").ends_with("\r\n\r\nmain"));
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn a_site_is_furnished_as_it_is_told() {
    let folder = Folder::new("furnished").with("index.html", "<p>app").with("oops.html", "<p>oops");
    let oops = format!("404={}", folder.path().join("oops.html").display());
    let more = [
        "--spa",
        "--header",
        "Cache-Control: no-cache",
        "--header=X-Frame-Options:DENY",
        "--cors=https://app.example",
        "--error-page",
        &oops,
    ];
    let served = Served::web(&folder, &[LISTEN], &more);
    let page = ask(&served, "/deep/place", "Host: a\r\nAccept: text/html\r\n");
    assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("<p>app"), "{page}");
    let missing = ask(&served, "/app.js", "Host: a\r\nOrigin: https://app.example\r\n");
    assert!(missing.starts_with("HTTP/1.1 404 ") && missing.ends_with("<p>oops"), "{missing}");
    for field in [
        "cache-control: no-cache",
        "x-frame-options: DENY",
        "access-control-allow-origin: https://app.example",
        "content-type: text/html; charset=utf-8",
    ] {
        assert!(missing.contains(&format!("\r\n{field}\r\n")), "{field}: {missing}");
    }
    assert!(!missing.contains("content-security-policy"), "{missing}");
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn requests_are_passed_on_to_other_servers_by_their_paths() {
    let files = Folder::new("proxy-files").with("page", "a file");
    let one = Folder::new("proxy-one").with("page", "one");
    let two = Folder::new("proxy-two").with("page", "two");
    let socket = format!("unix:{}", two.path().join("socket").display());
    let [one, two] = [(one, LISTEN), (two, &socket[..])].map(|(folder, listen)| {
        let served = Served::web(&folder, &[listen], &[]);
        (folder, served)
    });
    let url = one.1.places[0].trim_end_matches('/').to_owned();
    let proxies = [format!("/app={url}"), format!("/app/deep={socket}")];
    let served = Served::web(&files, &[LISTEN], &["--proxy", &proxies[0], "--proxy", &proxies[1]]);
    for (path, page) in [("/page", "a file"), ("/app/page", "one"), ("/app/deep/page", "two")] {
        let answer = ask(&served, path, "Host: a\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{page}")), "{path}: {answer}");
        assert_eq!(answer.contains("\r\nvia: 1.1 ropewalk\r\n"), path != "/page", "{answer}");
    }
    assert!(ask(&served, "/apple", "Host: a\r\n").starts_with("HTTP/1.1 404 "));
    assert_eq!(one.1.stop().0, Some(0));
    assert!(ask(&served, "/app/page", "Host: a\r\n").starts_with("HTTP/1.1 502 "));
    let (code, log) = served.stop();
    assert!(code == Some(0) && log.contains(&format!("no connection to {url}")), "{log}");
    drop(two);
}

#[test]
fn a_forward_proxy_goes_where_it_may() {
    let folder = Folder::new("forward-proxy").with("page", "hello");
    let origin = Served::web(&folder, &[LISTEN], &[]);
    let url = &origin.places[0];
    let asked = |more: &[&str]| {
        let proxy = Served::start(&[&["proxy", "--listen", LISTEN], more].concat(), 1);
        let request = format!("GET {url}page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = talk(proxy.connect(), &request);
        assert_eq!(proxy.stop().0, Some(0));
        answer
    };
    assert!(asked(&[]).starts_with("HTTP/1.1 403 "));
    assert!(asked(&["--allow", "127.0.0.1"]).ends_with("\r\n\r\nhello"));
    let users = folder.path().join("users");
    fs::write(&users, "alice:secret\n").unwrap();
    let answer = asked(&["--allow", "127.0.0.1", "--users", users.to_str().unwrap()]);
    assert!(answer.starts_with("HTTP/1.1 407 "), "{answer}");
}

#[test]
fn text_is_compressed_for_those_who_take_it_where_that_is_said() {
    let long = "all work and no play\n".repeat(1000);
    let folder = Folder::new("gzip").with("a.txt", &long).with("b.txt", &long);
    fs::write(folder.path().join("b.txt.gz"), "packed before").unwrap();
    let fields = "Host: a\r\nAccept-Encoding: gzip\r\nCookie: a=b\r\n";
    let plain = Served::web(&folder, &[LISTEN], &[]);
    assert!(ask(&plain, "/a.txt", fields).ends_with(&long));
    let served = Served::web(&folder, &[LISTEN], &["--gzip"]);
    let packed = ask(&served, "/a.txt", fields);
    assert!(packed.contains("\r\ncontent-encoding: gzip\r\n") && packed.len() < 2000, "{packed}");
    assert!(ask(&served, "/b.txt", fields).ends_with("\r\n\r\npacked before"));
    assert!(ask(&served, "/a.txt", "Host: a\r\n").ends_with(&long));
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn files_are_taken_in_where_that_is_said() {
    let folder = Folder::new("upload").with("there.txt", "old");
    let put = |served: &Served, path: &str, fields: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "PUT {path} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
        talk(served.connect(), &request)[9..12].to_owned()
    };
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
    let closed = Served::web(&folder, &[LISTEN], &[]);
    assert_eq!(put(&closed, "/new.txt", "", "new"), "405");

    let served = Served::web(&folder, &[LISTEN], &["--upload", "--upload-max", "1000"]);
    assert_eq!(put(&served, "/new.txt", "Content-Range: bytes 0-2/6\r\n", "new"), "202");
    let told = ask(&served, "/new.txt", "Host: a\r\n");
    assert!(told.starts_with("HTTP/1.1 404 "), "{told}");
    assert_eq!(put(&served, "/new.txt", "Content-Range: bytes 3-5/6\r\n", "est"), "201");
    assert_eq!(read("new.txt").as_deref(), Some("newest"));
    assert_eq!(put(&served, "/there.txt", "", "new"), "409");
    assert_eq!(put(&served, "/../out.txt", "", "new"), "409");
    assert_eq!(put(&served, "/.hidden", "", "new"), "409");
    assert_eq!(put(&served, "/long.txt", "", &"x".repeat(1001)), "413");

    let served = Served::web(&folder, &[LISTEN], &["--upload", "--overwrite"]);
    assert_eq!(put(&served, "/there.txt", "", "new"), "204");
    assert_eq!(read("there.txt").as_deref(), Some("new"));
    assert_eq!(run(&["web", "--overwrite"]).status.code(), Some(2), "overwrite what?");
}

#[test]
fn what_makes_no_site_is_told_with_an_example() {
    let folder = Folder::new("no-site").with("page.html", "<p>");
    let path = folder.path().display().to_string();
    let large = folder.path().join("large");
    fs::File::create(&large).and_then(|file| file.set_len(2 << 20)).unwrap();
    for (arguments, told) in [
        (["--vhost", "example.com"], "there is no '=' in \"example.com\"; write --vhost"),
        (["--vhost", "exa mple=."], "\"exa mple\" is no host"),
        (["--vhost", "example.com=/nowhere/at/all"], "there is no directory /nowhere/at/all"),
        (["--proxy", "http://127.0.0.1:3000"], "there is no '='"),
        (
            ["--proxy", "api=http://127.0.0.1:3000"],
            "is no path; write --proxy /api=http://127.0.0.1:3000",
        ),
        (
            ["--proxy", "/api=127.0.0.1:3000"],
            "is no server to pass requests on to: write http://HOST",
        ),
        (["--header", "Cache-Control"], "there is no ':'"),
        (["--header", "a b: c"], "\"a b\" cannot be the name of a field"),
        (["--cors", "app.example"], "\"app.example\" is no origin"),
        (["--cors", "https://app.example/"], "is no origin: expected one such as"),
        (["--cors", "https://user@app.example"], "is no origin"),
        (["--error-page", "200=page.html"], "\"200\" is no error's status"),
        (["--error-page", "404=/nowhere/at/all"], "cannot read /nowhere/at/all"),
        (["--error-page", &format!("404={}", large.display())], "has at most 1048576"),
    ] {
        let output = run(&[&["web", "--listen", LISTEN, "--path", &path], &arguments[..]].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.contains(told) && error.lines().count() == 1, "{arguments:?}: {error}");
    }
}

#[test]
fn the_browser_is_sent_to_the_first_address() {
    let folder = Folder::new("browser").with("file", "");
    let asked = folder.path().join("asked");
    assert!(Command::new("mkfifo").arg(&asked).status().unwrap().success());
    let browser = folder.path().join("browser");
    fs::write(&browser, format!("#!/bin/sh\necho \"$1\" > '{}'\n", asked.display())).unwrap();
    fs::set_permissions(&browser, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = program();
    command.args(["web", "--open", "--listen", LISTEN, "--path"]).arg(folder.path());
    let served = Served::of(
        {
            command.env("BROWSER", &browser);
            command
        },
        1,
    );
    // Reading waits until the browser has something to say.
    assert_eq!(fs::read_to_string(&asked).unwrap().trim_end(), served.places[0]);
    assert_eq!(served.stop().0, Some(0));
}
