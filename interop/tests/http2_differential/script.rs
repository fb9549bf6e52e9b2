//! Scripts of frames, made up from a seed.

use ropewalk_trial::Random;

/// One thing that a client sends, good or bad.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) octets: Vec<u8>,
}

impl Step {
    /// The stream of its first frame.
    pub(crate) fn stream(&self) -> u32 {
        u32::from_be_bytes(self.octets[5..9].try_into().expect("a frame's head"))
    }
}

/// What the client has done so far.
struct Maker {
    random: Random,
    steps: Vec<Step>,
    next: u32,
    /// Streams on which the client has more to say.
    open: Vec<u32>,
    /// Streams on which it has said all.
    ended: Vec<u32>,
    /// Streams that it took back.
    reset: Vec<u32>,
}

/// A frame, whatever it is.
pub(crate) fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Fields that no table keeps.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let field = |(name, value): &(&str, &str)| {
        let (name_len, value_len) = (name.len() as u8, value.len() as u8);
        assert!(name_len < 127 && value_len < 127, "a length of one octet");
        [&[0, name_len], name.as_bytes(), &[value_len], value.as_bytes()].concat()
    };
    fields.iter().flat_map(field).collect()
}

pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let control =
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    block(&[&control[..], more].concat())
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const PRIORITY_UPDATE: u8 = 0x10;

const PATHS: [&str; 4] = ["/hello.txt", "/hello.txt", "/large.bin", "/none"];

/// Requests that are none.
const MALFORMED: [(&str, &[(&str, &str)]); 30] = [
    ("no fields at all", &[]),
    ("no method", &[(":scheme", "http"), (":path", "/"), (":authority", "a")]),
    ("no scheme", &[(":method", "GET"), (":path", "/"), (":authority", "a")]),
    ("no path", &[(":method", "GET"), (":scheme", "http"), (":authority", "a")]),
    (
        "an empty path",
        &[(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "a")],
    ),
    (
        "a path without a slash",
        &[(":method", "GET"), (":scheme", "http"), (":path", "x"), (":authority", "a")],
    ),
    ("neither authority nor host", &[(":method", "GET"), (":scheme", "http"), (":path", "/none")]),
    (
        "a method twice",
        &[(":method", "GET"), (":method", "GET"), (":scheme", "http"), (":path", "/")],
    ),
    ("a path twice", &[(":method", "GET"), (":path", "/"), (":scheme", "http"), (":path", "/")]),
    ("a status", &[(":status", "200"), (":method", "GET"), (":scheme", "http"), (":path", "/")]),
    (
        "a control datum that is none",
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":else", "x")],
    ),
    (
        "a late control datum",
        &[(":method", "GET"), (":scheme", "http"), ("x", "y"), (":path", "/")],
    ),
    (
        "a method with a space",
        &[(":method", "G T"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
    ),
    (
        "an empty method",
        &[(":method", ""), (":scheme", "http"), (":path", "/"), (":authority", "a")],
    ),
    (
        "a capital",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("Capital", "x"),
        ],
    ),
    (
        "a name with a space",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("a b", "x"),
        ],
    ),
    (
        "an empty name",
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("", "x")],
    ),
    (
        "a value with a line's end",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("x", "a\nb"),
        ],
    ),
    (
        "a value with NUL",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("x", "a\0b"),
        ],
    ),
    (
        "a value with space around",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/none"),
            (":authority", "a"),
            ("x", " a "),
        ],
    ),
    (
        "connection",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("connection", "close"),
        ],
    ),
    (
        "keep-alive",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("keep-alive", "1"),
        ],
    ),
    (
        "transfer-encoding",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("transfer-encoding", "chunked"),
        ],
    ),
    (
        "upgrade",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("upgrade", "h2c"),
        ],
    ),
    (
        "te of something else",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("te", "gzip"),
        ],
    ),
    (
        "a host that says otherwise",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/none"),
            (":authority", "a"),
            ("host", "b"),
        ],
    ),
    (
        "a length that is none",
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("content-length", "x"),
        ],
    ),
    (
        "two lengths",
        &[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("content-length", "1"),
            ("content-length", "2"),
        ],
    ),
    (
        "CONNECT with a path",
        &[(":method", "CONNECT"), (":scheme", "http"), (":path", "/"), (":authority", "a:1")],
    ),
    (
        "an extended CONNECT unasked for",
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
        ],
    ),
];

