//! Programs that answer by CGI: shells, Python, git.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::{ANYWHERE, Folder, Served, run, talk};

fn script(folder: &Folder, name: &str, text: &str) {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn ask(served: &Served, request: &str) -> String {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let head = head.replace('\n', "\r\n");
    talk(served.connect(), &format!("{head}\r\nHost: a\r\nConnection: close\r\n\r\n{body}"))
}

#[test]
fn a_shell_and_python_answer_beside_files() {
    let folder = Folder::new("cgi").with("page.txt", "a page").with("plain.cgi", "secret");
    script(
        &folder,
        "shell.cgi",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n\
         echo \"$REQUEST_METHOD $SCRIPT_NAME $PATH_INFO $QUERY_STRING $CONTENT_LENGTH\"\n\
         echo \"${HTTP_PROXY-no proxy} ${HOME-no home} $GREETING $(pwd)\"\ncat\necho complaint >&2\n",
    );
    script(
        &folder,
        "form.cgi",
        "#!/usr/bin/env python3\nimport cgi, os, warnings\nform = cgi.FieldStorage()\n\
         print('Status: 201 Made\\nContent-Type: text/plain\\n')\n\
         print(form.getfirst('name'), form['file'].filename, form['file'].file.read())\n",
    );
    script(&folder, "local.cgi", "#!/bin/sh\nprintf 'Location: /page.txt\\n\\n'\n");
    script(&folder, "broken.cgi", "#!/bin/sh\necho what\n");
    script(&folder, "early.cgi", "#!/bin/sh\nexit 3\n");
    let options = ["--cgi", "*.cgi", "--cgi-env", "GREETING=hello"];
    let served = Served::web(&folder, &[ANYWHERE], &options);

    let request = "POST /shell.cgi/a%20b?x=1 HTTP/1.1\nProxy: evil\nContent-Length: 4\n\nbody";
    let answer = ask(&served, request);
    let here = fs::canonicalize(folder.path()).unwrap();
    let expected =
        format!("POST /shell.cgi /a b x=1 4\nno proxy no home hello {}\nbody", here.display());
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(unchunked(&answer).ends_with(&expected), "{answer}");

    let form = "--B\r\nContent-Disposition: form-data; name=name\r\n\r\nAda\r\n--B\r\nContent-Disposition: \
                form-data; name=file; filename=f.txt\r\nContent-Type: text/plain\r\n\r\ncontent\r\n--B--\r\n";
    let request = format!(
        "POST /form.cgi HTTP/1.1\nContent-Type: multipart/form-data; boundary=B\nContent-Length: {}\n\n{form}",
        form.len()
    );
    let answer = ask(&served, &request);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(unchunked(&answer).contains("Ada f.txt b'content'"), "{answer}");

    assert!(ask(&served, "GET /local.cgi HTTP/1.1").ends_with("\r\n\r\na page"));
    assert!(ask(&served, "GET /page.txt HTTP/1.1").ends_with("\r\n\r\na page"));
    assert!(ask(&served, "GET /broken.cgi HTTP/1.1").starts_with("HTTP/1.1 502 "));
    assert!(ask(&served, "GET /early.cgi HTTP/1.1").starts_with("HTTP/1.1 502 "));
    for path in ["/plain.cgi", "/plain.cg%69", "/plain%2ecgi"] {
        let answer = ask(&served, &format!("GET {path} HTTP/1.1"));
        assert!(answer.starts_with("HTTP/1.1 403 ") && !answer.contains("secret"), "{answer}");
    }
    let (status, log) = served.stop();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("complaint"), "{log}");
    assert!(log.contains("exited with code 3 before it had answered"), "{log}");
}

/// The body without the chunks' lines.
fn unchunked(answer: &str) -> String {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let mut rest = body;
    let mut whole = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else { return body.to_owned() };
        if size == 0 {
            break;
        }
        whole.push_str(&behind[..size]);
        rest = &behind[size + 2..];
    }
    whole.trim_end().to_owned()
}

#[test]
fn much_goes_through_a_program_both_ways_at_once() {
    let folder = Folder::new("cgi-much");
    script(&folder, "cat.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nexec cat\n");
    let served = Served::web(&folder, &[ANYWHERE], &["--cgi", "*.cgi", "--log", "off"]);
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
    for _ in 0..8 {
        let (mut sending, mut reading) = {
            let stream = served.connect();
            (stream.try_clone().unwrap(), stream)
        };
        let mut answer = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let length = body.len();
                let head = format!("POST /cat.cgi HTTP/1.0\r\nContent-Length: {length}\r\n\r\n");
                sending.write_all(head.as_bytes()).unwrap();
                sending.write_all(&body).unwrap();
            });
            reading.read_to_end(&mut answer).unwrap();
        });
        assert!(answer.ends_with(&body), "{} bytes came back", answer.len());
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=A", "-c", "user.email=a@example.org"]);
    command.args(["-c", "init.defaultBranch=main", "-c", "http.postBuffer=65536"]);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_repository_is_cloned_and_pushed_to() {
    let exec = Command::new("git").arg("--exec-path").output().unwrap();
    let backend = String::from_utf8_lossy(&exec.stdout).trim().to_owned() + "/git-http-backend";
    let folder = Folder::new("git");
    let root = fs::canonicalize(folder.path()).unwrap();
    git(&root, &["init", "--bare", "repo.git"]);
    git(&root.join("repo.git"), &["config", "http.receivepack", "true"]);
    let cgi = format!("/git={backend}");
    let project = format!("GIT_PROJECT_ROOT={}", root.display());
    let options = [
        "--cgi",
        &cgi,
        "--cgi-env",
        &project,
        "--cgi-env",
        "GIT_HTTP_EXPORT_ALL=1",
        "--cgi-read-to-end",
    ];
    let served = Served::web(&folder, &[ANYWHERE], &options);
    let url = format!("{}git/repo.git", served.places[0]);

    git(&root, &["clone", &url, "one"]);
    let noise: Vec<u8> =
        (0..400_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    fs::write(root.join("one/noise"), &noise).unwrap();
    git(&root.join("one"), &["add", "noise"]);
    git(&root.join("one"), &["commit", "-m", "noise"]);
    // More than the buffer above: it comes in chunks, without a length.
    git(&root.join("one"), &["push", "origin", "HEAD:main"]);
    git(&root, &["clone", "-b", "main", &url, "two"]);
    assert_eq!(fs::read(root.join("two/noise")).unwrap(), noise);
    let (status, log) = served.stop();
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn what_is_no_place_for_programs_is_told() {
    let folder = Folder::new("cgi-wrong");
    let path = folder.path().to_str().unwrap();
    for (cgi, told) in [
        ("/cgi-bin", "there is no '=' in \"/cgi-bin\""),
        ("cgi-bin=.", "\"cgi-bin\" is no path; write --cgi /cgi-bin=."),
        ("/x=/nonexistent", "cannot read /nonexistent"),
        ("*", "expected an ending such as '*.cgi'"),
        ("*cgi", "expected an ending such as '*.cgi'"),
    ] {
        let output = run(&["web", "--path", path, "--listen", ANYWHERE, "--cgi", cgi]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(told), "{cgi}: {said}");
    }
}
