//! Outside programs: their names, where they come from, where they are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Folders of servers, which are not on everybody's `PATH`.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
/// Where Debian has the programs of each version of PostgreSQL, in a folder `bin`.
const POSTGRESQL_FOLDER: &str = "/usr/lib/postgresql";
/// Where Debian has the modules of Perl.
const PERL_FOLDER: &str = "/usr/share/perl5";

/// Compilers that other compilers call, and nobody else finds.
const COMPILERS: [&str; 1] = ["cc1objplus"];

/// A program that a suite or a bench needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tool {
    /// The name of the program, or of a module of Python, or of one of Perl: its file, such as
    /// `Net/Ident.pm`; or of what tells where a library is: `gtk4.pc`.
    pub name: &'static str,
    /// The Debian package that holds it, or `pip:` and the Python package, or `npm:` and Node's.
    pub package: &'static str,
}

/// Where a program can be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// From Debian, as this package.
    Debian(&'static str),
    /// From the Python package index, as this package, into [`python_folder`].
    Python(&'static str),
    /// From Node's registry, as this package, into [`node_folder`].
    Node(&'static str),
}

/// The virtual environment that Python packages are installed into.
pub fn python_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/python")
}

/// The folder that Node's packages are installed into.
pub fn node_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/node")
}

/// All programs that any suite may ask for.
pub const TOOLS: &[Tool] = &[
    Tool { name: "Net/Ident.pm", package: "libnet-ident-perl" },
    Tool { name: "Qt6Widgets.pc", package: "qt6-base-dev" },
    Tool { name: "Xvfb", package: "xvfb" },
    Tool { name: "aiohttp", package: "pip:aiohttp" },
    Tool { name: "busybox", package: "busybox" },
    Tool { name: "cc1objplus", package: "gobjc++" },
    Tool { name: "chromium", package: "chromium" },
    Tool { name: "curl", package: "curl" },
    Tool { name: "danted", package: "dante-server" },
    Tool { name: "dig", package: "bind9-dnsutils" },
    Tool { name: "dpkg-deb", package: "dpkg" },
    Tool { name: "faketime", package: "faketime" },
    Tool { name: "finger", package: "finger" },
    Tool { name: "g++", package: "g++" },
    Tool { name: "gnustep-config", package: "libgnustep-base-dev" },
    Tool { name: "gnutls-cli", package: "gnutls-bin" },
    Tool { name: "gnutls-serv", package: "gnutls-bin" },
    Tool { name: "gtk4.pc", package: "libgtk-4-dev" },
    Tool { name: "h2", package: "pip:h2" },
    Tool { name: "h2load", package: "nghttp2-client" },
    Tool { name: "haproxy", package: "haproxy" },
    Tool { name: "htpasswd", package: "apache2-utils" },
    Tool { name: "httpx", package: "pip:httpx[brotli,zstd]" },
    Tool { name: "identify", package: "imagemagick" },
    Tool { name: "import", package: "imagemagick" },
    Tool { name: "in.fingerd", package: "fingerd" },
    Tool { name: "initdb", package: "postgresql" },
    Tool { name: "ip", package: "iproute2" },
    Tool { name: "lftp", package: "lftp" },
    Tool { name: "memcached", package: "memcached" },
    Tool { name: "microsocks", package: "microsocks" },
    Tool { name: "mount", package: "mount" },
    Tool { name: "nc", package: "netcat-openbsd" },
    Tool { name: "ncat", package: "ncat" },
    Tool { name: "nft", package: "nftables" },
    Tool { name: "nghttp", package: "nghttp2-client" },
    Tool { name: "nghttpd", package: "nghttp2-server" },
    Tool { name: "nginx", package: "nginx" },
    Tool { name: "node", package: "nodejs" },
    Tool { name: "nsenter", package: "util-linux" },
    Tool { name: "oidentd", package: "oidentd" },
    Tool { name: "openssl", package: "openssl" },
    Tool { name: "perl", package: "perl" },
    Tool { name: "pkg-config", package: "pkgconf" },
    Tool { name: "postgres", package: "postgresql" },
    Tool { name: "python3", package: "python3" },
    Tool { name: "rdate", package: "rdate" },
    Tool { name: "requests", package: "pip:requests" },
    Tool { name: "scrapy", package: "pip:scrapy" },
    Tool { name: "setpriv", package: "util-linux" },
    Tool { name: "setsid", package: "util-linux" },
    Tool { name: "sftp", package: "openssh-client" },
    Tool { name: "slowhttptest", package: "slowhttptest" },
    Tool { name: "socat", package: "socat" },
    Tool { name: "socksify", package: "dante-client" },
    Tool { name: "ssh", package: "openssh-client" },
    Tool { name: "ssh-keygen", package: "openssh-client" },
    Tool { name: "sshd", package: "openssh-server" },
    Tool { name: "sslscan", package: "sslscan" },
    Tool { name: "strace", package: "strace" },
    Tool { name: "systemd-analyze", package: "systemd" },
    Tool { name: "testssl", package: "testssl.sh" },
    Tool { name: "twist", package: "pip:twisted[tls]" },
    Tool { name: "umount", package: "mount" },
    Tool { name: "unshare", package: "util-linux" },
    Tool { name: "varnishtest", package: "varnish" },
    Tool { name: "websockets", package: "pip:websockets" },
    Tool { name: "wget", package: "wget" },
    Tool { name: "wrk", package: "wrk" },
    Tool { name: "ws", package: "npm:ws" },
    Tool { name: "xdotool", package: "xdotool" },
    Tool { name: "xinetd", package: "xinetd" },
];

