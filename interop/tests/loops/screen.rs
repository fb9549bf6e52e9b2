//! A screen that nobody looks at, and a mouse.

use std::path::Path;
use std::process::{Command, Output};

use ropewalk_interop::{Peer, tool};

/// An X server of its own, which ends when this is dropped.
pub(crate) struct Screen {
    _server: Peer,
    display: String,
}

impl Screen {
    pub(crate) fn open() -> Self {
        let mut command = Command::new(tool("Xvfb"));
        // It says which number is its own.
        command.args(["-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"]);
        let mut server = Peer::start(&mut command).expect("Xvfb starts");
        let number = server.line_after("").expect("a number");
        Self { _server: server, display: format!(":{}", number.trim()) }
    }

    /// Has a program show its windows here, drawn without a graphics card.
    pub(crate) fn show(&self, command: &mut Command) {
        command.env("DISPLAY", &self.display).env_remove("WAYLAND_DISPLAY");
        command
            .env("GDK_BACKEND", "x11")
            .env("GSK_RENDERER", "cairo")
            .env("LIBGL_ALWAYS_SOFTWARE", "1");
        command.env("QT_QPA_PLATFORM", "xcb").env("NO_AT_BRIDGE", "1").env("GTK_A11Y", "none");
        command.env("DBUS_SESSION_BUS_ADDRESS", "disabled:");
    }

    fn ask(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(tool(program));
        command.args(arguments).env("DISPLAY", &self.display).output().expect("it runs")
    }

    #[track_caller]
    fn tell(&self, program: &str, arguments: &[&str]) {
        let output = self.ask(program, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
    }

    /// The number of the window with this title, once it is on the screen.
    #[track_caller]
    pub(crate) fn window(&self, title: &str) -> String {
        let mut search = Command::new(tool("xdotool"));
        search.args(["search", "--sync", "--onlyvisible", "--name", title]);
        let mut search = Peer::start(search.env("DISPLAY", &self.display)).expect("xdotool starts");
        search.line_after("").expect("a window of that title")
    }

    /// Clicks at a place in a window.
    #[track_caller]
    pub(crate) fn click(&self, window: &str, x: u32, y: u32) {
        let (x, y) = (x.to_string(), y.to_string());
        self.tell("xdotool", &["mousemove", "--sync", "--window", window, &x, &y, "click", "1"]);
    }

    /// Keeps a picture of a window in the folder `target/pictures`, and sees that there is something on it.
    #[track_caller]
    pub(crate) fn picture(&self, window: &str, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pictures");
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join(name);
        let file = file.to_str().expect("a name");
        self.tell("import", &["-window", window, file]);
        let colours = self.ask("identify", &["-format", "%k", file]);
        let colours =
            String::from_utf8_lossy(&colours.stdout).trim().parse::<u32>().expect("a number");
        assert!(colours > 8, "{colours} colours are no window with letters");
    }
}
