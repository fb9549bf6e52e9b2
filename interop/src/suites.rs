//! The suites and the programs that each of them needs.

/// One file in `interop/tests/`.
#[derive(Debug)]
pub struct Suite {
    /// The name of the file, without `.rs`.
    pub name: &'static str,
    /// The programs without which it is left out: names from [`TOOLS`](crate::TOOLS).
    pub tools: &'static [&'static str],
}

/// All suites.
pub const SUITES: &[Suite] = &[
    Suite { name: "amp", tools: &["twist"] },
    Suite { name: "amp_descriptors", tools: &["twist"] },
    Suite {
        name: "auth",
        tools: &["chromium", "curl", "htpasswd", "httpx", "requests", "twist", "wget"],
    },
    Suite {
        name: "contrib",
        tools: &["curl", "dpkg-deb", "ip", "nsenter", "systemd-analyze", "unshare"],
    },
    Suite {
        name: "database",
        tools: &["initdb", "mount", "postgres", "python3", "setpriv", "umount"],
    },
    Suite { name: "deferred", tools: &["twist"] },
    Suite { name: "faults", tools: &["ip", "nft", "python3", "strace"] },
    Suite {
        name: "fetch",
        tools: &[
            "microsocks",
            "ncat",
            "nghttpd",
            "nginx",
            "node",
            "openssl",
            "python3",
            "twist",
            "wget",
        ],
    },
    Suite {
        name: "gateways",
        tools: &["curl", "nginx", "node", "python3", "twist", "websockets", "wrk"],
    },
    Suite { name: "gopher", tools: &["curl"] },
    Suite {
        name: "http",
        tools: &["aiohttp", "chromium", "curl", "httpx", "python3", "requests", "scrapy", "wrk"],
    },
    Suite { name: "http2_differential", tools: &["nghttpd"] },
    Suite { name: "http2_hostile", tools: &[] },
    Suite {
        name: "http2_server",
        tools: &["chromium", "curl", "h2", "h2load", "httpx", "nghttp", "node", "openssl"],
    },
    Suite {
        name: "loops",
        tools: &[
            "Qt6Widgets.pc",
            "Xvfb",
            "cc1objplus",
            "g++",
            "gnustep-config",
            "gtk4.pc",
            "identify",
            "import",
            "pkg-config",
            "python3",
            "xdotool",
        ],
    },
    Suite {
        name: "proxies",
        tools: &[
            "curl",
            "danted",
            "haproxy",
            "microsocks",
            "nc",
            "ncat",
            "openssl",
            "python3",
            "socksify",
            "ssh",
            "ssh-keygen",
            "sshd",
            "twist",
        ],
    },
    Suite { name: "scanners", tools: &["sslscan", "testssl"] },
    Suite {
        name: "small",
        tools: &[
            "Net/Ident.pm",
            "busybox",
            "finger",
            "in.fingerd",
            "memcached",
            "nc",
            "oidentd",
            "perl",
            "python3",
            "rdate",
            "socat",
            "twist",
            "unshare",
            "xinetd",
        ],
    },
    Suite { name: "soak", tools: &["curl", "openssl"] },
    Suite { name: "terminal", tools: &["curl", "ip", "nsenter", "setsid", "unshare"] },
    Suite {
        name: "tls",
        tools: &["curl", "gnutls-cli", "gnutls-serv", "haproxy", "openssl", "python3", "twist"],
    },
    Suite { name: "websocket", tools: &["node", "websockets", "ws"] },
    Suite { name: "xmlrpc", tools: &["twist"] },
];

/// The suites that look at nothing which a driver could change, and so do not run once on each.
pub const REACTORLESS: &[&str] =
    &["contrib", "deferred", "http2_differential", "scanners", "soak", "terminal"];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{REACTORLESS, SUITES};
    use crate::TOOLS;

    #[test]
    fn every_suite_is_listed_once_and_every_listed_suite_exists() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let files = std::fs::read_dir(folder).into_iter().flatten();
        let paths = files.map(|file| file.expect("the folder can be read").path());
        let tests =
            paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
        let mut found: Vec<_> = tests
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        found.sort();
        let mut listed: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        listed.sort_unstable();
        assert_eq!(found, listed);
        assert!(REACTORLESS.iter().all(|name| listed.contains(name)));
    }

    #[test]
    fn suites_need_only_programs_that_can_be_had() {
        for suite in SUITES {
            for name in suite.tools {
                assert!(TOOLS.iter().any(|tool| tool.name == *name), "{}: {name}", suite.name);
            }
        }
    }
}