/// The script of a seed: some ten steps.
pub(crate) fn script(seed: u64) -> Vec<Step> {
    let mut maker = Maker {
        random: Random::new(seed),
        steps: Vec::new(),
        next: 1,
        open: Vec::new(),
        ended: Vec::new(),
        reset: Vec::new(),
    };
    for _ in 0..maker.random.between(3, 14) {
        match maker.random.below(20) {
            0..=6 => maker.ask(),
            7..=9 => maker.go_on(),
            10 => maker.take_back(),
            11 => maker.ask_wrongly(),
            12 => maker.settings(),
            13 => maker.windows(),
            14 => maker.say_nothing(),
            15 => maker.block_in_pieces(),
            16 => maker.misplaced(),
            17 => maker.wrong_size(),
            18 => maker.compress_wrongly(),
            _ => maker.farewell(),
        }
    }
    maker.steps
}

impl Maker {
    fn put(&mut self, name: &'static str, octets: Vec<u8>) {
        self.steps.push(Step { name, octets });
    }

    fn new_stream(&mut self) -> u32 {
        let stream = self.next;
        // Numbers may be passed over.
        self.next += if self.random.below(8) == 0 { 4 } else { 2 };
        stream
    }

    fn path(&mut self) -> &'static str {
        self.random.choose::<&str>(&PATHS)
    }

    /// One of these streams, if there is any.
    fn one_of(&mut self, which: fn(&Self) -> &Vec<u32>) -> Option<u32> {
        let len = which(self).len() as u64;
        (len > 0).then(|| {
            let at = self.random.below(len) as usize;
            which(self)[at]
        })
    }

    fn ask(&mut self) {
        let (stream, path) = (self.new_stream(), self.path());
        let get = request("GET", path, &[]);
        match self.random.below(13) {
            9 => {
                let connect = block(&[(":method", "CONNECT"), (":authority", "localhost:1")]);
                self.put("CONNECT", raw(HEADERS, 5, stream, &connect));
            }
            10 => {
                let options = request("OPTIONS", "*", &[]);
                self.put("OPTIONS of all", raw(HEADERS, 5, stream, &options));
            }
            11 => {
                self.open.push(stream);
                let post = request("POST", path, &[("expect", "100-continue")]);
                return self.put("POST that waits", raw(HEADERS, 4, stream, &post));
            }
            12 => {
                let length = [("content-length", "5")];
                let get = request("GET", path, &length);
                self.put("a length without a body", raw(HEADERS, 5, stream, &get));
            }
            0 | 1 => {
                self.open.push(stream);
                let length = self.random.below(3) == 0;
                let fields: &[_] = if length { &[("content-length", "10")] } else { &[] };
                let post = request("POST", path, fields);
                return self.put("POST", raw(HEADERS, 4, stream, &post));
            }
            2 => {
                self.open.push(stream);
                return self.put("GET with more to come", raw(HEADERS, 4, stream, &get));
            }
            3 => self.put("HEAD", raw(HEADERS, 5, stream, &request("HEAD", path, &[]))),
            4 => {
                let padded = [&[7], &get[..], &[0; 7]].concat();
                self.put("GET with padding", raw(HEADERS, 0xd, stream, &padded));
            }
            5 => {
                let prior = [&[0, 0, 0, 0, 20], &get[..]].concat();
                self.put("GET with an old priority", raw(HEADERS, 0x25, stream, &prior));
            }
            6 => {
                let fields = [("priority", "u=1, i"), ("te", "trailers"), ("cookie", "a=b")];
                let get = request("GET", path, &fields);
                self.put("GET with fields", raw(HEADERS, 5, stream, &get));
            }
            _ => self.put("GET", raw(HEADERS, 5, stream, &get)),
        }
        self.ended.push(stream);
    }

    fn go_on(&mut self) {
        let Some(stream) = self.one_of(|maker| &maker.open) else { return self.ask() };
        let size = *self.random.choose(&[0_usize, 1, 5, 10, 10, 1000, 16_384]);
        let ends = |maker: &mut Self| {
            maker.open.retain(|open| *open != stream);
            maker.ended.push(stream);
        };
        match self.random.below(8) {
            0 => {
                ends(self);
                let trailers = block(&[("x-sum", "1")]);
                self.put("trailers", raw(HEADERS, 5, stream, &trailers));
            }
            1 => {
                let trailers = block(&[("x-sum", "1")]);
                self.put("trailers without an end", raw(HEADERS, 4, stream, &trailers));
            }
            2 => {
                ends(self);
                let trailers = block(&[(":path", "/")]);
                self.put("trailers with a control datum", raw(HEADERS, 5, stream, &trailers));
            }
            3 => {
                let padded = [&[9], &vec![b'x'; size.min(1000)][..], &[0; 9]].concat();
                self.put("DATA with padding", raw(DATA, 8, stream, &padded));
            }
            4 | 5 => self.put("DATA", raw(DATA, 0, stream, &vec![b'x'; size])),
            _ => {
                ends(self);
                self.put("DATA and the end", raw(DATA, 1, stream, &vec![b'x'; size]));
            }
        }
    }

    fn take_back(&mut self) {
        let code = *self.random.choose(&[0, 2, 5, 8, 99_u32]);
        let reset = |stream| raw(RST_STREAM, 0, stream, &code.to_be_bytes());
        if let Some(stream) = self.one_of(|maker| &maker.open) {
            self.open.retain(|open| *open != stream);
            self.reset.push(stream);
            self.put("RST_STREAM", reset(stream));
        } else if let Some(stream) = self.one_of(|maker| &maker.ended) {
            self.put("RST_STREAM behind the end", reset(stream));
        } else {
            let stream = self.next;
            self.put("RST_STREAM on an idle stream", reset(stream));
        }
    }

    fn ask_wrongly(&mut self) {
        let stream = self.new_stream();
        let (name, fields) = self.random.choose(&MALFORMED);
        self.ended.push(stream);
        self.put(name, raw(HEADERS, 5, stream, &block(fields)));
    }

    fn settings(&mut self) {
        let entry = |id: u16, value: u32| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let window = self.random.below(50_000) as u32;
        let (name, payload) = match self.random.below(14) {
            0 => ("SETTINGS of nothing", vec![]),
            1 | 2 => ("SETTINGS of a small window", entry(4, window % 20)),
            3 => ("SETTINGS of a window", entry(4, window)),
            4 => ("SETTINGS of two windows", [entry(4, 3), entry(4, 40_000)].concat()),
            5 => ("SETTINGS of a window too large", entry(4, 1 << 31)),
            6 => ("SETTINGS of a large frame", entry(5, 100_000)),
            7 => ("SETTINGS of a frame too small", entry(5, 16_383)),
            8 => ("SETTINGS of a frame too large", entry(5, 1 << 24)),
            9 => ("SETTINGS of no table", entry(1, 0)),
            10 => ("SETTINGS of a large table", entry(1, 1 << 20)),
            11 => ("SETTINGS of pushes", entry(2, 1)),
            12 => ("SETTINGS of something else for pushes", entry(2, 2)),
            _ => ("SETTINGS that nobody knows", entry(0x7777, 1)),
        };
        self.put(name, raw(SETTINGS, 0, 0, &payload));
    }

    fn windows(&mut self) {
        let update = |stream, by: u32| raw(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
        let more = 1 + self.random.below(30_000) as u32;
        let stream = self.next;
        let (ended, open, reset) = (
            self.one_of(|maker| &maker.ended),
            self.one_of(|maker| &maker.open),
            self.one_of(|maker| &maker.reset),
        );
        match (self.random.below(9), open, ended, reset) {
            (0, ..) => self.put("WINDOW_UPDATE", update(0, more)),
            (1, ..) => self.put("WINDOW_UPDATE of nothing", update(0, 0)),
            (2, ..) => self.put("WINDOW_UPDATE of too much", update(0, 0x7fff_ffff)),
            (3, ..) => self.put("WINDOW_UPDATE on an idle stream", update(stream, 1)),
            (4, Some(open), ..) => {
                self.put("WINDOW_UPDATE of nothing on a stream", update(open, 0));
            }
            (5, Some(open), ..) => {
                self.put("WINDOW_UPDATE of too much on a stream", update(open, 0x7fff_ffff));
            }
            (6, _, _, Some(reset)) => self.put("WINDOW_UPDATE behind RST_STREAM", update(reset, 1)),
            (_, _, Some(ended), _) => self.put("WINDOW_UPDATE behind the end", update(ended, more)),
            (_, Some(open), ..) => self.put("WINDOW_UPDATE on a stream", update(open, more)),
            _ => self.put("WINDOW_UPDATE", update(0, more)),
        }
    }

    fn say_nothing(&mut self) {
        let stream = self.next;
        let known = self.one_of(|maker| &maker.ended).unwrap_or(stream);
        let (name, octets) = match self.random.below(9) {
            0 => ("a type that nobody knows", raw(0xbb, 0xff, 0, b"extension")),
            1 => ("a type that nobody knows, on a stream", raw(0xbb, 0, known, b"extension")),
            2 => ("PRIORITY", raw(PRIORITY, 0, stream, &[0, 0, 0, 0, 1])),
            3 => ("PRIORITY behind the end", raw(PRIORITY, 0, known, &[0, 0, 0, 0, 1])),
            4 => {
                let own = [&stream.to_be_bytes()[..], &[1]].concat();
                ("PRIORITY on itself", raw(PRIORITY, 0, stream, &own))
            }
            5 => ("PRIORITY_UPDATE", raw(PRIORITY_UPDATE, 0, 0, &[0, 0, 0, 1, b'u', b'=', b'2'])),
            6 => ("PING that answers nothing", raw(PING, 1, 0, b"nothing!")),
            7 => ("PING with flags", raw(PING, 0xfe, 0, b"question")),
            _ => (
                "PRIORITY_UPDATE of something else",
                raw(PRIORITY_UPDATE, 0, 0, &[0, 0, 0, 1, 0xff]),
            ),
        };
        self.put(name, octets);
    }

    fn block_in_pieces(&mut self) {
        let stream = self.new_stream();
        let get = request("GET", "/hello.txt", &[]);
        let (one, two) = get.split_at(7);
        let head = raw(HEADERS, 1, stream, one);
        self.ended.push(stream);
        let (name, rest) = match self.random.below(7) {
            0..=2 => ("a block in pieces", raw(CONTINUATION, 4, stream, two)),
            3 => {
                let empty = raw(CONTINUATION, 0, stream, b"");
                ("a block with an empty piece", [empty, raw(CONTINUATION, 4, stream, two)].concat())
            }
            4 => ("a block that PING interrupts", raw(PING, 0, 0, &[0; 8])),
            5 => {
                ("a block that another stream goes on with", raw(CONTINUATION, 4, stream + 2, two))
            }
            _ => ("a block that an extension interrupts", raw(0xbb, 0, stream, b"x")),
        };
        self.put(name, [head, rest].concat());
    }

    fn misplaced(&mut self) {
        let (stream, get) = (self.next, request("GET", "/none", &[]));
        let ended = self.one_of(|maker| &maker.ended);
        let reset = self.one_of(|maker| &maker.reset);
        let (name, octets) = match (self.random.below(19), ended, reset) {
            (0, Some(ended), _) => ("DATA behind the end", raw(DATA, 0, ended, b"x")),
            (1, Some(ended), _) => ("HEADERS behind the end", raw(HEADERS, 5, ended, &get)),
            (2, _, Some(reset)) => ("DATA behind RST_STREAM", raw(DATA, 0, reset, b"x")),
            (3, _, Some(reset)) => ("HEADERS behind RST_STREAM", raw(HEADERS, 5, reset, &get)),
            (4, ..) => ("DATA on an idle stream", raw(DATA, 0, stream, b"x")),
            (5, ..) => ("DATA on the connection", raw(DATA, 0, 0, b"x")),
            (6, ..) => ("HEADERS on the connection", raw(HEADERS, 5, 0, &get)),
            (7, ..) => ("HEADERS on a stream of the server's", raw(HEADERS, 5, 2, &get)),
            (8, ..) => ("SETTINGS on a stream", raw(SETTINGS, 0, stream, b"")),
            (9, ..) => ("PING on a stream", raw(PING, 0, stream, &[0; 8])),
            (10, ..) => ("GOAWAY on a stream", raw(GOAWAY, 0, stream, &[0; 8])),
            (11, ..) => ("RST_STREAM on the connection", raw(RST_STREAM, 0, 0, &[0; 4])),
            (12, ..) => ("PRIORITY on the connection", raw(PRIORITY, 0, 0, &[0; 5])),
            (13, ..) => ("CONTINUATION of nothing", raw(CONTINUATION, 4, stream, &get)),
            (14, ..) => {
                let push = [&2_u32.to_be_bytes()[..], &get].concat();
                ("PUSH_PROMISE", raw(PUSH_PROMISE, 4, ended.unwrap_or(stream), &push))
            }
            (15, ..) => ("SETTINGS that are acknowledged unsent", raw(SETTINGS, 1, 0, b"")),
            (16, ..) => {
                ("PRIORITY_UPDATE on a stream", raw(PRIORITY_UPDATE, 0, stream, &[0, 0, 0, 1]))
            }
            (17, ..) if stream > 3 => ("HEADERS on a stream passed over", {
                let free = (1..stream).step_by(2);
                let used = |at: &u32| {
                    [&self.open, &self.ended, &self.reset].iter().any(|all| all.contains(at))
                };
                let Some(free) = free.into_iter().find(|at| !used(at)) else { return self.ask() };
                raw(HEADERS, 5, free, &get)
            }),
            _ => (
                "WINDOW_UPDATE on a stream of the server's",
                raw(WINDOW_UPDATE, 0, 2, &[0, 0, 0, 1]),
            ),
        };
        self.put(name, octets);
    }

    fn wrong_size(&mut self) {
        let stream = self.next;
        let known = self.one_of(|maker| &maker.open).unwrap_or(stream);
        let (name, octets) = match self.random.below(12) {
            0 => ("PING of another size", raw(PING, 0, 0, &[0; 7])),
            1 => ("SETTINGS of another size", raw(SETTINGS, 0, 0, &[0; 5])),
            2 => ("SETTINGS acknowledged with something", raw(SETTINGS, 1, 0, &[0; 6])),
            3 => ("RST_STREAM of another size", raw(RST_STREAM, 0, known, &[0; 5])),
            4 => ("WINDOW_UPDATE of another size", raw(WINDOW_UPDATE, 0, 0, &[0; 3])),
            5 => ("PRIORITY of another size", raw(PRIORITY, 0, stream, &[0; 4])),
            6 => ("GOAWAY of another size", raw(GOAWAY, 0, 0, &[0; 7])),
            7 => ("a frame too large", raw(0xbb, 0, 0, &vec![0; 16_385])),
            8 => ("DATA too large", raw(DATA, 0, known, &vec![0; 16_385])),
            9 => ("HEADERS with too much padding", raw(HEADERS, 0xd, stream, &[200, 0x82])),
            10 => ("DATA with too much padding", raw(DATA, 8, known, &[200, 1, 1])),
            _ => ("PRIORITY_UPDATE of another size", raw(PRIORITY_UPDATE, 0, 0, &[0; 3])),
        };
        self.put(name, octets);
    }

    fn compress_wrongly(&mut self) {
        let stream = self.new_stream();
        self.ended.push(stream);
        let get = request("GET", "/hello.txt", &[]);
        let (name, block) = match self.random.below(8) {
            0 => ("the field 0", vec![0x80]),
            1 => ("a field that no table has", vec![0x82, 0xff, 0x80, 0x01]),
            2 => ("a string without an end", vec![0x82, 0x00, 0x0a, b'x']),
            3 => ("a number without an end", vec![0xff; 12]),
            4 => ("Huffman's end of text", vec![0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01, b'x']),
            5 => ("a table too large", [&[0x3f, 0xe2, 0x1f], &get[..]].concat()),
            6 => ("a table's size behind a field", [&get[..], &[0x20]].concat()),
            _ => {
                let kept = [&[0x40, 3], &b"x-k"[..], &[1, b'v', 0xbe]].concat();
                ("a field that the table keeps", [&get[..], &kept].concat())
            }
        };
        self.put(name, raw(HEADERS, 5, stream, &block));
    }

    fn farewell(&mut self) {
        match self.random.below(4) {
            0 => self.put("GOAWAY", raw(GOAWAY, 0, 0, &[0; 8])),
            1 => self.put("GOAWAY of an error", raw(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])),
            _ => self.ask(),
        }
    }
}