impl Tool {
    /// The tool of this name, if it is listed in [`TOOLS`].
    pub fn named(name: &str) -> Option<Self> {
        TOOLS.iter().find(|tool| tool.name == name).copied()
    }

    /// Where it can be had.
    pub fn source(&self) -> Source {
        match self.package.split_once(':') {
            Some(("pip", package)) => Source::Python(package),
            Some(("npm", package)) => Source::Node(package),
            _ => Source::Debian(self.package),
        }
    }

    /// The environment variable that says where this program is: `ROPEWALK_TOOL_CURL`.
    pub fn variable(&self) -> String {
        format!("ROPEWALK_TOOL_{}", self.name.to_uppercase().replace(['-', '.', '/'], "_"))
    }

    /// Where this program is: where its variable says, else on `PATH`, else among the servers. One
    /// that is a Python package's is where its variable says or in [`python_folder`], as a program or as a
    /// module; a module of Perl is where Debian has it.
    pub fn find(&self) -> Option<PathBuf> {
        if Path::new(self.name).extension().is_some_and(|extension| extension == "pm") {
            return Some(Path::new(PERL_FOLDER).join(self.name)).filter(|module| module.is_file());
        }
        if let Some(folders) = self.folders_below() {
            return folders.map(|folder| folder.join(self.name)).find(|file| file.is_file());
        }
        let told = env::var_os(self.variable());
        match self.source() {
            Source::Debian(_) => find(self.name, told, env::var_os("PATH")),
            Source::Python(_) => find(self.name, told, Some(python_folder().join("bin").into()))
                .or_else(|| python_module(self.name)),
            Source::Node(package) => Some(node_folder().join("node_modules").join(package))
                .filter(|module| module.is_dir()),
        }
    }
}

impl Tool {
    /// The folders in which this is looked for, if it is a library or a part of a compiler: where Debian
    /// has them, for each machine and version.
    fn folders_below(&self) -> Option<impl Iterator<Item = PathBuf> + use<>> {
        let is_library =
            Path::new(self.name).extension().is_some_and(|extension| extension == "pc");
        let (top, below) = if is_library {
            ("/usr/lib", "pkgconfig")
        } else if COMPILERS.contains(&self.name) {
            ("/usr/lib/gcc", "")
        } else {
            return None;
        };
        let inside = |folder: PathBuf| folder.read_dir().into_iter().flatten().flatten();
        let machines: Vec<_> = inside(PathBuf::from(top)).map(|machine| machine.path()).collect();
        let versions = machines.clone().into_iter().flat_map(inside).map(|version| version.path());
        let folders = if is_library { machines } else { versions.collect() };
        Some(folders.into_iter().map(move |folder| folder.join(below)))
    }
}

