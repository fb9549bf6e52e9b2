//! A folder on disk, and a client that believes nothing it is told.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ropewalk_http::files::{Answer, Ask, Body, Folder, Part};

/// When all files were last changed: Mon, 01 Jan 2024 00:00:00 GMT, and a bit.
pub(crate) const CHANGED: Duration = Duration::new(1_704_067_200, 123_456_789);

/// When all requests are made, half a year later.
pub(crate) const NOW: Duration = Duration::from_secs(1_720_000_000);

/// A folder to be served, `site`, in a folder of its own, which nobody may see.
pub(crate) struct Site(PathBuf);

impl Site {
    /// A new one, with these files in it. A name that ends in a slash makes a folder.
    pub(crate) fn new<N: AsRef<[u8]>>(files: &[(N, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ropewalk-files-{}-{number}", std::process::id());
        let site = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(site.path("")).expect("a new folder");
        for (name, text) in files {
            site.file(name, text);
        }
        site
    }

    pub(crate) fn path(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.0.join("site").join(OsStr::from_bytes(name.as_ref()))
    }

    pub(crate) fn file(&self, name: impl AsRef<[u8]>, text: &str) {
        let name = name.as_ref();
        let path = self.path(name);
        if name.ends_with(b"/") {
            fs::create_dir_all(path).expect("a new folder");
            return;
        }
        fs::create_dir_all(path.parent().expect("a parent")).expect("a new folder");
        fs::write(&path, text).expect("a new file");
        self.touch(name, CHANGED);
    }

    pub(crate) fn touch(&self, name: impl AsRef<[u8]>, changed: Duration) {
        let file = File::options().write(true).open(self.path(name)).expect("a file");
        file.set_modified(UNIX_EPOCH + changed).expect("a file that can be touched");
    }

    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) {
        symlink(target, self.path(name)).expect("a new link");
    }

    pub(crate) fn folder(&self) -> Folder {
        Folder::new(self.path("")).expect("an absolute path")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Both ways in which a folder finds its files.
pub(crate) fn ways(folder: &Folder) -> [Folder; 2] {
    [folder.clone(), folder.clone().step_by_step()]
}

/// Header fields from lines such as `Range: bytes=0-1`.
pub(crate) fn fields(lines: &[&str]) -> HeaderMap {
    let field = |line: &&str| {
        let (name, value) = line.split_once(": ").expect("a field");
        (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.iter().map(field) {
        headers.append(name, value);
    }
    headers
}

pub(crate) fn get(folder: &Folder, target: &str) -> Reply {
    get_with(folder, target, &HeaderMap::new())
}

/// Asks, and checks what holds for every answer.
#[track_caller]
pub(crate) fn get_with(folder: &Folder, target: &str, headers: &HeaderMap) -> Reply {
    let plan = |method| folder.plan(&Ask::new(method, target, headers, UNIX_EPOCH + NOW));
    let reply = Reply::of(plan(&Method::GET));
    if !headers.contains_key("range") {
        let head = plan(&Method::HEAD);
        assert!(matches!(head.body, Body::Empty), "HEAD {target}");
        assert_eq!(head.status, reply.status, "HEAD {target}");
        assert_eq!(head.headers, reply.headers, "HEAD {target}");
    }
    reply
}

/// An answer with its body read.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body was not in memory.
    pub(crate) is_streamed: bool,
}

impl Reply {
    #[track_caller]
    pub(crate) fn of(answer: Answer) -> Self {
        let Answer { status, headers, body } = answer;
        let is_streamed = matches!(body, Body::File { .. });
        let length = body.length();
        let body = read(body);
        assert_eq!(body.len() as u64, length);
        let told = headers.get("content-length").map(|value| value.to_str().expect("a number"));
        let expected = (!matches!(status.as_u16(), 204 | 304)).then(|| length.to_string());
        assert_eq!(told, expected.as_deref());
        if status.as_u16() == 304 {
            assert_eq!(length, 0);
        }
        Self { status: status.as_u16(), headers, body, is_streamed }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("plain text"))
    }

    /// The status, and the content if it is no page of ours.
    pub(crate) fn brief(&self) -> String {
        match self.status {
            200 if self.body.starts_with(b"<!DOCTYPE") => "200 page".to_owned(),
            200 => format!("200 {}", self.text()),
            status => status.to_string(),
        }
    }
}

/// Sends a body nowhere; a part out of bounds would be an error.
#[track_caller]
fn read(body: Body) -> Vec<u8> {
    match body {
        Body::Empty => Vec::new(),
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::File { file, parts } => {
            let mut all = Vec::new();
            for part in parts {
                match part {
                    Part::Bytes(bytes) => all.extend_from_slice(&bytes),
                    Part::File { offset, length } => {
                        let start = all.len();
                        all.resize(start + length as usize, 0);
                        file.read_exact_at(&mut all[start..], offset).expect("a part of the file");
                    }
                }
            }
            all
        }
    }
}

pub(crate) fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + NOW
}