/// Where a module of Python is that has no program.
fn python_module(name: &str) -> Option<PathBuf> {
    let versions = python_folder().join("lib").read_dir().ok()?;
    let modules = versions.flatten().map(|version| version.path().join("site-packages").join(name));
    modules.into_iter().find(|module| module.is_dir())
}

fn find(name: &str, told: Option<OsString>, path: Option<OsString>) -> Option<PathBuf> {
    if let Some(told) = told {
        return Some(PathBuf::from(told)).filter(|told| is_program(told));
    }
    let path = path.unwrap_or_default();
    let postgresql = Path::new(POSTGRESQL_FOLDER).read_dir().into_iter().flatten().flatten();
    let postgresql = postgresql.map(|version| version.path().join("bin"));
    let folders =
        env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from)).chain(postgresql);
    folders.map(|folder| folder.join(name)).find(|program| is_program(program))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Where the program of this name is.
///
/// # Panics
///
/// When it is not listed in [`TOOLS`] or not on this machine: suites whose programs are missing are
/// left out by name, they do not pass.
#[track_caller]
pub fn tool(name: &str) -> PathBuf {
    let tool =
        Tool::named(name).unwrap_or_else(|| panic!("{name} is not listed in interop/src/tools.rs"));
    tool.find().unwrap_or_else(|| match tool.source() {
        Source::Debian(package) => panic!("{name} is missing: apt-get install {package}"),
        Source::Node(package) => {
            panic!("{name} is missing: npm install --prefix {} {package}", node_folder().display())
        }
        Source::Python(package) => {
            let folder = python_folder();
            let folder = folder.display();
            panic!(
                "{name} is missing: python3 -m venv {folder}; {folder}/bin/pip install {package}"
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Source, TOOLS, Tool, find};
    use crate::TempDir;

    #[test]
    fn programs_are_found_where_the_environment_says() {
        assert_eq!(find("true", Some("/bin/sh".into()), None), Some("/bin/sh".into()));
        assert_eq!(find("sh", Some("/nowhere/sh".into()), Some("/bin".into())), None);
        assert_eq!(find("sh", None, Some("/nowhere:/bin".into())), Some("/bin/sh".into()));
        assert_eq!(find("no such program", None, Some("/bin".into())), None);
    }

    #[test]
    fn folders_and_plain_files_are_no_programs() {
        let folder = TempDir::new("tools").expect("a folder");
        let page = folder.write("ropewalk-page", "hello").expect("a file");
        assert_eq!(find("bin", None, Some("/usr".into())), None);
        assert_eq!(find("ropewalk-page", None, Some(folder.path().into())), None);
        assert_eq!(find("sh", Some(page.into()), None), None);
    }

    #[test]
    fn packages_are_told_apart() {
        let source = |package| Tool { name: "x", package }.source();
        assert_eq!(source("curl"), Source::Debian("curl"));
        assert_eq!(source("pip:twisted"), Source::Python("twisted"));
        assert_eq!(source("npm:ws"), Source::Node("ws"));
    }

    #[test]
    fn variables_are_named_for_their_program() {
        let variable = |name| Tool { name, package: "" }.variable();
        assert_eq!(variable("curl"), "ROPEWALK_TOOL_CURL");
        assert_eq!(variable("go-sendxmpp"), "ROPEWALK_TOOL_GO_SENDXMPP");
    }

    #[test]
    fn tools_are_in_the_order_of_the_alphabet() {
        assert!(TOOLS.is_sorted_by_key(|tool| tool.name));
    }
}
